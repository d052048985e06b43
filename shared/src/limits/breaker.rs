//! A circuit breaker per upstream: one that is down is spared, and asked by one probe at a
//! time until it answers again. Pure: the caller brings the time.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::metrics::metrics;
use crate::task::lock;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Opens after so many failures in a row.
    pub consecutive: u32,
    /// Opens when so many of the last 64 outcomes failed, as a share of 1 ...
    pub ratio: f64,
    /// ... once there are so many outcomes (at most 64).
    pub samples: u32,
    /// ... and only when this has gone on for so long. What fails for good is asked again in
    /// later rounds, one failure after the other: that is not an upstream that is down.
    pub lasting: Duration,
    /// How long it first stays open; doubled each time the probe fails.
    pub open_min: Duration,
    /// The longest that it stays open.
    pub open_max: Duration,
    /// How long a probe may stay unanswered before another goes.
    pub probe: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive: 20,
            ratio: 0.9,
            samples: 64,
            lasting: Duration::from_secs(5),
            open_min: Duration::from_secs(1),
            open_max: Duration::from_secs(60),
            probe: Duration::from_secs(15),
        }
    }
}

/// Allows one question; its outcome is recorded with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the outcome is recorded with it"]
pub struct Ticket(u64);

/// Whether to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Ask, and record the outcome.
    Ask(Ticket),
    /// Do not ask before this.
    Wait(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { lost: Instant },
}

/// The breaker of one upstream.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Changes with the state: an answer to a question from before says nothing of now.
    generation: u64,
    /// The last outcomes, newest in the lowest bit; 1 is a failure.
    history: u64,
    outcomes: u32,
    run: u32,
    /// Since when at least half of the outcomes have been failures.
    failing: Option<Instant>,
    opened: u32,
    jitter: u64,
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if !self.is_closed() {
            metrics().breakers_open.dec();
        }
    }
}

impl Breaker {
    /// Closed. The seed spreads the probes of many breakers.
    pub fn new(seed: u64) -> Self {
        Self {
            state: State::Closed,
            generation: 0,
            history: 0,
            outcomes: 0,
            run: 0,
            failing: None,
            opened: 0,
            jitter: seed,
        }
    }

    /// Whether to ask now.
    pub fn allow(&mut self, settings: &Settings, now: Instant) -> Decision {
        match self.state {
            State::Open { until } if now < until => return Decision::Wait(until),
            State::HalfOpen { lost } if now < lost => return Decision::Wait(lost),
            State::Open { .. } | State::HalfOpen { .. } => {
                self.enter(State::HalfOpen { lost: now + settings.probe });
            }
            State::Closed => {}
        }
        Decision::Ask(Ticket(self.generation))
    }

    /// Records an outcome: `ok` where the upstream answered, whatever it said.
    pub fn record(&mut self, settings: &Settings, ticket: Ticket, now: Instant, ok: bool) {
        if ticket.0 != self.generation {
            return;
        }
        match self.state {
            State::Closed => {
                self.history = self.history << 1 | u64::from(!ok);
                self.outcomes = (self.outcomes + 1).min(64);
                self.run = if ok { 0 } else { self.run + 1 };
                let half = 2 * self.history.count_ones() >= self.outcomes;
                self.failing = half.then(|| *self.failing.get_or_insert(now));
                if !ok && self.is_over(settings, now) {
                    self.open(settings, now);
                }
            }
            State::HalfOpen { .. } if ok => {
                (self.history, self.outcomes, self.run, self.failing, self.opened) = (0, 0, 0, None, 0);
                self.enter(State::Closed);
            }
            State::HalfOpen { .. } => self.open(settings, now),
            // An open breaker gives no tickets of its generation.
            State::Open { .. } => {}
        }
    }

    /// Whether questions pass.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn is_over(&self, settings: &Settings, now: Instant) -> bool {
        let lasting = self.failing.is_some_and(|since| now.duration_since(since) >= settings.lasting);
        let enough = self.outcomes >= settings.samples.min(64);
        let share = f64::from(self.history.count_ones()) / f64::from(self.outcomes.max(1));
        lasting && (self.run >= settings.consecutive.max(1) || (enough && share >= settings.ratio))
    }

    fn open(&mut self, settings: &Settings, now: Instant) {
        let doubled = settings.open_min.saturating_mul(1 << self.opened.min(16));
        let longest = doubled.min(settings.open_max);
        self.opened = self.opened.saturating_add(1);
        // Between half of it and all of it.
        let share = 0.5 + 0.5 * (self.random() >> 11) as f64 / (1u64 << 53) as f64;
        self.enter(State::Open { until: now + longest.mul_f64(share) });
    }

    fn enter(&mut self, state: State) {
        match (self.is_closed(), state == State::Closed) {
            (true, false) => drop(metrics().breakers_open.inc()),
            (false, true) => drop(metrics().breakers_open.dec()),
            _ => {}
        }
        self.state = state;
        self.generation += 1;
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The breakers of all upstreams of a process, bounded.
#[derive(Debug)]
pub struct Breakers {
    settings: Settings,
    seed: u64,
    capacity: usize,
    map: Mutex<HashMap<Box<str>, Breaker>>,
}

impl Breakers {
    /// No upstream is known yet. Beyond `capacity`, upstreams without failures are
    /// forgotten; where all have some, further ones have no breaker.
    pub fn new(settings: Settings, seed: u64, capacity: usize) -> Self {
        Self { settings, seed, capacity, map: Mutex::default() }
    }

    /// Whether to ask this upstream now.
    pub fn allow(&self, upstream: &str, now: Instant) -> Decision {
        match lock(&self.map).get_mut(upstream) {
            Some(breaker) => breaker.allow(&self.settings, now),
            // Made at the first failure, so that those that answer cost nothing.
            None => Decision::Ask(Ticket(0)),
        }
    }

    /// Records an outcome: `ok` where the upstream answered, whatever it said.
    pub fn record(&self, upstream: &str, ticket: Ticket, now: Instant, ok: bool) {
        let mut map = lock(&self.map);
        if let Some(breaker) = map.get_mut(upstream) {
            breaker.record(&self.settings, ticket, now, ok);
        } else if !ok && self.make_room(&mut map) {
            let mut breaker = Breaker::new(self.seed ^ hash(upstream));
            breaker.record(&self.settings, ticket, now, ok);
            map.insert(upstream.into(), breaker);
        }
    }

    fn make_room(&self, map: &mut HashMap<Box<str>, Breaker>) -> bool {
        if map.len() >= self.capacity {
            map.retain(|_, b| !b.is_closed() || b.run > 0);
        }
        map.len() < self.capacity
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
