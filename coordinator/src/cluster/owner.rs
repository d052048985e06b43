//! One job in the hands of this coordinator: from the message that says it is due to its end,
//! or until somebody else has it.
//!
//! The delivery is the lease. It is held for a bounded time: then the owner publishes the next
//! take-over, settles the old message, and goes on where the new one finds it. Whoever claims
//! the higher take-over has the job; the other one drops it.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use kudzu_shared::archive::Put;
use kudzu_shared::broker::{self, Delivery};
use kudzu_shared::job::JobId;
use kudzu_shared::metrics::metrics;
use kudzu_shared::outcome::End;
use kudzu_shared::task;
use kudzu_shared::wire::{Due, Over};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::board::{Event, Running};
use super::shelf::{EndState, Ended, ShelfError};
use super::take::{AGAIN, Ready, count_end, give_back, new_claim};
use super::{Shared, journal, result};
use crate::model::JobResult;
use crate::run::{self, Handle, Known, Start};
use crate::tree::rules::Rules;

/// Take-overs without progress before a job that cannot be run here is dead.
const ELSEWHERE: u32 = 5;
/// How often the archive is asked whether the job is cancelled, or somebody else's.
const LOOK: Duration = Duration::from_secs(1);
/// How often progress becomes an event.
const EVENTS: Duration = Duration::from_millis(250);
/// How long a job is run before it is seen that it does no harm.
const HARMLESS: Duration = Duration::from_millis(900);
/// How long the journal may take to be flushed when the job goes to somebody else.
const FLUSH: Duration = Duration::from_secs(3);
/// Entries that wait for the journal.
const ENTRIES: usize = 4;

/// Why a job leaves these hands.
enum Left {
    Ended(Box<JobResult>),
    Lost(Lost),
}

/// How a job was lost.
#[derive(Debug, Clone, Copy)]
enum Lost {
    /// Somebody else has it, with a message of its own: this one has nothing to say any more.
    Fenced,
    /// Somebody will take it, with the message that is given back.
    Left(&'static str),
    /// The same, since it cannot be run here: that counts as a take-over without progress.
    Refused,
}

pub(super) struct Owner {
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
    pub(super) async fn run(shared: Arc<Shared>, handle: Handle, ready: Ready, delivery: Delivery) {
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
        if let Some(lost) = owner.own(&handle, ready).await {
            match lost {
                Lost::Fenced => {
                    tracing::info!(job = %id, epoch, "somebody else has taken it over");
                    if let Some(held) = owner.held.take() {
                        held.settle.ack(); // Given back, it would take the job from who has it.
                    }
                }
                Lost::Refused => return,
                Lost::Left(why) => tracing::warn!(job = %id, epoch, why, "left to whoever takes it over"),
            }
            let excused = owner.shared.shelf.excuse(id, owner.lease.load(SeqCst));
            let _ = tokio::time::timeout(FLUSH, excused).await; // It only spares the job a count.
        }
        // What is still held goes back.
    }

    /// Ends once the job is somebody else's. Cancel safe.
    async fn lost(fenced: CancellationToken, handle: &Handle) -> Lost {
        tokio::select! {
            () = fenced.cancelled() => Lost::Fenced,
            () = handle.gone() => Lost::Left("the connection to the broker is gone"),
        }
    }

    /// Runs the job; says why where it left it.
    async fn own(&mut self, handle: &Handle, ready: Ready) -> Option<Lost> {
        let (id, epoch) = (self.id, self.epoch);
        let known = match self.known(handle, &ready).await {
            Ok(known) => known,
            Err(error) => {
                let held = self.held.take()?;
                give_back(&self.shared, held, &error).await;
                return Some(Lost::Left("its journal cannot be read now"));
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
            anew: ready.record.replays().is_some(),
            trace: ready.trace,
            answers: Arc::clone(self.shared.board.answers()),
            journal: Some(entries),
            ..Start::new(ready.spec, ready.plan, ready.budgets)
        };
        let job = match handle.start(start) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(%error, job = %id, "a job cannot be run here");
                // Coordinators of another version or with other sources may.
                return match ready.stalled < ELSEWHERE {
                    true => Some(Lost::Refused),
                    false => self.bury(&error.to_string()).await,
                };
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
            Left::Lost(lost) => {
                // What was accepted is written, so that whoever comes need not ask it again.
                let _ = tokio::time::timeout(FLUSH, &mut journal).await;
                Some(lost)
            }
            Left::Ended(result) => {
                if let Err(error) = journal.await {
                    tracing::warn!(%error, job = %id, "the journal did not come to its end");
                }
                let lost = Self::lost(self.fenced.clone(), handle);
                tokio::select! {
                    lost = lost => Some(lost),
                    lost = self.finish(*result) => lost,
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
            before.retain(|v| matches!(v.end(), End::Found | End::Empty));
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
        let (begun, mut excused) = (Instant::now(), 0);
        let lease = || running.lease();
        let mut finish = std::pin::pin!(job.finish());
        let mut lost_here = std::pin::pin!(Self::lost(self.fenced.clone(), handle));
        loop {
            let lost = self.held.as_ref().map(|d| d.lost.clone());
            tokio::select! {
                biased;
                () = self.shared.shutdown.stopping() => return Left::Lost(Lost::Left("this coordinator ends")),
                lost = &mut lost_here => return Left::Lost(lost),
                () = cancelled(lost) => return Left::Lost(Lost::Left("the broker has taken it back")),
                result = &mut finish => match result {
                    Ok(result) => return Left::Ended(Box::new(result)),
                    Err(_) => return Left::Lost(Lost::Left("its result could not be computed")),
                },
                Some(delivery) = prolonged.recv() => self.prolong(running, delivery).await,
                () = sleep_until(self.until) => self.pass_on(running).await,
                _ = look.tick() => {
                    if self.look(running).await {
                        cancel.cancel();
                    }
                    // It waits for others: whatever ends this process now is not the job.
                    if begun.elapsed() > HARMLESS && excused != lease() && progress.borrow().in_flight > 0 {
                        let noted = self.shared.shelf.excuse(self.id, lease()).await;
                        excused = if noted.is_ok() { lease() } else { excused };
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
        let shelf = &self.shared.shelf;
        let claim = async {
            let segments = shelf.segments(self.id).await?.len();
            shelf.claim(self.id, next, &new_claim(&self.shared, segments, 0)).await
        };
        match claim.await {
            Ok(Put::Created) => {
                self.until = Instant::now() + self.shared.options.hold;
                if let Some(old) = self.held.replace(delivery) {
                    old.settle.ack();
                }
            }
            Ok(Put::Exists) => {
                self.fenced.cancel();
                // One that comes again was lost by who had it: it goes on to somebody else.
                if !delivery.redelivered {
                    delivery.settle.ack();
                }
            }
            // It is delivered again, to whomever.
            Err(error) => {
                tracing::warn!(%error, job = %self.id, "a job cannot be prolonged now");
                running.lease.store(lease, SeqCst);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Held for long enough: the next take-over is published, then this one is settled.
    async fn pass_on(&mut self, running: &Running) {
        self.until = Instant::now() + self.shared.options.hold;
        // Whoever takes it next shall know what is known here.
        if let Some(flush) = &self.flush {
            let (done, written) = oneshot::channel();
            let flushed = async {
                if flush.send(done).await.is_ok() {
                    let _ = written.await;
                }
            };
            let _ = tokio::time::timeout(FLUSH, flushed).await;
        }
        let due = Due { job: self.id, epoch: running.lease() + 1, trace: None };
        // Published after all, it is one of two that say the same.
        let published = tokio::time::timeout(FLUSH, self.shared.publish_due(&due)).await;
        match published.unwrap_or(Err(broker::Error::Closed)) {
            Ok(()) => {
                if let Some(held) = self.held.take() {
                    held.settle.ack();
                }
            }
            Err(error) => tracing::warn!(%error, job = %self.id, "the next take-over is not published"),
        }
    }

    /// Writes the result, and ends the job.
    async fn finish(&mut self, result: JobResult) -> Option<Lost> {
        let state = match result.partial {
            None => EndState::Complete,
            Some(_) => EndState::Partial,
        };
        let reason = result.partial.map(String::from);
        metrics().duplicates.inc_by(result.figures.duplicates);
        let shared = Arc::clone(&self.shared);
        let Shared { shelf, options, .. } = &*shared;
        let record = match result::write(shelf, self.id, self.epoch, result, options.give_memory_back).await {
            Ok(record) => record,
            Err(error) => {
                let why = error.source().map(ToString::to_string);
                tracing::error!(%error, why, job = %self.id, "a result is not written");
                return Some(Lost::Left("its result cannot be written"));
            }
        };
        let ended_ms = options.run.clock.now_ms();
        let end = Ended { epoch: self.epoch, state, reason, ended_ms, result: Some(record) };
        self.end(&end).await
    }

    async fn bury(&mut self, reason: &str) -> Option<Lost> {
        let ended_ms = self.shared.options.run.clock.now_ms();
        let reason = Some(reason.to_owned());
        let end = Ended { epoch: self.epoch, state: EndState::Dead, reason, ended_ms, result: None };
        self.end(&end).await
    }

    async fn end(&mut self, end: &Ended) -> Option<Lost> {
        let shelf = &self.shared.shelf;
        loop {
            match shelf.end(self.id, end).await {
                Ok(ended) => {
                    tracing::info!(job = %self.id, epoch = end.epoch, counts = ended.epoch, "ended");
                    if ended.epoch == end.epoch {
                        count_end(end.state, end.ended_ms - self.submitted_ms);
                    }
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
