//! The resolvers that are asked: who is next, and how much each of them bears.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Timeouts in a row after which a server is benched.
const PATIENCE: u32 = 10;
/// How long at first, and at most.
const BENCH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Sends of one question to one server (RFC 9520 section 3.1).
pub(crate) const SENDS_PER_SERVER: usize = 3;
/// When to look again where a place in flight is awaited: answers come sooner than a timer.
const RECHECK: Duration = Duration::from_millis(2);
/// How long a server that cannot read EDNS is asked without it.
const PLAIN: Duration = Duration::from_secs(600);

/// A resolver, and what it bears.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Address and port.
    pub addr: SocketAddr,
    /// Questions a second; `None` for no limit.
    pub rate: Option<f64>,
    /// Questions open at a time; `None` for no limit.
    pub in_flight: Option<u32>,
}

/// Says when a server may be sent to, beside its own limits: a cluster's limiter grants from
/// the block it has leased. It must not wait.
pub trait Gate: Send + Sync + 'static {
    /// Takes leave to send one question now.
    ///
    /// # Errors
    /// When to ask again.
    fn admit(&self, server: SocketAddr, now: Instant) -> Result<(), Instant>;
}

/// One send of a question, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) server: u16,
    pub(crate) fate: Fate,
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing yet, or another exchange with the same server follows.
    Open,
    /// Not answered in time.
    Lost,
    /// The server had its say, and would say the same again from its cache (RFC 9520).
    Answered,
}

/// Shared by all drivers.
pub(crate) struct Servers {
    all: Vec<State>,
    next: AtomicU32,
    begin: Instant,
    gate: Option<Arc<dyn Gate>>,
}

struct State {
    server: Server,
    pace: Option<Pace>,
    open: AtomicU32,
    /// Timeouts since the last answer.
    failures: AtomicU32,
    /// Nanoseconds since the begin.
    benched_until: AtomicU64,
    /// When the bucket is full again (GCRA), nanoseconds since the begin.
    full_at: AtomicU64,
    /// No EDNS before this, nanoseconds since the begin.
    plain_until: AtomicU64,
}

/// One question each `step`, up to `early` ahead, both in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Pace {
    step: u64,
    early: u64,
}

impl Pace {
    /// A burst of 20 ms, so that timers of a millisecond reach the rate. It is taken out of
    /// the rate: a window of a second holds at most `burst - 1 + ceil(1 s / step)`.
    fn of(rate: f64) -> Option<Self> {
        let rate = Some(rate).filter(|r| r.is_finite())?.max(1e-4);
        let burst = (rate / 50.0).floor().max(1.0);
        let step = (1e9 / (rate - burst + 1.0)).ceil();
        Some(Self { step: step as u64, early: (step * (burst - 1.0)) as u64 })
    }
}

/// Whom to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one; a place is taken.
    Send(u16),
    /// Nobody before.
    Wait(Instant),
    /// All have been asked often enough.
    Nobody,
}

impl Servers {
    pub(crate) fn new(servers: Vec<Server>, gate: Option<Arc<dyn Gate>>) -> Self {
        let state = |server: Server| State {
            pace: server.rate.and_then(Pace::of),
            server,
            open: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            benched_until: AtomicU64::new(0),
            full_at: AtomicU64::new(0),
            plain_until: AtomicU64::new(0),
        };
        let all = servers.into_iter().map(state).collect();
        Self { all, next: AtomicU32::new(0), begin: Instant::now(), gate }
    }

    pub(crate) fn addr(&self, server: u16) -> SocketAddr {
        self.all[usize::from(server)].server.addr
    }

    pub(crate) fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.all.iter().map(|s| s.server.addr)
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.begin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The next server for a question with these sends behind it: those asked least, benched
    /// ones last, in turn; none that had its say.
    pub(crate) fn choose(&self, asked: &[Sent], now: Instant) -> Choice {
        let (n, now_ns) = (self.all.len(), self.nanos(now));
        let first = self.next.fetch_add(1, Relaxed) as usize;
        let sends = |i: usize| {
            let own = || asked.iter().filter(|s| usize::from(s.server) == i);
            if own().any(|s| s.fate == Fate::Answered) { SENDS_PER_SERVER } else { own().count() }
        };
        let benched = |i: usize| self.is_benched(i, now_ns);
        let fewest = (0..n).filter(|i| !benched(*i)).map(sends).min();
        let all_benched = fewest.is_none();
        let fewest = fewest.or_else(|| (0..n).map(sends).min()).unwrap_or(SENDS_PER_SERVER);
        if fewest >= SENDS_PER_SERVER {
            return Choice::Nobody;
        }
        let mut wait: Option<Instant> = None;
        for i in (0..n).map(|k| (first + k) % n) {
            if sends(i) != fewest || (benched(i) && !all_benched) {
                continue;
            }
            match self.take(i, now, now_ns) {
                Ok(()) => return u16::try_from(i).map_or(Choice::Nobody, Choice::Send),
                Err(at) => wait = Some(wait.map_or(at, |w| w.min(at))),
            }
        }
        wait.map_or(Choice::Nobody, Choice::Wait)
    }

    /// This very server, for the second half of an exchange with it.
    pub(crate) fn again(&self, server: u16, now: Instant) -> Choice {
        match self.take(usize::from(server), now, self.nanos(now)) {
            Ok(()) => Choice::Send(server),
            Err(at) => Choice::Wait(at),
        }
    }

    /// Left alone: for a while, or until its probe is answered.
    fn is_benched(&self, i: usize, now_ns: u64) -> bool {
        let state = &self.all[i];
        let probed = || self.is_probed(state) && state.open.load(Relaxed) > 0;
        state.benched_until.load(Relaxed) > now_ns || probed()
    }

    /// One that was benched is probed with one question at a time.
    fn is_probed(&self, state: &State) -> bool {
        state.failures.load(Relaxed) >= PATIENCE && self.all.len() > 1
    }

    fn take(&self, i: usize, now: Instant, now_ns: u64) -> Result<(), Instant> {
        let state = &self.all[i];
        let most = if self.is_probed(state) { 1 } else { state.server.in_flight.unwrap_or(u32::MAX).max(1) };
        if state.open.fetch_update(Relaxed, Relaxed, |n| (n < most).then_some(n + 1)).is_err() {
            return Err(now + RECHECK);
        }
        let paced = state.pace(now_ns).map_err(|due| self.begin + Duration::from_nanos(due));
        let gate = |()| self.gate.as_ref().map_or(Ok(()), |g| g.admit(state.server.addr, now));
        paced.and_then(gate).inspect_err(|_| {
            state.open.fetch_sub(1, Relaxed);
        })
    }

    /// Whether it is asked with EDNS.
    pub(crate) fn edns(&self, server: u16, now: Instant) -> bool {
        self.all[usize::from(server)].plain_until.load(Relaxed) <= self.nanos(now)
    }

    /// It answered without EDNS what it could not read with it.
    pub(crate) fn reads_plain_only(&self, server: u16, now: Instant) {
        let until = self.nanos(now + PLAIN);
        self.all[usize::from(server)].plain_until.store(until, Relaxed);
    }

    /// A place is free again.
    pub(crate) fn release(&self, server: u16) {
        self.all[usize::from(server)].open.fetch_sub(1, Relaxed);
    }

    /// It answered, whatever it said.
    pub(crate) fn answered(&self, server: u16) {
        let state = &self.all[usize::from(server)];
        if state.failures.load(Relaxed) != 0 {
            state.failures.store(0, Relaxed);
            state.benched_until.store(0, Relaxed);
        }
    }

    /// It did not answer; after some of these in a row it is left alone for a while.
    pub(crate) fn timed_out(&self, server: u16, now: Instant) {
        let state = &self.all[usize::from(server)];
        let failures = state.failures.fetch_add(1, Relaxed) + 1;
        let now_ns = self.nanos(now);
        if failures >= PATIENCE && state.benched_until.load(Relaxed) <= now_ns {
            let doubled = BENCH.0 * 2_u32.saturating_pow((failures - PATIENCE).min(6));
            let until =
                now_ns.saturating_add(u64::try_from(doubled.min(BENCH.1).as_nanos()).unwrap_or(u64::MAX));
            state.benched_until.store(until, Relaxed);
            tracing::debug!(server = %state.server.addr, failures, "resolver benched");
        }
    }
}

impl State {
    /// Takes a grant, or says when to ask again.
    fn pace(&self, now_ns: u64) -> Result<(), u64> {
        let Some(Pace { step, early }) = self.pace else { return Ok(()) };
        let taken = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now_ns);
            (full_at <= now_ns + early).then_some(full_at + step)
        });
        taken.map(|_| ()).map_err(|full_at| full_at.saturating_sub(early))
    }
}

#[cfg(test)]
#[path = "servers_tests.rs"]
mod tests;
