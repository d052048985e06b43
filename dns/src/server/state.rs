//! One server: what is known of it, and what it has.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Server;
use super::pace::Pace;
use super::rtt::Rtt;
use super::window::Window;

/// Timeouts in a row after which a server is benched.
const PATIENCE: u32 = 10;
/// Sends in a row that the system refuses, after which it is too.
const REFUSALS: u32 = 3;
/// How long at first, and at most; where nobody else is left no longer than at first.
const BENCH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a server that cannot read EDNS is asked without it.
const PLAIN: Duration = Duration::from_secs(600);
/// Exact echoes in a row after which a server is held to them.
const ECHOES: u16 = 16;
/// Inexact ones in a row after which it no longer is.
const CHANGES: u16 = 64;

/// Whether a server repeats the letters of a question as they were (draft-vixie-dnsext-dns0x20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// So far it did; how often.
    Learning(u16),
    /// It does: an answer that does not is no answer. How many such came in a row.
    Echoes(u16),
    /// It does not.
    Changes,
}

/// What became of what was sent to one server. `sent` is the sum of `answered`, `late`,
/// `lost` and what is open or was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerStats {
    /// Whose.
    pub addr: SocketAddr,
    /// Datagrams and TCP queries.
    pub sent: u64,
    /// Answered in time.
    pub answered: u64,
    /// Answered after the next one had been asked.
    pub late: u64,
    /// Not answered.
    pub lost: u64,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// Questions it may have at a time.
    pub window: u32,
    /// The share of its rate that it gets.
    pub share: f64,
    /// It is left alone for now.
    pub benched: bool,
    /// It is asked without EDNS.
    pub plain: bool,
    /// What it makes of letters.
    pub case: Case,
}

/// A server, and all that is learnt of it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) window: Window,
    pub(crate) rtt: Rtt,
    pub(crate) case: Case,
    /// Socket of the running round.
    pub(crate) socket: (u32, u16),
    pace: Option<Pace>,
    /// Places taken: until the question is answered or given up.
    open: u32,
    /// Sends since the last answer that timed out.
    failures: u32,
    last_answer: Option<Instant>,
    /// Since it was benched, until when it is left alone.
    benched: Option<(Instant, Instant)>,
    /// A probe is out.
    probed: bool,
    plain_until: Option<Instant>,
    sent: u64,
    answered: u64,
    late: u64,
    lost: u64,
}

impl State {
    pub(super) fn new(server: Server, now: Instant) -> Self {
        Self {
            window: Window::new(server.in_flight, now),
            pace: server.rate.and_then(Pace::of),
            rtt: Rtt::default(),
            case: match server.known.case {
                None => Case::Learning(0),
                Some(true) => Case::Echoes(0),
                Some(false) => Case::Changes,
            },
            socket: (u32::MAX, 0),
            open: 0,
            failures: 0,
            last_answer: None,
            benched: None,
            probed: false,
            plain_until: server.known.plain.then(|| now + PLAIN),
            sent: 0,
            answered: 0,
            late: 0,
            lost: 0,
            server,
        }
    }

    pub(super) fn stats(&self, now: Instant) -> ServerStats {
        ServerStats {
            addr: self.server.addr,
            sent: self.sent,
            answered: self.answered,
            late: self.late,
            lost: self.lost,
            rtt: self.rtt.mean(),
            window: self.window.size(),
            share: self.window.share(),
            benched: self.benched.is_some(),
            plain: !self.edns(now),
            case: self.case,
        }
    }

    /// Not benched, or due for a probe: one question at a time. Where it is `lonely`, that is
    /// a second after the last one, however long it has been dead.
    pub(super) fn may_be_chosen(&self, now: Instant, lonely: bool) -> bool {
        match self.benched {
            None => true,
            Some(_) if self.probed => false,
            Some((since, until)) => until <= now || (lonely && since + BENCH.0 <= now),
        }
    }

    /// A benched server may be probed at once.
    pub(super) fn probe_soon(&mut self, now: Instant) {
        if let Some((_, until)) = &mut self.benched {
            *until = now;
        }
    }

    /// When a benched server may be chosen, as [`State::may_be_chosen`] has it.
    pub(super) fn back_at(&self, lonely: bool) -> Option<Instant> {
        let at = |(since, until): (Instant, Instant)| if lonely { until.min(since + BENCH.0) } else { until };
        self.benched.map(at).filter(|_| !self.probed)
    }

    /// Whether it may be sent to now.
    ///
    /// # Errors
    /// When it may, in nanoseconds since the begin; `None` where that is not a matter of time.
    pub(super) fn ready(&mut self, now: Instant, now_ns: u64) -> Result<(), Option<u64>> {
        self.window.turn(now, &self.rtt);
        let cap = self.server.in_flight.unwrap_or(u32::MAX).max(1);
        if self.open >= cap || !self.window.has_room() {
            return Err(None);
        }
        self.pace.as_ref().map_or(Ok(()), |pace| pace.ready(now_ns)).map_err(Some)
    }

    /// Takes a place; says in which step of the window.
    pub(super) fn take(&mut self, now_ns: u64) -> u32 {
        let share = self.window.share();
        if let Some(pace) = &mut self.pace {
            pace.take(now_ns, share);
        }
        self.probed = self.benched.is_some();
        self.open += 1;
        self.sent += 1;
        self.window.sent()
    }

    /// A place that was taken is free again, whatever came of it.
    pub(crate) fn release(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// What was taken is given back: nothing was sent.
    pub(super) fn untake(&mut self, step: u32) {
        self.release();
        self.window.withdrawn(step);
        self.sent = self.sent.saturating_sub(1);
        self.probed = false;
        let share = self.window.share();
        if let Some(pace) = &mut self.pace {
            pace.give_back(share);
        }
    }

    /// The system did not send. Says whether it is benched from now on: where there is no way
    /// to it, trying each time would only take the place of others.
    pub(super) fn refused(&mut self, step: u32, now: Instant) -> bool {
        let probe = self.probed;
        self.untake(step);
        if self.is_left_alone(probe, now) {
            return false;
        }
        self.failures = (self.failures + 1).max(PATIENCE + 1 - REFUSALS);
        self.bench(now)
    }

    /// Whether it is benched, and this failure is no reason to bench it for longer: what was
    /// out when it was benched does not count further, nor do early probes.
    fn is_left_alone(&mut self, probe: bool, now: Instant) -> bool {
        let Some((since, until)) = &mut self.benched else { return false };
        if probe && *until <= now {
            return false;
        }
        if probe {
            *since = now;
        }
        true
    }

    /// Benches it after enough failures; says whether that is news.
    fn bench(&mut self, now: Instant) -> bool {
        if self.failures < PATIENCE {
            return false;
        }
        let doubled = BENCH.0 * 2_u32.saturating_pow((self.failures - PATIENCE).min(6));
        let news = self.benched.replace((now, now + doubled.min(BENCH.1))).is_none();
        if news {
            tracing::warn!(server = %self.server.addr, "resolver does not answer, left alone for now");
        }
        news
    }

    /// The question ended before this send was answered; `lost` where it was given up before.
    pub(crate) fn withdrawn(&mut self, step: u32, lost: bool) {
        self.release();
        self.window.withdrawn(step);
        if !lost {
            self.probed = false;
        }
    }

    /// A question over TCP has ended. What it took says nothing of datagrams.
    pub(crate) fn streamed(&mut self, step: u32, answered: bool) {
        self.withdrawn(step, false);
        *(if answered { &mut self.answered } else { &mut self.lost }) += 1;
    }

    /// Says whether it was benched until now.
    pub(super) fn answered(&mut self, step: u32, rtt: Duration, late: bool, now: Instant) -> bool {
        self.release();
        self.rtt.sample(rtt);
        if late {
            self.late += 1;
            self.lost = self.lost.saturating_sub(1);
            self.window.withdrawn(step);
            self.window.late(step);
        } else {
            self.answered += 1;
            self.window.answered(step);
        }
        self.failures = 0;
        self.last_answer = Some(now);
        self.probed = false;
        let back = self.benched.take().is_some();
        if back {
            self.window.restart(now);
            tracing::info!(server = %self.server.addr, "resolver answers again");
        }
        back
    }

    /// Says whether it is benched from now on. What was sent before its last answer was lost
    /// on the way, and tells nothing of it.
    pub(super) fn timed_out(&mut self, step: u32, sent: Instant, now: Instant) -> bool {
        self.lost += 1;
        self.window.lost(step);
        let probe = std::mem::take(&mut self.probed);
        if self.is_left_alone(probe, now) {
            return false;
        }
        self.failures += u32::from(self.last_answer.is_none_or(|at| at <= sent));
        self.bench(now)
    }

    /// Whether it is asked with EDNS.
    pub(crate) fn edns(&self, now: Instant) -> bool {
        self.plain_until.is_none_or(|until| until <= now)
    }

    /// It answered without EDNS what it could not read with it.
    pub(crate) fn reads_plain_only(&mut self, now: Instant) {
        self.plain_until = Some(now + PLAIN);
    }

    /// Takes note of how letters came back; false where such an answer is none.
    pub(crate) fn echoes(&mut self, exact: bool) -> bool {
        self.case = match (self.case, exact) {
            (Case::Changes, _) => Case::Changes,
            (Case::Learning(n), true) if n < ECHOES => Case::Learning(n + 1),
            (Case::Learning(_) | Case::Echoes(_), true) => Case::Echoes(0),
            (Case::Learning(_), false) => Case::Changes,
            (Case::Echoes(n), false) if n < CHANGES => {
                self.case = Case::Echoes(n + 1);
                return false;
            }
            (Case::Echoes(_), false) => Case::Changes,
        };
        true
    }
}
