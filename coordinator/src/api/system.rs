//! Health, the description of the API, and the sources there are.

use axum::Json;
use axum::extract::{Path, State as With};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use kudzu_shared::broker::Health;
use kudzu_shared::config::Scope;
use kudzu_shared::job::JobId;
use kudzu_shared::metrics::{CONTENT_TYPE, OfClass, metrics};
use kudzu_shared::source::{Class, SourceInfo};
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, Response as Described, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use super::Api;
use super::auth::Caller;
use super::forward::SECRET;
use super::problem::Problem;

/// The API as OpenAPI 3.1, from the code.
#[derive(Debug, OpenApi)]
#[openapi(
    info(title = "kudzu", description = "Pivot and enrichment jobs over public sources"),
    paths(
        super::jobs::submit,
        super::jobs::list,
        super::jobs::show,
        super::jobs::cancel,
        super::jobs::replay,
        super::events::events,
        super::results::tree,
        super::branch::children,
        super::branch::explain,
        super::results::candidates,
        super::results::coverage,
        sources,
        healthz,
        readyz,
        measured,
        super::scaling::scaling,
        openapi,
    ),
    modifiers(&Everywhere)
)]
pub struct Description;

/// What holds for every route below `/v1`: it wants a token, and may fail in ways of its own.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let other: Described = ResponseBuilder::new()
            .description("Whatever else goes wrong: 403, 500 and 504 among it")
            .content("application/problem+json", problem)
            .build();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", bearer);
        // The description itself is for everybody.
        let wants = |path: &str| path.starts_with("/v1/") && path != "/v1/openapi.json";
        let paths = openapi.paths.paths.iter_mut().filter(|(path, _)| wants(path));
        for operation in paths.flat_map(|(_, item)| [&mut item.get, &mut item.post]).flatten() {
            operation.responses.responses.insert("default".into(), other.clone().into());
            operation.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
        }
    }
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "alive\n"
}

/// Whether it can do its work, and why not.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    pub(super) ready: bool,
    /// The connection to the broker: up, blocked or down, and why.
    pub(super) broker: String,
    /// Jobs that run here.
    pub(super) jobs: usize,
    /// Jobs without an end in the whole cluster, as the sweep saw them.
    pub(super) open: usize,
}

/// Whether it can do its work.
#[utoipa::path(
    get, path = "/readyz", tag = "system",
    responses((status = 200, body = Ready), (status = 503, body = Ready))
)]
pub(super) async fn readyz(With(api): With<Api>) -> Response {
    let health = api.cluster.health();
    let ready = health == Health::Up && !api.shutdown.is_stopping();
    let (jobs, open) = (api.cluster.board().len(), api.cluster.open_jobs());
    let body = Ready { ready, broker: health.to_string(), jobs, open };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

/// What is measured, for Prometheus (OpenMetrics text).
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, body = String)))]
pub(super) async fn measured(With(api): With<Api>) -> Response {
    let metrics = metrics();
    let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    metrics.jobs_running.set(whole(api.cluster.board().len()));
    metrics.jobs_open.set(whole(api.cluster.open_jobs()));
    metrics.outstanding.set(api.cluster.board().outstanding());
    metrics.window.set(i64::from(api.cluster.options().run.config.window));
    for class in Class::ALL {
        let of = OfClass { class: class.as_str() };
        let here = i64::try_from(api.cluster.waiting_here(class)).unwrap_or(i64::MAX);
        metrics.lookups_waiting.get_or_create(&of).set(here);
        metrics.seconds_waiting.get_or_create(&of).set(api.cluster.waits_for(class).seconds_waiting);
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.text()).into_response()
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "system", responses((status = 200, body = Object)))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

/// The sources: what they take and return, whom they reach, and whether they work.
#[utoipa::path(
    get, path = "/v1/sources", tag = "system",
    responses((status = 200, body = Object), (status = 401, body = Problem))
)]
pub(super) async fn sources(With(api): With<Api>, caller: Caller) -> Result<Json<Vec<SourceInfo>>, Problem> {
    caller.may(Scope::Read)?;
    let mut catalogue = api.cluster.options().run.catalogue.clone();
    // Where it stands in a private network is nobody's business.
    catalogue.iter_mut().for_each(|s| s.endpoint = None);
    Ok(Json(catalogue))
}

/// For other coordinators: whether a job runs here.
pub(super) async fn runs(
    With(api): With<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let given = headers.get(SECRET).map(|v| v.as_bytes()).unwrap_or_default();
    let none = || Problem::not_found("there is nothing here");
    if !bool::from(given.ct_eq(api.secret.as_bytes())) {
        return Err(none());
    }
    let id: JobId = id.parse().map_err(|_| none())?;
    if api.cluster.board().get(id).is_some() { Ok(StatusCode::NO_CONTENT) } else { Err(none()) }
}
