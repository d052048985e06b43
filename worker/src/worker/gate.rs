//! The rates of resolvers over the whole cluster (I6). The engine's thread takes questions out
//! of blocks that a task of each resolver leases ahead, and never waits for who grants them.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kudzu_dns::Gate;
use kudzu_shared::limits::{BLOCK, Lease, Limit, Limiter};
use kudzu_shared::task::{Task, spawn_apart};
use tokio::sync::Notify;

/// What is leased at first, as a time: little, for most of it may lapse.
const FIRST: Duration = Duration::from_millis(5);
/// By what a lease grows where all of the last was used.
const GROWTH: u32 = 4;
/// How often is leased at most, where all that was wanted was had.
const PAUSE: Duration = Duration::from_millis(10);
/// The same where others have what was wanted: on average, since those who ask in a fixed order
/// would have it in that order.
const CONTENDED: Duration = Duration::from_millis(50);
/// What each resolver adds to the pause between two leases: a thousand leases a second in all.
const EACH: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(1);
/// When the engine looks again for a lease that is under way.
const SOON: Duration = Duration::from_millis(2);

/// The gate of one engine.
pub(super) struct Rates {
    upstreams: HashMap<SocketAddr, Arc<Upstream>>,
    _tasks: Vec<Task<()>>,
}

impl Rates {
    /// For these resolvers, each with its rate. To be called within a tokio runtime.
    pub(super) fn new(limiter: &Arc<dyn Limiter>, servers: impl Iterator<Item = (SocketAddr, f64)>) -> Self {
        let of = |(addr, rate): (SocketAddr, f64)| (addr, Arc::new(Upstream::new(addr, rate)));
        let upstreams: HashMap<_, _> = servers.map(of).collect();
        let each = u32::try_from(upstreams.len()).map_or(LONGEST, |n| (EACH * n).min(LONGEST));
        let feed = |upstream: &Arc<Upstream>| {
            let (limiter, upstream) = (Arc::clone(limiter), Arc::clone(upstream));
            spawn_apart("dns.rate", async move { upstream.feed(&*limiter, each).await })
        };
        let _tasks = upstreams.values().map(feed).collect();
        Self { upstreams, _tasks }
    }
}

impl Gate for Rates {
    fn admit(&self, server: SocketAddr, now: Instant) -> Result<(), Instant> {
        self.upstreams.get(&server).map_or(Ok(()), |upstream| upstream.admit(now))
    }
}

struct Upstream {
    /// What the limiter knows it by.
    name: String,
    limit: Limit,
    /// Questions of a tenth of a second, and those that are leased at first.
    block: u32,
    first: u32,
    state: Mutex<State>,
    /// Told when there is to be leased.
    hungry: Notify,
}

#[derive(Default)]
struct State {
    /// In the order in which they were leased.
    leased: VecDeque<Lease>,
    /// Questions in it.
    left: u32,
    /// Questions of the last lease, and those wanted of it.
    granted: u32,
    wanted: u32,
    /// Some lapsed since.
    lapsed: bool,
    hungry: bool,
    /// When is leased again.
    again: Option<Instant>,
}

impl Upstream {
    fn new(addr: SocketAddr, rate: f64) -> Self {
        let of = |time: Duration| (rate * time.as_secs_f64()).clamp(1.0, f64::from(u32::MAX)) as u32;
        Self {
            name: format!("dns {addr}"),
            // What goes at once after a pause would be taken out of the rate.
            limit: Limit { rate_per_s: Some(rate), burst: 1, concurrency: None },
            block: of(BLOCK),
            first: of(FIRST),
            state: Mutex::default(),
            hungry: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes leave for one question.
    fn admit(&self, now: Instant) -> Result<(), Instant> {
        let mut state = self.state();
        state.lapse(now);
        let taken = state.take(now);
        // Ahead, while half of it is left; but for one that is leased alone, which may be the
        // last for long.
        let is_low = state.left < state.granted / 2 || (state.left == 0 && taken.is_err());
        if is_low && !state.hungry {
            state.hungry = true;
            self.hungry.notify_one();
        }
        taken
    }

    /// Leases whenever there is to be leased.
    async fn feed(&self, limiter: &dyn Limiter, each: Duration) {
        loop {
            while !self.state().hungry {
                self.hungry.notified().await;
            }
            let wanted = self.want();
            let lease = limiter.lease(&self.name, &self.limit, wanted).await;
            let contended = lease.questions < wanted;
            let pause = if contended { CONTENDED.mul_f64(rand::random_range(0.5..1.5)) } else { PAUSE };
            let mut again = tokio::time::Instant::now() + pause.max(each);
            if lease.questions == 0 {
                again = again.max(lease.first);
            }
            self.state().put(lease, again.into_std());
            tokio::time::sleep_until(again).await;
        }
    }

    /// How many are to be leased now: more where all of the last were used, fewer where not.
    fn want(&self) -> u32 {
        let mut state = self.state();
        let wanted = if std::mem::take(&mut state.lapsed) {
            state.wanted / 2
        } else {
            state.wanted.saturating_mul(GROWTH)
        };
        state.wanted = wanted.clamp(self.first, self.block);
        state.wanted
    }
}

impl State {
    /// Drops what is too late.
    fn lapse(&mut self, now: Instant) {
        while let Some(lease) = self.leased.front_mut() {
            let first = lease.first.into_std();
            let Some(late) = now.checked_duration_since(first + lease.late).filter(|late| !late.is_zero())
            else {
                return;
            };
            // As many as were due before.
            let gone = late.as_nanos().div_ceil(lease.interval.as_nanos().max(1));
            let gone = u32::try_from(gone).unwrap_or(u32::MAX).min(lease.questions);
            self.lapsed = true;
            self.left -= gone;
            lease.questions -= gone;
            lease.first += lease.interval * gone;
            if lease.questions > 0 {
                return;
            }
            self.leased.pop_front();
        }
    }

    /// Takes the next one, or says when it is due.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let Some(lease) = self.leased.front_mut() else {
            return Err(self.again.map_or(now, |again| again.max(now)) + SOON);
        };
        let first = lease.first.into_std();
        if now < first {
            return Err(first);
        }
        lease.questions -= 1;
        lease.first += lease.interval;
        self.left -= 1;
        if lease.questions == 0 {
            self.leased.pop_front();
        }
        Ok(())
    }

    fn put(&mut self, lease: Lease, again: Instant) {
        self.again = Some(again);
        if lease.questions == 0 {
            // Still hungry.
            return;
        }
        self.granted = lease.questions;
        self.left += lease.questions;
        self.leased.push_back(lease);
        self.hungry = false;
    }
}

#[cfg(test)]
mod tests;
