//! What nobody has in hand is found by looking: jobs whose message was lost, jobs whose owner
//! is gone and whose message with it, and what is kept for longer than it shall be.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kudzu_shared::job::JobId;
use kudzu_shared::wire::Due;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Shared;
use super::shelf::ShelfError;

/// How long a job may wait before its message is published again; twice that the next time.
const PATIENCE: Duration = Duration::from_secs(30);
/// At most.
const MOST: Duration = Duration::from_secs(1_800);
/// How often old jobs are looked for.
const RETENTION: Duration = Duration::from_secs(600);

/// A job that has no end yet.
#[derive(Debug)]
struct Waiting {
    again: Instant,
    pause: Duration,
    epoch: u32,
}

/// Sweeps until the shutdown begins.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(shared.options.sweep);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting: HashMap<JobId, Waiting> = HashMap::new();
    let mut removed: Option<Instant> = None;
    loop {
        tokio::select! {
            () = shared.shutdown.stopping() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = sweep(&shared, &mut waiting).await {
            tracing::warn!(%error, "the sweep cannot read the archive");
        }
        if removed.is_none_or(|at| at.elapsed() >= RETENTION) {
            removed = Some(Instant::now());
            if let Err(error) = remove_old(&shared).await {
                tracing::warn!(%error, "old jobs cannot be removed");
            }
        }
    }
}

async fn sweep(shared: &Shared, waiting: &mut HashMap<JobId, Waiting>) -> Result<(), ShelfError> {
    let open = shared.shelf.open_jobs().await?;
    shared.open.store(open.len(), std::sync::atomic::Ordering::Relaxed);
    waiting.retain(|id, _| open.iter().any(|(other, _)| other == id));
    for (id, _) in open {
        if shared.board.get(id).is_some() {
            waiting.remove(&id);
            continue;
        }
        if shared.shelf.has_ended(id).await? {
            shared.shelf.close(id).await?;
            continue;
        }
        let epoch = shared.shelf.last_epoch(id).await?;
        let job = waiting.entry(id).or_insert_with(|| Waiting::new(epoch));
        if job.epoch != epoch {
            *job = Waiting::new(epoch); // Somebody has taken it meanwhile.
        }
        if job.again > Instant::now() || is_owned(shared, id, epoch).await? {
            continue;
        }
        job.pause = (job.pause * 2).min(MOST);
        job.again = Instant::now() + job.pause;
        tracing::info!(job = %id, epoch = epoch + 1, "nobody has it in hand: its message is published again");
        // Where one is there already, the second finds the take-over claimed.
        if let Err(error) = shared.publish_due(&Due { job: id, epoch: epoch + 1, trace: None }).await {
            tracing::warn!(%error, job = %id, "its message is not published");
        }
    }
    Ok(())
}

impl Waiting {
    fn new(epoch: u32) -> Self {
        Self { again: Instant::now() + PATIENCE, pause: PATIENCE, epoch }
    }
}

/// Whether the coordinator that took it over last still runs it.
async fn is_owned(shared: &Shared, id: JobId, epoch: u32) -> Result<bool, ShelfError> {
    if epoch == 0 {
        return Ok(false);
    }
    let claim = shared.shelf.claimed(id, epoch).await?;
    let Some(address) = claim.and_then(|c| c.address) else { return Ok(false) };
    Ok(shared.peers.runs(&address, id).await)
}

async fn remove_old(shared: &Shared) -> Result<(), ShelfError> {
    let Some(keep) = shared.options.retention else { return Ok(()) };
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let before = shared.options.run.clock.now_ms().saturating_sub(keep_ms);
    let open: HashSet<JobId> = shared.shelf.open_jobs().await?.into_iter().map(|(id, _)| id).collect();
    for tenant in shared.shelf.tenants().await? {
        for (submitted_ms, id) in shared.shelf.jobs_of(&tenant).await?.into_iter().rev() {
            if submitted_ms >= before {
                break;
            }
            // A damaged end is as old as a good one.
            let ended = match shared.shelf.ended(id).await {
                Ok(end) => end.is_none_or(|e| e.ended_ms < before),
                Err(error) => error.is_damage(),
            };
            if ended && !open.contains(&id) && shared.board.get(id).is_none() {
                let objects = shared.shelf.remove(&tenant, submitted_ms, id).await?;
                tracing::info!(job = %id, tenant, objects, "kept for long enough, and removed");
            }
        }
    }
    Ok(())
}
