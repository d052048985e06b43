//! What a scaler of workers asks for.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as With};
use kudzu_shared::source::Class;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;

/// How much waits for the workers of a class, in the whole cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scaling {
    /// The class.
    class: &'static str,
    /// Seconds that they need for it at the pace of late. Of a source with a rate limit only what
    /// more workers could do sooner counts. 0 where nothing waits and only there.
    seconds_waiting: f64,
    /// Lookups of running jobs that have not ended, whether they were sent to workers or not.
    waiting_lookups: u64,
    /// Coordinators that this counts.
    coordinators: usize,
    /// Coordinators that say nothing any more: what waits with them is not counted.
    unheard: usize,
}

/// Of what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    class: Option<String>,
}

/// What the workers of a class are scaled by.
#[utoipa::path(
    get, path = "/scaling", tag = "system",
    params(("class" = String, Query, description = "Class of sources: `dns`, `http` or `local`")),
    responses(
        (status = 200, body = Scaling), (status = 400, body = Problem),
        (status = 404, body = Problem, description = "There is no such class; it says which there are"),
    )
)]
pub(super) async fn scaling(
    With(api): With<Api>,
    asked: Result<Query<Of>, QueryRejection>,
) -> Result<Json<Scaling>, Problem> {
    let classes = Class::ALL.map(Class::as_str).join(", ");
    let Query(Of { class }) = asked.map_err(|error| Problem::malformed(error.body_text()))?;
    let class = class.ok_or_else(|| Problem::malformed(format!("class= is missing: one of {classes}")))?;
    let known = Class::ALL.into_iter().find(|c| c.as_str() == class);
    let none = || Problem::not_found(format!("there is no such class of sources: there are {classes}"));
    let class = known.ok_or_else(none)?;
    let signal = api.cluster.waits_for(class);
    Ok(Json(Scaling {
        class: class.as_str(),
        seconds_waiting: signal.seconds_waiting,
        waiting_lookups: signal.waiting_lookups,
        coordinators: signal.coordinators,
        unheard: signal.unheard,
    }))
}
