//! One pair of sockets, and everything in flight on it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Counters;
use super::entry::{Entry, Ids, Slab};
use super::outbox::Outbox;
use crate::answer::{self, Read};
use crate::servers::{Choice, Servers};
use crate::{Question, Reply, Sink, Transport, Verdict, query, tcp};

/// Datagrams read before anything else has its turn.
const READ_TURN: usize = 256;
/// Larger than any answer over UDP to our EDNS payload size.
const DATAGRAM: usize = 4096;
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

struct Driver {
    setup: Setup,
    slab: Slab,
    ids: Ids,
    /// Slots that are to be sent, in order.
    waiting: VecDeque<u32>,
    /// Slots in flight by the end of their time, which is the order of sending.
    timers: VecDeque<(Instant, u32, u32)>,
    /// No server takes more before this.
    resume: Option<Instant>,
    /// A socket's send buffer is full.
    blocked: bool,
    outbox: Outbox,
    tcp: JoinSet<(u32, io::Result<Read>)>,
    packet: Vec<u8>,
    buffer: Box<[u8]>,
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
            () = sleep.as_mut(), if wake.is_some() => d.expire(),
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
    fn new(setup: Setup) -> Self {
        Self {
            setup,
            slab: Slab::default(),
            ids: Ids::new(),
            waiting: VecDeque::new(),
            timers: VecDeque::new(),
            resume: None,
            blocked: false,
            outbox: Outbox::default(),
            tcp: JoinSet::new(),
            packet: Vec::with_capacity(query::MAX_QUERY),
            buffer: vec![0; DATAGRAM].into(),
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < self.setup.in_flight
    }

    /// Whether as many questions as allowed are out, over UDP or TCP.
    fn is_full(&self) -> bool {
        self.slab.len() - self.waiting.len() >= self.setup.in_flight
    }

    fn wake(&self, full: bool) -> Option<Instant> {
        let timer = self.timers.front().map(|(at, ..)| *at);
        let full = full.then(|| Instant::now() + SINK_RETRY);
        [timer, self.resume, full].into_iter().flatten().min()
    }

    fn admit(&mut self, batch: Batch) {
        for question in batch.questions {
            if !answer::askable(&question) {
                self.outbox.push(batch.sink.clone(), Reply::failed(question.token, Verdict::FormErr));
                continue;
            }
            let entry = Entry {
                question,
                sink: batch.sink.clone(),
                asked: Vec::new(),
                edns: true,
                first_sent: None,
                last: None,
                flight: None,
            };
            let slot = self.slab.insert(entry);
            self.waiting.push_back(slot);
        }
    }

    fn send_waiting(&mut self) {
        let now = Instant::now();
        if self.blocked || self.resume.is_some_and(|at| at > now) {
            return;
        }
        self.resume = None;
        while !self.is_full()
            && let Some(&slot) = self.waiting.front()
        {
            let Some(entry) = self.slab.get(slot) else {
                self.waiting.pop_front();
                continue;
            };
            if entry.sink.is_closed() {
                count(&self.setup.counters.withdrawn);
                self.slab.remove(slot);
                self.waiting.pop_front();
                continue;
            }
            let spent = entry.asked.len() >= usize::from(self.setup.attempts);
            let choice = if spent { Choice::Nobody } else { self.setup.servers.choose(&entry.asked, now) };
            match choice {
                Choice::Wait(at) => {
                    self.resume = Some(at);
                    return;
                }
                Choice::Nobody => self.give_up(slot),
                Choice::Send(server) => match self.transmit(slot, server, now) {
                    Ok(()) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        self.blocked = true;
                        return;
                    }
                    // It stays at the front, for another server.
                    Err(_) => continue,
                },
            }
            self.waiting.pop_front();
        }
    }

    /// Sends to a server whose place is taken; the place is given back on an error.
    fn transmit(&mut self, slot: u32, server: u16, now: Instant) -> io::Result<()> {
        let addr = self.setup.servers.addr(server);
        let socket = if addr.is_ipv4() { &self.setup.v4 } else { &self.setup.v6 };
        let Some((entry, socket)) = self.slab.get(slot).zip(socket.as_ref()) else {
            self.setup.servers.release(server);
            return Err(io::ErrorKind::NotFound.into());
        };
        let Some(id) = self.ids.take(slot) else {
            self.setup.servers.release(server);
            return Err(io::ErrorKind::WouldBlock.into());
        };
        query::encode(id, &entry.question, entry.edns, &mut self.packet);
        let sent = socket.try_send_to(&self.packet, addr);
        let full = sent.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
        if !full {
            entry.asked.push(server);
        }
        if let Err(e) = sent {
            self.ids.free(id);
            self.setup.servers.release(server);
            if !full {
                let failed = Reply::failed(0, Verdict::Unreachable);
                entry.last.get_or_insert_with(|| Box::new(failed));
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
        self.answered(slot, server, read);
    }

    fn answered(&mut self, slot: u32, server: u16, read: Read) {
        let Some(entry) = self.slab.get(slot) else { return };
        if read.truncated {
            count(&self.setup.counters.tcp);
            let (tcp, question) = (Arc::clone(&self.setup.tcp), entry.question.clone());
            let (addr, limit) = (self.setup.servers.addr(server), self.setup.timeout);
            self.tcp.spawn(async move {
                let Ok(_open) = tcp.acquire().await else { return (slot, Err(io::ErrorKind::Other.into())) };
                (slot, tcp::exchange(addr, &question, limit).await)
            });
            // The place stays taken until TCP is done.
            return;
        }
        let unread = read.bare || read.reply.verdict == Verdict::FormErr;
        let more = entry.asked.len() < usize::from(self.setup.attempts);
        if unread && entry.edns && more {
            entry.edns = false;
            if self.transmit(slot, server, Instant::now()).is_err() {
                self.waiting.push_front(slot);
            }
            return;
        }
        self.setup.servers.release(server);
        self.settle(slot, read.reply);
    }

    fn tcp_done(&mut self, slot: u32, read: io::Result<Read>) {
        let Some(server) = self.slab.get(slot).and_then(|e| e.asked.last().copied()) else { return };
        self.setup.servers.release(server);
        let mut reply = match read {
            Ok(read) if !read.truncated => read.reply,
            Ok(_) | Err(_) => Reply::failed(0, Verdict::Truncated),
        };
        reply.transport = Transport::Tcp;
        self.settle(slot, reply);
    }

    /// Ends the question, or asks another server where one may know better.
    fn settle(&mut self, slot: u32, mut reply: Reply) {
        let Some(entry) = self.slab.get(slot) else { return };
        reply.server = entry.asked.last().map(|s| self.setup.servers.addr(*s));
        let stands = match reply.verdict {
            Verdict::Found | Verdict::NoData | Verdict::NxDomain | Verdict::Loop | Verdict::Limit => true,
            Verdict::ServFail
            | Verdict::Refused
            | Verdict::FormErr
            | Verdict::Lame
            | Verdict::Truncated
            | Verdict::Timeout
            | Verdict::Malformed
            | Verdict::Unreachable => false,
        };
        // A server that was asked already would say the same from its cache (RFC 9520).
        let others = self.setup.servers.addrs().count();
        let fresh = (0..others).any(|i| !entry.asked.iter().any(|a| usize::from(*a) == i));
        if stands || !fresh || entry.asked.len() >= usize::from(self.setup.attempts) {
            self.finish(slot, reply);
        } else {
            entry.last = Some(Box::new(reply));
            self.waiting.push_front(slot);
        }
    }

    fn give_up(&mut self, slot: u32) {
        let Some(entry) = self.slab.get(slot) else { return };
        let mut reply = match entry.last.take() {
            Some(last) => *last,
            None => Reply::failed(0, Verdict::Timeout),
        };
        let last = entry.asked.last().map(|s| self.setup.servers.addr(*s));
        reply.server = reply.server.or(last);
        self.finish(slot, reply);
    }

    fn finish(&mut self, slot: u32, mut reply: Reply) {
        let Some(entry) = self.slab.remove(slot) else { return };
        reply.token = entry.question.token;
        reply.tries = u8::try_from(entry.asked.len()).unwrap_or(u8::MAX);
        reply.rtt = entry.first_sent.map_or(Duration::ZERO, |at| at.elapsed());
        if reply.transport == Transport::InProcess {
            reply.transport = Transport::Udp;
        }
        self.outbox.push(entry.sink, reply);
    }

    /// Ends the sends whose time is over.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((_, slot, generation)) = self.timers.pop_front_if(|(at, ..)| *at <= now) {
            if self.slab.generation(slot) != generation {
                continue;
            }
            let Some(entry) = self.slab.get(slot) else { continue };
            let Some((id, server)) = entry.flight.take() else { continue };
            count(&self.setup.counters.timeouts);
            self.ids.free(id);
            self.setup.servers.timed_out(server, now);
            self.setup.servers.release(server);
            self.waiting.push_front(slot);
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
