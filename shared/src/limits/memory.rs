//! Limits within one process: a bucket per upstream (GCRA, the generic cell rate
//! algorithm), strict over every window of one second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex as Turn, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::lease::{BLOCK, LATE, STRETCH};
use super::{LONGEST_PENALTY, Lease, Limit, Limiter, Permit};
use crate::task::lock;

/// Upstreams known at a time. Beyond it idle ones are forgotten; where none is idle, new
/// ones share one bucket, which is slower and never ruder.
const UPSTREAMS: usize = 65_536;
/// How long a full map is left alone after it was swept.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// The limiter in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    upstreams: HashMap<Box<str>, Arc<Upstream>>,
    /// By limit; limits come from the configuration, so there are few.
    shared: HashMap<String, Arc<Upstream>>,
    swept: Option<Instant>,
}

#[derive(Debug, Default)]
struct Upstream {
    /// Set by the first who asks, not by a penalty that comes before; tightened by whoever
    /// asks with a stricter limit.
    bounds: Mutex<Bounds>,
    /// Held while waiting for the next grant, so that the order of arrival is kept and one
    /// waiter at a time has a timer.
    turn: Turn<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct Bounds {
    rate: Option<Rate>,
    places: Option<Places>,
}

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    all: usize,
    /// Taken ones that go for good when they are given back.
    surplus: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// When the bucket is full again (GCRA's theoretical arrival time).
    full_at: Option<Instant>,
    penalised: Option<Instant>,
}

/// One question each `interval`, up to `tolerance` of it early.
#[derive(Debug, Clone, Copy)]
struct Rate {
    interval: Duration,
    tolerance: Duration,
}

impl Rate {
    /// With interval T and burst b, a half-open window of 1 s holds at most
    /// `b - 1 + ceil(1 s / T)` grants; T is chosen so that this is the rate.
    fn of(limit: &Limit) -> Option<Self> {
        let rate = limit.rate_per_s.filter(|r| r.is_finite())?.max(1e-6);
        let burst = f64::from(limit.burst.max(1)).min((rate / 2.0).floor().max(1.0));
        // Rounded up, so that no rounding makes it quicker.
        let interval = Duration::from_nanos((1e9 / (rate - burst + 1.0)).ceil() as u64);
        Some(Self { interval, tolerance: interval * (burst as u32 - 1) })
    }
}

impl Bounds {
    /// Keeps to this limit as well.
    fn tighten(&mut self, limit: &Limit) {
        if let Some(rate) = Rate::of(limit)
            && self.rate.is_none_or(|known| rate.interval > known.interval)
        {
            self.rate = Some(rate);
        }
        let Some(most) = limit.concurrency else { return };
        let most = usize::try_from(most.max(1)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        match &mut self.places {
            Some(places) => places.shrink(most),
            None => {
                self.places = Some(Places { free: Arc::new(Semaphore::new(most)), all: most, surplus: 0 });
            }
        }
    }
}

impl Places {
    fn shrink(&mut self, most: usize) {
        let over = self.all.saturating_sub(most);
        self.all -= over;
        self.surplus += over - self.free.forget_permits(over);
    }
}

impl Upstream {
    /// Waits for a place, where there is a limit on them.
    async fn place(&self, free: Option<Arc<Semaphore>>) -> Option<OwnedSemaphorePermit> {
        let free = free?;
        loop {
            // Never closed.
            let place = Arc::clone(&free).acquire_owned().await.ok()?;
            match &mut lock(&self.bounds).places {
                Some(places) if places.surplus > 0 => places.surplus -= 1,
                _ => return Some(place),
            }
            place.forget();
        }
    }

    /// Takes a grant, or says when to look again.
    fn grant(&self, rate: Option<Rate>, now: Instant) -> Result<(), Instant> {
        let mut state = lock(&self.state);
        if let Some(until) = state.penalised {
            if now < until {
                return Err(until);
            }
            state.penalised = None;
        }
        let Some(rate) = rate else { return Ok(()) };
        let full_at = state.full_at.unwrap_or(now).max(now);
        let earliest = full_at.checked_sub(rate.tolerance).unwrap_or(now);
        if now < earliest {
            return Err(earliest);
        }
        state.full_at = Some(full_at + rate.interval);
        Ok(())
    }

    /// Grants ahead, each at its own time; slower than one by one, since these may be late.
    fn lease(&self, rate: Option<Rate>, wanted: u32, now: Instant) -> Lease {
        let mut state = lock(&self.state);
        if let Some(until) = state.penalised.filter(|until| now < *until) {
            return Lease::none(until);
        }
        let Some(rate) = rate else { return Lease::free(wanted.max(1), now) };
        let interval = rate.interval.mul_f64(STRETCH);
        let first = state.full_at.unwrap_or(now).max(now);
        let Some(ahead) = (now + BLOCK).checked_duration_since(first) else {
            return Lease::none(first.checked_sub(BLOCK).unwrap_or(now));
        };
        // An interval is at least a nanosecond.
        let most = ahead.as_nanos() / interval.as_nanos().max(1) + 1;
        let questions = u32::try_from(most).unwrap_or(u32::MAX).min(wanted.max(1));
        state.full_at = Some(first + interval * questions);
        Lease { questions, first, interval, late: LATE }
    }

    fn is_idle(self: &Arc<Self>, now: Instant) -> bool {
        let state = lock(&self.state);
        let past = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        Arc::strong_count(self) == 1 && past(state.full_at) && past(state.penalised)
    }
}

impl Memory {
    /// A limiter without any upstream yet.
    pub fn new() -> Self {
        Self::with_capacity(UPSTREAMS)
    }

    /// A limiter that knows at most so many upstreams at a time.
    pub fn with_capacity(upstreams: usize) -> Self {
        Self(Arc::new(Shared { capacity: upstreams, map: Mutex::default() }))
    }

    /// How many upstreams it knows.
    pub fn len(&self) -> usize {
        lock(&self.0.map).upstreams.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bucket of a name; with the map full of busy ones, one that all further names of
    /// the same limit share.
    fn upstream(&self, name: &str, limit: &Limit) -> Arc<Upstream> {
        let mut map = lock(&self.0.map);
        if let Some(known) = map.upstreams.get(name) {
            return Arc::clone(known);
        }
        if self.is_full(&mut map) {
            return Arc::clone(map.shared.entry(format!("{limit:?}")).or_default());
        }
        Arc::clone(map.upstreams.entry(name.into()).or_default())
    }

    fn is_full(&self, map: &mut Map) -> bool {
        let now = Instant::now();
        if map.upstreams.len() >= self.0.capacity && map.swept.is_none_or(|at| now >= at + SWEEP_PAUSE) {
            map.upstreams.retain(|_, u| !u.is_idle(now));
            map.swept = Some(now);
        }
        map.upstreams.len() >= self.0.capacity
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Limiter for Memory {
    async fn acquire(&self, upstream: &str, limit: &Limit) -> Permit {
        let upstream = self.upstream(upstream, limit);
        let free = {
            let mut bounds = lock(&upstream.bounds);
            bounds.tighten(limit);
            bounds.places.as_ref().map(|p| Arc::clone(&p.free))
        };
        // The place first: a grant that then waits for a place would be spent in vain.
        let place = upstream.place(free).await;
        let rate = || lock(&upstream.bounds).rate;
        if rate().is_some() || lock(&upstream.state).penalised.is_some() {
            let _turn = upstream.turn.lock().await;
            while let Err(at) = upstream.grant(rate(), Instant::now()) {
                tokio::time::sleep_until(at).await;
            }
        }
        // The upstream goes with the place: one in use is never forgotten.
        place.map_or(Permit::FREE, |place| Permit::holding((place, upstream)))
    }

    async fn lease(&self, upstream: &str, limit: &Limit, wanted: u32) -> Lease {
        let upstream = self.upstream(upstream, limit);
        let rate = {
            let mut bounds = lock(&upstream.bounds);
            bounds.tighten(&Limit { concurrency: None, ..*limit });
            bounds.rate
        };
        upstream.lease(rate, wanted, Instant::now())
    }

    async fn penalise(&self, upstream: &str, until: Instant) {
        let until = until.min(Instant::now() + LONGEST_PENALTY);
        let mut map = lock(&self.0.map);
        let full = self.is_full(&mut map);
        let penalised: Vec<_> = match map.upstreams.get(upstream) {
            Some(known) => vec![Arc::clone(known)],
            // It may be in any of the shared ones.
            None if full => map.shared.values().cloned().collect(),
            None => vec![Arc::clone(map.upstreams.entry(upstream.into()).or_default())],
        };
        for upstream in penalised {
            let mut state = lock(&upstream.state);
            state.penalised = state.penalised.max(Some(until));
        }
    }

    fn penalised_until(&self, upstream: &str) -> Option<Instant> {
        let known = lock(&self.0.map).upstreams.get(upstream).cloned()?;
        let until = lock(&known.state).penalised;
        until.filter(|at| *at > Instant::now())
    }
}

#[cfg(test)]
mod tests;
