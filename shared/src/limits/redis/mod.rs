//! Limits over all processes of a cluster, by Redis.
//!
//! The rate of an upstream is leased in blocks of a tenth of a second; a question of a block
//! has its own time, and goes then or shortly after, or not at all. A place (of the questions
//! open at a time) is leased under a name, kept for a while, and lapses with its process.
//! While Redis is away each process keeps to its last known share.

mod places;
mod scripts;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::lease::{BLOCK, LATE, LATEST, STRETCH};
use super::{LONGEST_PENALTY, Lease, Limit, Limiter, Memory, Permit};
use crate::redis::Redis as Connection;
use crate::task::{self, Task, lock};
use places::Places;

/// How long a lease is waited for by who has no time to wait: then Redis is as good as away.
const SLOW: Duration = Duration::from_millis(80);
/// How long a place is held without a word from its process, and how often there is one.
const HELD: Duration = Duration::from_secs(15);
const WORD: Duration = Duration::from_millis(500);
/// How often an upstream without a limit is looked up for a penalty that another process knows.
const LOOK: Duration = Duration::from_millis(200);
/// Upstreams known at a time; beyond it those that nobody uses are forgotten.
const UPSTREAMS: usize = 65_536;

/// The limiter of a cluster. Clones share it.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
    _task: Arc<Task<()>>,
}

struct Inner {
    redis: Connection,
    /// This process, in the names of its places.
    process: Uuid,
    upstreams: Mutex<HashMap<Box<str>, Arc<Upstream>>>,
    /// Places of this process, whoever gave them: Redis, when it comes or goes, does not know
    /// of those that are held without it.
    own: Memory,
    /// For when Redis is away.
    alone: Memory,
    /// How many processes there are, as last known.
    processes: AtomicU32,
}

struct Upstream {
    name: Box<str>,
    /// The strictest that anybody asked with.
    bounds: Mutex<(Option<Duration>, Option<u32>)>,
    places: Arc<Places>,
    /// Questions wait here; who has the turn holds the times that are leased.
    turn: Turn<VecDeque<Instant>>,
    waiting: AtomicUsize,
    penalised: Mutex<Penalty>,
}

#[derive(Default)]
struct Penalty {
    until: Option<Instant>,
    looked: Option<Instant>,
}

impl Redis {
    /// A limiter that shares its upstreams with all others on the same Redis.
    pub fn new(redis: Connection) -> Self {
        let inner = Arc::new(Inner {
            redis,
            process: Uuid::now_v7(),
            upstreams: Mutex::default(),
            own: Memory::new(),
            alone: Memory::new(),
            processes: AtomicU32::new(1),
        });
        let weak = Arc::downgrade(&inner);
        let task = task::spawn("limits", async move {
            while let Some(inner) = weak.upgrade() {
                inner.keep().await;
                drop(inner);
                tokio::time::sleep(WORD).await;
            }
        });
        Self { inner, _task: Arc::new(task) }
    }
}

impl Inner {
    fn upstream(&self, name: &str) -> Arc<Upstream> {
        let mut upstreams = lock(&self.upstreams);
        if let Some(known) = upstreams.get(name) {
            return Arc::clone(known);
        }
        if upstreams.len() >= UPSTREAMS {
            upstreams.retain(|_, u| !u.is_idle());
        }
        let upstream = Arc::new(Upstream {
            name: name.into(),
            bounds: Mutex::default(),
            places: Arc::new(Places::new(name, self.process)),
            turn: Turn::default(),
            waiting: AtomicUsize::new(0),
            penalised: Mutex::default(),
        });
        upstreams.insert(name.into(), Arc::clone(&upstream));
        upstream
    }

    /// Says that this process is there, and holds its places.
    async fn keep(&self) {
        let me = [self.process.to_string()];
        if let Some(all) = scripts::renew(&self.redis, "processes", HELD, &me).await {
            self.processes.store(u32::try_from(all).unwrap_or(1).max(1), Relaxed);
        }
        let all: Vec<Arc<Upstream>> = lock(&self.upstreams).values().cloned().collect();
        for upstream in all {
            upstream.places.keep(&self.redis, HELD).await;
        }
    }

    /// This process's share of a limit.
    fn share(&self, limit: &Limit) -> Limit {
        let n = self.processes.load(Relaxed).max(1);
        let concurrency = limit.concurrency.map(|all| (all / n).max(1));
        Limit::new(limit.rate_per_s.map(|rate| rate / f64::from(n)), concurrency)
    }
}

impl Upstream {
    fn tighten(&self, limit: &Limit) -> (Option<Duration>, Option<u32>) {
        let mut bounds = lock(&self.bounds);
        let rate = limit.rate_per_s.filter(|r| r.is_finite()).map(|r| r.max(1e-6));
        let interval = rate.map(|r| Duration::from_secs_f64(STRETCH / r));
        bounds.0 = bounds.0.max(interval);
        bounds.1 = [bounds.1, limit.concurrency.map(|c| c.max(1))].into_iter().flatten().min();
        self.places.allow(bounds.1);
        *bounds
    }

    fn penalise(&self, until: Instant) {
        let mut penalty = lock(&self.penalised);
        penalty.until = penalty.until.max(Some(until));
    }

    fn penalised_until(&self) -> Option<Instant> {
        lock(&self.penalised).until.filter(|at| *at > Instant::now())
    }

    fn is_idle(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.places.is_empty() && self.penalised_until().is_none()
    }

    /// Learns of a penalty that another process was given.
    async fn look(&self, redis: &Connection) {
        let due = {
            let mut penalty = lock(&self.penalised);
            let due = penalty.looked.is_none_or(|at| at.elapsed() >= LOOK);
            if due {
                penalty.looked = Some(Instant::now());
            }
            due
        };
        if due && let Some(left) = scripts::penalty(redis, &self.name).await {
            self.penalise(Instant::now() + left);
        }
    }

    /// Waits for the next question's time. False where Redis is away.
    async fn rate(&self, redis: &Connection, interval: Duration) -> bool {
        self.waiting.fetch_add(1, Relaxed);
        let _waits = Waits(&self.waiting);
        let mut leased = self.turn.lock().await;
        loop {
            if let Some(until) = self.penalised_until() {
                leased.clear();
                tokio::time::sleep_until(until).await;
            }
            let now = Instant::now();
            while leased.pop_front_if(|at| *at + LATE < now).is_some() {}
            if let Some(at) = leased.front() {
                // Taken only then: a wait that is given up takes nothing.
                tokio::time::sleep_until(*at).await;
                if self.penalised_until().is_none() {
                    leased.pop_front();
                    return true;
                }
                continue;
            }
            let wanted = self.waiting.load(Relaxed).max(1);
            let Some(grant) = scripts::grant(redis, &self.name, interval, BLOCK, wanted).await else {
                return false;
            };
            if !grant.penalty.is_zero() {
                self.penalise(Instant::now() + grant.penalty);
            } else if grant.questions == 0 {
                tokio::time::sleep(grant.wait).await;
            } else {
                // From now on, which is later than when Redis counted.
                let first = Instant::now() + grant.wait;
                leased.extend((0_u32..).zip(0..grant.questions).map(|(i, _)| first + interval * i));
            }
        }
    }

    /// Leases questions for who does not wait for them. `None` where Redis is away, or slow.
    async fn lease(&self, redis: &Connection, interval: Duration, wanted: u32) -> Option<Lease> {
        if let Some(until) = self.penalised_until() {
            return Some(Lease::none(until));
        }
        let wanted = usize::try_from(wanted.max(1)).unwrap_or(usize::MAX);
        let asked = Instant::now();
        let grant = scripts::grant(redis, &self.name, interval, BLOCK, wanted);
        let grant = timeout(SLOW, grant).await.ok()??;
        // From now on, which is later than when Redis counted: at most by the answer's way.
        let now = Instant::now();
        let first = now + grant.wait;
        if !grant.penalty.is_zero() {
            self.penalise(now + grant.penalty);
            return Some(Lease::none(first));
        }
        let late = LATE.min(LATEST.saturating_sub(now - asked));
        let questions = u32::try_from(grant.questions).unwrap_or(u32::MAX);
        Some(Lease { questions, first, interval, late })
    }
}

/// One who waits.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[async_trait]
impl Limiter for Redis {
    async fn acquire(&self, upstream: &str, limit: &Limit) -> Permit {
        let redis = &self.inner.redis;
        let upstream = self.inner.upstream(upstream);
        let (interval, places) = upstream.tighten(limit);
        // The place first: a question's time that then waits for a place would be lost.
        let place = match places {
            Some(_) => {
                let own = self.inner.own.acquire(&upstream.name, &Limit::new(None, places)).await;
                match upstream.places.take(redis, HELD).await {
                    Some(place) => Some((place, own)),
                    None => {
                        let alone = self.inner.alone.acquire(&upstream.name, &self.inner.share(limit)).await;
                        return Permit::holding((alone, own));
                    }
                }
            }
            None => None,
        };
        match interval {
            Some(interval) => {
                if !upstream.rate(redis, interval).await {
                    let share = Limit { concurrency: None, ..self.inner.share(limit) };
                    drop(self.inner.alone.acquire(&upstream.name, &share).await);
                }
            }
            None => {
                upstream.look(redis).await;
                while let Some(until) = upstream.penalised_until() {
                    tokio::time::sleep_until(until).await;
                }
            }
        }
        place.map_or(Permit::FREE, Permit::holding)
    }

    async fn lease(&self, upstream: &str, limit: &Limit, wanted: u32) -> Lease {
        let limit = Limit { concurrency: None, ..*limit };
        let upstream = self.inner.upstream(upstream);
        let (interval, _) = upstream.tighten(&limit);
        let leased = match interval {
            Some(interval) => upstream.lease(&self.inner.redis, interval, wanted).await,
            None => {
                upstream.look(&self.inner.redis).await;
                let free = || Lease::free(wanted.max(1), Instant::now());
                Some(upstream.penalised_until().map_or_else(free, Lease::none))
            }
        };
        match leased {
            Some(leased) => leased,
            None => {
                let share = Limit { burst: 1, ..self.inner.share(&limit) };
                self.inner.alone.lease(&upstream.name, &share, wanted).await
            }
        }
    }

    async fn penalise(&self, upstream: &str, until: Instant) {
        let until = until.min(Instant::now() + LONGEST_PENALTY);
        self.inner.upstream(upstream).penalise(until);
        self.inner.alone.penalise(upstream, until).await;
        scripts::penalise(&self.inner.redis, upstream, until.saturating_duration_since(Instant::now())).await;
    }

    fn penalised_until(&self, upstream: &str) -> Option<Instant> {
        let known = lock(&self.inner.upstreams).get(upstream).cloned()?;
        known.penalised_until()
    }
}
