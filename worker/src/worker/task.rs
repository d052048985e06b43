//! One task: what is forbidden, cached or unknown is answered at once, the rest is asked.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::broker::{self, Delivery, Settle};
use kudzu_shared::cache::{Key, KeyPrefix, Partition, entry, ttl};
use kudzu_shared::marking::Tlp;
use kudzu_shared::metrics::{CacheAnswer, Message, metrics};
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{Answer, Part, Question, Verdict};
use kudzu_shared::source::Class;
use kudzu_shared::trace::Span;
use kudzu_shared::wire::{Ask, LookupResult, Results, StoredAnswer, Task, TaskLookup};
use tokio::time::Instant;

use super::cacher::Entry;
use super::flight::{self, Flight};
use super::reporter::Report;
use super::settle::Held;
use super::stats::add;
use super::{Context, child, dns, local, web};
use crate::sources::{Asked, Found, Source, Work};

/// Milliseconds in which what the coordinator saw in the cache is believed: little comes there
/// meanwhile that it does not know of, for it holds back what it has asked.
const LOOKED: i64 = 250;
/// How long it may take to learn whether somebody waits for results.
const ASKED: Duration = Duration::from_secs(1);

/// A lookup that is to be asked.
pub(super) struct Open {
    pub(super) seq: u32,
    pub(super) ask: u8,
    pub(super) wanted: u32,
    pub(super) key: Observable,
    pub(super) cache_key: Key,
    pub(super) source: Arc<dyn Source>,
}

/// A source that may be asked, and the cache keys of one ask.
type Askable = (Arc<dyn Source>, KeyPrefix);

/// What the lookups of a task share.
pub(super) struct Run {
    pub(super) context: Arc<Context>,
    pub(super) held: Arc<Held>,
    /// When the job ends.
    pub(super) end: Option<Instant>,
    tlp: Tlp,
    pub(super) flight: Flight,
    /// Lookups whose results are with the reporter.
    reported: Mutex<Vec<u32>>,
}

/// Runs a task to its end; the reporter settles its delivery. Dropped before, the task is
/// delivered again.
pub(super) async fn run(context: Arc<Context>, class: Class, delivery: Delivery) {
    let Delivery { body, settle, redelivered, lost } = delivery;
    if redelivered {
        metrics().redelivered.get_or_create(&Message { kind: "task" }).inc();
    }
    let task = match Task::decode(&body) {
        Ok(task) if !task.lookups.is_empty() => task,
        Ok(_) => return settle.ack(),
        Err(error) => {
            // Nobody can be told: the coordinator's timer sends its lookups again.
            add(&context.stats.damaged, 1);
            let Some(broker) = &context.broker else { return };
            let delivery = Delivery { body, settle, redelivered, lost };
            return broker::park(&**broker, "task", super::queue(class), delivery, &error).await;
        }
    };
    let span = Span::task(&task, class, redelivered);
    span.run(look_up(context, class, task, body, (settle, redelivered))).await;
}

async fn look_up(
    context: Arc<Context>,
    class: Class,
    mut task: Task,
    body: Bytes,
    (settle, redelivered): (Box<dyn Settle>, bool),
) {
    add(&context.stats.tasks, 1);
    let left_ms = |at: i64| u64::try_from(at - context.clock.now_ms()).unwrap_or(0);
    let end = task.deadline_ms.map(|at| Instant::now() + Duration::from_millis(left_ms(at)));
    let held = Arc::new(Held::new(&task, settle, context.jobs.open(task.job, task.epoch)));
    let reported = Mutex::default();
    let run = Run { context, held, end, tlp: task.tlp, flight: Flight::new(class), reported };
    let lookups = std::mem::take(&mut task.lookups);
    run.context.wanted(&run.held).await;
    let open = if run.held.is_gone() { Vec::new() } else { run.admit(&task, redelivered, lookups).await };
    tracing::debug!(asked = open.len(), "a task");
    match &run.context.children {
        _ if open.is_empty() || run.held.is_gone() => {}
        // Whoever had it before may have died of it.
        Some(children) if redelivered => child::run(&run, children, &task, class, open).await,
        _ => tokio::select! {
            biased;
            () = run.ask(class, open) => {}
            () = tokio::time::sleep(run.context.hold) => run.pass_on(class, &body).await,
        },
    }
    if run.held.is_gone() {
        run.held.unwanted(); // Its job is over: nobody shall do it again.
    }
}

impl Context {
    /// Asks, once a job and take-over, whether somebody waits for its results: tasks may have
    /// waited for longer than their coordinator lived. Where nobody does, the task is gone.
    async fn wanted(&self, held: &Held) {
        let Some(broker) = self.broker.as_ref().filter(|_| !held.is_gone()) else { return };
        let ask = async {
            let (job, epoch, worker) = (held.job, held.epoch, String::new());
            let empty = Results { job, epoch, worker, asks: vec![], upstreams: vec![], results: vec![] };
            let Ok(message) = empty.encode() else { return };
            // Without an answer in time somebody may wait.
            let asked = tokio::time::timeout(ASKED, broker.publish(&held.reply_to, message)).await;
            if let Ok(Err(broker::Error::Unroutable(_))) = asked {
                tracing::debug!(%job, epoch, "nobody waits for the results of its tasks");
                self.jobs.end(job, epoch);
            }
        };
        tokio::select! {
            _ = held.of.asked.get_or_init(|| ask) => {}
            () = held.gone() => {}
        }
    }
}

impl Run {
    async fn ask(&self, class: Class, open: Vec<Open>) {
        match class {
            Class::Dns => dns::run(self, open).await,
            Class::Http => web::run(self, open).await,
            Class::Local => local::run(self, open).await,
        }
    }

    /// Held for long enough: what is left of it goes to the end of its queue. What was being
    /// asked is asked again.
    async fn pass_on(&self, class: Class, body: &[u8]) {
        let (Some(broker), Ok(mut task)) = (&self.context.broker, Task::decode(body)) else { return };
        let reported = std::mem::take(&mut *self.reported.lock().unwrap_or_else(PoisonError::into_inner));
        let reported: HashSet<u32> = reported.into_iter().collect();
        task.lookups.retain(|lookup| !reported.contains(&lookup.seq));
        let n = task.lookups.len();
        if n == 0 {
            return;
        }
        let published = match task.encode() {
            Ok(message) => broker.publish(super::queue(class), message).await,
            Err(_) => Err(broker::Error::Closed), // It was a message before.
        };
        match published {
            Ok(()) => self.held.confirmed(n),
            Err(error) => {
                tracing::warn!(%error, lookups = n, "what is left of a task is given back");
                self.held.give_back();
            }
        }
    }

    /// Answers what needs no asking; gives the rest.
    async fn admit(&self, task: &Task, redelivered: bool, lookups: Vec<TaskLookup>) -> Vec<Open> {
        let context = &self.context;
        let asks: Vec<Result<Askable, Verdict>> =
            task.asks.iter().map(|ask| self.source(task, ask)).collect();
        let late = self.end.is_some_and(|end| end <= Instant::now());
        let (mut open, mut done) = (Vec::with_capacity(lookups.len()), Vec::new());
        for lookup in lookups {
            let TaskLookup { seq, ask, questions: wanted, key } = lookup;
            let source = match &asks[usize::from(ask)] {
                Err(verdict) => Err(*verdict),
                Ok((s, _)) if !s.info().takes.contains(&key.kind()) => Err(Verdict::FormErr),
                Ok(_) if late => Err(Verdict::Deadline),
                Ok(found) => Ok(found),
            };
            match source {
                Err(verdict) => done.push(self.refuse(seq, ask, wanted, key, verdict)),
                Ok((source, prefix)) => {
                    let cache_key = prefix.key(key.as_ref());
                    open.push(Open { seq, ask, wanted, key, cache_key, source: Arc::clone(source) });
                }
            }
        }
        let age = task.looked_ms.map(|at| context.clock.now_ms() - at);
        if !redelivered && age.is_some_and(|age| (0..LOOKED).contains(&age)) {
            self.report(done).await;
            return open;
        }
        let keys: Vec<Key> = open.iter().map(|l| l.cache_key.clone()).collect();
        let values = context.cache.get(&keys).await;
        let mut misses = Vec::with_capacity(open.len());
        for (lookup, value) in open.into_iter().zip(values) {
            match value.and_then(|v| self.stored(&lookup, &v)) {
                Some(result) => done.push(result),
                None => misses.push(lookup),
            }
        }
        let count = |answer, n: usize| {
            metrics().cache.get_or_create(&CacheAnswer { answer }).inc_by(n as u64);
        };
        count("hit", keys.len() - misses.len());
        count("miss", misses.len());
        self.report(done).await;
        misses
    }

    /// The source of an ask and its cache keys; or why it is not asked (I5: the coordinator
    /// has looked before, and this looks again).
    fn source(&self, task: &Task, ask: &Ask) -> Result<Askable, Verdict> {
        let source = self.context.registry.get(&ask.source).ok_or(Verdict::Unconfigured)?;
        let info = source.info();
        if info.unavailable.is_some() {
            return Err(Verdict::Unconfigured);
        }
        if task.tlp > info.max_tlp || task.pap > info.contact.strictest_pap() {
            return Err(Verdict::Policy);
        }
        let partition = Partition::of(&task.tenant, task.tlp, info.marking, info.licensed);
        Ok((Arc::clone(source), KeyPrefix::new(&partition, info.digest, ask)))
    }

    fn refuse(&self, seq: u32, ask: u8, wanted: u32, key: Observable, verdict: Verdict) -> LookupResult {
        let types = self.held.asks.get(usize::from(ask)).map_or(0, |a| a.types.len());
        let upstream = self.context.upstreams.of_name("");
        let question = |index| Question { index, verdict, tries: 0, rtt_us: 0, upstream };
        let asked = (0..u8::try_from(types.clamp(1, 32)).unwrap_or(32)).filter(|i| wanted >> i & 1 == 1);
        let mut questions: Vec<Question> = asked.map(question).collect();
        // Without any question it would look empty, which it is not known to be.
        if questions.is_empty() {
            questions.push(question(0));
        }
        let answer = Answer { questions, ..Answer::default() };
        let observed_ms = self.context.clock.now_ms();
        LookupResult { seq, ask, key, observed_ms, cached: false, part: Part::WHOLE, answer }
    }

    /// The same for a lookup in hand.
    pub(super) fn refuse_open(&self, lookup: Open, verdict: Verdict) -> LookupResult {
        self.refuse(lookup.seq, lookup.ask, lookup.wanted, lookup.key, verdict)
    }

    /// A result from a cache entry, if it has every question that is wanted.
    pub(super) fn stored(&self, lookup: &Open, value: &[u8]) -> Option<LookupResult> {
        let StoredAnswer { observed_ms, upstreams, mut answer, settled } = entry::decode(value)?;
        if settled {
            return None; // Whoever asks all the same wants to know.
        }
        answer
            .questions
            .retain(|q| lookup.wanted.checked_shr(u32::from(q.index)).is_some_and(|b| b & 1 == 1));
        let wanted = self.asked(lookup).indices().count();
        if answer.questions.len() != wanted {
            return None;
        }
        let ids: Vec<u16> = upstreams.iter().map(|u| self.context.upstreams.of_name(u)).collect();
        for question in &mut answer.questions {
            question.upstream = *ids.get(usize::from(question.upstream))?;
        }
        add(&self.context.stats.cached, 1);
        self.mark(&mut answer);
        let (seq, ask, key) = (lookup.seq, lookup.ask, lookup.key.clone());
        Some(LookupResult { seq, ask, key, observed_ms, cached: true, part: Part::WHOLE, answer })
    }

    /// A lookup as its source sees it.
    pub(super) fn asked<'a>(&'a self, lookup: &'a Open) -> Asked<'a> {
        let ask = &self.held.asks[usize::from(lookup.ask)];
        Asked { key: &lookup.key, ask, questions: lookup.wanted }
    }

    /// The result of a lookup that was asked; goes to the cache as well.
    pub(super) fn finish(&self, lookup: Open, mut found: Found, questions: Vec<Question>) -> LookupResult {
        let asked = self.asked(&lookup);
        found.settle(asked.limit());
        let complete = questions.len() == asked.ask.types.len().max(1);
        let Found { mut pairs, facts, totals, ttl } = found;
        let marking = lookup.source.info().marking;
        pairs.iter_mut().for_each(|p| p.marking = p.marking.max(marking));
        let mut answer = Answer { questions, pairs, facts, totals };
        let observed_ms = self.context.clock.now_ms();
        if complete && !matches!(lookup.source.work(), Work::Local(_)) {
            answer = self.store(lookup.cache_key, observed_ms, answer, ttl);
        }
        self.mark(&mut answer);
        let (seq, ask, key) = (lookup.seq, lookup.ask, lookup.key);
        LookupResult { seq, ask, key, observed_ms, cached: false, part: Part::WHOLE, answer }
    }

    fn store(&self, key: Key, observed_ms: i64, mut answer: Answer, told: Option<Duration>) -> Answer {
        let Some(keep) = ttl::of_answer(&answer, told) else { return answer };
        let mut ids: Vec<u16> = Vec::new();
        let mine: Vec<u16> = answer.questions.iter().map(|q| q.upstream).collect();
        for question in &mut answer.questions {
            let at = ids.iter().position(|id| *id == question.upstream).unwrap_or_else(|| {
                ids.push(question.upstream);
                ids.len() - 1
            });
            question.upstream = u16::try_from(at).unwrap_or(u16::MAX);
        }
        let upstreams = ids.into_iter().map(|id| self.context.upstreams.name(id)).collect();
        let stored = StoredAnswer { observed_ms, upstreams, answer, settled: false };
        let sent =
            entry::encode(&stored).map(|value| self.context.entries.try_send(Entry::Put(key, value, keep)));
        if matches!(sent, Some(Err(_))) {
            add(&self.context.stats.uncached, 1);
        }
        let mut answer = stored.answer;
        answer.questions.iter_mut().zip(mine).for_each(|(q, id)| q.upstream = id);
        answer
    }

    /// The job's marking, where it is stricter, goes on whatever the job gets.
    fn mark(&self, answer: &mut Answer) {
        answer.pairs.iter_mut().for_each(|p| p.marking = p.marking.max(self.tlp));
    }

    /// Hands results to the reporter, and waits while it is behind.
    pub(super) async fn report(&self, results: Vec<LookupResult>) {
        if results.is_empty() {
            return;
        }
        add(&self.context.stats.lookups, results.len());
        flight::count(&results, &self.held.asks, &self.context.registry);
        self.flight.end(results.len());
        let mut seqs: Vec<u32> = results.iter().map(|r| r.seq).collect();
        let report = Report { task: Arc::clone(&self.held), results };
        // It ends after the last task only.
        let _ = self.context.reports.send(report).await;
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).append(&mut seqs);
    }
}

/// Runs a source's code; a panic costs its lookup only.
pub(super) fn guarded<T>(context: &Context, f: impl FnOnce() -> T) -> Result<T, Verdict> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).map_err(|_| {
        add(&context.stats.panicked, 1);
        Verdict::Panicked
    })
}
