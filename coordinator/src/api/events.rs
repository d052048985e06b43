//! Events of a job as they happen, as a stream of server-sent events.
//!
//! An event's id is `epoch:number`. Whoever comes back with the last id it saw goes on from
//! there; where those events are gone, or somebody else has taken the job over, `reset` comes
//! first and everything told before is void.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State as With};
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream};
use kudzu_shared::config::Scope;
use kudzu_shared::job::JobId;
use tokio::sync::mpsc;

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use super::views::Job;
use crate::cluster::board::{Event, Running};
use crate::cluster::record::Record;

/// Events that wait for a slow listener before it is cut off.
const WAITING: usize = 64;
/// How soon a job that does not run here is looked at again, at first and later: another
/// coordinator may have taken it.
const LOOKS: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(500)];
/// How long a listener may take an event in.
const PATIENCE: Duration = Duration::from_secs(30);

type Events = mpsc::Sender<sse::Event>;

/// Follow a job: `progress` while it runs, `job` when it changes its state, and a last `job`
/// once it has ended.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = String, Path), ("Last-Event-ID" = Option<String>, Header, description = "Go on after this one")),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 401, body = Problem), (status = 404, body = Problem), (status = 503, body = Problem),
    )
)]
pub(super) async fn events(
    With(api): With<Api>,
    caller: Caller,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    let (id, record) = api.visible(&caller, &id).await?;
    let job = api.view(id, &record).await?;
    if let Some(response) = api.ask_its_owner(id, &job, "/events", &headers).await? {
        return Ok(response);
    }
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(parse_id);
    let (tx, rx) = mpsc::channel(WAITING);
    let follow = kudzu_shared::task::spawn("events", async move {
        // Who listened is gone, or too slow.
        let _ = follow(&api, id, &record, last, &tx).await;
    });
    let stream = listen(rx, follow);
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}

fn parse_id(text: &str) -> Option<(u32, u64)> {
    let (epoch, number) = text.split_once(':')?;
    Some((epoch.parse().ok()?, number.parse().ok()?))
}

/// The events; whatever makes them ends with the stream.
fn listen(
    rx: mpsc::Receiver<sse::Event>,
    follow: kudzu_shared::task::Task<()>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold((rx, follow), |(mut rx, follow)| async move {
        let event = rx.recv().await?;
        Some((Ok(event), (rx, follow)))
    })
}

#[derive(Debug, thiserror::Error)]
#[error("nobody listens any more")]
struct Gone;

async fn send(tx: &Events, event: sse::Event) -> Result<(), Gone> {
    let sent = tokio::time::timeout(PATIENCE, tx.send(event)).await;
    sent.map_err(|_| Gone)?.map_err(|_| Gone)
}

fn event(kind: &str, data: &impl serde::Serialize) -> sse::Event {
    // What is told has a JSON form.
    sse::Event::default().event(kind).json_data(data).unwrap_or_default()
}

async fn follow(
    api: &Api,
    id: JobId,
    record: &Record,
    last: Option<(u32, u64)>,
    tx: &Events,
) -> Result<(), Gone> {
    let (mut last, [mut pause, longest]) = (last, LOOKS);
    let mut told: Option<Job> = None;
    let mut shutdown = std::pin::pin!(api.shutdown.stopping());
    let mut posted = api.cluster.board().posted();
    loop {
        match api.view(id, record).await {
            Ok(job) => {
                let changed = told.as_ref().is_none_or(|t| (t.state, t.epoch) != (job.state, job.epoch));
                if changed || job.state.is_final() {
                    send(tx, event("job", &job)).await?;
                }
                // Who comes back is passed on to whoever runs it.
                if job.state.is_final() || is_elsewhere(api, id, &job).await {
                    return Ok(());
                }
                told = Some(job);
            }
            Err(problem) => {
                tracing::debug!(?problem, job = %id, "a job cannot be looked at for its followers");
            }
        }
        // Before it is looked for: one that begins meanwhile is not missed.
        posted.borrow_and_update();
        if let Some(running) = api.cluster.board().get(id) {
            last = Some(while_it_runs(&running, last, tx).await?);
            pause = LOOKS[0];
            continue;
        }
        let begins =
            async { while posted.changed().await.is_ok() && api.cluster.board().get(id).is_none() {} };
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            () = tx.closed() => return Err(Gone),
            () = begins => {}
            () = tokio::time::sleep(pause) => pause = longest.min(pause * 2),
        }
    }
}

/// Whether another coordinator runs it, and can be asked.
async fn is_elsewhere(api: &Api, id: JobId, job: &Job) -> bool {
    let Some(epoch) = job.epoch.filter(|_| api.cluster.board().get(id).is_none()) else { return false };
    let claim = api.cluster.shelf().claimed(id, epoch).await;
    let address = claim.ok().flatten().and_then(|claim| claim.address);
    address.is_some() && address != api.cluster.options().address
}

/// Tells what happens for as long as it runs here; gives the last id.
async fn while_it_runs(running: &Running, last: Option<(u32, u64)>, tx: &Events) -> Result<(u32, u64), Gone> {
    let mut newest = running.newest();
    let mut next = match last {
        Some((epoch, number)) if epoch == running.epoch => number.saturating_add(1),
        Some(_) => {
            send(tx, event("reset", &serde_json::json!({ "epoch": running.epoch }))).await?;
            0
        }
        None => 0,
    };
    loop {
        let noted = *newest.borrow_and_update();
        let Some(events) = running.since(next) else {
            send(tx, event("reset", &serde_json::json!({ "epoch": running.epoch }))).await?;
            // The last one says where it stands, or that it is over.
            next = noted.saturating_sub(1);
            continue;
        };
        for (number, what) in events {
            next = number + 1;
            match what {
                Event::Over => return Ok((running.epoch, number)),
                Event::Progress(progress) => {
                    let told = event("progress", &progress).id(format!("{}:{number}", running.epoch));
                    send(tx, told).await?;
                }
            }
        }
        tokio::select! {
            () = tx.closed() => return Err(Gone),
            changed = newest.changed() => if changed.is_err() {
                return Ok((running.epoch, next.saturating_sub(1)));
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_epoch_and_a_number() {
        assert_eq!(parse_id("3:17"), Some((3, 17)));
        for odd in ["", "3", "3:", ":3", "a:b", "3:-1", "99999999999:1"] {
            assert_eq!(parse_id(odd), None, "{odd}");
        }
    }
}
