//! Sends results: gathered over all tasks of one reply queue, every 256 or after a short
//! time, so that one slow name holds back nothing and messages stay few.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kudzu_shared::broker::{self, Broker};
use kudzu_shared::job::JobId;
use kudzu_shared::metrics::metrics;
use kudzu_shared::wire::{Ask, LookupResult, Results};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::encode::encode;
use super::settle::Held;
use super::stats::{Stats, add};
use super::upstreams::Upstreams;

/// Results in one message.
const FULL: usize = 256;
/// Messages on their way at a time.
const IN_FLIGHT: usize = 8;
/// Asks that one message can refer to.
const MAX_ASKS: usize = 255;

/// Results of one task. Questions refer to upstreams by the worker's numbers.
pub(super) struct Report {
    pub(super) task: Arc<Held>,
    pub(super) results: Vec<LookupResult>,
}

pub(super) struct Reporter {
    pub(super) worker: String,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) linger: Duration,
    pub(super) stats: Arc<Stats>,
    /// Numbers what is sent, from a random start: no other worker uses the same.
    pub(super) sendings: AtomicU64,
}

type Address = (String, JobId, u32);

/// Results for one reply queue.
#[derive(Default)]
pub(super) struct Group {
    asks: Vec<Ask>,
    upstreams: Vec<u16>,
    results: Vec<LookupResult>,
    tasks: Shares,
    due: Option<Instant>,
}

/// Tasks, and how many of their results.
type Shares = Vec<(Arc<Held>, usize)>;

type Sent = (Shares, Result<usize, broker::Error>);

impl Reporter {
    /// Sends until the last sender is gone and everything is confirmed.
    pub(super) async fn run(self, mut reports: mpsc::Receiver<Report>) {
        let mut groups: HashMap<Address, Group> = HashMap::new();
        let mut flights: FuturesUnordered<BoxFuture<'static, Sent>> = FuturesUnordered::new();
        loop {
            let due = groups.values().filter_map(|g| g.due).min();
            let room = flights.len() < IN_FLIGHT;
            let timer = tokio::time::sleep_until(due.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                Some(sent) = flights.next(), if !flights.is_empty() => self.sent(sent),
                report = reports.recv(), if room => match report {
                    Some(report) => self.gather(report, &mut groups, &mut flights),
                    None => break,
                },
                () = timer, if room && due.is_some() => self.flush_due(&mut groups, &mut flights),
            }
        }
        for (address, group) in groups.drain() {
            flights.push(self.send(address, group));
        }
        while let Some(sent) = flights.next().await {
            self.sent(sent);
        }
    }

    fn gather(
        &self,
        report: Report,
        groups: &mut HashMap<Address, Group>,
        flights: &mut FuturesUnordered<BoxFuture<'static, Sent>>,
    ) {
        let Report { task, results } = report;
        let address = (task.reply_to.clone(), task.job, task.epoch);
        let group = groups.entry(address.clone()).or_default();
        group.due.get_or_insert_with(|| Instant::now() + self.linger);
        for result in results {
            group.push(&task, result);
            if group.results.len() >= FULL || group.asks.len() >= MAX_ASKS {
                let due = Some(Instant::now() + self.linger);
                let full = std::mem::replace(group, Group { due, ..Group::default() });
                flights.push(self.send(address.clone(), full));
            }
        }
        if group.results.is_empty() {
            groups.remove(&address);
        }
    }

    fn flush_due(
        &self,
        groups: &mut HashMap<Address, Group>,
        flights: &mut FuturesUnordered<BoxFuture<'static, Sent>>,
    ) {
        let now = Instant::now();
        let due: Vec<Address> =
            groups.iter().filter(|(_, g)| g.due.is_some_and(|d| d <= now)).map(|(a, _)| a.clone()).collect();
        for address in due {
            if let Some(group) = groups.remove(&address) {
                flights.push(self.send(address, group));
            }
        }
    }

    /// Publishes a group, its parts one after the other.
    fn send(&self, (reply_to, job, epoch): Address, group: Group) -> BoxFuture<'static, Sent> {
        let (whole, tasks) = group.results((job, epoch, self.worker.clone()), &self.upstreams);
        let (broker, stats) = (Arc::clone(&self.broker), Arc::clone(&self.stats));
        let sending = self.sendings.fetch_add(1, Relaxed);
        Box::pin(async move {
            let n = whole.results.len();
            let messages = match encode(whole, sending) {
                Ok(messages) => messages,
                Err(error) => {
                    tracing::error!(%error, results = n, "results cannot be encoded; their task comes again");
                    return (tasks, Err(broker::Error::Closed));
                }
            };
            for message in messages {
                add(&stats.messages, 1);
                if let Err(error) = broker.publish(&reply_to, message).await {
                    return (tasks, Err(error));
                }
            }
            (tasks, Ok(n))
        })
    }

    fn sent(&self, (tasks, outcome): Sent) {
        for (task, n) in tasks {
            match &outcome {
                Ok(_) => task.confirmed(n),
                Err(broker::Error::Unroutable(_)) => {
                    add(&self.stats.unroutable, n);
                    metrics().unroutable.inc_by(n as u64);
                    task.unwanted();
                }
                Err(error) => {
                    tracing::warn!(%error, "results were not taken; their task comes again");
                    task.give_back();
                }
            }
        }
    }
}

impl Group {
    /// What a message says, and whose results it has.
    pub(super) fn results(
        self,
        (job, epoch, worker): (JobId, u32, String),
        names: &Upstreams,
    ) -> (Results, Shares) {
        let Group { asks, upstreams, results, tasks, due: _ } = self;
        let upstreams = upstreams.into_iter().map(|id| names.name(id)).collect();
        (Results { job, epoch, worker, asks, upstreams, results }, tasks)
    }

    pub(super) fn push(&mut self, task: &Arc<Held>, mut result: LookupResult) {
        if let Some(ask) = task.asks.get(usize::from(result.ask)) {
            result.ask = index(&mut self.asks, ask);
        }
        for question in &mut result.answer.questions {
            let at = self.upstreams.iter().position(|u| *u == question.upstream);
            let at = at.unwrap_or_else(|| {
                self.upstreams.push(question.upstream);
                self.upstreams.len() - 1
            });
            // There are no more of them than numbers.
            question.upstream = u16::try_from(at).unwrap_or(u16::MAX);
        }
        self.results.push(result);
        match self.tasks.iter_mut().rev().find(|(t, _)| Arc::ptr_eq(t, task)) {
            Some((_, n)) => *n += 1,
            None => self.tasks.push((Arc::clone(task), 1)),
        }
    }
}

fn index(asks: &mut Vec<Ask>, ask: &Ask) -> u8 {
    let at = asks.iter().position(|a| a == ask).unwrap_or_else(|| {
        asks.push(ask.clone());
        asks.len() - 1
    });
    // A group is sent before it has more.
    u8::try_from(at).unwrap_or(u8::MAX)
}
