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

/// Shared by all drivers.
pub(crate) struct Servers {
    all: Vec<State>,
    next: AtomicU32,
    begin: Instant,
    gate: Option<Arc<dyn Gate>>,
}

struct State {
    server: Server,
    open: AtomicU32,
    /// Timeouts since the last answer.
    failures: AtomicU32,
    /// Nanoseconds since the begin.
    benched_until: AtomicU64,
    /// When the next question is due (GCRA), nanoseconds since the begin.
    due: AtomicU64,
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
        let state = |server| State {
            server,
            open: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            benched_until: AtomicU64::new(0),
            due: AtomicU64::new(0),
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

    /// The next server for a question that was sent to `asked` before: those asked least,
    /// benched ones last, in turn.
    pub(crate) fn choose(&self, asked: &[u16], now: Instant) -> Choice {
        let (n, now_ns) = (self.all.len(), self.nanos(now));
        let first = self.next.fetch_add(1, Relaxed) as usize;
        let sends = |i: usize| asked.iter().filter(|a| usize::from(**a) == i).count();
        let benched = |i: usize| self.all[i].benched_until.load(Relaxed) > now_ns;
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

    fn take(&self, i: usize, now: Instant, now_ns: u64) -> Result<(), Instant> {
        let state = &self.all[i];
        // One that was benched is probed with one question at a time.
        let probing = state.failures.load(Relaxed) >= PATIENCE && self.all.len() > 1;
        let most = if probing { 1 } else { state.server.in_flight.unwrap_or(u32::MAX).max(1) };
        if state.open.fetch_update(Relaxed, Relaxed, |n| (n < most).then_some(n + 1)).is_err() {
            return Err(now + RECHECK);
        }
        let paced = self.pace(state, now_ns).map_err(|due| self.begin + Duration::from_nanos(due));
        let gate = |()| self.gate.as_ref().map_or(Ok(()), |g| g.admit(state.server.addr, now));
        paced.and_then(gate).inspect_err(|_| {
            state.open.fetch_sub(1, Relaxed);
        })
    }

    /// GCRA with a burst of 20 ms, so that timers of a millisecond reach the rate.
    fn pace(&self, state: &State, now_ns: u64) -> Result<(), u64> {
        let Some(rate) = state.server.rate.filter(|r| r.is_finite()) else { return Ok(()) };
        let step = (1e9 / rate.max(1e-4)) as u64;
        let burst = step.max(20_000_000);
        let taken = state.due.fetch_update(Relaxed, Relaxed, |due| {
            let due = due.max(now_ns);
            (due + step <= now_ns + burst).then_some(due + step)
        });
        taken.map(|_| ()).map_err(|due| (due + step).saturating_sub(burst))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(n: u16, rate: Option<f64>, in_flight: Option<u32>) -> Servers {
        let addr = |i: u16| SocketAddr::from(([127, 0, 0, 1], i + 1));
        Servers::new((0..n).map(|i| Server { addr: addr(i), rate, in_flight }).collect(), None)
    }

    #[tokio::test(start_paused = true)]
    async fn others_first_and_three_sends_at_most() {
        let s = servers(2, None, None);
        let mut asked = Vec::new();
        while let Choice::Send(i) = s.choose(&asked, Instant::now()) {
            asked.push(i);
        }
        assert_eq!(asked.len(), 6);
        assert!(asked.chunks(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(s.choose(&asked, Instant::now()), Choice::Nobody);
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_a_second_is_above_the_rate() {
        let s = servers(1, Some(100.0), None);
        let mut sent = Vec::new();
        while sent.len() < 500 {
            match s.choose(&[], Instant::now()) {
                Choice::Send(_) => sent.push(Instant::now()),
                Choice::Wait(at) => tokio::time::sleep_until(at).await,
                Choice::Nobody => panic!("no server"),
            }
        }
        let within =
            |at: Instant| sent.iter().filter(|t| **t >= at && **t < at + Duration::from_secs(1)).count();
        assert!(sent.iter().all(|t| within(*t) <= 105), "{:?}", sent.iter().map(|t| within(*t)).max());
        assert!(sent[499] - sent[0] < Duration::from_millis(5100));
    }

    #[tokio::test(start_paused = true)]
    async fn places_in_flight_are_given_back() {
        let s = servers(1, None, Some(2));
        assert_eq!(s.choose(&[], Instant::now()), Choice::Send(0));
        assert_eq!(s.choose(&[], Instant::now()), Choice::Send(0));
        assert!(matches!(s.choose(&[], Instant::now()), Choice::Wait(_)));
        s.release(0);
        assert_eq!(s.choose(&[], Instant::now()), Choice::Send(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_is_benched_probed_and_forgiven() {
        let s = servers(2, None, None);
        (0..PATIENCE).for_each(|_| s.timed_out(0, Instant::now()));
        for _ in 0..10 {
            assert_eq!(s.choose(&[], Instant::now()), Choice::Send(1));
        }
        tokio::time::advance(Duration::from_millis(1001)).await;
        let probes = (0..10).filter(|_| s.choose(&[], Instant::now()) == Choice::Send(0)).count();
        assert_eq!(probes, 1);
        s.answered(0);
        s.release(0);
        let shared = (0..10).filter(|_| s.choose(&[], Instant::now()) == Choice::Send(0)).count();
        assert_eq!(shared, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_benched_they_are_asked_all_the_same() {
        let s = servers(2, None, None);
        (0..PATIENCE * 2).for_each(|i| s.timed_out((i % 2) as u16, Instant::now()));
        assert!(matches!(s.choose(&[], Instant::now()), Choice::Send(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_has_its_say() {
        struct Shut(Instant);
        impl Gate for Shut {
            fn admit(&self, _: SocketAddr, _: Instant) -> Result<(), Instant> {
                Err(self.0)
            }
        }
        let at = Instant::now() + Duration::from_secs(9);
        let one = Server { addr: SocketAddr::from(([127, 0, 0, 1], 1)), rate: None, in_flight: Some(1) };
        let s = Servers::new(vec![one], Some(Arc::new(Shut(at))));
        for _ in 0..3 {
            assert_eq!(s.choose(&[], Instant::now()), Choice::Wait(at));
        }
    }
}
