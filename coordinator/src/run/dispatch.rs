//! From a batch to a task: the cache is asked first, hits never touch a queue.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use kudzu_shared::broker;
use kudzu_shared::cache::{Key, KeyPrefix, Partition, entry};
use kudzu_shared::metrics::{CacheAnswer, metrics};
use kudzu_shared::observable::ObservableRef;
use kudzu_shared::outcome::Part;
use kudzu_shared::source::Class;
use kudzu_shared::wire::{LookupResult, Results, StoredAnswer, Task, TaskLookup};
use tokio::sync::mpsc;

use super::flights::{Brought, Claims};
use super::{Arrived, Came, Inner, Origin, task_queue};
use crate::tree::rules::Rules;

/// Publishes that may wait for their confirm at a time.
const UNCONFIRMED: usize = 32;
/// Lookups of other jobs that are taken at a time.
const TOGETHER: usize = 256;

/// A batch on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// Which queue.
    pub class: Class,
    /// The lookups; `ask` is the plan's index.
    pub lookups: Vec<TaskLookup>,
    /// Whether the cache is passed by: a later round wants a new answer.
    pub fresh: bool,
}

/// What every task of a job says.
#[derive(Debug)]
pub struct Template {
    task: Task,
    prefixes: Vec<KeyPrefix>,
}

/// What one run of a job adds to its tasks.
#[derive(Debug)]
pub struct Run<'a> {
    /// Which take-over it is.
    pub epoch: u32,
    /// Where results go.
    pub reply_to: &'a str,
    /// When the job ends, milliseconds since 1970.
    pub deadline_ms: Option<i64>,
    /// The trace it belongs to.
    pub trace: Option<String>,
}

impl Template {
    /// For one run of a job.
    pub fn new(rules: &Rules, run: Run<'_>) -> Self {
        let spec = &rules.spec;
        let asks = rules.wire_asks();
        let prefixes = asks
            .iter()
            .zip(&rules.asks)
            .map(|(ask, rule)| {
                let partition =
                    Partition::of(&spec.tenant, spec.policy.tlp, rule.source.marking, rule.source.licensed);
                KeyPrefix::new(&partition, rule.source.digest, ask)
            })
            .collect();
        let task = Task {
            job: spec.id,
            epoch: run.epoch,
            reply_to: run.reply_to.into(),
            tenant: spec.tenant.clone(),
            tlp: spec.policy.tlp,
            pap: spec.policy.pap,
            deadline_ms: run.deadline_ms,
            trace: run.trace,
            looked_ms: None,
            asks,
            lookups: Vec::new(),
        };
        Self { task, prefixes }
    }

    /// The cache key of a lookup.
    pub fn key(&self, ask: u8, of: ObservableRef<'_>) -> Key {
        self.prefixes[usize::from(ask)].key(of)
    }

    /// Questions of one lookup.
    pub fn questions(&self, ask: u8) -> usize {
        self.task.asks.get(usize::from(ask)).map_or(0, |ask| ask.types.len().max(1))
    }

    /// A task of these lookups, with the asks it needs and no others.
    fn task(&self, mut lookups: Vec<TaskLookup>, looked_ms: Option<i64>) -> Task {
        let mut used: Vec<u8> = lookups.iter().map(|l| l.ask).collect();
        used.sort_unstable();
        used.dedup();
        for lookup in &mut lookups {
            // Both fit: there are at most MAX_ASKS asks.
            lookup.ask = used.binary_search(&lookup.ask).unwrap_or(0) as u8;
        }
        let asks = used.iter().map(|a| self.task.asks[usize::from(*a)].clone()).collect();
        Task { asks, lookups, looked_ms, ..self.task.clone() }
    }

    /// What is known, as a worker would say it.
    fn results(&self, known: Vec<(TaskLookup, StoredAnswer)>) -> Results {
        let mut upstreams: Vec<String> = Vec::new();
        let result = |(lookup, stored): (TaskLookup, StoredAnswer)| {
            let StoredAnswer { observed_ms, upstreams: names, mut answer, .. } = stored;
            let mut place = |name: String| {
                let known = upstreams.iter().position(|n| *n == name);
                known.unwrap_or_else(|| {
                    upstreams.push(name);
                    upstreams.len() - 1
                })
            };
            let places: Vec<usize> = names.into_iter().map(&mut place).collect();
            for question in &mut answer.questions {
                let at = places.get(usize::from(question.upstream)).copied();
                question.upstream = at.and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX);
            }
            let TaskLookup { seq, ask, key, .. } = lookup;
            LookupResult { seq, ask, key, observed_ms, cached: true, part: Part::WHOLE, answer }
        };
        let results = known.into_iter().map(result).collect();
        let Task { job, epoch, asks, .. } = &self.task;
        let (job, epoch, worker, asks) = (*job, *epoch, "cache".into(), asks.clone());
        Results { job, epoch, worker, asks, upstreams, results }
    }
}

/// A lookup that another job asks, and what that one brings.
type Waiting = BoxFuture<'static, (Class, TaskLookup, Brought)>;

/// What sends a job's batches.
pub struct Dispatcher {
    /// The coordinator.
    pub inner: Arc<Inner>,
    /// What tasks say.
    pub template: Arc<Template>,
    /// The job's lookups on their way.
    pub claims: Arc<Claims>,
    /// Where hits come back.
    pub inbox: mpsc::Sender<Arrived>,
    /// Whether what comes back is journaled.
    pub journaled: bool,
    /// Whether failures that others have settled are asked again.
    pub anew: bool,
}

impl Dispatcher {
    /// Sends batches until the job drops its end. Not cancel safe: what it holds is not asked.
    pub async fn run(self, mut batches: mpsc::Receiver<Outgoing>) {
        let mut sending = FuturesUnordered::new();
        let mut waiting: FuturesUnordered<Waiting> = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased; // As in the runner: the same seed gives the same trace.
                Some(more) = sending.next(), if !sending.is_empty() => waiting.extend(more),
                Some(came) = waiting.next(), if !waiting.is_empty() && sending.len() < UNCONFIRMED => {
                    let mut all = vec![came];
                    while all.len() < TOGETHER && let Some(Some(came)) = waiting.next().now_or_never() {
                        all.push(came);
                    }
                    let ask = self.take(all).await;
                    sending.extend(ask.into_iter().map(|batch| self.send(batch)));
                }
                batch = batches.recv(), if sending.len() < UNCONFIRMED => match batch {
                    Some(batch) => sending.push(self.send(batch)),
                    None => break,
                },
            }
        }
        while sending.next().await.is_some() {}
    }

    /// Hands the job what others brought; gives what they did not bring.
    async fn take(&self, all: Vec<(Class, TaskLookup, Brought)>) -> Vec<Outgoing> {
        let mut ask: Vec<Outgoing> = Vec::new();
        let mut shared = Vec::new();
        for (class, lookup, brought) in all {
            if let Some(stored) = brought {
                shared.push((lookup, stored));
            } else if let Some(batch) = ask.iter_mut().find(|b| b.class == class) {
                batch.lookups.push(lookup);
            } else {
                ask.push(Outgoing { class, lookups: vec![lookup], fresh: false });
            }
        }
        count("shared", shared.len());
        self.hand(shared, Origin::Shared).await;
        ask
    }

    /// Sends one batch; gives the lookups that other jobs have on their way.
    async fn send(&self, batch: Outgoing) -> Vec<Waiting> {
        let now = self.inner.options.clock.now_ms();
        let (misses, waiting, looked) = match batch.fresh {
            true => (batch.lookups, Vec::new(), None),
            false => {
                let (misses, waiting) = self.cached(batch.class, batch.lookups).await;
                (misses, waiting, Some(now))
            }
        };
        if misses.is_empty() {
            return waiting;
        }
        let task = self.template.task(misses, looked);
        // 256 lookups of at most 255 octets fit.
        let published = match task.encode() {
            Ok(message) => self.inner.options.broker.publish(task_queue(batch.class), message).await,
            Err(error) => {
                tracing::error!(%error, "a task cannot be encoded");
                Err(broker::Error::Closed)
            }
        };
        if let Err(error) = published {
            // The job's re-dispatch timer brings its lookups back; others need not wait for it.
            tracing::warn!(%error, "a task was not published");
            task.lookups.iter().for_each(|lookup| self.claims.came(lookup.seq, || None));
        }
        waiting
    }

    /// Answers from the cache; returns what it does not know, apart from that what others ask.
    async fn cached(&self, class: Class, lookups: Vec<TaskLookup>) -> (Vec<TaskLookup>, Vec<Waiting>) {
        let keys: Vec<Key> = lookups.iter().map(|l| self.template.key(l.ask, l.key.as_ref())).collect();
        let entries = self.inner.options.cache.get(&keys).await;
        let (mut hits, mut misses, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for ((lookup, found), key) in lookups.into_iter().zip(entries).zip(keys) {
            let stored = found.and_then(|bytes| entry::decode(&bytes));
            if let Some(stored) = stored.filter(|stored| !(stored.settled && self.anew)) {
                hits.push((lookup, stored));
                continue;
            }
            // What a worker has at hand is not worth waiting for.
            let claim = (class != Class::Local).then(|| self.claims.claim(lookup.seq, &key));
            match claim.flatten() {
                Some(told) => {
                    let told = told.map(move |brought| (class, lookup, brought.ok().flatten()));
                    waiting.push(told.boxed());
                }
                None => misses.push(lookup),
            }
        }
        count("hit", hits.len());
        count("miss", misses.len() + waiting.len());
        self.hand(hits, Origin::Cache).await;
        (misses, waiting)
    }

    /// Hands the job answers that nobody asked for it.
    async fn hand(&self, known: Vec<(TaskLookup, StoredAnswer)>, origin: Origin) {
        let (settled, other): (Vec<_>, Vec<_>) = known.into_iter().partition(|(_, stored)| stored.settled);
        for (settled, some) in [(true, settled), (false, other)] {
            if some.is_empty() {
                continue;
            }
            let results = self.template.results(some);
            // Made here, beside the job's own work; what is settled gets other tickets first.
            let message = (self.journaled && !settled).then(|| results.encode().ok()).flatten();
            let arrived = Arrived::Known(Came { results, message, settled, origin });
            let _ = self.inbox.send(arrived).await; // The job has ended: nobody wants it.
        }
    }
}

fn count(answer: &'static str, n: usize) {
    metrics().cache.get_or_create(&CacheAnswer { answer }).inc_by(n as u64);
}
