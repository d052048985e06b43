//! A network in virtual time: servers that queue, lose, fall silent and lie, around the core.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::super::core::{Core, Setup};
use super::*;
use crate::query::{self, Form};
use crate::{RecordType, Replies, Reply, Verdict};

/// A server of the network.
#[derive(Clone)]
pub struct Peer {
    /// Lost on the way there, and on the way back.
    pub loss: f64,
    /// From the arrival of a query to that of its answer, apart from the queue.
    pub delay: (Duration, Duration),
    /// Answers a second, and queries that wait at most; more are dropped.
    pub capacity: Option<(f64, usize)>,
    /// When it is silent.
    pub away: fn(Duration) -> bool,
    /// When it does nothing: what comes waits, and is dropped where too much does.
    pub pause: Option<(Duration, Duration)>,
    /// Each answer comes so often.
    pub copies: u32,
    /// The answer's code and flags.
    pub rcode: u8,
}

impl Default for Peer {
    fn default() -> Self {
        let ms = Duration::from_millis;
        let delay = (ms(10), ms(12));
        Self { loss: 0.0, delay, capacity: None, away: |_| false, pause: None, copies: 1, rcode: 0 }
    }
}

type Event = Reverse<(Instant, u64, u16, usize, Vec<u8>)>;

pub struct Net {
    pub core: Core,
    pub begin: Instant,
    pub now: Instant,
    pub stats: Arc<Stats>,
    peers: Vec<Peer>,
    addrs: Vec<SocketAddr>,
    free_at: Vec<Instant>,
    events: BinaryHeap<Event>,
    seq: u64,
    rng: StdRng,
    /// When, and to which server, each query went; by question's name how often to each.
    pub log: Vec<(Duration, u16)>,
    pub sends: HashMap<(u64, u16), u32>,
    pub answered: Vec<(Duration, Reply)>,
}

pub fn addr(i: usize) -> SocketAddr {
    ([192, 0, 2, i as u8 + 1], 53).into()
}

/// A question whose name holds its number.
pub fn question(token: u64) -> Question {
    let mut name = vec![8];
    name.extend(format!("{token:08}").bytes());
    name.extend(b"\x04test\x00");
    Question { token, name: name.into(), qtype: RecordType::A }
}

/// An answer to a query, as a server gives it.
pub fn answer(query: &[u8], rcode: u8) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|o| *o == 0).unwrap() + 5;
    let found = u8::from(rcode == 0);
    let mut m = [&query[..2], &[0x81, 0x80 | rcode, 0, 1, 0, found, 0, 0, 0, 0], &query[12..end]].concat();
    if rcode == 0 {
        m.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    m
}

impl Net {
    pub fn new(seed: u64, peers: Vec<Peer>, config: impl FnOnce(&mut EngineConfig)) -> Self {
        let addrs: Vec<SocketAddr> = (0..peers.len()).map(addr).collect();
        let mut settings = EngineConfig::new(addrs.iter().map(|a| Server::own(*a)).collect());
        settings.seed = Some(seed);
        settings.sockets = 4;
        config(&mut settings);
        let now = Instant::now();
        let stats = Arc::new(Stats::default());
        let core = Core::new(Setup {
            config: &settings,
            sockets: vec![(true, 1 << 16); settings.sockets],
            stats: Arc::clone(&stats),
            seed: settings.seed(0),
            now,
        });
        Self {
            core,
            begin: now,
            now,
            stats,
            free_at: vec![now; peers.len()],
            peers,
            addrs,
            events: BinaryHeap::new(),
            seq: 0,
            rng: StdRng::seed_from_u64(seed),
            log: Vec::new(),
            sends: HashMap::new(),
            answered: Vec::new(),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now.duration_since(self.begin)
    }

    /// Asks `n` questions as fast as the core takes them, until all have ended. Says how long
    /// that took; fails where it takes longer than `limit`, or one ends twice.
    pub fn ask(&mut self, n: u64, limit: Duration) -> Duration {
        let (sink, mut replies) = Sink::new(1 << 16);
        let (begin, before) = (self.now, self.answered.len());
        let mut next = 0;
        while self.answered.len() - before < n as usize {
            let room = (self.core.room() as u64).min(n - next);
            if room > 0 {
                let questions: Vec<Question> = (next..next + room).map(question).collect();
                self.core.submit(questions.into_iter(), &sink, self.now);
                next += room;
            }
            self.step(&mut replies);
            assert!(self.now.duration_since(begin) < limit, "{} of {n}", self.answered.len() - before);
        }
        let mut tokens: Vec<u64> = self.answered[before..].iter().map(|(_, r)| r.token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, (0..n).collect::<Vec<u64>>(), "each ends once");
        assert_eq!(self.core.open(), 0);
        self.now.duration_since(begin)
    }

    /// How many of the replies have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.answered.iter().filter(|(_, r)| r.verdict == verdict).count()
    }

    /// Sends what may go, then goes on to the next thing that happens.
    pub fn step(&mut self, replies: &mut Replies) {
        self.step_but(replies, |_| false);
    }

    /// The same with a system that refuses to send to some servers.
    pub fn step_but(&mut self, replies: &mut Replies, refuses: impl Fn(u16) -> bool) {
        self.send(refuses);
        let (wake, event) = (self.core.next_wake(), self.events.peek().map(|Reverse((at, ..))| *at));
        let next = [wake, event].into_iter().flatten().min();
        // The thread is late by up to half a millisecond.
        let late = Duration::from_micros(self.rng.random_range(0..500));
        self.now = next.map_or(self.now, |at| at.max(self.now)) + late;
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= self.now
        {
            let Some(Reverse((at, _, socket, server, message))) = self.events.pop() else { break };
            self.core.datagram(socket, self.addrs[server], &message, at);
        }
        self.core.expire(self.now);
        self.core.flush();
        while let Some(batch) = replies.try_next() {
            let at = self.elapsed();
            self.answered.extend(batch.into_iter().map(|r| (at, r)));
        }
    }

    fn send(&mut self, refuses: impl Fn(u16) -> bool) {
        let (mut list, mut octets) = (Vec::new(), Vec::new());
        self.core.transmit(self.now, 512, &mut list, &mut octets);
        // A thread would spin on what can be sent now and is not.
        assert!(list.len() == 512 || self.core.resume.is_none_or(|at| at > self.now));
        for o in list {
            if refuses(o.server) {
                self.core.unsent(&o, self.now);
                continue;
            }
            let query = &octets[o.start..o.start + o.len];
            let token = std::str::from_utf8(&query[13..21]).unwrap().parse().unwrap();
            self.log.push((self.elapsed(), o.server));
            *self.sends.entry((token, o.server)).or_default() += 1;
            self.arrive(o.socket, o.server.into(), query.to_vec());
        }
    }

    fn arrive(&mut self, socket: u16, server: usize, query: Vec<u8>) {
        let peer = self.peers[server].clone();
        let lost = |rng: &mut StdRng| peer.loss > 0.0 && rng.random_bool(peer.loss);
        if (peer.away)(self.elapsed()) || lost(&mut self.rng) {
            return;
        }
        let mut at = self.now;
        if let Some((rate, waiting)) = peer.capacity {
            let one = Duration::from_secs_f64(1.0 / rate);
            let paused = peer.pause.filter(|(from, to)| (*from..*to).contains(&self.elapsed()));
            let begins = paused.map_or(self.now, |(_, to)| self.begin + to);
            let free = self.free_at[server].max(begins);
            if free.duration_since(begins) > one * waiting as u32 {
                return;
            }
            at = free + one;
            self.free_at[server] = at;
        }
        for _ in 0..peer.copies {
            if !lost(&mut self.rng) {
                let delay = self.rng.random_range(peer.delay.0..=peer.delay.1);
                self.seq += 1;
                let event = (at + delay, self.seq, socket, server, answer(&query, peer.rcode));
                self.events.push(Reverse(event));
            }
        }
    }

    /// The only query that is out, with its socket and server.
    pub fn only_query(&mut self) -> (u16, u16, Vec<u8>) {
        let (mut list, mut octets) = (Vec::new(), Vec::new());
        self.core.transmit(self.now, 512, &mut list, &mut octets);
        let [o] = list[..] else { panic!("{} queries", list.len()) };
        (o.socket, o.server, octets[o.start..o.start + o.len].to_vec())
    }
}

/// What a core would write for a question, with an ID.
pub fn query(id: u16, question: &Question) -> Vec<u8> {
    let mut out = Vec::new();
    query::encode(id, question, Form { edns: true, padded: false, case: 0 }, &mut out);
    out
}
