//! Results of jobs that have ended: the tree, candidates, coverage.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State as With};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use kudzu_shared::config::Scope;
use kudzu_shared::job::JobId;
use serde_json::Value;

use super::Api;
use super::auth::Caller;
use super::forms::{self, Form, Wanted};
use super::problem::Problem;
use super::views::Job;
use crate::cluster::record::Record;
use crate::cluster::shelf::{Ended, ResultRecord};

impl Api {
    /// The result of a job of the caller's.
    pub(super) async fn ended(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(JobId, Ended, ResultRecord), Problem> {
        self.ended_with(caller, id).await.map(|(id, _, end, result)| (id, end, result))
    }

    /// The same, with the job's record.
    async fn ended_with(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(JobId, Arc<Record>, Ended, ResultRecord), Problem> {
        let (id, record) = self.visible(caller, id).await?;
        let end = self.cluster.shelf().ended(id).await?;
        let end = end.ok_or_else(|| Problem::not_yet("it has not ended: see /v1/jobs/{id}/events"))?;
        let result = end.result.clone().ok_or_else(|| {
            let reason = end.reason.clone().unwrap_or_default();
            Problem::not_found(format!("the job is dead and has no result: {reason}"))
        })?;
        Ok((id, record, end, result))
    }
}

/// The tree, streamed.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/tree", tag = "results",
    params(
        ("id" = String, Path),
        ("format" = Option<Form>, Query, description = "ndjson, the canonical lines, where it is not said"),
        ("defang" = Option<bool>, Query, description = "Defang observables, in csv and text"),
        ("full" = Option<bool>, Query, description = "Show every node, in text"),
    ),
    responses(
        (status = 200, content(
            (String = "application/x-ndjson"), (String = "application/json"),
            (String = "text/csv"), (String = "text/plain"),
        )),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn tree(
    With(api): With<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let (id, record, end, result) = api.ended_with(&caller, &id).await?;
    let job = Job::new(&record, end.state.into(), Some(&end));
    forms::respond(&api, (id, end, result), job, wanted).await
}

/// Domains and addresses ranked as next attack sources, with reasons.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/candidates", tag = "results", params(("id" = String, Path)),
    responses(
        (status = 200, body = Object), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem),
    )
)]
pub(super) async fn candidates(
    With(api): With<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let (id, end, _) = api.ended(&caller, &id).await?;
    let candidates = api.cluster.shelf().candidates(id, end.epoch).await?;
    let candidates = candidates.ok_or_else(|| Problem::damaged("the candidates are missing"))?;
    let mut response = Response::new(Body::from(candidates));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What was asked of each source, and what came of it.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/coverage", tag = "results", params(("id" = String, Path)),
    responses(
        (status = 200, body = Object), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem),
    )
)]
pub(super) async fn coverage(
    With(api): With<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    caller.may(Scope::Read)?;
    let (_, _, result) = api.ended(&caller, &id).await?;
    Ok(Json(result.coverage))
}

/// A response of another coordinator, passed on.
pub(super) fn passed_on(upstream: reqwest::Response) -> Response {
    let mut response = upstream.status().into_response();
    for name in [header::CONTENT_TYPE, header::RETRY_AFTER] {
        if let Some(value) = upstream.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    *response.body_mut() = Body::from_stream(upstream.bytes_stream());
    response
}
