//! A job's trace from its submit to its tasks, in the log and at a collector; and what a
//! coordinator measures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::case::Case;
use common::service;
use kudzu_coordinator::StartOptions;
use kudzu_coordinator::api::forms::{Forms, Kept, Wanted};
use kudzu_coordinator::api::{self, forward};
use kudzu_coordinator::cluster::{Cluster, Running};
use kudzu_coordinator::run::task_queue;
use kudzu_servers::{Collector, Page};
use kudzu_shared::archive::Store;
use kudzu_shared::broker::{self, Broker as _, Consumer, Delivery, Durability};
use kudzu_shared::config::{self, Telemetry};
use kudzu_shared::job::JobId;
use kudzu_shared::observable::Kind;
use kudzu_shared::task::{Shutdown, Task};
use kudzu_shared::telemetry::{self, otlp};
use kudzu_shared::time::SystemClock;
use kudzu_shared::trace::Traceparent;
use kudzu_shared::{cache, wire};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A coordinator with its API; the workers are the test.
struct Rig {
    at: SocketAddr,
    http: reqwest::Client,
    broker: broker::Memory,
    cluster: Cluster,
    running: Running,
    shutdown: Shutdown,
    tasks: Box<dyn Consumer>,
    /// What is not settled: the jobs wait for it.
    held: Vec<Delivery>,
    _serving: Task<io::Result<()>>,
}

struct NoForms;

impl Forms for NoForms {
    fn write(&self, _: Wanted, _: Kept<'_>, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

async fn rig() -> Rig {
    drop(rustls::crypto::ring::default_provider().install_default());
    let case = Case::within(1, 1);
    let shutdown = Shutdown::new(Duration::from_secs(1));
    let broker = broker::Memory::new(64);
    let queue = task_queue(case.catalogue[0].class);
    broker.declare(queue, Durability::Durable).await.unwrap();
    let tasks = broker.consume(queue, 1_000).await.unwrap();
    let run = StartOptions {
        config: config::Coordinator::default(),
        broker: Arc::new(broker.clone()),
        cache: Arc::new(cache::Memory::new(1 << 20)),
        catalogue: case.catalogue.clone(),
        packs: Arc::clone(&case.packs),
        clock: Arc::new(SystemClock),
    };
    let options = service::options(run, Arc::new(Store::memory()));
    let (cluster, running) = Cluster::start(options, shutdown.child()).await.unwrap();
    let router = api::router(api::Options {
        cluster: cluster.clone(),
        settings: config::Api { auth: config::Auth::Off, ..config::Api::default() },
        tenants: BTreeMap::new(),
        policy: config::PolicyDefaults::default(),
        http: forward::client().unwrap(),
        secret: api::secret_of("amqp://x"),
        forms: Arc::new(NoForms),
        shutdown: shutdown.child(),
    });
    let (at, serving) = service::serve(router, shutdown.child()).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let held = Vec::new();
    Rig { at, http, broker, cluster, running, shutdown, tasks, held, _serving: serving }
}

impl Rig {
    async fn submit(&self, traceparent: Option<&str>) -> JobId {
        let case = Case::within(1, 1);
        let takes = &case.catalogue[0].takes;
        assert!(takes.contains(&Kind::DomainName), "{takes:?}");
        // Equal lookups of two jobs would be one task.
        let seeds = [format!("n{}.alpha.com", self.held.len())];
        let source = &case.catalogue[0].name;
        let request = json!({
            "seeds": seeds, "allow_private": true, "tlp": "clear", "pap": "clear",
            "plan_text": format!("[[ask]]\nsource = {source:?}\n"),
        });
        let call = self.http.post(format!("http://{}/v1/jobs", self.at));
        let mut call = call.header("content-type", "application/json").body(request.to_string());
        if let Some(traceparent) = traceparent {
            call = call.header("traceparent", traceparent);
        }
        let answer = call.send().await.unwrap().text().await.unwrap();
        let job: Value = serde_json::from_str(&answer).unwrap();
        job["id"].as_str().unwrap_or_else(|| panic!("{job}")).parse().unwrap()
    }

    /// The trace that a job's first task has.
    async fn traced(&mut self, job: JobId) -> Traceparent {
        loop {
            let delivery = tokio::time::timeout(PATIENCE, self.tasks.next()).await.unwrap().unwrap();
            let task = wire::Task::decode(&delivery.body).unwrap();
            self.held.push(delivery);
            if task.job == job {
                return Traceparent::parse(&task.trace.unwrap()).unwrap();
            }
        }
    }

    async fn recorded(&self, job: JobId) -> String {
        self.cluster.shelf().record(job).await.unwrap().unwrap().trace.clone().unwrap()
    }

    async fn measured(&self) -> String {
        let answer = self.http.get(format!("http://{}/metrics", self.at)).send().await.unwrap();
        answer.text().await.unwrap()
    }
}

/// What lines of a trace say, sorted: a job may be taken before its submit is through.
fn says(page: &Page, trace: u128) -> Vec<String> {
    let text = page.text().unwrap();
    let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let id = format!("{trace:032x}");
    let mine = lines.filter(|l| l["trace_id"] == id);
    let mut says: Vec<String> = mine.map(|l| l["message"].as_str().unwrap().to_owned()).collect();
    says.sort();
    says
}

/// One test: logs and metrics are those of the process, and so is the collector.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_follows_a_job_and_it_is_measured() {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = telemetry::subscriber("info", true, false, move || writer.clone()).unwrap();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut rig = rig().await;

    // Without a collector a trace goes on as it came.
    let given = Traceparent::random();
    let first = rig.submit(Some(&given.to_string())).await;
    assert_eq!(rig.traced(first).await, given);
    assert_eq!(rig.recorded(first).await, given.to_string());
    assert_eq!(says(&page, given.trace), ["accepted", "taken"]);
    // Who brings none, or nonsense, gets one.
    for odd in [None, Some("00-x")] {
        let job = rig.submit(odd).await;
        let begun = rig.traced(job).await;
        assert!(begun.is_sampled() && begun.trace != given.trace);
        assert_eq!(rig.recorded(job).await, begun.to_string());
        assert_eq!(says(&page, begun.trace), ["accepted", "taken"]);
    }

    let measured = rig.measured().await;
    for line in ["kudzu_jobs_running 3", "kudzu_queue_wait_seconds_count 3", "kudzu_window_questions 16384"] {
        assert!(measured.contains(line), "{line} is missing:\n{measured}");
    }
    ended(&rig, first).await;
    assert!(rig.measured().await.contains("kudzu_job_duration_seconds_count{state=\"partial\"} 1"));
    assert!(says(&page, given.trace).contains(&"ended".to_owned()));

    // What cannot be read is counted.
    let damaged = "kudzu_damaged_total{kind=\"job\"} 1";
    rig.broker.publish(wire::Due::QUEUE, "nonsense".into()).await.unwrap();
    until(async || rig.measured().await.contains(damaged)).await;

    exported(rig).await;
}

/// With a collector, submit, job and tasks hang below one another.
async fn exported(mut rig: Rig) {
    let collector = Collector::start().unwrap();
    let settings = Telemetry { otlp: Some(collector.url()) };
    otlp::start(&settings, "kudzu-coordinator", "a").unwrap();
    let given = Traceparent::random();
    let job = rig.submit(Some(&given.to_string())).await;
    let of_tasks = rig.traced(job).await;
    let recorded = Traceparent::parse(&rig.recorded(job).await).unwrap();
    assert!([of_tasks, recorded].iter().all(|t| t.trace == given.trace && t.is_sampled()));
    // A job that is left has ended here.
    rig.shutdown.begin();
    rig.running.ended().await;
    tokio::task::block_in_place(otlp::stop);
    let trace = format!("{:032x}", given.trace);
    let hex = |span: u64| format!("{span:016x}");
    // Whoever is told to end may have taken the job once more.
    let want = [("submit", recorded.span, given.span), ("job", of_tasks.span, recorded.span)];
    let chain = collector.wait(PATIENCE, |all| {
        let is_there = |(name, span, parent): &(&str, u64, u64)| {
            let of = (trace.as_str(), *name, hex(*span), hex(*parent));
            all.iter().any(|s| (s.trace.as_str(), s.name.as_str(), s.span.clone(), s.parent.clone()) == of)
        };
        want.iter().all(is_there).then_some(())
    });
    assert!(chain.is_some(), "{want:?}");
}

/// Cancels a job and waits for its end.
async fn ended(rig: &Rig, job: JobId) {
    let url = format!("http://{}/v1/jobs/{job}", rig.at);
    rig.http.post(format!("{url}/cancel")).send().await.unwrap();
    until(async || rig.cluster.shelf().ended(job).await.unwrap().is_some()).await;
    until(async || rig.cluster.board().get(job).is_none()).await;
}

async fn until(is_so: impl AsyncFn() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come about");
}
