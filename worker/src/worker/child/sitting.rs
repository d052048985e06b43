//! One batch of lookups in one child: what came is passed on, and what is left is told.

use std::future::pending;
use std::time::Duration;

use kudzu_shared::outcome::{Answer, Part};
use kudzu_shared::wire::{LookupResult, Results, Task, TaskLookup};
use tokio::time::Instant;

use super::frame::{self, Frame};
use super::{Death, Process};
use crate::worker::cacher::Entry;
use crate::worker::stats::add;
use crate::worker::task::{Open, Run};

/// How much later than the job's deadline a child is killed: it keeps the deadline itself.
const GRACE: Duration = Duration::from_secs(2);
/// How long a child may take to say that it is done, after the last result.
const LAST: Duration = Duration::from_secs(5);
/// Octets of the messages that one answer may come in.
const MAX_ANSWER: usize = 64 << 20;

/// How it ended.
pub(super) enum Ended {
    /// Every lookup has; the child can take another task.
    Done(Box<Process>),
    /// Nobody waits for them.
    Gone,
    /// The job's time is up.
    Late,
    /// The child is dead.
    Died(Death),
}

/// What is wrong with what a child says.
type Garbage = &'static str;

struct Sitting<'a> {
    run: &'a Run,
    /// The child knows a lookup by its place here.
    open: Vec<Option<Open>>,
    left: usize,
    /// An answer whose parts have not all come, and the octets of those that have.
    partial: Option<(LookupResult, usize)>,
}

/// Has a child look up; gives the lookups without a result. Cancel safe as a task is: the child
/// goes with it.
pub(super) async fn sit(
    run: &Run,
    mut process: Box<Process>,
    task: &Task,
    batch: Vec<Open>,
    silence: Duration,
) -> (Vec<Open>, Ended) {
    let left = batch.len();
    let mut sitting = Sitting { run, open: batch.into_iter().map(Some).collect(), left, partial: None };
    let ended = tokio::select! {
        ended = sitting.talk(&mut process, task, silence) => ended,
        () = run.held.gone() => Err(Ended::Gone),
        () = late(run.end) => Err(Ended::Late),
    };
    let ended = match ended {
        Ok(Over::Done) => Ended::Done(process),
        Ok(Over::Ended) => Ended::Died(process.ended().await),
        Ok(Over::Killed(why)) => Ended::Died(process.killed(why).await),
        Err(ended) => ended,
    };
    (sitting.open.into_iter().flatten().collect(), ended)
}

async fn late(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end + GRACE).await,
        None => pending().await,
    }
}

/// How a talk ended.
enum Over {
    /// With its last word.
    Done,
    /// The child says nothing more.
    Ended,
    /// It is to be killed, and why.
    Killed(String),
}

impl Sitting<'_> {
    /// Not cancel safe: the child cannot be talked to afterwards.
    async fn talk(&mut self, process: &mut Process, task: &Task, silence: Duration) -> Result<Over, Ended> {
        let told = match self.task(task).encode() {
            Ok(message) => Frame::Task(message),
            // It is no larger than the one that came.
            Err(error) => return Err(Ended::Died(Death::Start(format!("the task cannot be told: {error}")))),
        };
        let child = process.id();
        tracing::debug!(child, lookups = self.left, "a task that came again");
        match tokio::time::timeout(silence, process.write(&told)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Ok(Over::Ended),
            Err(_) => return Ok(Over::Killed("it does not listen".into())),
        }
        loop {
            let patience = if self.left == 0 { LAST.min(silence) } else { silence };
            let frame = match tokio::time::timeout(patience, process.read()).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(frame::Error::Ended(_))) => return Ok(Over::Ended),
                Ok(Err(error @ frame::Error::Garbage(_))) => return Ok(Over::Killed(error.to_string())),
                Err(_) => return Ok(Over::Killed(format!("it was silent for {patience:?}"))),
            };
            match frame {
                Frame::Results(message) => match self.results(&message) {
                    Ok(done) => self.run.report(done).await,
                    Err(why) => return Ok(Over::Killed(format!("its results are garbage: {why}"))),
                },
                Frame::Entry { key, value, keep } => self.keep(Entry::Put(key, value, keep)),
                Frame::Alive => {}
                Frame::Done if self.left == 0 => {
                    process.done += 1;
                    return Ok(Over::Done);
                }
                Frame::Done => {
                    let why = format!("it left {} lookups out", self.left);
                    return Err(Ended::Died(Death::Start(why)));
                }
                Frame::Task(_) | Frame::Ready => {
                    return Ok(Over::Killed("it says what it has no reason to".into()));
                }
            }
        }
    }

    /// The task of the open lookups.
    fn task(&self, task: &Task) -> Task {
        let lookup = |(seq, open): (u32, &Option<Open>)| {
            let Open { ask, wanted, key, .. } = open.as_ref()?;
            Some(TaskLookup { seq, ask: *ask, questions: *wanted, key: key.clone() })
        };
        Task { lookups: (0..).zip(&self.open).filter_map(lookup).collect(), ..task.clone() }
    }

    /// Only entries of these lookups go to the cache.
    fn keep(&self, entry: Entry) {
        let Entry::Put(key, ..) = &entry else { return };
        if self.open.iter().flatten().any(|lookup| lookup.cache_key == *key)
            && self.run.context.entries.try_send(entry).is_err()
        {
            add(&self.run.context.stats.uncached, 1);
        }
    }

    /// Results of whole answers, as this worker's own.
    fn results(&mut self, message: &[u8]) -> Result<Vec<LookupResult>, Garbage> {
        let said = Results::decode(message).map_err(|_| "they cannot be read")?;
        let held = &self.run.held;
        if (said.job, said.epoch) != (held.job, held.epoch) {
            return Err("of another job");
        }
        let upstreams = &self.run.context.upstreams;
        let ids: Vec<u16> = said.upstreams.iter().map(|name| upstreams.of_name(name)).collect();
        let mut done = Vec::with_capacity(said.results.len());
        for mut result in said.results {
            for question in &mut result.answer.questions {
                question.upstream = *ids.get(usize::from(question.upstream)).ok_or("of no upstream")?;
            }
            let ask = said.asks.get(usize::from(result.ask));
            let Some(whole) = self.whole(result, message.len())? else { continue };
            let place = usize::try_from(whole.seq).unwrap_or(usize::MAX);
            let slot = self.open.get_mut(place).ok_or("of no lookup")?;
            let mine = |l: &Open| l.key == whole.key && held.asks.get(usize::from(l.ask)) == ask;
            let lookup = slot.take_if(|l| mine(l)).ok_or("of no open lookup")?;
            self.left -= 1;
            done.push(LookupResult { seq: lookup.seq, ask: lookup.ask, ..whole });
        }
        Ok(done)
    }

    /// An answer once it is whole; its parts come one after the other.
    fn whole(&mut self, result: LookupResult, octets: usize) -> Result<Option<LookupResult>, Garbage> {
        let Part { sending, index, of } = result.part;
        let (mut whole, octets) = match self.partial.take() {
            None if index == 0 => (result, octets),
            Some((mut whole, before))
                if (whole.seq, whole.part.sending, whole.part.of) == (result.seq, sending, of)
                    && whole.part.index.checked_add(1) == Some(index) =>
            {
                let Answer { questions, pairs, facts, totals } = result.answer;
                whole.answer.questions.extend(questions);
                whole.answer.pairs.extend(pairs);
                whole.answer.facts.extend(facts);
                whole.answer.totals.extend(totals);
                whole.part = result.part;
                (whole, before + octets)
            }
            None | Some(_) => return Err("parts are out of order"),
        };
        if octets > MAX_ANSWER {
            return Err("an answer has no end");
        }
        if u32::from(index) + 1 < u32::from(of) {
            self.partial = Some((whole, octets));
            return Ok(None);
        }
        whole.part = Part::WHOLE;
        Ok(Some(whole))
    }
}
