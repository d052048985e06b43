//! Jobs: submit, list, show, cancel, replay.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as With};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use kudzu_shared::broker::Health;
use kudzu_shared::config::Scope;
use kudzu_shared::job::{Budgets, JobId, JobSpec};
use kudzu_shared::time::rfc3339;
use kudzu_shared::trace::{Span, Traceparent};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use super::request::{Context, Request};
use super::views::{Job, Jobs, State};
use crate::cluster::record::{About, Record, keyed_id};
use crate::cluster::{Accepted, SubmitError};
use crate::hex;
use crate::plan::Plan;

/// Jobs on one page, where it is not said, and at most.
const PAGE: (usize, usize) = (50, 500);
/// What is said of a job in a list that cannot be read.
const DAMAGED: &str = "what is kept of it is damaged: the log of the coordinator names the object";

impl Api {
    /// A job of the caller's tenant.
    ///
    /// # Errors
    /// When there is none: another tenant's is none.
    pub(super) async fn visible(&self, caller: &Caller, id: &str) -> Result<(JobId, Arc<Record>), Problem> {
        let none = || Problem::not_found("there is no job of this id");
        let id: JobId = id.parse().map_err(|_| none())?;
        let record = self.cluster.shelf().record(id).await?.ok_or_else(none)?;
        if record.tenant == caller.tenant { Ok((id, record)) } else { Err(none()) }
    }

    /// A job as it is now, as far as this coordinator knows.
    pub(super) async fn view(&self, id: JobId, record: &Record) -> Result<Job, Problem> {
        let shelf = self.cluster.shelf();
        if let Some(end) = shelf.ended(id).await? {
            let state = end.state.into();
            let wait = self.queue_wait(id, record).await?;
            let job = Job { queue_wait_ms: wait, ..Job::new(record, state, Some(&end)) };
            return Ok(if self.tokens.are_asked() { job.of_many_tenants() } else { job });
        }
        let epoch = shelf.last_epoch(id).await?;
        let state = match shelf.is_cancelled(id).await? {
            true => State::Cancelling,
            false if epoch == 0 => State::Queued,
            false => State::Running,
        };
        let running = self.cluster.board().get(id);
        let progress = running.map(|r| r.progress.borrow().clone());
        let progress = progress.and_then(|p| serde_json::to_value(p).ok());
        let queue_wait_ms = self.queue_wait(id, record).await?;
        let epoch = Some(epoch).filter(|e| *e > 0);
        Ok(Job { progress, queue_wait_ms, epoch, ..Job::new(record, state, None) })
    }

    async fn queue_wait(&self, id: JobId, record: &Record) -> Result<Option<i64>, Problem> {
        let first = self.cluster.shelf().claimed(id, 1).await?;
        let until = first.map_or_else(|| self.now_ms(), |claim| claim.claimed_ms);
        Ok(Some((until - record.submitted_ms).max(0)))
    }

    /// Says no while the broker takes no messages: what it accepted would wait for the sweep.
    fn admit(&self) -> Result<(), Problem> {
        match self.cluster.health() {
            Health::Up => Ok(()),
            Health::Blocked(_) => {
                Err(Problem::unavailable("broker-blocked", "the broker is short of memory or disk", 10))
            }
            Health::Down(_) => Err(Problem::broker_down()),
        }
    }

    async fn accept(
        &self,
        caller: &Caller,
        request: &Request,
        id: JobId,
        about: About,
    ) -> Result<Accepted, Problem> {
        let context = Context {
            tenant: &caller.tenant,
            defaults: self.tenants.get(&caller.tenant),
            policy: &self.policy,
            catalogue: &self.cluster.options().run.catalogue,
            now: self.now_ms().div_euclid(1000),
        };
        let (spec, plan, budgets) = request.job(id, &context).map_err(Problem::invalid)?;
        self.traced(spec, plan, budgets, about).await
    }

    /// Submits a job with a trace: its submitter's, or one that begins here.
    async fn traced(
        &self,
        spec: JobSpec,
        plan: Plan,
        budgets: Budgets,
        about: About,
    ) -> Result<Accepted, Problem> {
        let span = Span::submit(about.trace.as_deref(), spec.id);
        let about = About { trace: span.traceparent(), ..about };
        span.run(self.cluster.submit(&spec, &plan, &budgets, about)).await.map_err(refused)
    }
}

fn refused(error: SubmitError) -> Problem {
    match error {
        SubmitError::Conflict(id) => Problem::conflict(format!(
            "job {id} was submitted under this Idempotency-Key with another body; use another key"
        )),
        SubmitError::Full(_) => Problem::unavailable("full", error.to_string(), 30),
        SubmitError::Archive(_, error) => error.into(),
        SubmitError::Plan(_) | SubmitError::NoSeeds => Problem::malformed(error.to_string()),
        SubmitError::Record(..) => Problem::damaged("the log of the coordinator says what"),
    }
}

/// Submit a job. Once it is answered, the job survives the death of any one process.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs", request_body = Request,
    params(("Idempotency-Key" = Option<String>, Header, description = "Any text of 1 to 255 octets: the same key and body are the same job")),
    responses(
        (status = 202, body = Job, description = "Accepted", headers(("Location" = String))),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 422, body = Problem, description = "It makes no sense, or the key was used for another body"),
        (status = 503, body = Problem, description = "Not now; see Retry-After"),
    )
)]
pub(super) async fn submit(
    With(api): With<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    caller.may(Scope::Submit)?;
    api.admit()?;
    let is_json = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|v| {
        v.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !is_json {
        return Err(Problem::media_type());
    }
    // A list, too, would be read as the fields of a request.
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::malformed("the body: send a JSON object"));
    }
    let request = Request::read(&body)?;
    let mut keys = headers.get_all("idempotency-key").iter();
    let key = match (keys.next(), keys.next()) {
        (None, _) => None,
        (Some(_), Some(_)) => return Err(Problem::malformed("Idempotency-Key: send it once")),
        (Some(key), None) => {
            let key = key.to_str().ok().filter(|k| (1..=255).contains(&k.len()));
            Some(key.ok_or_else(|| Problem::malformed("Idempotency-Key: write 1 to 255 visible characters"))?)
        }
    };
    let id = key.map_or_else(|| JobId(uuid::Uuid::now_v7().as_u128()), |key| keyed_id(&caller.tenant, key));
    let about = About {
        label: request.label.clone(),
        by: caller.token.clone(),
        submitted_ms: api.now_ms(),
        request: digest(&body),
        trace: traceparent(&headers),
        ..About::default()
    };
    let accepted = api.accept(&caller, &request, id, about).await?;
    accepted_response(&api, accepted).await
}

async fn accepted_response(api: &Api, Accepted { record, repeated }: Accepted) -> Result<Response, Problem> {
    let id: JobId = record.id().ok_or_else(|| Problem::damaged("the record has no id"))?;
    let job = if repeated { api.view(id, &record).await? } else { Job::new(&record, State::Queued, None) };
    let mut response = (StatusCode::ACCEPTED, Json(job)).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/jobs/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// SHA-256 in hex.
fn digest(body: &[u8]) -> String {
    hex::encode(&Sha256::digest(body))
}

/// The caller's trace, if it has one (W3C Trace Context), as version 00.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    Traceparent::parse(text).map(|parent| parent.to_string())
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Page {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// List the tenant's jobs, the newest first.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs",
    params(
        ("limit" = Option<usize>, Query, description = "Jobs on the page, 1 to 500; 50 where it is not said"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = Jobs), (status = 400, body = Problem), (status = 401, body = Problem))
)]
pub(super) async fn list(
    With(api): With<Api>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Jobs>, Problem> {
    caller.may(Scope::Read)?;
    let limit = page.limit.unwrap_or(PAGE.0);
    if !(1..=PAGE.1).contains(&limit) {
        return Err(Problem::malformed(format!("limit: write 1 to {}", PAGE.1)));
    }
    let after = page.cursor.map(|c| api.cursors.read(&caller.tenant, "jobs", &c)).transpose()?;
    let all = api.cluster.shelf().jobs_of(&caller.tenant).await?;
    let key = |(ms, id): &(i64, JobId)| format!("{ms:013}-{id}");
    let start = after.map_or(0, |after| all.partition_point(|job| key(job) >= after));
    let mut jobs = Vec::new();
    let mut last = None;
    for job in all.iter().skip(start).take(limit) {
        last = Some(key(job));
        match api.cluster.shelf().record(job.1).await {
            Ok(Some(record)) if record.tenant == caller.tenant => match api.view(job.1, &record).await {
                Ok(mut view) => {
                    view.progress = view.progress.filter(|_| !view.state.is_final());
                    jobs.push(view);
                }
                // One that is damaged does not cost the others.
                Err(problem) if problem.is_damage() => {
                    let reason = Some(DAMAGED.to_owned());
                    jobs.push(Job { reason, ..Job::new(&record, State::Dead, None) });
                }
                Err(problem) => return Err(problem),
            },
            Ok(_) => {}
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "a record of a list is damaged");
                let submitted_at = rfc3339(job.0.div_euclid(1000));
                let reason = Some(DAMAGED.to_owned());
                jobs.push(Job { id: job.1.to_string(), submitted_at, reason, ..Job::unknown() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let more = start + limit < all.len();
    let next = last.filter(|_| more).map(|last| api.cursors.make(&caller.tenant, "jobs", &last));
    Ok(Json(Jobs { jobs, total: all.len(), next }))
}

/// Show a job: where it is, and how far.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses(
        (status = 200, body = Job), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem, description = "Its owner cannot be reached now; somebody will take it over"),
    )
)]
pub(super) async fn show(
    With(api): With<Api>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let (id, record) = api.visible(&caller, &id).await?;
    let job = api.view(id, &record).await?;
    if let Some(response) = api.ask_its_owner(id, &job, "", &headers).await? {
        return Ok(response);
    }
    Ok(Json(job).into_response())
}

/// Ask a job to end with what there is.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)),
    responses((status = 202, body = Job), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn cancel(
    With(api): With<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Submit)?;
    let (id, record) = api.visible(&caller, &id).await?;
    if api.cluster.shelf().ended(id).await?.is_none() {
        api.cluster.cancel(id).await?;
    }
    let job = api.view(id, &record).await?;
    Ok((StatusCode::ACCEPTED, Json(job)).into_response())
}

/// Ask again what failed or died in a job that has ended: a new job that knows the rest.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/replay", tag = "jobs", params(("id" = String, Path)),
    responses(
        (status = 202, body = Job, headers(("Location" = String))),
        (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "It has not ended"), (status = 503, body = Problem),
    )
)]
pub(super) async fn replay(
    With(api): With<Api>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Submit)?;
    api.admit()?;
    let (old, record) = api.visible(&caller, &id).await?;
    if api.cluster.shelf().ended(old).await?.is_none() {
        return Err(Problem::not_yet("a job can be replayed once it has ended"));
    }
    let (mut spec, plan, budgets) =
        record.job().map_err(|e| Problem::from(crate::cluster::shelf::ShelfError::from(e)))?;
    spec.id = JobId(uuid::Uuid::now_v7().as_u128());
    let about = About {
        label: record.label.clone(),
        by: caller.token.clone(),
        submitted_ms: api.now_ms(),
        replay_of: Some(old),
        request: record.request.clone(),
        trace: traceparent(&headers),
    };
    let accepted = api.traced(spec, plan, budgets, about).await?;
    accepted_response(&api, accepted).await
}
