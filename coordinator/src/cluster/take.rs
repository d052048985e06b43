//! Taking a job that is due: what its message says, the claim, and the end of a job that cannot
//! be run.

use std::sync::Arc;
use std::time::Duration;

use kudzu_shared::archive::Put;
use kudzu_shared::broker::{self, Delivery};
use kudzu_shared::job::{Budgets, JobId, JobSpec};
use kudzu_shared::metrics::{JobEnd, Message, metrics};
use kudzu_shared::trace::Span;
use kudzu_shared::wire::Due;
use tokio::sync::mpsc;

use super::Shared;
use super::owner::Owner;
use super::record::Record;
use super::shelf::{Claim, EndState, Ended, ShelfError};
use crate::plan::Plan;
use crate::run::Handle;

/// A job is dead after so many take-overs without progress, each counted in full...
const STALLED: u32 = 10;
/// ... or by one so many-th where it was seen that the job does no harm: then it was killed, or
/// left, from outside.
const EXCUSED: u32 = 10;
/// The longest pause before a job is taken that makes no progress, as a power of two seconds:
/// the sweep waits for longer before it publishes a job again.
const LONGEST: u32 = 4;
/// Pause before a job goes back that cannot be looked at now.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// A job that was claimed.
pub(super) struct Ready {
    pub(super) id: JobId,
    pub(super) epoch: u32,
    /// Take-overs before it without progress.
    pub(super) stalled: u32,
    pub(super) record: Arc<Record>,
    pub(super) spec: JobSpec,
    pub(super) plan: Plan,
    pub(super) budgets: Budgets,
    /// What its tasks are parts of.
    pub(super) trace: Option<String>,
}

/// Takes a job that is due.
pub(super) async fn take(shared: Arc<Shared>, handle: Handle, delivery: Delivery) {
    let due = match Due::decode(&delivery.body) {
        Ok(due) => due,
        Err(error) => {
            let broker = &*shared.options.run.broker;
            return broker::park(broker, "job", Due::QUEUE, delivery, &error).await;
        }
    };
    if delivery.redelivered {
        metrics().redelivered.get_or_create(&Message { kind: "job" }).inc();
    }
    let mut delivery = delivery;
    if let Some(running) = shared.board.get(due.job) {
        match running.prolong.try_send(delivery) {
            Ok(()) => return,
            // One of two that say the same.
            Err(mpsc::error::TrySendError::Full(again)) => return again.settle.ack(),
            Err(mpsc::error::TrySendError::Closed(back)) => delivery = back,
        }
    }
    match claim(&shared, &due, &delivery).await {
        Ok(Claimed::Moot) => delivery.settle.ack(),
        Ok(Claimed::Stopping) => delivery.settle.requeue(),
        Ok(Claimed::Yes(mut ready)) => {
            let span = Span::job(ready.record.trace.as_deref(), ready.id, ready.epoch);
            ready.trace = span.traceparent();
            span.inside(|| tracing::info!(job = %ready.id, epoch = ready.epoch, "taken"));
            span.run(Owner::run(shared, handle, *ready, delivery)).await;
        }
        // Another version may read it. The sweep brings it back, less and less often.
        Err(error) if error.is_foreign() => {
            tracing::error!(%error, job = %due.job, "a job is left to coordinators of another version");
            delivery.settle.ack();
        }
        Err(error) if error.is_damage() => {
            tracing::error!(%error, job = %due.job, "a job cannot be run");
            let now = shared.options.run.clock.now_ms();
            match bury(&shared, due.job, 0, &error.to_string(), now).await {
                Ok(()) => delivery.settle.ack(),
                Err(error) => give_back(&shared, delivery, &error).await,
            }
        }
        Err(error) => give_back(&shared, delivery, &error).await,
    }
}

/// Gives a job back that cannot be looked at now.
pub(super) async fn give_back(shared: &Shared, delivery: Delivery, error: &ShelfError) {
    tracing::warn!(%error, "a job is given back: the archive does not answer");
    tokio::select! {
        () = shared.shutdown.stopping() => {}
        () = tokio::time::sleep(AGAIN) => {}
    }
    delivery.settle.requeue();
}

/// Ends a job that cannot be run.
async fn bury(
    shared: &Shared,
    id: JobId,
    epoch: u32,
    reason: &str,
    submitted_ms: i64,
) -> Result<(), ShelfError> {
    let ended_ms = shared.options.run.clock.now_ms();
    let end = Ended { epoch, state: EndState::Dead, reason: Some(reason.into()), ended_ms, result: None };
    shared.shelf.end(id, &end).await?;
    count_end(EndState::Dead, ended_ms - submitted_ms);
    shared.shelf.close(id).await
}

/// What a message led to.
enum Claimed {
    Yes(Box<Ready>),
    /// It has nothing to say any more.
    Moot,
    /// This coordinator ends, or has lost the message.
    Stopping,
}

/// Claims the next take-over of a job.
async fn claim(shared: &Shared, due: &Due, delivery: &Delivery) -> Result<Claimed, ShelfError> {
    let (shelf, id, redelivered) = (&shared.shelf, due.job, delivery.redelivered);
    let mut paused = None;
    if shelf.has_ended(id).await? {
        shelf.close(id).await?;
        return Ok(Claimed::Moot);
    }
    let Some(record) = shelf.record(id).await? else {
        tracing::warn!(job = %id, "there is no record of a job that is due: it was removed");
        return Ok(Claimed::Moot);
    };
    let (spec, plan, budgets) = record.job()?;
    loop {
        let last = shelf.last_epoch(id).await?;
        if due.epoch <= last && !redelivered {
            return Ok(Claimed::Moot); // Somebody has it already, and holds the message that counts.
        }
        let epoch = last + 1;
        let segments = shelf.segments(id).await?.len();
        let before = if last > 0 { shelf.claimed(id, last).await? } else { None };
        let stalled = match before.filter(|b| b.segments >= segments) {
            Some(b) if shelf.is_excused(id, last).await? => b.stalled + 1,
            Some(b) => b.stalled + EXCUSED,
            None => 0,
        };
        if stalled >= STALLED * EXCUSED {
            let reason = "it was taken over again and again without progress";
            bury(shared, id, last, reason, record.submitted_ms).await?;
            tracing::error!(job = %id, reason, "a job is dead");
            return Ok(Claimed::Moot);
        }
        match paused {
            // Somebody has it meanwhile, with a message of its own.
            Some(then) if then != last => return Ok(Claimed::Moot),
            None if !pause(stalled).is_zero() => {
                paused = Some(last);
                tokio::select! {
                    () = tokio::time::sleep(pause(stalled)) => {}
                    () = delivery.lost.cancelled() => return Ok(Claimed::Stopping),
                    () = shared.shutdown.stopping() => return Ok(Claimed::Stopping),
                }
                if shelf.has_ended(id).await? {
                    return Ok(Claimed::Moot);
                }
                continue;
            }
            _ => {}
        }
        let claim = new_claim(shared, segments, stalled);
        match shelf.claim(id, epoch, &claim).await? {
            Put::Created => {
                if epoch == 1 {
                    metrics().queue_wait.observe(seconds(claim.claimed_ms - record.submitted_ms));
                }
                let stalled = stalled / EXCUSED;
                let ready = Ready { id, epoch, stalled, record, spec, plan, budgets, trace: None };
                return Ok(Claimed::Yes(Box::new(ready)));
            }
            Put::Exists if redelivered => {}
            Put::Exists => return Ok(Claimed::Moot),
        }
    }
}

/// The second take-over without progress waits a second, each further one twice that: what a job
/// does to its coordinators it does seldom, and who kills from outside is outlasted.
fn pause(stalled: u32) -> Duration {
    match stalled / EXCUSED {
        0 | 1 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 2).min(LONGEST)),
    }
}

/// Counts a job that has ended so long after its submit.
pub(super) fn count_end(state: EndState, took_ms: i64) {
    let state = match state {
        EndState::Complete => "complete",
        EndState::Partial => "partial",
        EndState::Dead => "dead",
    };
    metrics().jobs.get_or_create(&JobEnd { state }).observe(seconds(took_ms));
}

/// Milliseconds as seconds; none are negative.
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

pub(super) fn new_claim(shared: &Shared, segments: usize, stalled: u32) -> Claim {
    Claim {
        owner: shared.options.name.clone(),
        address: shared.options.address.clone(),
        claimed_ms: shared.options.run.clock.now_ms(),
        nonce: rand::random(),
        segments,
        stalled,
    }
}
