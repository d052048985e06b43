//! The engine without its sockets: questions in, datagrams out and in, replies out. It has
//! no clock and sees no network, so tests run it against a simulated one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::EngineConfig;
use super::entry::{MAX_SENDS, Next, Send, Slab, Stage, StreamQuery};
use super::ids::Ids;
use super::readers::Readers;
use super::ring::{Ring, Timer};
use super::stats::{Stats, count};
use crate::query::{self, Form};
use crate::server::{Choice, Fate, Servers};
use crate::{Question, Reply, Sink, Verdict, name};

/// Questions that keep servers busy for longer than a thread's pause.
const BUSY: usize = 128;
/// Questions that are found to wait before anything else has its turn.
const WAIT_TURN: usize = 64;
/// When those behind them have theirs, if nothing else happens before.
const UNSEEN: Duration = Duration::from_millis(1);

/// A datagram that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// By which socket.
    pub(crate) socket: u16,
    /// To which server.
    pub(crate) server: u16,
    /// Whose.
    pub(crate) slot: u32,
    pub(crate) id: u16,
    /// Where it stands among the octets.
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// What a core is made of.
pub(crate) struct Setup<'a> {
    pub(crate) config: &'a EngineConfig,
    /// For each socket whether it is IPv4, and how many answers its buffer holds.
    pub(crate) sockets: Vec<(bool, usize)>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) seed: [u8; 32],
    pub(crate) now: Instant,
}

pub(crate) struct Core {
    pub(super) timeout: Duration,
    pub(super) attempts: usize,
    in_flight: usize,
    capacity: usize,
    pub(super) servers: Servers,
    pub(super) rng: StdRng,
    v4: Vec<u16>,
    v6: Vec<u16>,
    pub(super) ids: Vec<Ids>,
    pub(super) slab: Slab,
    pub(super) ring: Ring,
    /// Never sent, in order.
    fresh: VecDeque<Timer>,
    /// To be sent again.
    again: VecDeque<Timer>,
    /// Questions that are out.
    pub(super) out: usize,
    pub(super) readers: Readers,
    pub(super) stats: Arc<Stats>,
    pub(super) streams: VecDeque<StreamQuery>,
    due: Vec<Timer>,
    round: u32,
    /// Nothing can be sent before.
    pub(super) resume: Option<Instant>,
}

/// What came of the attempt to send one question.
enum Turn {
    /// It is sent, or ended.
    Done,
    /// No server takes it before then, or before something happens.
    Wait(Option<Instant>),
}

impl Core {
    pub(crate) fn new(setup: Setup<'_>) -> Self {
        let Setup { config, sockets, stats, seed, now } = setup;
        let mut rng = StdRng::from_seed(seed);
        let of = |v4: bool| (0_u16..).zip(&sockets).filter(|(_, s)| s.0 == v4).map(|(i, _)| i).collect();
        let in_flight = config.in_flight.max(1);
        Self {
            timeout: config.timeout.max(Duration::from_millis(1)),
            attempts: usize::from(config.attempts).clamp(1, MAX_SENDS),
            in_flight,
            // As many again may wait, so that what ends is followed at once.
            capacity: 2 * in_flight,
            servers: Servers::new(&config.servers, config.rate, config.gate.clone(), now),
            v4: of(true),
            v6: of(false),
            ids: sockets.iter().map(|s| Ids::new(s.1, &mut rng)).collect(),
            rng,
            slab: Slab::default(),
            ring: Ring::new(now),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            out: 0,
            readers: Readers::default(),
            stats,
            streams: VecDeque::new(),
            due: Vec::new(),
            round: 0,
            resume: None,
        }
    }

    /// How many more questions it takes.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.slab.len() + self.readers.len())
    }

    /// Takes questions of one reader.
    pub(crate) fn submit(
        &mut self,
        questions: impl ExactSizeIterator<Item = Question>,
        sink: &Sink,
        now: Instant,
    ) {
        if questions.len() == 0 {
            return;
        }
        let reader = self.readers.of(sink, questions.len());
        for mut question in questions {
            // What comes back is compared in lower case.
            question.name.make_ascii_lowercase();
            if !name::is_valid(&question.name) || !crate::is_askable(question.qtype) {
                self.readers.end(reader, Some(Reply::failed(question.token, Verdict::FormErr)));
                continue;
            }
            let case = self.rng.random::<u64>();
            let timer = self.slab.insert(question, reader, case, now);
            self.fresh.push_back(timer);
        }
        self.resume = Some(now);
    }

    /// Hands replies over; true where a reader has no room.
    pub(crate) fn flush(&mut self) -> bool {
        self.readers.flush()
    }

    /// Replies that wait to be handed over, and whoever has none to wait for.
    pub(crate) fn ready(&self) -> usize {
        self.readers.ready()
    }

    /// Whether so many questions are out that a moment's wait costs none of them anything.
    pub(crate) fn is_busy(&self) -> bool {
        self.out >= BUSY
    }

    /// A question that is to be asked over TCP.
    pub(crate) fn next_stream(&mut self) -> Option<StreamQuery> {
        self.streams.pop_front()
    }

    /// Questions that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.slab.len()
    }

    /// When to look again if nothing arrives before.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let waits = !(self.fresh.is_empty() && self.again.is_empty()) && self.out < self.in_flight;
        [self.ring.next(), self.resume.filter(|_| waits)].into_iter().flatten().min()
    }

    /// Has a question sent.
    pub(super) fn wait(&mut self, slot: u32) {
        let timer = (slot, self.slab.generation(slot));
        let Some(entry) = self.slab.get(slot) else { return };
        if entry.stage != Stage::Waiting {
            entry.stage = Stage::Waiting;
            self.out -= 1;
        }
        self.again.push_back(timer);
    }

    /// Writes up to `most` queries that may go now.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        most: usize,
        list: &mut Vec<Outgoing>,
        octets: &mut Vec<u8>,
    ) {
        self.round = self.round.wrapping_add(1);
        self.resume = None;
        let (mut waits, mut resume) = (0, None);
        for _ in 0..self.again.len() {
            if self.out >= self.in_flight || list.len() >= most || waits >= WAIT_TURN {
                break;
            }
            let Some(timer) = self.again.pop_front() else { break };
            if let Turn::Wait(at) = self.send(timer, now, list, octets) {
                self.again.push_back(timer);
                resume = [resume, at].into_iter().flatten().min();
                waits += 1;
            }
        }
        while self.out < self.in_flight
            && list.len() < most
            && let Some(timer) = self.fresh.pop_front()
        {
            if let Turn::Wait(at) = self.send(timer, now, list, octets) {
                // All of these may go to the same servers.
                self.fresh.push_front(timer);
                resume = [resume, at].into_iter().flatten().min();
                break;
            }
        }
        // Those that were not looked at have their turn soon.
        let unseen = (waits >= WAIT_TURN).then(|| now + UNSEEN);
        let full = (list.len() >= most).then_some(now);
        self.resume = [full, unseen, resume].into_iter().flatten().min();
    }

    fn send(&mut self, timer: Timer, now: Instant, list: &mut Vec<Outgoing>, octets: &mut Vec<u8>) -> Turn {
        let slot = timer.0;
        let Some(entry) = self.slab.same(timer).filter(|e| e.stage == Stage::Waiting) else {
            return Turn::Done;
        };
        if self.readers.is_gone(entry.reader) {
            count(&self.stats.withdrawn);
            self.end(slot, None);
            return Turn::Done;
        }
        if self.readers.is_withdrawn(entry.reader) {
            self.withdraw(slot, now);
            return Turn::Done;
        }
        if !self.ids.iter().any(Ids::has_room) {
            // A token of a rate would be spent in vain.
            return Turn::Wait(None);
        }
        let next = entry.next;
        let mut asked = [(0, Fate::Open); MAX_SENDS];
        let n = asked.iter_mut().zip(entry.asked()).map(|(to, from)| *to = from).count();
        let admitted = entry.admitted;
        let choice = match next {
            Next::Any if n >= self.attempts => Choice::Nobody,
            Next::Any => self.servers.choose(&asked[..n], now, &mut self.rng),
            Next::Plain(server) | Next::Tcp(server) => self.servers.again(server, now),
        };
        match (choice, next) {
            (Choice::Wait(at), _) => {
                // Nobody answers at all: the wait has an end.
                let longest = self.timeout * self.attempts as u32;
                let dead = self.servers.all_benched_since.map(|at| at.max(admitted) + longest);
                match dead {
                    Some(end) if end <= now => self.nobody(slot, now),
                    _ => return Turn::Wait([at, dead].into_iter().flatten().min()),
                }
            }
            (Choice::Nobody, _) => self.nobody(slot, now),
            (Choice::Send(server, step), Next::Tcp(_)) => self.stream(slot, server, step, now),
            (Choice::Send(server, step), _) => {
                return self.datagram_to(slot, (server, step), now, list, octets);
            }
        }
        Turn::Done
    }

    /// Writes a query for a server whose place is taken.
    fn datagram_to(
        &mut self,
        slot: u32,
        (server, step): (u16, u32),
        now: Instant,
        list: &mut Vec<Outgoing>,
        octets: &mut Vec<u8>,
    ) -> Turn {
        let Some(socket) = self.socket_for(server) else {
            self.servers.untake(server, step);
            return Turn::Wait(None);
        };
        let Some(id) = self.ids[usize::from(socket)].take(slot, &mut self.rng) else {
            self.servers.untake(server, step);
            return Turn::Wait(None);
        };
        let state = self.servers.get(server);
        let rtt = state.rtt;
        let padded = state.server.own;
        let (reads_edns, changes) = (state.edns(now), state.case == crate::server::Case::Changes);
        let generation = self.slab.generation(slot);
        let Some(entry) = self.slab.get(slot) else { return Turn::Done };
        let edns = reads_edns && !matches!(entry.next, Next::Plain(_));
        let start = octets.len();
        let form = Form { edns, padded, case: if changes { 0 } else { entry.case } };
        query::encode(id, &entry.question, form, octets);
        list.push(Outgoing { socket, server, slot, id, start, len: octets.len() - start });
        let before = entry.sends.iter().filter(|s| s.server == server).count() as u32;
        let until = now + rtt.timeout(before).min(self.timeout);
        entry.sends.push(Send { socket, id, server, step, fate: Fate::Open, edns, at: now, until });
        entry.stage = Stage::Out;
        entry.first_sent.get_or_insert(now);
        self.out += 1;
        self.ring.set(until, (slot, generation));
        count(&self.stats.sent);
        Turn::Done
    }

    /// A random socket of the server's family that has room; one for all queries of a round to
    /// one server whose queries go in trains.
    fn socket_for(&mut self, server: u16) -> Option<u16> {
        let state = self.servers.get(server);
        let sockets = if state.server.addr.is_ipv4() { &self.v4 } else { &self.v6 };
        let has_room = |socket: u16| self.ids[usize::from(socket)].has_room();
        if state.server.own && state.socket.0 == self.round && has_room(state.socket.1) {
            return Some(state.socket.1);
        }
        let from = self.rng.random_range(0..sockets.len().max(1));
        let drawn = sockets.iter().cycle().skip(from).take(sockets.len()).copied().find(|s| has_room(*s))?;
        self.servers.get_mut(server).socket = (self.round, drawn);
        Some(drawn)
    }

    /// Asks a server whose place is taken over TCP.
    fn stream(&mut self, slot: u32, server: u16, step: u32, now: Instant) {
        let (state, generation) = (self.servers.get(server), self.slab.generation(slot));
        let (addr, edns) = (state.server.addr, state.edns(now));
        let Some(entry) = self.slab.get(slot) else { return };
        let edns = edns && entry.sends.last().is_none_or(|s| s.edns);
        let mut message = Vec::with_capacity(query::MAX_QUERY);
        query::encode(0, &entry.question, Form { edns, padded: false, case: entry.case }, &mut message);
        let end = 12 + entry.question.name.len() + 4;
        entry.stage = Stage::Stream(server, step);
        entry.streams += 1;
        entry.next = Next::Any;
        entry.first_sent.get_or_insert(now);
        self.out += 1;
        count(&self.stats.tcp);
        self.streams.push_back(StreamQuery { timer: (slot, generation), addr, message, end });
    }

    /// A datagram that was written could not be sent: that was no attempt.
    pub(crate) fn unsent(&mut self, outgoing: &Outgoing, now: Instant) {
        count(&self.stats.unsent);
        let at = (outgoing.socket, outgoing.id);
        let Some(entry) = self.slab.get(outgoing.slot) else { return };
        let Some(i) = entry.sends.iter().position(|s| (s.socket, s.id) == at && s.fate == Fate::Open) else {
            return;
        };
        let send = entry.sends.remove(i);
        entry.next = Next::Any;
        let server = Some(self.servers.get(outgoing.server).server.addr);
        entry.keep(Reply { server, ..Reply::failed(0, Verdict::Unreachable) });
        self.ids[usize::from(send.socket)].free(send.id);
        self.servers.refused(outgoing.server, send.step, now);
        self.wait(outgoing.slot);
    }

    /// Looks at the questions whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.ring.expire(now, &mut due);
        for timer in due.drain(..) {
            self.check(timer, now);
        }
        self.due = due;
    }

    fn check(&mut self, timer: Timer, now: Instant) {
        let slot = timer.0;
        let Some(entry) = self.slab.same(timer) else { return };
        let mut news = false;
        for send in entry.sends.iter_mut().filter(|s| s.fate == Fate::Open && s.until <= now) {
            send.fate = Fate::Lost;
            news = true;
            count(&self.stats.timeouts);
            self.servers.timed_out(send.server, send.step, send.at, now);
        }
        match entry.stage {
            Stage::Out if news => {
                entry.next = Next::Any;
                self.wait(slot);
            }
            Stage::Draining => self.nobody(slot, now),
            Stage::Waiting | Stage::Out | Stage::Stream(..) => {}
        }
    }

    /// Nobody is left to ask: ends the question, once no answer can come any more.
    pub(super) fn nobody(&mut self, slot: u32, now: Instant) {
        let generation = self.slab.generation(slot);
        let timeout = self.timeout;
        let Some(entry) = self.slab.get(slot) else { return };
        let open = |s: &&Send| matches!(s.fate, Fate::Open | Fate::Lost);
        let last = entry.sends.iter().filter(open).map(|s| s.at + timeout).max();
        if let Some(until) = last.filter(|until| *until > now) {
            if entry.stage == Stage::Waiting {
                self.out += 1;
            }
            entry.stage = Stage::Draining;
            self.ring.set(until, (slot, generation));
            return;
        }
        self.give_up(slot, now);
    }
}
