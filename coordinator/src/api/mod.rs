//! The job API: axum, described by OpenAPI 3.1, with problem documents (RFC 9457).
//!
//! The tenant comes from the credential alone, and everything that is read of a job goes
//! through `Api::visible`: what belongs to somebody else is not there.

mod auth;
mod branch;
mod cursor;
mod events;
pub mod forms;
pub mod forward;
mod jobs;
pub mod problem;
pub mod request;
mod results;
mod scaling;
mod serve;
mod system;
mod trees;
pub mod views;
mod waiting;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State as With};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use kudzu_shared::config;
use kudzu_shared::task::Shutdown;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::cluster::Cluster;
use crate::hex;
use auth::{Caller, Tokens};
use cursor::Cursors;
use forms::Forms;
use problem::Problem;
use trees::Trees;

pub use serve::serve;
pub use system::Description;
pub use waiting::waiting;

/// Results that are written in other forms than the canonical one at a time.
const WRITING: usize = 4;
/// Looks into trees at a time.
const LOOKING: usize = 2;

/// What the API stands on.
pub struct Options {
    /// The jobs.
    pub cluster: Cluster,
    /// Who may ask, and what of it.
    pub settings: config::Api,
    /// What tenants' jobs may do where they do not say.
    pub tenants: BTreeMap<String, config::Tenant>,
    /// Everybody's own assets and exclusions; the markings are those of the tenant `local`.
    pub policy: config::PolicyDefaults,
    /// Asks other coordinators.
    pub http: reqwest::Client,
    /// What a cluster's coordinators know each other by; see [`secret_of`].
    pub secret: String,
    /// Writes results in other forms than the canonical one.
    pub forms: Arc<dyn Forms>,
    /// Ends what follows jobs.
    pub shutdown: Shutdown,
}

/// What all requests share.
pub struct Shared {
    cluster: Cluster,
    tokens: Tokens,
    cursors: Cursors,
    tenants: BTreeMap<String, config::Tenant>,
    policy: config::PolicyDefaults,
    http: reqwest::Client,
    secret: String,
    max_body: u64,
    timeout: Duration,
    trees: Trees,
    forms: Arc<dyn Forms>,
    /// Results that may be written in other forms at a time: each has its tree in memory.
    writing: Arc<Semaphore>,
    /// Looks into kept trees at a time.
    looking: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// The API. Clones share it.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What the coordinators of one cluster know each other by: all of them, and nobody else, know
/// the broker's URL with its password.
pub fn secret_of(broker_url: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"kudzu cluster\0");
    hash.update(broker_url.as_bytes());
    hex::encode(&hash.finalize())
}

/// The routes.
pub fn router(options: Options) -> Router {
    let Options { cluster, settings, mut tenants, policy, http, secret, forms, shutdown } = options;
    if settings.auth == config::Auth::Off {
        let local = config::Tenant { tlp: policy.tlp, pap: policy.pap };
        tenants.entry(auth::LOCAL.into()).or_insert(local);
    }
    let key = Sha256::digest(format!("cursors\0{secret}")).into();
    let limit = usize::try_from(settings.max_body).unwrap_or(usize::MAX);
    let api = Api(Arc::new(Shared {
        cluster,
        tokens: Tokens::new(settings.auth, &settings.tokens),
        cursors: Cursors::new(key),
        tenants,
        policy,
        http,
        secret,
        max_body: settings.max_body,
        timeout: settings.timeout(),
        trees: Trees::new(),
        forms,
        writing: Arc::new(Semaphore::new(WRITING)),
        looking: Arc::new(Semaphore::new(LOOKING)),
        shutdown,
    }));
    // A stream takes as long as it takes; it is bounded by who listens.
    let streams = Router::new()
        .route("/v1/jobs/{id}/events", get(events::events))
        .route("/v1/jobs/{id}/tree", get(results::tree));
    Router::new()
        .route("/v1/jobs", post(jobs::submit).get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/replay", post(jobs::replay))
        .route("/v1/jobs/{id}/tree/children", get(branch::children))
        .route("/v1/jobs/{id}/explain", get(branch::explain))
        .route("/v1/jobs/{id}/candidates", get(results::candidates))
        .route("/v1/jobs/{id}/coverage", get(results::coverage))
        .route("/v1/sources", get(system::sources))
        .route("/v1/openapi.json", get(system::openapi))
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::measured))
        .route("/scaling", get(scaling::scaling))
        .route("/cluster/jobs/{id}", get(system::runs))
        .route_layer(middleware::from_fn_with_state(api.clone(), in_time))
        .merge(streams)
        .method_not_allowed_fallback(|| async { Problem::method() })
        .fallback(|| async { Problem::not_found("there is no such route: see /v1/openapi.json") })
        .layer(DefaultBodyLimit::max(limit))
        .layer(middleware::from_fn_with_state(api.clone(), plain))
        .with_state(api)
}

/// Bounds the time of a request.
async fn in_time(With(api): With<Api>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    }
}

/// What axum itself refuses becomes a problem document, and nobody guesses at types.
async fn plain(With(api): With<Api>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = response.status();
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == "application/problem+json");
    let has_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == "application/json");
    if status.is_client_error() && !is_problem && !has_json {
        let body = std::mem::replace(response.body_mut(), Body::empty());
        let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
        let text = kudzu_shared::escape::shorten(&String::from_utf8_lossy(&text), 500).into_owned();
        response = match status {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(api.max_body),
            _ => Problem::malformed(text),
        }
        .into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        api.tokens.caller(&parts.headers, api.now_ms().div_euclid(1000))
    }
}

impl Shared {
    fn now_ms(&self) -> i64 {
        self.cluster.options().run.clock.now_ms()
    }
}
