//! One job's loop: feeds the state machine, carries out what it says.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kudzu_shared::job::JobId;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::rtype;
use kudzu_shared::task;
use kudzu_shared::time::rfc3339;
use kudzu_shared::wire::{LookupResult, Over, Results, TaskLookup};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::dispatch::{self, Outgoing, Template};
use super::serial::Serial;
use super::{Inner, archive};
use crate::core::job::{Action, Event, Job, Taken};
use crate::model::{EvidenceQuestion, EvidenceRow, Figures, JobResult, Progress, State};
use crate::rank;
use crate::tree::Tree;
use crate::tree::rules::Rules;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);
/// Batches that may wait for the dispatcher.
const OUTGOING: usize = 64;
/// Evidence rows that may wait for their writer before no more is asked.
const EVIDENCE: usize = 16_384;

/// One job's loop.
pub struct Runner {
    pub(super) inner: Arc<Inner>,
    pub(super) id: JobId,
    pub(super) inbox: mpsc::Receiver<Results>,
    pub(super) inbox_tx: mpsc::Sender<Results>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) cancel: CancellationToken,
    pub(super) evidence: Option<mpsc::Sender<Vec<EvidenceRow>>>,
}

/// The place where a job's results are put, for as long as it runs, however it ends.
struct Inbox {
    inner: Arc<Inner>,
    id: JobId,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.inner.inboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

struct Running {
    job: Job,
    started: Instant,
    actions: Vec<Action>,
    outgoing: VecDeque<Outgoing>,
    rows: Vec<EvidenceRow>,
    keep_rows: bool,
    figures: Figures,
    serial: Serial,
    done: bool,
}

impl Runner {
    /// Runs the job to its end; `None` where the computation of the result panicked.
    pub async fn run(mut self, rules: Rules) -> Option<JobResult> {
        let started = Instant::now();
        let budget = rules.budgets.deadline_ms.and_then(|d| i64::try_from(d).ok());
        let deadline = budget.map(|d| self.inner.options.clock.now_ms().saturating_add(d));
        let template = Arc::new(Template::new(self.id, &rules, &self.inner.reply_to, deadline));
        let (out, batches) = mpsc::channel(OUTGOING);
        let dispatch =
            dispatch::run(Arc::clone(&self.inner), Arc::clone(&template), batches, self.inbox_tx.clone());
        let dispatcher = task::spawn("dispatch", dispatch);
        let inbox = Inbox { inner: Arc::clone(&self.inner), id: self.id };
        let mut actions = Vec::new();
        let job = Job::start(0, rules, self.inner.settings(), &mut actions);
        let mut r = Running {
            job,
            started,
            actions,
            outgoing: VecDeque::new(),
            rows: Vec::new(),
            keep_rows: self.evidence.is_some(),
            figures: Figures::default(),
            serial: Serial::default(),
            done: false,
        };
        r.carry_out();
        self.serve(&mut r, &out).await;
        drop(out);
        drop(dispatcher); // What it still wanted to send is not asked any more.
        self.say_over().await;
        self.flush_evidence(&mut r).await;
        drop(inbox);
        let result = finish(r).await?;
        self.progress.send_replace(result.progress.clone());
        archive::end(self.inner.options.archive.as_ref(), self.id, &result).await;
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
                // While the evidence is behind, nothing more is asked; what comes is taken, or
                // one slow writer would hold up the results of every other job.
                permit = out.reserve(), if !r.outgoing.is_empty() && r.rows.len() < EVIDENCE => {
                    if let (Ok(permit), Some(batch)) = (permit, r.outgoing.pop_front()) {
                        permit.send(batch);
                    }
                }
                () = give(&self.evidence, &mut r.rows), if !r.rows.is_empty() => {}
                results = self.inbox.recv() => {
                    if let Some(results) = results {
                        r.accept(results);
                    }
                }
            }
        }
    }

    /// Tells workers that nobody waits for this job's results: what they hold of it was asked
    /// ahead, or the job was stopped. It only hastens what they would learn anyway.
    async fn say_over(&self) {
        let Ok(hint) = (Over { job: self.id }).encode() else { return };
        if let Err(error) = self.inner.options.broker.publish_fanout(Over::TOPIC, hint).await {
            tracing::warn!(%error, job = %self.id, "workers were not told that a job is over");
        }
    }

    async fn flush_evidence(&self, r: &mut Running) {
        while !r.rows.is_empty() {
            give(&self.evidence, &mut r.rows).await;
        }
    }
}

/// Hands rows to their writer. Cancel safe: they stay where they are until there is room.
async fn give(evidence: &Option<mpsc::Sender<Vec<EvidenceRow>>>, rows: &mut Vec<EvidenceRow>) {
    match evidence {
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
                    let describe = |(id, questions): &(u32, u32)| {
                        let (ask, key) = self.job.describe(*id);
                        TaskLookup { seq: *id, ask, questions: *questions, key }
                    };
                    let fresh = batch.lookups.iter().any(|(id, _)| self.job.round(*id) > 0);
                    let lookups = batch.lookups.iter().map(describe).collect();
                    self.outgoing.push_back(Outgoing { class: batch.class, lookups, fresh });
                }
            }
        }
    }

    fn accept(&mut self, results: Results) {
        let now = self.now();
        for mut result in results.results {
            let answer = std::mem::take(&mut result.answer);
            let event = Event::Result { lookup: result.seq, part: result.part, answer };
            // Late and repeated results are no evidence, and nobody waited for them.
            let Some(taken) = self.job.on_event(now, event, &mut self.actions) else { continue };
            let ask = self.job.ask_of(result.seq);
            let answered = taken.questions.iter().filter(|q| q.tries > 0 && !result.cached);
            answered.for_each(|q| self.serial.add(ask, q.rtt_us));
            self.figures.cached += if result.cached { taken.questions.len() as u64 } else { 0 };
            if self.keep_rows {
                let ask = &results.asks[usize::from(result.ask)];
                let round = self.job.round(result.seq);
                self.rows.push(row(&result, &taken, ask, &results.upstreams, &results.worker, round));
            }
        }
        self.carry_out();
    }
}

fn row(
    r: &LookupResult,
    taken: &Taken,
    ask: &kudzu_shared::wire::Ask,
    upstreams: &[String],
    worker: &str,
    round: u8,
) -> EvidenceRow {
    let question = |q: &kudzu_shared::outcome::Question| EvidenceQuestion {
        rtype: ask.types.get(usize::from(q.index)).map(|t| rtype::name(*t)),
        verdict: q.verdict.as_str(),
        tries: q.tries,
        rtt_us: q.rtt_us,
        upstream: upstreams.get(usize::from(q.upstream)).cloned().unwrap_or_default(),
    };
    EvidenceRow {
        source: ask.source.clone(),
        kind: r.key.kind().as_str(),
        key: kudzu_shared::escape::terminal(&r.key.to_string()).into_owned(),
        round,
        observed_at: rfc3339(r.observed_ms.div_euclid(1000)),
        cached: r.cached,
        worker: worker.into(),
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
        let candidates = rank::rank(&tree);
        let coverage = tree.coverage();
        progress.elapsed_ms = millis(r.started.elapsed());
        let state = if partial.is_some() { State::Partial } else { State::Complete };
        JobResult { state, partial, tree, candidates, coverage, progress, figures }
    };
    match tokio::task::spawn_blocking(compute).await {
        Ok(result) => Some(result),
        Err(error) => {
            tracing::error!(%error, "the result could not be computed");
            None
        }
    }
}
