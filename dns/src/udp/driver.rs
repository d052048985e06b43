//! One pair of sockets, and everything in flight on it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Counters;
use super::entry::{Entry, Ids, Next, Slab};
use super::outbox::Outbox;
use super::waiting::Waiting;
use crate::answer::{self, Read};
use crate::servers::{Choice, Fate, Sent, Servers};
use crate::{Question, Reply, Sink, Verdict, query, tcp};

/// Datagrams read before anything else has its turn.
const READ_TURN: usize = 256;
/// The largest there is: some servers send more than was asked for.
const DATAGRAM: usize = 65_535;
/// Questions that are found to wait before anything else has its turn.
const WAIT_TURN: usize = 256;
/// When a full sink is tried again.
const SINK_RETRY: Duration = Duration::from_millis(2);

/// What a driver is made of.
pub(super) struct Setup {
    pub(super) v4: Option<UdpSocket>,
    pub(super) v6: Option<UdpSocket>,
    pub(super) servers: Arc<Servers>,
    pub(super) counters: Arc<Counters>,
    pub(super) tcp: Arc<Semaphore>,
    pub(super) timeout: Duration,
    pub(super) attempts: u8,
    pub(super) in_flight: usize,
}

/// Questions of one sink.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) questions: Vec<Question>,
    pub(super) sink: Sink,
}

pub(super) struct Driver {
    pub(super) setup: Setup,
    pub(super) slab: Slab,
    pub(super) ids: Ids,
    pub(super) waiting: Waiting,
    /// Slots in flight by the end of their time, which is the order of sending.
    pub(super) timers: VecDeque<(Instant, u32, u32)>,
    /// A socket's send buffer is full.
    blocked: bool,
    pub(super) outbox: Outbox,
    tcp: JoinSet<(u32, io::Result<Read>)>,
    packet: Vec<u8>,
    buffer: Box<[u8]>,
}

/// What came of the attempt to send one question.
enum Turn {
    /// It is sent, or ended.
    Done,
    /// No server takes it before.
    Wait(Instant),
    /// The socket takes no more.
    Blocked,
}

/// Serves until the resolver is gone.
pub(super) async fn run(setup: Setup, mut batches: mpsc::Receiver<Batch>) {
    let mut d = Driver::new(setup);
    let sleep = tokio::time::sleep_until(Instant::now());
    tokio::pin!(sleep);
    loop {
        while d.has_room()
            && let Ok(batch) = batches.try_recv()
        {
            d.admit(batch);
        }
        d.overdue();
        d.send_waiting();
        let full = d.outbox.flush();
        let wake = d.wake(full);
        if let Some(at) = wake.filter(|at| sleep.deadline() != *at) {
            sleep.as_mut().reset(at);
        }
        let (room, tcp, blocked) = (d.has_room(), !d.tcp.is_empty(), d.blocked);
        tokio::select! {
            biased;
            () = readable(d.setup.v4.as_ref()) => d.receive(true),
            () = readable(d.setup.v6.as_ref()) => d.receive(false),
            Some(done) = d.tcp.join_next(), if tcp => if let Ok((slot, read)) = done { d.tcp_done(slot, read) },
            batch = batches.recv(), if room => match batch {
                Some(batch) => d.admit(batch),
                None => return,
            },
            () = writable(d.setup.v4.as_ref(), d.setup.v6.as_ref()), if blocked => d.blocked = false,
            () = sleep.as_mut(), if wake.is_some() => {}
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) {
    match socket {
        // An error shows again when the socket is read.
        Some(socket) => drop(socket.readable().await),
        None => std::future::pending().await,
    }
}

async fn writable(v4: Option<&UdpSocket>, v6: Option<&UdpSocket>) {
    for socket in [v4, v6].into_iter().flatten() {
        drop(socket.writable().await);
    }
}

impl Driver {
    pub(super) fn new(setup: Setup) -> Self {
        Self {
            setup,
            slab: Slab::default(),
            ids: Ids::new(),
            waiting: Waiting::default(),
            timers: VecDeque::new(),
            blocked: false,
            outbox: Outbox::default(),
            tcp: JoinSet::new(),
            packet: Vec::with_capacity(query::MAX_QUERY),
            buffer: vec![0; DATAGRAM].into(),
        }
    }

    /// Those that wait for another server do not keep new ones out, up to as many again.
    fn has_room(&self) -> bool {
        self.waiting.fresh() < self.setup.in_flight && self.waiting.len() < 2 * self.setup.in_flight
    }

    /// Whether as many questions as allowed are out, over UDP or TCP.
    fn is_full(&self) -> bool {
        self.slab.len() - self.waiting.len() >= self.setup.in_flight
    }

    fn wake(&self, full: bool) -> Option<Instant> {
        let now = Instant::now();
        let timer = self.timers.front().map(|(at, ..)| *at);
        let stuck = self.blocked || self.is_full();
        let send = if stuck { None } else { self.waiting.resume(now) };
        [timer, send, full.then(|| now + SINK_RETRY)].into_iter().flatten().min()
    }

    pub(super) fn admit(&mut self, batch: Batch) {
        for question in batch.questions {
            if !answer::askable(&question) {
                self.outbox.push(batch.sink.clone(), Reply::failed(question.token, Verdict::FormErr));
                continue;
            }
            let slot = self.slab.insert(Entry::new(question, batch.sink.clone()));
            self.wait(slot);
        }
    }

    /// Has a question sent, by where it goes next.
    pub(super) fn wait(&mut self, slot: u32) {
        if let Some(entry) = self.slab.get(slot) {
            self.waiting.push(slot, entry);
        }
    }

    /// What sockets that are always readable would hold up: the loop looks at them first.
    pub(super) fn overdue(&mut self) {
        if self.timers.front().is_some_and(|(at, ..)| *at <= Instant::now()) {
            // What came in time still counts.
            self.receive(true);
            self.receive(false);
            self.expire();
        }
        while let Some(done) = self.tcp.try_join_next() {
            if let Ok((slot, read)) = done {
                self.tcp_done(slot, read);
            }
        }
        let ready = || writable(self.setup.v4.as_ref(), self.setup.v6.as_ref()).now_or_never();
        self.blocked = self.blocked && ready().is_none();
    }

    pub(super) fn send_waiting(&mut self) {
        let (now, mut waits) = (Instant::now(), 0);
        while !self.blocked
            && !self.is_full()
            && waits < WAIT_TURN
            && let Some(slot) = self.waiting.take(now)
        {
            let resume = match self.send(slot, now) {
                Turn::Done => continue,
                Turn::Wait(at) => Some(at),
                Turn::Blocked => None,
            };
            waits += 1;
            self.blocked = resume.is_none();
            if let Some(entry) = self.slab.get(slot) {
                self.waiting.put_back(slot, entry, resume);
            }
        }
    }

    fn send(&mut self, slot: u32, now: Instant) -> Turn {
        loop {
            let Some(entry) = self.slab.get(slot) else { return Turn::Done };
            if entry.sink.is_closed() {
                count(&self.setup.counters.withdrawn);
                self.slab.remove(slot);
                return Turn::Done;
            }
            let choice = match entry.next {
                Next::Any if entry.asked.len() >= usize::from(self.setup.attempts) => Choice::Nobody,
                Next::Any => self.setup.servers.choose(&entry.asked, now),
                Next::Plain(server) | Next::Tcp(server) => self.setup.servers.again(server, now),
            };
            match (choice, entry.next) {
                (Choice::Wait(at), _) => return Turn::Wait(at),
                (Choice::Nobody, _) => {
                    self.give_up(slot);
                    return Turn::Done;
                }
                (Choice::Send(server), Next::Tcp(_)) => {
                    self.start_tcp(slot, server);
                    return Turn::Done;
                }
                (Choice::Send(server), _) => match self.transmit(slot, server, now) {
                    Ok(()) => return Turn::Done,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Turn::Blocked,
                    // Another server may be in reach.
                    Err(_) => {}
                },
            }
        }
    }

    /// Asks a server again whose place is taken, for what UDP cut off.
    fn start_tcp(&mut self, slot: u32, server: u16) {
        let Some(entry) = self.slab.get(slot) else { return self.setup.servers.release(server) };
        entry.next = Next::Any;
        count(&self.setup.counters.tcp);
        let (tcp, question, sink) = (Arc::clone(&self.setup.tcp), entry.question.clone(), entry.sink.clone());
        let (addr, limit, edns) = (self.setup.servers.addr(server), self.setup.timeout, entry.edns);
        self.tcp.spawn(async move {
            let open = tcp.acquire().await;
            if open.is_err() || sink.is_closed() {
                return (slot, Err(io::ErrorKind::Other.into()));
            }
            (slot, tcp::exchange(addr, &question, edns, limit).await)
        });
    }

    /// Sends to a server whose place is taken; the place is given back on an error.
    fn transmit(&mut self, slot: u32, server: u16, now: Instant) -> io::Result<()> {
        let addr = self.setup.servers.addr(server);
        let socket = if addr.is_ipv4() { &self.setup.v4 } else { &self.setup.v6 };
        let Some(entry) = self.slab.get(slot) else {
            self.setup.servers.release(server);
            return Ok(());
        };
        let Some(id) = self.ids.take(slot) else {
            self.setup.servers.release(server);
            return Err(io::ErrorKind::WouldBlock.into());
        };
        entry.edns = !matches!(entry.next, Next::Plain(_)) && self.setup.servers.edns(server, now);
        query::encode(id, &entry.question, entry.edns, &mut self.packet);
        let sent = match socket {
            Some(socket) => socket.try_send_to(&self.packet, addr),
            None => Err(io::ErrorKind::NetworkUnreachable.into()),
        };
        let full = sent.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
        if !full {
            entry.asked.push(Sent { server, fate: Fate::Open });
        }
        if let Err(e) = sent {
            self.ids.free(id);
            self.setup.servers.release(server);
            if !full {
                entry.next = Next::Any;
                let addr = Some(addr);
                entry.keep(Reply { server: addr, ..Reply::failed(0, Verdict::Unreachable) });
            }
            return Err(e);
        }
        count(&self.setup.counters.sent);
        entry.flight = Some((id, server));
        entry.first_sent.get_or_insert(now);
        let generation = self.slab.next_generation(slot);
        self.timers.push_back((now + self.setup.timeout, slot, generation));
        Ok(())
    }

    fn receive(&mut self, v4: bool) {
        for _ in 0..READ_TURN {
            let socket = if v4 { &self.setup.v4 } else { &self.setup.v6 };
            let Some(socket) = socket else { return };
            match socket.try_recv_from(&mut self.buffer) {
                Ok((len, from)) => self.datagram(len, from),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error of some earlier send: its timer ends it.
                Err(_) => {}
            }
        }
    }

    fn datagram(&mut self, len: usize, from: SocketAddr) {
        let message = &self.buffer[..len];
        let counters = &self.setup.counters;
        let Some([i0, i1, flags, ..]) = message.first_chunk::<12>().filter(|h| h[2] & 0x80 != 0) else {
            return count(&counters.garbage);
        };
        debug_assert!(flags & 0x80 != 0);
        let id = u16::from_be_bytes([*i0, *i1]);
        let Some(slot) = self.ids.slot(id) else { return count(&counters.strange) };
        let Some(entry) = self.slab.get(slot) else { return count(&counters.strange) };
        let Some((_, server)) = entry.flight.filter(|(i, _)| *i == id) else {
            return count(&counters.strange);
        };
        let addr = self.setup.servers.addr(server);
        if (addr.ip(), addr.port()) != (from.ip(), from.port()) {
            return count(&counters.strange);
        }
        let Some(read) = answer::read(&entry.question, message) else { return count(&counters.mismatched) };
        count(&counters.answered);
        entry.flight = None;
        self.ids.free(id);
        self.slab.next_generation(slot);
        self.setup.servers.answered(server);
        self.setup.servers.release(server);
        self.answered(slot, server, read);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
