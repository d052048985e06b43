//! One job's loop: feeds the state machine, carries out what it says.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::broker;
use kudzu_shared::job::JobId;
use kudzu_shared::outcome::{Answer, Part, Verdict};
use kudzu_shared::rtype;
use kudzu_shared::task;
use kudzu_shared::time::rfc3339;
use kudzu_shared::wire::{self, LookupResult, Over, Results, TaskLookup};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::dispatch::{Dispatcher, Outgoing, Run, Template};
use super::flights::{Claims, brought};
use super::serial::Serial;
use super::settled::Settled;
use super::{Answers, Arrived, Came, Inner, Known, Origin, Taken};
use crate::core::job::{self, Action, Event, Job};
use crate::core::ticket::{self, Ticket};
use crate::model::{EvidenceQuestion, EvidenceRow, Figures, JobResult, Progress, State};
use crate::tree::Tree;
use crate::tree::rules::Rules;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);
/// Batches that may wait for the dispatcher.
const OUTGOING: usize = 64;
/// Evidence rows that may wait for their writer before no more is asked.
const EVIDENCE: usize = 16_384;
/// The same for messages that wait for the journal.
const JOURNAL: usize = 256;
/// Known outcomes that are taken before anything else is looked at.
const REPLAY: usize = 1_024;

/// One job's loop.
pub struct Runner {
    pub(super) inner: Arc<Inner>,
    pub(super) id: JobId,
    pub(super) epoch: u32,
    pub(super) age: Duration,
    pub(super) known: Known,
    pub(super) anew: bool,
    pub(super) trace: Option<String>,
    pub(super) answers: Arc<Answers>,
    pub(super) inbox: mpsc::Receiver<Arrived>,
    pub(super) inbox_tx: mpsc::Sender<Arrived>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) cancel: CancellationToken,
    pub(super) evidence: Option<mpsc::Sender<Vec<EvidenceRow>>>,
    pub(super) journal: Option<mpsc::Sender<Vec<Taken>>>,
}

/// The place where a job's results are put, for as long as it runs, however it ends.
struct Inbox {
    inner: Arc<Inner>,
    of: (JobId, u32),
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.inner.inboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.of);
    }
}

struct Running {
    job: Job,
    started: Instant,
    actions: Vec<Action>,
    outgoing: VecDeque<Outgoing>,
    /// Lookups that were wanted and are known.
    replay: VecDeque<(Ticket, Answer)>,
    known: Known,
    claims: Arc<Claims>,
    settled: Settled,
    last_round: u8,
    rows: Vec<EvidenceRow>,
    keep_rows: bool,
    taken: Vec<Taken>,
    keep_taken: bool,
    figures: Figures,
    answers: Arc<Answers>,
    serial: Serial,
    done: bool,
}

impl Runner {
    /// Runs the job to its end; `None` where the computation of the result panicked.
    pub async fn run(mut self, rules: Rules) -> Option<JobResult> {
        let now = Instant::now();
        let started = now.checked_sub(self.age).unwrap_or(now);
        let budget = rules.budgets.deadline_ms.and_then(|d| i64::try_from(d).ok());
        let age_ms = i64::try_from(millis(now - started)).unwrap_or(i64::MAX);
        let submitted = self.inner.options.clock.now_ms().saturating_sub(age_ms);
        let run = Run {
            epoch: self.epoch,
            reply_to: &self.inner.reply_to,
            deadline_ms: budget.map(|d| submitted.saturating_add(d)),
            trace: self.trace.take(),
        };
        let template = Arc::new(Template::new(&rules, run));
        let (out, batches) = mpsc::channel(OUTGOING);
        let claims = Arc::new(Claims::new(Arc::clone(&self.inner.flights), rules.spec.policy.tlp));
        let dispatcher = Dispatcher {
            inner: Arc::clone(&self.inner),
            template: Arc::clone(&template),
            claims: Arc::clone(&claims),
            inbox: self.inbox_tx.clone(),
            journaled: self.journal.is_some(),
            anew: self.anew,
        };
        let dispatcher = task::spawn("dispatch", dispatcher.run(batches));
        let inbox = Inbox { inner: Arc::clone(&self.inner), of: (self.id, self.epoch) };
        let mut actions = Vec::new();
        let job = Job::start(0, rules, self.inner.settings(), &mut actions);
        let mut r = Running {
            job,
            started,
            actions,
            outgoing: VecDeque::new(),
            replay: VecDeque::new(),
            known: std::mem::take(&mut self.known),
            claims,
            settled: Settled::default(),
            last_round: self.inner.settings().rounds,
            rows: Vec::new(),
            keep_rows: self.evidence.is_some(),
            taken: Vec::new(),
            keep_taken: self.journal.is_some(),
            figures: Figures::default(),
            answers: Arc::clone(&self.answers),
            serial: Serial::default(),
            done: false,
        };
        r.carry_out();
        self.serve(&mut r, &out).await;
        // Nobody waits any more for what it asked, however long the rest takes.
        self.progress.send_replace(r.job.progress(r.now()));
        drop(out);
        drop(dispatcher); // What it still wanted to send is not asked any more.
        self.say_over().await;
        self.flush(&mut r).await;
        let (tlp, now) = (r.job.rules().spec.policy.tlp, self.inner.options.clock.now_ms());
        let settled = std::mem::take(&mut r.settled).entries(&template, tlp, now);
        if !settled.is_empty() {
            self.inner.options.cache.put(settled).await;
        }
        drop(inbox);
        let result = finish(r).await?;
        self.progress.send_replace(result.progress.clone());
        Some(result)
    }

    /// Waits for what happens next, until the job is done. Never waits for one thing only:
    /// the dispatcher may wait for this job's inbox while this waits for the dispatcher.
    async fn serve(&mut self, r: &mut Running, out: &mpsc::Sender<Outgoing>) {
        let mut tick = interval(PROGRESS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut cancelled = false;
        while !r.done {
            let wake = r.job.next_wake().map(|at| r.started + Duration::from_millis(at));
            let far = r.started + Duration::from_secs(3600 * 24 * 365);
            // In order, so that the same seed gives the same trace: what ends the job first, what
            // comes in last, for more of it waits for what goes out.
            tokio::select! {
                biased;
                () = self.cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    r.event(Event::Cancel);
                }
                () = self.inner.shutdown.stopping(), if !cancelled => {
                    cancelled = true;
                    r.event(Event::Cancel);
                }
                () = sleep_until(wake.unwrap_or(far)) => {
                    if !r.outgoing.is_empty() {
                        r.job.held_up(r.now());
                    }
                    r.event(Event::Tick);
                }
                _ = tick.tick() => {
                    self.progress.send_replace(r.job.progress(r.now()));
                }
                () = std::future::ready(()), if !r.replay.is_empty() => r.replay(),
                // While evidence or journal are behind, nothing more is asked; what comes is
                // taken, or one slow writer would hold up the results of every other job.
                permit = out.reserve(), if !r.outgoing.is_empty() && r.may_ask() => {
                    if let (Ok(permit), Some(batch)) = (permit, r.outgoing.pop_front()) {
                        permit.send(batch);
                    }
                }
                () = give(&self.evidence, &mut r.rows), if !r.rows.is_empty() => {}
                () = give(&self.journal, &mut r.taken), if !r.taken.is_empty() => {}
                arrived = self.inbox.recv() => {
                    if let Some(arrived) = arrived {
                        self.take(r, arrived).await;
                    }
                }
            }
        }
    }

    /// Takes results in; a message that cannot be read is set aside.
    async fn take(&self, r: &mut Running, arrived: Arrived) {
        match arrived {
            Arrived::Known(came) => r.accept(came),
            Arrived::Message(delivery) => match Results::decode(&delivery.body) {
                Ok(results) => {
                    let message = Some(delivery.body);
                    r.accept(Came { results, message, settled: false, origin: Origin::Worker });
                    delivery.settle.ack();
                }
                Err(error) => {
                    let broker = &*self.inner.options.broker;
                    broker::park(broker, "result", "results", delivery, &error).await;
                }
            },
        }
    }

    /// Tells workers that nobody waits for this job's results: what they hold of it was asked
    /// ahead, or the job was stopped. It only hastens what they would learn anyway.
    async fn say_over(&self) {
        let Ok(hint) = (Over { job: self.id, epoch: self.epoch }).encode() else { return };
        if let Err(error) = self.inner.options.broker.publish_fanout(Over::TOPIC, hint).await {
            tracing::warn!(%error, job = %self.id, "workers were not told that a job is over");
        }
    }

    async fn flush(&self, r: &mut Running) {
        while !r.rows.is_empty() {
            give(&self.evidence, &mut r.rows).await;
        }
        while !r.taken.is_empty() {
            give(&self.journal, &mut r.taken).await;
        }
    }
}

/// Hands rows to their writer. Cancel safe: they stay where they are until there is room.
async fn give<T>(writer: &Option<mpsc::Sender<Vec<T>>>, rows: &mut Vec<T>) {
    match writer {
        Some(sender) => match sender.reserve().await {
            Ok(permit) => permit.send(std::mem::take(rows)),
            Err(_) => rows.clear(), // Its writer has failed, and says so itself.
        },
        None => rows.clear(),
    }
}

impl Running {
    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn event(&mut self, event: Event) {
        let now = self.now();
        self.job.on_event(now, event, &mut self.actions);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        for action in self.actions.drain(..) {
            match action {
                Action::Done => self.done = true,
                Action::Ask(batch) => {
                    let mut lookups = Vec::with_capacity(batch.lookups.len());
                    for (seq, questions) in batch.lookups {
                        let (ask, key) = self.job.describe(seq);
                        match self.known.take(ask, ticket::round(seq), &key, questions) {
                            Some((round, answer)) => {
                                self.replay.push_back((self.job.at_round(seq, round), answer));
                            }
                            None => lookups.push(TaskLookup { seq, ask, questions, key }),
                        }
                    }
                    if !lookups.is_empty() {
                        let fresh = lookups.iter().any(|l| ticket::round(l.seq) > 0);
                        self.outgoing.push_back(Outgoing { class: batch.class, lookups, fresh });
                    }
                }
            }
        }
    }

    fn may_ask(&self) -> bool {
        self.rows.len() < EVIDENCE && self.taken.len() < JOURNAL
    }

    /// Takes in what an earlier run of the job has learned.
    fn replay(&mut self) {
        let now = self.now();
        for _ in 0..REPLAY {
            let Some((lookup, answer)) = self.replay.pop_front() else { break };
            let event = Event::Result { lookup, part: Part::WHOLE, answer };
            self.job.on_event(now, event, &mut self.actions);
        }
        self.carry_out();
    }

    /// Has the journal keep results that are wanted.
    fn note_taken(&mut self, results: &Results, message: Option<Bytes>) {
        let wanted = |results: &Results| results.results.iter().filter(|r| self.job.wants(r.seq)).count();
        if wanted(results) == 0 {
            return;
        }
        let whole = message.map_or_else(|| results.encode(), Ok).map(|m| vec![(m, wanted(results))]);
        // What comes from the cache was no message yet, and may be too large for one.
        let split = || results.clone().split(0)?.iter().map(|r| Ok((r.encode()?, wanted(r)))).collect();
        match whole.or_else(|_| split()) {
            Ok(messages) => {
                let taken = messages.into_iter().map(|(message, outcomes)| Taken { message, outcomes });
                self.taken.extend(taken);
            }
            Err::<_, wire::Error>(error) => {
                tracing::warn!(%error, "outcomes cannot be journaled; a take-over asks again");
            }
        }
    }

    fn accept(&mut self, came: Came) {
        let (now, Came { mut results, message, settled, origin }) = (self.now(), came);
        if settled {
            for result in &mut results.results {
                if self.job.wants(result.seq) {
                    result.seq = self.job.at_round(result.seq, self.last_round);
                }
            }
        }
        if self.keep_taken {
            self.note_taken(&results, message);
        }
        for mut result in std::mem::take(&mut results.results) {
            if self.job.wants(result.seq) {
                self.claims.came(result.seq, || brought(&result, &results.upstreams));
            }
            let failing = if settled { None } else { self.settled.of(self.job.ask_of(result.seq), &result) };
            let answer = std::mem::take(&mut result.answer);
            let event = Event::Result { lookup: result.seq, part: result.part, answer };
            // Late and repeated results are no evidence, and nobody waited for them.
            let Some(taken) = self.job.on_event(now, event, &mut self.actions) else { continue };
            if let Some(failing) = failing {
                self.settled.note(failing, &results.upstreams, taken.ended);
            }
            let ask = self.job.ask_of(result.seq);
            // Cache and journal answer while there is no worker at all.
            if origin != Origin::Cache {
                let class = self.job.rules().asks[usize::from(ask)].source.class;
                self.answers.add(class, taken.questions.len() as u64);
            }
            let answered = taken.questions.iter().filter(|q| q.tries > 0 && !result.cached);
            answered.for_each(|q| self.serial.add(ask, q.rtt_us));
            let cached = if result.cached { taken.questions.len() as u64 } else { 0 };
            *self.figures.cached.get_or_insert(0) += cached;
            if self.keep_rows {
                self.rows.push(row(&result, &taken, &results));
            }
        }
        self.carry_out();
    }
}

fn row(r: &LookupResult, taken: &job::Taken, from: &Results) -> EvidenceRow {
    let ask = &from.asks[usize::from(r.ask)];
    let question = |q: &kudzu_shared::outcome::Question| EvidenceQuestion {
        rtype: ask.types.get(usize::from(q.index)).map(|t| rtype::name(*t)),
        verdict: q.verdict.as_str(),
        tries: q.tries,
        rtt_us: q.rtt_us,
        upstream: from.upstreams.get(usize::from(q.upstream)).cloned().unwrap_or_default(),
    };
    EvidenceRow {
        source: ask.source.clone(),
        kind: r.key.kind().as_str(),
        key: kudzu_shared::escape::terminal(&r.key.to_string()).into_owned(),
        round: ticket::round(r.seq),
        observed_at: rfc3339(r.observed_ms.div_euclid(1000)),
        cached: r.cached,
        worker: from.worker.clone(),
        questions: taken.questions.iter().map(question).collect(),
        pairs: taken.pairs,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Makes the result: heavy on the processor, so beside the runtime's threads.
async fn finish(r: Running) -> Option<JobResult> {
    let now = r.now();
    let compute = move || {
        let mut progress = r.job.progress(now);
        // One that was stopped when all was asked is complete all the same.
        let stopped = r.job.tree.stopped.filter(|_| r.job.tree.cut_short);
        let partial = stopped.map(|v| match v {
            Verdict::Cancelled => "cancelled",
            _ => "deadline",
        });
        let figures = Figures {
            duplicates: r.job.duplicates,
            asked_ahead_unused: r.job.unused(),
            heap_bytes: r.job.heap_bytes() as u64,
            serial_ms: r.serial.ms(),
            tree_ms: now,
            ..r.figures
        };
        let tree = Tree::of(r.job);
        let coverage = tree.coverage();
        progress.elapsed_ms = millis(r.started.elapsed());
        let state = if partial.is_some() { State::Partial } else { State::Complete };
        JobResult { state, partial, tree, ranked: OnceLock::new(), coverage, progress, figures }
    };
    match tokio::task::spawn_blocking(compute).await {
        Ok(result) => Some(result),
        Err(error) => {
            tracing::error!(%error, "the result could not be computed");
            None
        }
    }
}
