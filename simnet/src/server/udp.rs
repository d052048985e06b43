//! DNS over UDP: one thread a socket.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kudzu_datagram::{BATCH, Inbox, Outbox, Peer, Socket};
use tokio_util::sync::CancellationToken;

use super::busiest::Busiest;
use super::counters::{Counters, Transport};
use super::wire::{self, Query};
use crate::faults::{Chaos, DnsFault};
use crate::model::{Rcode, Record};
use crate::world::World;

/// Width of a bucket of the delay queue.
const TICK: Duration = Duration::from_millis(1);
/// Longest time without a look at the cancellation.
const IDLE: Duration = Duration::from_millis(50);
/// Spare buffers that are kept.
const SPARE: usize = 4096;
/// Answers that are put in order for one system call.
const TURN: usize = 1024;
/// Batches read before answers have their turn.
const READS: usize = 8;

/// What all sockets share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) world: World,
    pub(super) chaos: Arc<Chaos>,
    pub(super) counters: Arc<Counters>,
}

/// Answers until cancelled.
pub(super) fn serve(socket: &Socket, shared: &Shared, stop: &CancellationToken) {
    let mut inbox = Inbox::new();
    let mut loop_state = Loop {
        shared,
        queue: DelayQueue::new(Instant::now()),
        spare: Vec::new(),
        records: Vec::new(),
        busiest: Busiest::new(Instant::now()),
    };
    let mut outbox = Outbox::default();
    while !stop.is_cancelled() {
        let more = (0..READS).all(|_| loop_state.take_in(socket, &mut inbox));
        let blocked = loop_state.send_due(socket, &mut outbox);
        if !more {
            // Rounded up: waking before the tick is over would only spin.
            let wait = loop_state.queue.until_due(Instant::now()).min(IDLE);
            socket.wait(blocked, if blocked { wait.max(TICK) } else { wait });
        }
    }
}

struct Loop<'a> {
    shared: &'a Shared,
    queue: DelayQueue,
    spare: Vec<Vec<u8>>,
    records: Vec<Record>,
    busiest: Busiest,
}

impl Loop<'_> {
    /// Says whether there may be more to read.
    fn take_in(&mut self, socket: &Socket, inbox: &mut Inbox) -> bool {
        let count = match inbox.receive(socket) {
            Ok(count) => count,
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        };
        let (now, mut arrived) = (Instant::now(), 0);
        for datagram in inbox.datagrams() {
            arrived += 1;
            let mut out = self.spare.pop().unwrap_or_default();
            match self.answer(datagram.payload, &mut out) {
                Some(delay) => self.queue.push(now, delay, (datagram.from, out)),
                None => self.spare.push(out),
            }
        }
        self.shared.counters.dns_within_a_second(self.busiest.count(now, arrived));
        count == BATCH
    }

    /// Writes the answer and says when to send it; `None` for silence.
    fn answer(&mut self, message: &[u8], out: &mut Vec<u8>) -> Option<Duration> {
        let Shared { world, chaos, counters } = self.shared;
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(unreadable) => {
                counters.unreadable();
                return wire::refusal(unreadable, out).then_some(Duration::ZERO);
            }
        };
        counters.dns_asked(Transport::Udp);
        let (fault, delay) = chaos.dns(&query.qname, query.qtype, true);
        match fault {
            DnsFault::Drop => {
                counters.dropped();
                return None;
            }
            DnsFault::Truncate => wire::truncated(&query, out),
            DnsFault::ServFail => wire::bare(&query, Rcode::ServFail, out),
            DnsFault::Refuse => wire::bare(&query, Rcode::Refused, out),
            DnsFault::Malform => wire::malformed(&query, out),
            DnsFault::None => {
                self.records.clear();
                let verdict = world.dns(&query.qname, query.qtype, &mut self.records);
                wire::answer(&query, &verdict, &self.records, query.udp_limit(), out);
            }
        }
        Some(delay)
    }

    /// Says whether the kernel would not take all.
    fn send_due(&mut self, socket: &Socket, outbox: &mut Outbox) -> bool {
        let now = Instant::now();
        loop {
            let due = self.queue.due(now);
            if due.is_empty() {
                return false;
            }
            let turn = due.len().min(TURN);
            let turn = &mut due.make_contiguous()[..turn];
            // Neighbours of one length to one peer leave together; what is due has no order.
            turn.sort_unstable_by_key(|(peer, answer)| (*peer, answer.len()));
            match outbox.send(socket, turn) {
                Ok(0) => return true,
                Ok(sent) => {
                    self.shared.counters.dns_answered(sent as u64);
                    let room = SPARE.saturating_sub(self.spare.len());
                    self.spare.extend(due.drain(..sent).map(|(_, buffer)| buffer).take(room));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // The first datagram cannot be sent (its sender is gone, say): only that one is lost.
                Err(_) => {
                    due.pop_front();
                    self.shared.counters.dropped();
                }
            }
        }
    }
}

/// Answers by the time they are due, in buckets of a tick.
struct DelayQueue {
    start: Instant,
    /// Tick of the first bucket.
    first: u64,
    buckets: VecDeque<VecDeque<(Peer, Vec<u8>)>>,
    ready: VecDeque<(Peer, Vec<u8>)>,
}

impl DelayQueue {
    fn new(start: Instant) -> Self {
        Self { start, first: 0, buckets: VecDeque::new(), ready: VecDeque::new() }
    }

    fn push(&mut self, now: Instant, delay: Duration, item: (Peer, Vec<u8>)) {
        if delay.is_zero() {
            self.ready.push_back(item);
            return;
        }
        // Rounded up: an answer is never early.
        let at = (now + delay).duration_since(self.start).as_nanos().div_ceil(TICK.as_nanos()) as u64;
        if self.buckets.is_empty() {
            self.first = at;
        }
        while at < self.first {
            self.buckets.push_front(VecDeque::new());
            self.first -= 1;
        }
        let index = (at - self.first) as usize;
        if index >= self.buckets.len() {
            self.buckets.resize_with(index + 1, VecDeque::new);
        }
        self.buckets[index].push_back(item);
    }

    /// Everything that is to be sent now.
    fn due(&mut self, now: Instant) -> &mut VecDeque<(Peer, Vec<u8>)> {
        let tick = (now.duration_since(self.start).as_nanos() / TICK.as_nanos()) as u64;
        while self.first <= tick
            && let Some(mut bucket) = self.buckets.pop_front()
        {
            self.ready.append(&mut bucket);
            self.first += 1;
        }
        &mut self.ready
    }

    fn until_due(&self, now: Instant) -> Duration {
        if !self.ready.is_empty() {
            return TICK;
        }
        let empty = self.buckets.iter().take_while(|b| b.is_empty()).count();
        if empty == self.buckets.len() {
            return Duration::MAX;
        }
        let at = self.start + TICK.saturating_mul((self.first + empty as u64) as u32);
        at.saturating_duration_since(now)
    }
}
