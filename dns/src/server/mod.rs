//! The resolvers that are asked: who is next, and how much each of them bears.

mod pace;
mod rtt;
mod state;
mod window;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;

pub(crate) use pace::Pace;
pub(crate) use state::State;
pub use state::{Case, ServerStats};

use crate::Verdict;

/// Sends of one question to one server, for each transport (RFC 9520 section 3.1).
pub(crate) const SENDS_PER_SERVER: usize = 3;
/// Servers that are drawn before all are looked through.
const DRAWS: usize = 4;

/// A resolver, and what it bears.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Address and port.
    pub addr: SocketAddr,
    /// How often it is drawn beside others; 0 counts as 1.
    pub weight: u32,
    /// It is one's own, and near: its queries are padded to few lengths (RFC 7830) and share
    /// a source port, so that they leave in trains.
    pub own: bool,
    /// Questions a second; `None` for no limit.
    pub rate: Option<f64>,
    /// Questions open at a time; `None` for no limit.
    pub in_flight: Option<u32>,
    /// What is known of it from the start.
    pub known: Known,
}

/// What a check has shown of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// It cannot read EDNS.
    pub plain: bool,
    /// Whether it repeats the letters of a question as they were; `None` where that is to be
    /// learnt.
    pub case: Option<bool>,
}

impl Server {
    /// One's own: without limits.
    pub fn own(addr: SocketAddr) -> Self {
        Self { addr, weight: 1, own: true, rate: None, in_flight: None, known: Known::default() }
    }

    /// Another's: 1,000 questions a second, 200 at a time, below what public resolvers allow.
    pub fn public(addr: SocketAddr) -> Self {
        Self { own: false, rate: Some(1000.0), in_flight: Some(200), ..Self::own(addr) }
    }

    /// Each address once, with the strictest limits that it is given with, in the order of
    /// their first mention.
    pub fn merged(servers: &[Self]) -> Vec<Self> {
        let mut places = std::collections::HashMap::new();
        let mut all: Vec<Self> = Vec::with_capacity(servers.len());
        for server in servers {
            let place = *places.entry(server.addr).or_insert(all.len());
            let Some(known) = all.get_mut(place) else {
                all.push(server.clone());
                continue;
            };
            known.own &= server.own;
            known.rate = [known.rate, server.rate].into_iter().flatten().reduce(f64::min);
            known.in_flight = [known.in_flight, server.in_flight].into_iter().flatten().min();
        }
        all
    }
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

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing yet.
    Open,
    /// Not answered in time; an answer still counts.
    Lost,
    /// The server had its say, and would say the same again from its cache (RFC 9520).
    Answered,
    /// The server had its say, and is asked something else instead.
    Repeated,
}

/// Whom to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one; a place is taken, in this step of its window.
    Send(u16, u32),
    /// Nobody before that time, or before something else happens.
    Wait(Option<Instant>),
    /// All have been asked often enough.
    Nobody,
}

/// All servers of one thread.
pub(crate) struct Servers {
    all: Vec<State>,
    /// Running sums of the weights.
    weights: Vec<u64>,
    total: Option<Pace>,
    gate: Option<Arc<dyn Gate>>,
    begin: Instant,
    /// How many are not benched, and since when there is none.
    benched: usize,
    pub(crate) all_benched_since: Option<Instant>,
}

impl Servers {
    /// `total` is the rate over all of them.
    pub(crate) fn new(
        servers: &[Server],
        total: Option<f64>,
        gate: Option<Arc<dyn Gate>>,
        now: Instant,
    ) -> Self {
        let all: Vec<State> = servers.iter().map(|s| State::new(s.clone(), now)).collect();
        let sum = |sum: &mut u64, s: &State| {
            *sum += u64::from(s.server.weight.max(1));
            Some(*sum)
        };
        let weights = all.iter().scan(0, sum).collect();
        let total = total.and_then(Pace::of);
        Self { all, weights, total, gate, begin: now, benched: 0, all_benched_since: None }
    }

    pub(crate) fn get(&self, server: u16) -> &State {
        &self.all[usize::from(server)]
    }

    pub(crate) fn get_mut(&mut self, server: u16) -> &mut State {
        &mut self.all[usize::from(server)]
    }

    pub(crate) fn stats(&self, now: Instant) -> Vec<ServerStats> {
        self.all.iter().map(|s| s.stats(now)).collect()
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.begin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The next server for a question with these sends behind it: of those asked least one at
    /// random by weight, benched ones last; none that had its say.
    pub(crate) fn choose(&mut self, asked: &[(u16, Fate)], now: Instant, rng: &mut StdRng) -> Choice {
        if let Err(at) = self.total_ready(now) {
            return Choice::Wait(Some(at));
        }
        if asked.is_empty() {
            for _ in 0..DRAWS {
                let i = self.draw(rng);
                if self.all[i].may_be_chosen(now, self.is_lonely())
                    && let Ok(step) = self.take(i, now)
                {
                    return sent(i, step);
                }
            }
        }
        self.look_through(asked, now, rng)
    }

    fn look_through(&mut self, asked: &[(u16, Fate)], now: Instant, rng: &mut StdRng) -> Choice {
        let (n, lonely) = (self.all.len(), self.is_lonely());
        let sends = |i: usize| {
            let own = || asked.iter().filter(|(server, _)| usize::from(*server) == i);
            if own().any(|(_, fate)| *fate == Fate::Answered) { SENDS_PER_SERVER } else { own().count() }
        };
        let fewest = |of: &dyn Fn(usize) -> bool| (0..n).filter(|i| of(*i)).map(sends).min();
        let live = fewest(&|i| self.all[i].may_be_chosen(now, lonely));
        let least = live.or_else(|| fewest(&|_| true)).unwrap_or(SENDS_PER_SERVER);
        if least >= SENDS_PER_SERVER {
            return Choice::Nobody;
        }
        let (first, mut wait): (_, Option<Instant>) = (rng.random_range(0..n), None);
        for i in (0..n).map(|k| (first + k) % n).filter(|i| sends(*i) == least) {
            if !self.all[i].may_be_chosen(now, lonely) {
                wait = [wait, self.all[i].back_at(lonely)].into_iter().flatten().min();
                continue;
            }
            match self.take(i, now) {
                Ok(step) => return sent(i, step),
                Err(at) => wait = [wait, at].into_iter().flatten().min(),
            }
        }
        Choice::Wait(wait)
    }

    /// This very server, for the second half of an exchange with it.
    pub(crate) fn again(&mut self, server: u16, now: Instant) -> Choice {
        let taken = self.total_ready(now).map_err(Some).and_then(|()| self.take(server.into(), now));
        taken.map_or_else(Choice::Wait, |step| Choice::Send(server, step))
    }

    fn draw(&self, rng: &mut StdRng) -> usize {
        let all = self.weights.last().copied().unwrap_or(0).max(1);
        let at = rng.random_range(0..all);
        self.weights.partition_point(|sum| *sum <= at).min(self.all.len() - 1)
    }

    fn total_ready(&self, now: Instant) -> Result<(), Instant> {
        let due = |due| self.begin + Duration::from_nanos(due);
        self.total.as_ref().map_or(Ok(()), |total| total.ready(self.nanos(now))).map_err(due)
    }

    /// There is no other, or none that is not benched: then a dead one is probed often.
    fn is_lonely(&self) -> bool {
        self.benched == self.all.len()
    }

    fn take(&mut self, i: usize, now: Instant) -> Result<u32, Option<Instant>> {
        let now_ns = self.nanos(now);
        let at = |due| Some(self.begin + Duration::from_nanos(due));
        self.all[i].ready(now, now_ns).map_err(|due| due.and_then(at))?;
        if let Some(gate) = &self.gate {
            gate.admit(self.all[i].server.addr, now).map_err(Some)?;
        }
        if let Some(total) = &mut self.total {
            total.take(now_ns, 1.0);
        }
        Ok(self.all[i].take(now_ns))
    }

    /// What was taken is given back: nothing was sent.
    pub(crate) fn untake(&mut self, server: u16, step: u32) {
        self.refund();
        self.all[usize::from(server)].untake(step);
    }

    /// The system refused to send; after some of these in a row the server is left alone.
    pub(crate) fn refused(&mut self, server: u16, step: u32, now: Instant) {
        self.refund();
        if self.all[usize::from(server)].refused(step, now) {
            self.note_benched(now);
        }
    }

    fn refund(&mut self) {
        if let Some(total) = &mut self.total {
            total.give_back(1.0);
        }
    }

    fn note_benched(&mut self, now: Instant) {
        self.benched += 1;
        if self.is_lonely() {
            self.all_benched_since = Some(now);
        }
    }

    /// A send was answered, `rtt` after it went, in time or late.
    pub(crate) fn answered(&mut self, server: u16, step: u32, rtt: Duration, late: bool, now: Instant) {
        let i = usize::from(server);
        if self.all[i].answered(step, rtt, late, now) {
            self.benched -= 1;
            if self.all_benched_since.take().is_some() {
                // It was this side's way out: the others may be back as well.
                self.all.iter_mut().for_each(|s| s.probe_soon(now));
            }
        }
    }

    /// What it answered shows whether it has too much to do.
    pub(crate) fn said(&mut self, server: u16, step: u32, verdict: Verdict) {
        if matches!(verdict, Verdict::Refused | Verdict::ServFail) {
            self.all[usize::from(server)].window.lost(step);
        }
    }

    /// A send was not answered in time; after some of these in a row the server is left alone
    /// for a while.
    pub(crate) fn timed_out(&mut self, server: u16, step: u32, sent: Instant, now: Instant) {
        if self.all[usize::from(server)].timed_out(step, sent, now) {
            self.note_benched(now);
        }
    }
}

fn sent(i: usize, step: u32) -> Choice {
    u16::try_from(i).map_or(Choice::Nobody, |server| Choice::Send(server, step))
}
