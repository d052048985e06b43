//! The thread around the core: it alone reads and writes the sockets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};

use kudzu_datagram::{BATCH, Inbox, Outbox, Peer, Poller, Socket};
use tokio::sync::mpsc;

use super::core::{Core, Outgoing};
use super::streams::{Came, Streamed, Streams};
use super::{Batch, Shared};
use crate::{Question, Sink};

/// Batches of datagrams read from a socket before anything else has its turn.
const READS: usize = 8;
/// Queries written before anything else has its turn.
const SENDS: usize = 512;
/// Replies that are handed over at once; fewer wait for more, up to that time.
const CARRY: usize = 512;
const HAND_OVER: Duration = Duration::from_millis(1);
/// How long a busy thread lets datagrams gather.
const PAUSE: Duration = Duration::from_micros(300);
/// When a full reader or send buffer is tried again.
const RETRY: Duration = Duration::from_millis(1);
/// How often what is known of the servers is shown.
const SHOW: Duration = Duration::from_millis(100);
/// Longest sleep: a bound on what a lost wake-up could cost.
const IDLE: Duration = Duration::from_secs(1);

pub(super) struct Thread {
    core: Core,
    shared: Arc<Shared>,
    poller: Poller,
    sockets: Vec<Bound>,
    /// Of the servers, in their order.
    peers: Vec<Peer>,
    inbox: Inbox,
    outbox: Outbox,
    batches: mpsc::Receiver<Batch>,
    /// The rest of a batch that was too large.
    rest: Option<(std::vec::IntoIter<Question>, Sink)>,
    streams: Streams,
    streamed: mpsc::Receiver<Streamed>,
    list: Vec<Outgoing>,
    octets: Vec<u8>,
    /// How many of the list are sent.
    sent: usize,
    shown: Instant,
    handed: Instant,
}

struct Bound {
    socket: Socket,
    readable: bool,
    drops: u32,
}

/// What a thread is made of.
pub(super) struct Parts {
    pub(super) core: Core,
    pub(super) shared: Arc<Shared>,
    pub(super) poller: Poller,
    pub(super) sockets: Vec<Socket>,
    pub(super) peers: Vec<Peer>,
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) streams: Streams,
    pub(super) streamed: mpsc::Receiver<Streamed>,
    pub(super) trains: bool,
}

impl Thread {
    pub(super) fn new(parts: Parts) -> Self {
        let bound = |socket| Bound { socket, readable: true, drops: 0 };
        Self {
            core: parts.core,
            shared: parts.shared,
            poller: parts.poller,
            sockets: parts.sockets.into_iter().map(bound).collect(),
            peers: parts.peers,
            inbox: Inbox::new(),
            outbox: Outbox::new(parts.trains),
            batches: parts.batches,
            rest: None,
            streams: parts.streams,
            streamed: parts.streamed,
            list: Vec::with_capacity(SENDS),
            octets: Vec::with_capacity(SENDS * 64),
            sent: 0,
            shown: Instant::now(),
            handed: Instant::now(),
        }
    }

    /// Serves until the engine is gone.
    pub(super) fn run(mut self) {
        while !self.shared.stop.load(SeqCst) {
            let mut busy = false;
            for i in 0..self.sockets.len() {
                busy |= self.sockets[i].readable && self.receive(i);
            }
            let now = Instant::now();
            while let Ok(done) = self.streamed.try_recv() {
                self.streams.ended();
                self.core.streamed(done.timer, &done.came, now);
                busy = true;
            }
            busy |= self.take(now);
            self.core.expire(now);
            let blocked = self.transmit(now, &mut busy);
            while self.streams.has_room()
                && let Some(query) = self.core.next_stream()
            {
                if let Err(timer) = self.streams.ask(query) {
                    self.core.streamed(timer, &Came::Nothing, now);
                }
            }
            // Who has the last reply finds the servers as they are.
            let ended = self.core.open() == 0 && self.core.ready() > 0;
            if ended || now.duration_since(self.shown) >= SHOW {
                self.show(now);
            }
            let full = self.hand_over(now);
            if !busy {
                self.sleep(now, blocked, full);
            } else if self.core.is_busy() {
                // Whatever comes meanwhile is taken together, and wakes nobody.
                std::thread::sleep(PAUSE);
                self.sockets.iter_mut().for_each(|bound| bound.readable = true);
            }
        }
    }

    /// Reads a socket; true where there may be more.
    fn receive(&mut self, i: usize) -> bool {
        for _ in 0..READS {
            let bound = &mut self.sockets[i];
            let count = match self.inbox.receive(&bound.socket) {
                Ok(count) => count,
                Err(e) => {
                    // An ICMP error of some earlier send, which its timer ends, or an interrupt.
                    bound.readable = e.kind() != io::ErrorKind::WouldBlock;
                    return bound.readable;
                }
            };
            let now = Instant::now();
            for datagram in self.inbox.datagrams() {
                let Some(from) = datagram.from.addr() else { continue };
                self.core.datagram(i as u16, from, datagram.payload, now);
            }
            let drops = self.inbox.take_drops();
            if drops != 0 {
                let more = drops.wrapping_sub(std::mem::replace(&mut bound.drops, drops));
                self.shared.stats.dropped.fetch_add(more.into(), Relaxed);
            }
            bound.readable = count == BATCH;
            if !bound.readable {
                return true;
            }
        }
        true
    }

    /// Takes questions in, as far as there is room; true where some came.
    fn take(&mut self, now: Instant) -> bool {
        let mut some = false;
        while self.core.room() > 0 {
            if self.rest.is_none()
                && let Ok(batch) = self.batches.try_recv()
            {
                self.rest = Some((batch.questions.into_iter(), batch.sink));
            }
            let Some((questions, sink)) = &mut self.rest else { return some };
            let n = self.core.room().min(questions.len());
            self.core.submit(questions.take(n), sink, now);
            if questions.len() == 0 {
                self.rest = None;
            }
            some = true;
        }
        some
    }

    /// Sends what may go now; true where the kernel would not take all.
    fn transmit(&mut self, now: Instant, busy: &mut bool) -> bool {
        if self.sent == self.list.len() {
            self.list.clear();
            self.octets.clear();
            self.sent = 0;
            self.core.transmit(now, SENDS, &mut self.list, &mut self.octets);
            // Those of one length to one server leave together.
            self.list.sort_unstable_by_key(|o| (o.socket, o.server, o.len));
        }
        let (peers, octets) = (&self.peers, &self.octets);
        let datagram = |o: &Outgoing| (peers[usize::from(o.server)], &octets[o.start..o.start + o.len]);
        while let Some(first) = self.list.get(self.sent) {
            let of_socket = self.list[self.sent..].iter().take_while(|o| o.socket == first.socket);
            let datagrams: Vec<(Peer, &[u8])> = of_socket.map(datagram).collect();
            *busy = true;
            match self.outbox.send(&self.sockets[usize::from(first.socket)].socket, &datagrams) {
                Ok(n) => self.sent += n.max(1),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    *busy = false;
                    return true;
                }
                Err(_) => {
                    self.core.unsent(&self.list[self.sent], now);
                    self.sent += 1;
                }
            }
        }
        false
    }

    /// Hands replies over, where many are in flight not before there is something to carry;
    /// true where they are to be tried again.
    fn hand_over(&mut self, now: Instant) -> bool {
        let ready = self.core.ready();
        if ready == 0 {
            self.handed = now;
            return false;
        }
        if self.core.is_busy() && ready < CARRY && now.duration_since(self.handed) < HAND_OVER {
            return true;
        }
        self.handed = now;
        self.core.flush()
    }

    fn sleep(&mut self, now: Instant, blocked: bool, full: bool) {
        let wake = self.core.next_wake().map_or(IDLE, |at| at.saturating_duration_since(now));
        let wait = match (blocked, full) {
            // What the core wants to send next cannot go before the kernel has room.
            (true, _) => RETRY,
            (false, true) => wake.min(RETRY),
            (false, false) => wake.min(IDLE),
        };
        self.shared.sleeping.store(true, SeqCst);
        let takes = self.core.room() > 0 && self.rest.is_none();
        let news = (takes && !self.batches.is_empty()) || !self.streamed.is_empty();
        if !news && !self.shared.stop.load(SeqCst) {
            self.poller.wait(wait);
            for (i, bound) in self.sockets.iter_mut().enumerate() {
                bound.readable = self.poller.is_readable(i);
            }
        }
        self.shared.sleeping.store(false, SeqCst);
    }

    fn show(&mut self, now: Instant) {
        self.shown = now;
        let mut servers = self.shared.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *servers = self.core.servers.stats(now);
    }
}
