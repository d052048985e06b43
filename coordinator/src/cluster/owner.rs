//! One job in the hands of this coordinator: from the message that says it is due to its end,
//! or until somebody else has it.
//!
//! The delivery is the lease. It is held for a bounded time: then the owner publishes the next
//! take-over, settles the old message, and goes on where the new one finds it. Whoever claims
//! the higher take-over has the job; the other one drops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use kudzu_shared::archive::Put;
use kudzu_shared::broker::{Delivery, Durability};
use kudzu_shared::job::{Budgets, JobId, JobSpec};
use kudzu_shared::metrics::{JobEnd, Message, metrics};
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::task;
use kudzu_shared::wire::{Due, Over};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::board::{Event, Running};
use super::record::Record;
use super::shelf::{Claim, EndState, Ended, ShelfError};
use super::{Shared, journal, result};
use crate::model::JobResult;
use crate::plan::Plan;
use crate::run::{self, Handle, Known, Start};
use crate::tree::rules::Rules;

/// Take-overs without progress after which a job is dead.
const STALLED: u32 = 5;
/// How often the archive is asked whether the job is cancelled, or somebody else's.
const LOOK: Duration = Duration::from_secs(1);
/// How often progress becomes an event.
const EVENTS: Duration = Duration::from_millis(250);
/// Pause before a job goes back that cannot be looked at now.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the journal may take to be flushed when the job goes to somebody else.
const FLUSH: Duration = Duration::from_secs(3);
/// Entries that wait for the journal.
const ENTRIES: usize = 4;
/// Where a message goes that this program cannot read.
const PARKED: &str = "kudzu.parked";

/// A job that was claimed.
struct Ready {
    id: JobId,
    epoch: u32,
    record: Record,
    spec: JobSpec,
    plan: Plan,
    budgets: Budgets,
}

/// Takes a job that is due.
pub(super) async fn take(shared: Arc<Shared>, handle: Handle, delivery: Delivery) {
    let due = match Due::decode(&delivery.body) {
        Ok(due) => due,
        Err(error) => return park(&shared, delivery, &error).await,
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
    match claim(&shared, &due, delivery.redelivered).await {
        Ok(None) => delivery.settle.ack(),
        Ok(Some(ready)) => Owner::run(shared, handle, ready, delivery).await,
        Err(error) if error.is_damage() => {
            tracing::error!(%error, job = %due.job, "a job cannot be run");
            match bury(&shared, due.job, 0, &error.to_string()).await {
                Ok(()) => delivery.settle.ack(),
                Err(error) => give_back(&shared, delivery, &error).await,
            }
        }
        Err(error) => give_back(&shared, delivery, &error).await,
    }
}

/// Gives a job back that cannot be looked at now.
async fn give_back(shared: &Shared, delivery: Delivery, error: &ShelfError) {
    tracing::warn!(%error, "a job is given back: the archive does not answer");
    tokio::select! {
        () = shared.shutdown.stopping() => {}
        () = tokio::time::sleep(AGAIN) => {}
    }
    delivery.settle.requeue();
}

/// Sets a message aside that another version wrote.
async fn park(shared: &Shared, delivery: Delivery, error: &kudzu_shared::wire::Error) {
    tracing::error!(%error, queue = PARKED, "a message cannot be read and is parked");
    let broker = &shared.options.run.broker;
    let parked = async {
        broker.declare(PARKED, Durability::Durable).await?;
        broker.publish(PARKED, delivery.body.clone()).await
    };
    match parked.await {
        Ok(()) => delivery.settle.ack(),
        Err(error) => {
            tracing::warn!(%error, "it cannot be parked now");
            delivery.settle.requeue();
        }
    }
}

/// Ends a job that cannot be run.
async fn bury(shared: &Shared, id: JobId, epoch: u32, reason: &str) -> Result<(), ShelfError> {
    let ended_ms = shared.options.run.clock.now_ms();
    let end = Ended { epoch, state: EndState::Dead, reason: Some(reason.into()), ended_ms, result: None };
    shared.shelf.end(id, &end).await?;
    shared.shelf.close(id).await
}

/// Claims the next take-over of a job; nothing where the message has nothing to say any more.
async fn claim(shared: &Shared, due: &Due, redelivered: bool) -> Result<Option<Ready>, ShelfError> {
    let (shelf, id) = (&shared.shelf, due.job);
    if shelf.ended(id).await?.is_some() {
        shelf.close(id).await?;
        return Ok(None);
    }
    let Some(record) = shelf.record(id).await? else {
        tracing::warn!(job = %id, "there is no record of a job that is due: it was removed");
        return Ok(None);
    };
    let (spec, plan, budgets) = record.job()?;
    loop {
        let last = shelf.last_epoch(id).await?;
        if due.epoch <= last && !redelivered {
            return Ok(None); // Somebody has it already, and holds the message that counts.
        }
        let epoch = last + 1;
        let segments = shelf.segments(id).await?.len();
        let before = if last > 0 { shelf.claimed(id, last).await? } else { None };
        let prolonged = due.epoch == epoch && !redelivered;
        let stalled = match before.filter(|b| !prolonged && b.segments >= segments) {
            // Who lost its connection lives: it is not the job that ended it.
            Some(b) if shelf.has_left(id, last).await? => b.stalled,
            Some(b) => b.stalled + 1,
            None => 0,
        };
        if stalled >= STALLED {
            let reason = format!("taken over {STALLED} times without progress");
            bury(shared, id, last, &reason).await?;
            tracing::error!(job = %id, reason, "a job is dead");
            return Ok(None);
        }
        let claim = new_claim(shared, segments, stalled);
        match shelf.claim(id, epoch, &claim).await? {
            Put::Created => {
                tracing::info!(job = %id, epoch, "taken");
                if epoch == 1 {
                    metrics().queue_wait.observe(seconds(claim.claimed_ms - record.submitted_ms));
                }
                return Ok(Some(Ready { id, epoch, record, spec, plan, budgets }));
            }
            Put::Exists if redelivered => {}
            Put::Exists => return Ok(None),
        }
    }
}

/// Milliseconds as seconds; none are negative.
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

fn new_claim(shared: &Shared, segments: usize, stalled: u32) -> Claim {
    Claim {
        owner: shared.options.name.clone(),
        address: shared.options.address.clone(),
        claimed_ms: shared.options.run.clock.now_ms(),
        nonce: rand::random(),
        segments,
        stalled,
    }
}

/// Why a job leaves these hands.
enum Left {
    Ended(Box<JobResult>),
    /// Somebody else has it, or will.
    Lost(&'static str),
}

struct Owner {
    shared: Arc<Shared>,
    id: JobId,
    /// The take-over that this run began with.
    epoch: u32,
    fenced: CancellationToken,
    /// The message that is the lease; none while the next one is on its way.
    held: Option<Delivery>,
    until: Instant,
    submitted_ms: i64,
    /// The take-over that it is at now.
    lease: Arc<AtomicU32>,
    /// Has the journal written at once.
    flush: Option<mpsc::Sender<oneshot::Sender<()>>>,
}

impl Owner {
    async fn run(shared: Arc<Shared>, handle: Handle, ready: Ready, delivery: Delivery) {
        let (id, epoch) = (ready.id, ready.epoch);
        let until = Instant::now() + shared.options.hold;
        let submitted_ms = ready.record.submitted_ms;
        let fenced = CancellationToken::new();
        let mut owner = Self {
            shared,
            id,
            epoch,
            fenced,
            held: Some(delivery),
            until,
            submitted_ms,
            lease: Arc::new(epoch.into()),
            flush: None,
        };
        if let Some(why) = owner.own(&handle, ready).await {
            tracing::warn!(job = %id, epoch, why, "left to whoever takes it over");
            let left = owner.shared.shelf.leave(id, owner.lease.load(SeqCst));
            let _ = tokio::time::timeout(FLUSH, left).await; // It only spares the job a count.
        }
        // What is still held goes back.
    }

    /// Ends once the job is somebody else's. Cancel safe.
    async fn lost(fenced: CancellationToken, handle: &Handle) -> &'static str {
        tokio::select! {
            () = fenced.cancelled() => "somebody else has taken it over",
            () = handle.gone() => "the connection to the broker is gone",
        }
    }

    /// Runs the job; says why where it left it.
    async fn own(&mut self, handle: &Handle, ready: Ready) -> Option<&'static str> {
        let (id, epoch) = (self.id, self.epoch);
        let known = match self.known(handle, &ready).await {
            Ok(known) => known,
            Err(error) => {
                let held = self.held.take()?;
                give_back(&self.shared, held, &error).await;
                return Some("its journal cannot be read now");
            }
        };
        if epoch > 1 {
            tracing::info!(job = %id, epoch, known = known.len(), "goes on");
        }
        self.say_over().await;
        let (entries, written) = mpsc::channel(ENTRIES);
        let submitted = ready.record.submitted_ms;
        let age = u64::try_from(self.shared.options.run.clock.now_ms() - submitted).unwrap_or(0);
        let start = Start {
            epoch,
            age: Duration::from_millis(age),
            known,
            trace: ready.record.trace.clone(),
            journal: Some(entries),
            ..Start::new(ready.spec, ready.plan, ready.budgets)
        };
        let job = match handle.start(start) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(%error, job = %id, "a job cannot be run here");
                return self.bury(&error.to_string()).await;
            }
        };
        let (prolong, mut prolonged) = mpsc::channel(1);
        let lease = Arc::clone(&self.lease);
        let running = Arc::new(Running::new(epoch, lease, job.progress(), job.canceller(), prolong));
        let writer = journal::Writer {
            shelf: self.shared.shelf.clone(),
            id,
            epoch,
            lease: Arc::clone(&running.lease),
            fenced: self.fenced.clone(),
        };
        let (flush, flushes) = mpsc::channel(1);
        self.flush = Some(flush);
        let mut journal = task::spawn("journal", writer.run(written, flushes));
        let posted = self.shared.board.put(id, running);
        match self.attend(handle, job, posted.running(), &mut prolonged).await {
            Left::Lost(why) => {
                // What was accepted is written, so that whoever comes need not ask it again.
                let _ = tokio::time::timeout(FLUSH, &mut journal).await;
                Some(why)
            }
            Left::Ended(result) => {
                if let Err(error) = journal.await {
                    tracing::warn!(%error, job = %id, "the journal did not come to its end");
                }
                let lost = Self::lost(self.fenced.clone(), handle);
                tokio::select! {
                    why = lost => Some(why),
                    why = self.finish(*result) => why,
                }
            }
        }
    }

    /// Tells workers that nobody waits for what earlier take-overs asked: it would stand before
    /// what this one asks.
    async fn say_over(&self) {
        let Some(epoch) = self.epoch.checked_sub(1).filter(|e| *e > 0) else { return };
        let Ok(hint) = (Over { job: self.id, epoch }).encode() else { return };
        if let Err(error) = self.shared.options.run.broker.publish_fanout(Over::TOPIC, hint).await {
            tracing::debug!(%error, job = %self.id, "workers learn by themselves that nobody waits");
        }
    }

    /// What earlier take-overs have learned, and what the job that this one asks again did.
    async fn known(&self, handle: &Handle, ready: &Ready) -> Result<Known, ShelfError> {
        let asks = || {
            let (spec, plan) = (ready.spec.clone(), ready.plan.clone());
            let run::StartOptions { catalogue, packs, .. } = handle.options();
            Rules::new(spec, plan, ready.budgets, catalogue, Arc::clone(packs)).wire_asks()
        };
        let shelf = &self.shared.shelf;
        let (mut known, _) = journal::read(shelf, self.id, asks()).await?;
        if let Some(old) = ready.record.replays() {
            let (mut before, _) = journal::read(shelf, old, asks()).await?;
            let stands = |v: Verdict| matches!(v.end(), End::Found | End::Empty);
            before.retain(|answer| answer.questions.iter().all(|q| stands(q.verdict)));
            known.join(before);
        }
        Ok(known)
    }

    /// Stays with a running job until it ends, or is lost.
    async fn attend(
        &mut self,
        handle: &Handle,
        job: run::Job,
        running: &Running,
        prolonged: &mut mpsc::Receiver<Delivery>,
    ) -> Left {
        let mut look = interval(LOOK);
        let mut events = interval(EVENTS);
        [&mut look, &mut events]
            .into_iter()
            .for_each(|t| t.set_missed_tick_behavior(MissedTickBehavior::Skip));
        let mut progress = job.progress();
        let cancel = job.canceller();
        let mut finish = std::pin::pin!(job.finish());
        let mut lost_here = std::pin::pin!(Self::lost(self.fenced.clone(), handle));
        loop {
            let lost = self.held.as_ref().map(|d| d.lost.clone());
            tokio::select! {
                biased;
                () = self.shared.shutdown.stopping() => return Left::Lost("this coordinator ends"),
                why = &mut lost_here => return Left::Lost(why),
                () = cancelled(lost) => return Left::Lost("the broker has taken it back"),
                result = &mut finish => match result {
                    Ok(result) => return Left::Ended(Box::new(result)),
                    Err(_) => return Left::Lost("its result could not be computed"),
                },
                Some(delivery) = prolonged.recv() => self.prolong(running, delivery).await,
                () = sleep_until(self.until) => self.pass_on(running).await,
                _ = look.tick() => {
                    if self.look(running).await {
                        cancel.cancel();
                    }
                }
                _ = events.tick() => {
                    if progress.has_changed().unwrap_or(false) {
                        let now = progress.borrow_and_update().clone();
                        running.note(Event::Progress(now));
                    }
                }
            }
        }
    }

    /// Asks the archive whether the job is cancelled, or somebody else's.
    async fn look(&self, running: &Running) -> bool {
        let shelf = &self.shared.shelf;
        if matches!(shelf.is_claimed(self.id, running.lease() + 1).await, Ok(true)) {
            self.fenced.cancel();
        }
        !running.cancel.is_cancelled() && matches!(shelf.is_cancelled(self.id).await, Ok(true))
    }

    /// The next take-over came to these hands, too: the job goes on.
    async fn prolong(&mut self, running: &Running, delivery: Delivery) {
        let lease = running.lease();
        let epoch = Due::decode(&delivery.body).map_or(0, |due| due.epoch);
        if epoch <= lease && !delivery.redelivered {
            return delivery.settle.ack();
        }
        // Before it is claimed, or it would look like somebody else's.
        let next = lease + 1;
        running.lease.store(next, SeqCst);
        let claim = new_claim(&self.shared, usize::MAX, 0);
        match self.shared.shelf.claim(self.id, next, &claim).await {
            Ok(Put::Created) => {
                self.until = Instant::now() + self.shared.options.hold;
                if let Some(old) = self.held.replace(delivery) {
                    old.settle.ack();
                }
            }
            Ok(Put::Exists) => self.fenced.cancel(),
            // It is delivered again, to whomever.
            Err(error) => {
                tracing::warn!(%error, job = %self.id, "a job cannot be prolonged now");
                running.lease.store(lease, SeqCst);
            }
        }
    }

    /// Held for long enough: the next take-over is published, then this one is settled.
    async fn pass_on(&mut self, running: &Running) {
        self.until = Instant::now() + self.shared.options.hold;
        // Whoever takes it next shall know what is known here.
        if let Some(flush) = &self.flush {
            let (done, written) = oneshot::channel();
            if flush.send(done).await.is_ok() {
                let _ = tokio::time::timeout(FLUSH, written).await;
            }
        }
        let due = Due { job: self.id, epoch: running.lease() + 1, trace: None };
        match self.shared.publish_due(&due).await {
            Ok(()) => {
                if let Some(held) = self.held.take() {
                    held.settle.ack();
                }
            }
            Err(error) => tracing::warn!(%error, job = %self.id, "the next take-over is not published"),
        }
    }

    /// Writes the result, and ends the job.
    async fn finish(&mut self, result: JobResult) -> Option<&'static str> {
        let state = match result.partial {
            None => EndState::Complete,
            Some(_) => EndState::Partial,
        };
        let reason = result.partial.map(String::from);
        metrics().duplicates.inc_by(result.figures.duplicates);
        let shared = Arc::clone(&self.shared);
        let record = match result::write(&shared.shelf, self.id, self.epoch, result).await {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(%error, job = %self.id, "a result is not written");
                return Some("its result cannot be written");
            }
        };
        let ended_ms = shared.options.run.clock.now_ms();
        let word = if state == EndState::Complete { "complete" } else { "partial" };
        let took = seconds(ended_ms - self.submitted_ms);
        metrics().jobs.get_or_create(&JobEnd { state: word }).observe(took);
        let end = Ended { epoch: self.epoch, state, reason, ended_ms, result: Some(record) };
        self.end(&end).await
    }

    async fn bury(&mut self, reason: &str) -> Option<&'static str> {
        let ended_ms = self.shared.options.run.clock.now_ms();
        let reason = Some(reason.to_owned());
        let end = Ended { epoch: self.epoch, state: EndState::Dead, reason, ended_ms, result: None };
        self.end(&end).await
    }

    async fn end(&mut self, end: &Ended) -> Option<&'static str> {
        let shelf = &self.shared.shelf;
        loop {
            match shelf.end(self.id, end).await {
                Ok(ended) => {
                    tracing::info!(job = %self.id, epoch = end.epoch, counts = ended.epoch, "ended");
                    break;
                }
                Err(error) => tracing::warn!(%error, job = %self.id, "a job's end is not written"),
            }
            tokio::time::sleep(AGAIN).await;
        }
        if let Err(error) = shelf.close(self.id).await {
            tracing::debug!(%error, job = %self.id, "the sweep will find that it has ended");
        }
        if let Some(held) = self.held.take() {
            held.settle.ack();
        }
        None
    }
}

/// Ends with the token; never where there is none. Cancel safe.
async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}
