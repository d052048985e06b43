//! What a cluster uses while it works: processor time, memory, descriptors and threads of each
//! process, four times a second.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kudzu_simnet::Stats;

use crate::internet::{Counter, THREADS};
use crate::process::{self, Ids, Stat, Table};

/// How often is looked.
pub const EVERY: Duration = Duration::from_millis(250);
/// Looks after which the children of all processes are looked for again.
const CHILDREN: u32 = 4;
/// Under which the simulated internet goes: threads of this process.
pub const INTERNET: &str = "simnet";
/// Under which this process goes, the simulated internet left out.
pub const SELF: &str = "loadtest";

/// What a process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Its id; another one where it was started again.
    pub id: u32,
    /// Seconds of processor time since it was first seen; those before a restart count.
    pub cpu_s: f64,
    /// Octets of memory.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

/// One look.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Seconds since the start.
    pub at_s: f64,
    /// By process.
    pub usage: BTreeMap<String, Usage>,
    /// What the simulated internet was asked so far.
    pub asked: Stats,
    /// Whether there is one: else nobody knows.
    pub counts: bool,
    /// Jobs that were due and have not ended.
    pub jobs: i64,
    /// Questions that their coordinators had outstanding when they last said so.
    pub outstanding: i64,
}

/// What whoever drives the cluster knows at any time.
#[derive(Debug, Default)]
pub struct Live {
    /// Jobs that were due and have not ended.
    pub jobs: AtomicI64,
    /// Questions outstanding.
    pub outstanding: AtomicI64,
}

/// Looks at processes.
#[derive(Debug)]
struct Watch {
    start: Instant,
    ids: Ids,
    counter: Option<Counter>,
    live: Arc<Live>,
    tick_s: f64,
    page: u64,
    looks: u32,
    children: BTreeMap<u32, Vec<u32>>,
    /// Of processes that were started again: what the ones before used, and what this one has.
    spent: BTreeMap<String, Spent>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    id: u32,
    before: u64,
    now: u64,
}

/// Looks regularly, until it is finished or dropped.
#[derive(Debug)]
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    watch: Mutex<(Watch, Vec<Sample>)>,
    stop: AtomicBool,
}

impl Spent {
    /// Ticks since the process was first seen, given those of the one that runs.
    fn total(&mut self, id: u32, ticks: u64) -> u64 {
        if self.id != id {
            *self = Self { id, before: self.before + self.now, now: 0 };
        }
        // A child that is looked at just as it ends may be missing for one look.
        self.now = self.now.max(ticks);
        self.before + self.now
    }
}

impl Watch {
    fn look(&mut self) -> Sample {
        if self.looks.is_multiple_of(CHILDREN) {
            let table = Table::read();
            self.children = self.ids.all().iter().map(|(_, id)| (*id, table.below(*id))).collect();
        }
        self.looks += 1;
        let at_s = self.start.elapsed().as_secs_f64();
        let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
        for (name, id) in self.ids.all() {
            if let Some(used) = self.usage(&name, id, |stat| stat.own + stat.waited) {
                usage.insert(name, used);
            }
        }
        let internet = process::ticks_of_threads(THREADS);
        // What it has waited for is the cluster itself.
        if let Some(me) = self.usage(SELF, std::process::id(), |stat| stat.own) {
            let cpu_s = internet as f64 * self.tick_s;
            usage.insert(SELF.into(), Usage { cpu_s: me.cpu_s - cpu_s, ..me });
            if self.counter.is_some() {
                usage.insert(INTERNET.into(), Usage { id: me.id, cpu_s, ..Usage::default() });
            }
        }
        Sample {
            at_s,
            usage,
            asked: self.counter.as_ref().map(Counter::asked).unwrap_or_default(),
            counts: self.counter.is_some(),
            jobs: self.live.jobs.load(Relaxed),
            outstanding: self.live.outstanding.load(Relaxed),
        }
    }

    fn usage(&mut self, name: &str, id: u32, ticks: fn(&Stat) -> u64) -> Option<Usage> {
        let own = Stat::read(&process::folder(id))?;
        let children = self.children.get(&id).into_iter().flatten();
        let children: Vec<Stat> = children.filter_map(|id| Stat::read(&process::folder(*id))).collect();
        let all = || children.iter().chain([&own]);
        let spent = self.spent.entry(name.to_owned()).or_default();
        let ticks = spent.total(id, all().map(ticks).sum());
        Some(Usage {
            id,
            cpu_s: ticks as f64 * self.tick_s,
            memory: all().map(|s| s.pages).sum::<u64>() * self.page,
            descriptors: process::descriptors(id),
            threads: all().map(|s| s.threads).sum(),
        })
    }
}

impl Sampler {
    /// Starts to look; times count from `start`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        start: Instant,
        ids: Ids,
        counter: Option<Counter>,
        live: Arc<Live>,
    ) -> anyhow::Result<Self> {
        let watch = Watch {
            start,
            ids,
            counter,
            live,
            tick_s: 1.0 / rustix::param::clock_ticks_per_second() as f64,
            page: rustix::param::page_size() as u64,
            looks: 0,
            children: BTreeMap::new(),
            spent: BTreeMap::new(),
        };
        let shared =
            Arc::new(Shared { watch: Mutex::new((watch, Vec::new())), stop: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        // A thread, not a task: a busy runtime would be late.
        let thread = std::thread::Builder::new().name("sampler".into()).spawn(move || theirs.run());
        Ok(Self { shared, thread: Some(thread.context("start the thread that samples")?) })
    }

    /// Looks now, besides.
    pub fn now(&self) -> Sample {
        self.shared.look()
    }

    /// Everything that was seen.
    pub fn finish(mut self) -> Vec<Sample> {
        self.end();
        let mut watch = self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut watch.1)
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does not panic; if it did, what it saw before is there all the same.
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn look(&self) -> Sample {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = watch.0.look();
        watch.1.push(sample.clone());
        sample
    }

    fn run(&self) {
        let mut due = Instant::now();
        while !self.stop.load(Relaxed) {
            self.look();
            due += EVERY;
            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
            // What was missed is missed.
            due = due.max(Instant::now() - EVERY);
        }
    }
}

/// The kind of a process: `worker` of `worker-2`.
pub fn kind(name: &str) -> &str {
    name.split_once('-').map_or(name, |(kind, _)| kind)
}

impl Sample {
    /// Sums a figure over the processes of each kind.
    pub fn by_kind(&self, figure: impl Fn(&Usage) -> f64) -> BTreeMap<String, f64> {
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (name, usage) in &self.usage {
            *sums.entry(kind(name).to_owned()).or_default() += figure(usage);
        }
        sums
    }
}

/// At most about so many of them, evenly, the first and the last among them.
pub fn thin<T>(all: &[T], most: usize) -> impl Iterator<Item = &T> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    let last = all.len().saturating_sub(1);
    all.iter().enumerate().filter(move |(at, _)| at % step == 0 || *at == last).map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_before_a_restart_counts() {
        let mut spent = Spent::default();
        assert_eq!([spent.total(7, 10), spent.total(7, 30), spent.total(7, 20)], [10, 30, 30]);
        assert_eq!([spent.total(8, 0), spent.total(8, 5)], [30, 35]);
    }

    #[test]
    fn kinds_are_summed() {
        let of = |memory| Usage { memory, ..Usage::default() };
        let usage = [("worker-1", of(3)), ("worker-2", of(4)), ("redis", of(5))];
        let usage = usage.map(|(name, usage)| (name.to_owned(), usage)).into();
        let sums = Sample { usage, ..Sample::default() }.by_kind(|u| u.memory as f64);
        assert_eq!(sums, [("redis".to_owned(), 5.0), ("worker".to_owned(), 7.0)].into());
    }

    #[test]
    fn a_long_run_is_thinned() {
        let all: Vec<u32> = (0..1_001).collect();
        let few: Vec<u32> = thin(&all, 100).copied().collect();
        assert!(few.len() <= 102 && few[0] == 0 && few.last() == Some(&1_000), "{}", few.len());
        assert_eq!(thin(&all[..3], 100).count(), 3);
    }

    #[test]
    fn it_looks_by_itself_and_when_asked() {
        let live = Arc::new(Live::default());
        live.jobs.store(3, Relaxed);
        let sampler = Sampler::start(Instant::now(), Ids::default(), None, live).unwrap();
        let sample = sampler.now();
        assert!(sample.jobs == 3 && sample.usage[SELF].memory > 0, "{sample:?}");
        assert!(!sample.usage.contains_key(INTERNET));
        assert!(!sampler.finish().is_empty());
    }
}
