//! From a batch to a task: the cache is asked first, hits never touch a queue.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kudzu_shared::broker;
use kudzu_shared::cache::{KeyPrefix, Partition, entry};
use kudzu_shared::metrics::{CacheAnswer, metrics};
use kudzu_shared::outcome::Part;
use kudzu_shared::source::Class;
use kudzu_shared::wire::{LookupResult, Results, Task, TaskLookup};
use tokio::sync::mpsc;

use super::{Arrived, Inner, task_queue};
use crate::tree::rules::Rules;

/// Publishes that may wait for their confirm at a time.
const UNCONFIRMED: usize = 32;

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
            asks,
            lookups: Vec::new(),
        };
        Self { task, prefixes }
    }

    /// A task of these lookups, with the asks it needs and no others.
    fn task(&self, mut lookups: Vec<TaskLookup>) -> Task {
        let mut used: Vec<u8> = lookups.iter().map(|l| l.ask).collect();
        used.sort_unstable();
        used.dedup();
        for lookup in &mut lookups {
            // Both fit: there are at most MAX_ASKS asks.
            lookup.ask = used.binary_search(&lookup.ask).unwrap_or(0) as u8;
        }
        let asks = used.iter().map(|a| self.task.asks[usize::from(*a)].clone()).collect();
        Task { asks, lookups, ..self.task.clone() }
    }
}

/// Sends a job's batches until the job drops its end. Hits come back through `inbox`.
pub async fn run(
    inner: Arc<Inner>,
    template: Arc<Template>,
    mut batches: mpsc::Receiver<Outgoing>,
    inbox: mpsc::Sender<Arrived>,
) {
    let mut sending = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased; // As in the runner: the same seed gives the same trace.
            Some(()) = sending.next(), if !sending.is_empty() => {}
            batch = batches.recv(), if sending.len() < UNCONFIRMED => match batch {
                Some(batch) => sending.push(send(&inner, &template, batch, &inbox)),
                None => break,
            },
        }
    }
    while sending.next().await.is_some() {}
}

async fn send(inner: &Inner, template: &Template, batch: Outgoing, inbox: &mpsc::Sender<Arrived>) {
    let misses =
        if batch.fresh { batch.lookups } else { cached(inner, template, batch.lookups, inbox).await };
    if misses.is_empty() {
        return;
    }
    let task = template.task(misses);
    let message = match task.encode() {
        Ok(message) => message,
        Err(error) => {
            // 256 lookups of at most 255 octets fit; the re-dispatch timer asks again.
            tracing::error!(%error, "a task cannot be encoded");
            return;
        }
    };
    match inner.options.broker.publish(task_queue(batch.class), message).await {
        Ok(()) => {}
        // The job's re-dispatch timer brings the lookups back.
        Err(error @ (broker::Error::Unroutable(_) | broker::Error::Closed)) => {
            tracing::warn!(%error, "a task was not published");
        }
        Err(error) => tracing::warn!(%error, "a task was not published"),
    }
}

/// Answers from the cache; returns what it does not know.
async fn cached(
    inner: &Inner,
    template: &Template,
    lookups: Vec<TaskLookup>,
    inbox: &mpsc::Sender<Arrived>,
) -> Vec<TaskLookup> {
    let keys: Vec<_> =
        lookups.iter().map(|l| template.prefixes[usize::from(l.ask)].key(l.key.as_ref())).collect();
    let entries = inner.options.cache.get(&keys).await;
    let mut misses = Vec::new();
    let asked = lookups.len();
    for (lookup, found) in lookups.into_iter().zip(entries) {
        let Some(stored) = found.and_then(|bytes| entry::decode(&bytes)) else {
            misses.push(lookup);
            continue;
        };
        let result = LookupResult {
            seq: lookup.seq,
            ask: 0,
            key: lookup.key,
            observed_ms: stored.observed_ms,
            cached: true,
            part: Part::WHOLE,
            answer: stored.answer,
        };
        let results = Results {
            job: template.task.job,
            epoch: template.task.epoch,
            worker: "cache".into(),
            asks: vec![template.task.asks[usize::from(lookup.ask)].clone()],
            upstreams: stored.upstreams,
            results: vec![result],
        };
        let _ = inbox.send(Arrived { results, message: None }).await; // The job has ended: nobody wants it.
    }
    let count = |answer, n| metrics().cache.get_or_create(&CacheAnswer { answer }).inc_by(n as u64);
    count("hit", asked - misses.len());
    count("miss", misses.len());
    misses
}
