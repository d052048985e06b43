//! A coordinator with its API, on simulated workers.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kudzu_coordinator::api::forms::{Forms, Kept, Wanted};
use kudzu_coordinator::api::{self, forward};
use kudzu_coordinator::cluster::{Cluster, Running};
use kudzu_shared::archive::{Archive, Store};
use kudzu_shared::config::{self, Scope, Tenant, Token};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::task::{Shutdown, Task};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::case::Case;
use crate::common::cluster::{Cluster as Sim, Faults};
use crate::common::service;

/// A coordinator with its API.
pub struct Rig {
    pub sim: Sim,
    pub archive: Arc<Store>,
    pub cluster: Cluster,
    pub at: SocketAddr,
    http: reqwest::Client,
    pub shutdown: Shutdown,
    _running: Running,
    _serving: Task<io::Result<()>>,
}

pub async fn rig() -> Rig {
    rig_in(&Case::within(1, 1)).await
}

/// One whose simulated workers live in the world of a case.
pub async fn rig_in(case: &Case) -> Rig {
    drop(rustls::crypto::ring::default_provider().install_default());
    let archive = Arc::new(Store::memory());
    let sim = Sim::start(case, 1, 1, Faults::default(), config::Coordinator::default()).await;
    let shutdown = Shutdown::new(Duration::from_secs(1));
    let kept = Arc::clone(&archive) as Arc<dyn Archive>;
    let options = service::options(sim.handle.options().clone(), kept);
    let (cluster, running) = Cluster::start(options, shutdown.child()).await.unwrap();
    let token = |name: &str, scopes: &[Scope]| Token {
        tenant: name.into(),
        sha256: Sha256::digest(format!("secret-{name}")).iter().map(|b| format!("{b:02x}")).collect(),
        scopes: scopes.to_vec(),
        expires: None,
    };
    let all = [Scope::Read, Scope::Submit];
    let mut reader = token("reader", &[Scope::Read]);
    reader.tenant = "red".into();
    let settings = config::Api {
        tokens: [
            ("red".to_owned(), token("red", &all)),
            ("blue".to_owned(), token("blue", &all)),
            ("reader".to_owned(), reader),
        ]
        .into(),
        max_body: 64 * 1024,
        timeout_ms: 2_000,
        ..config::Api::default()
    };
    let tenant = Tenant { tlp: Tlp::Clear, pap: Pap::Clear };
    let router = api::router(api::Options {
        cluster: cluster.clone(),
        settings,
        tenants: BTreeMap::from([("red".to_owned(), tenant)]),
        policy: config::PolicyDefaults::default(),
        http: forward::client().unwrap(),
        secret: api::secret_of("amqp://x"),
        forms: Arc::new(Numbered),
        shutdown: shutdown.child(),
    });
    let (at, serving) = service::serve(router, shutdown.child()).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Rig { sim, archive, cluster, at, http, shutdown, _running: running, _serving: serving }
}

/// Writes lines with numbers, and stops at one that it is not given whole.
struct Numbered;

impl Forms for Numbered {
    fn write(&self, wanted: Wanted, kept: Kept<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut all = Vec::new();
        for piece in kept.lines {
            all.extend_from_slice(&piece?);
        }
        writeln!(out, "{:?} of {}", wanted.format, kept.job.id)?;
        all.split_inclusive(|b| *b == b'\n').enumerate().try_for_each(|(n, line)| {
            write!(out, "{n} ")?;
            out.write_all(line)
        })
    }
}

impl Rig {
    pub async fn get(&self, path: &str, status: StatusCode) -> Value {
        json(self.call("red", Method::GET, path).send().await.unwrap(), status).await
    }

    pub fn call(&self, who: &str, method: Method, path: &str) -> RequestBuilder {
        let call = self.http.request(method, format!("http://{}{path}", self.at));
        if who.is_empty() { call } else { call.bearer_auth(format!("secret-{who}")) }
    }

    pub fn post(&self, who: &str, body: impl ToString) -> RequestBuilder {
        let call = self.call(who, Method::POST, "/v1/jobs").header("content-type", "application/json");
        call.body(body.to_string())
    }

    pub async fn submit(&self, who: &str) -> String {
        let job = json(self.post(who, request()).send().await.unwrap(), StatusCode::ACCEPTED).await;
        job["id"].as_str().unwrap().to_owned()
    }

    pub async fn ended(&self, who: &str, id: &str) -> Value {
        for _ in 0..2_000 {
            let job = self.call(who, Method::GET, &format!("/v1/jobs/{id}")).send().await.unwrap();
            let job = json(job, StatusCode::OK).await;
            if ["complete", "partial", "dead"].iter().any(|s| job["state"] == *s) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("job {id} does not end")
    }
}

pub fn seed() -> String {
    Case::within(1, 1).spec.seeds[0].to_string()
}

/// What the simulated workers of the tests can answer.
pub fn request() -> Value {
    request_in(&Case::within(1, 1))
}

pub fn request_in(case: &Case) -> Value {
    let seeds: Vec<String> = case.spec.seeds.iter().map(ToString::to_string).collect();
    let source = &case.catalogue[0].name;
    json!({
        "seeds": seeds, "allow_private": true, "tlp": "clear", "pap": "clear",
        "plan_text": format!("[[ask]]\nsource = {source:?}\n"),
    })
}

pub async fn json(response: reqwest::Response, status: StatusCode) -> Value {
    let (got, kind) = (response.status(), response.headers().get("content-type").cloned());
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    let kind = kind.unwrap();
    let want = if status.is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, want, "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    if !status.is_success() {
        for field in ["type", "title", "status", "detail"] {
            assert!(value.get(field).is_some(), "{field} is missing: {text}");
        }
    }
    value
}
