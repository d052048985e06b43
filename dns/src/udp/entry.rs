//! Questions in flight, by slot and by ID.

use std::collections::VecDeque;

use rand::seq::SliceRandom as _;
use tokio::time::Instant;

use crate::servers::{Fate, Sent};
use crate::{Question, Reply, Sink, Verdict};

/// No slot has this number.
const FREE: u32 = u32::MAX;

/// Whom a question goes to next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Next {
    /// Whoever is best.
    #[default]
    Any,
    /// This server, without EDNS.
    Plain(u16),
    /// This server, over TCP.
    Tcp(u16),
}

/// One question between its arrival and its end.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) question: Question,
    pub(super) sink: Sink,
    /// Its sends over UDP, in order.
    pub(super) asked: Vec<Sent>,
    pub(super) next: Next,
    /// Whether the last send had EDNS.
    pub(super) edns: bool,
    pub(super) first_sent: Option<Instant>,
    /// Of the answers that did not end it, the one that counts.
    pub(super) best: Option<Box<Reply>>,
    /// ID and server of the send in flight.
    pub(super) flight: Option<(u16, u16)>,
}

impl Entry {
    pub(super) fn new(question: Question, sink: Sink) -> Self {
        Self {
            question,
            sink,
            asked: Vec::new(),
            next: Next::Any,
            edns: true,
            first_sent: None,
            best: None,
            flight: None,
        }
    }

    pub(super) fn note(&mut self, fate: Fate) {
        if let Some(sent) = self.asked.last_mut() {
            sent.fate = fate;
        }
    }

    /// Keeps an answer that does not end it. Which one counts does not depend on the order
    /// in which servers were asked: the one that is likeliest to change does.
    pub(super) fn keep(&mut self, reply: Reply) {
        if self.best.as_ref().is_none_or(|best| hope(best.verdict) <= hope(reply.verdict)) {
            self.best = Some(Box::new(reply));
        }
    }

    /// A server that never had its say, because what was sent to it was lost.
    pub(super) fn unheard(&self) -> Option<u16> {
        let heard = |server: u16| self.asked.iter().any(|s| s.server == server && s.fate == Fate::Answered);
        self.asked.iter().find(|s| s.fate == Fate::Lost && !heard(s.server)).map(|s| s.server)
    }
}

/// How likely another time brings another verdict.
fn hope(verdict: Verdict) -> u8 {
    match verdict {
        // These end a question.
        Verdict::Found | Verdict::NoData | Verdict::NxDomain | Verdict::Loop | Verdict::Limit => 8,
        Verdict::Timeout => 7,
        Verdict::ServFail => 6,
        Verdict::Truncated => 5,
        Verdict::Lame => 4,
        Verdict::Malformed => 3,
        Verdict::Refused => 2,
        Verdict::FormErr => 1,
        // Nothing left this machine: whatever a server said counts more.
        Verdict::Unreachable => 0,
    }
}

/// Entries by slot; a slot's generation tells a timer whose entry is gone.
#[derive(Debug, Default)]
pub(super) struct Slab {
    entries: Vec<(u32, Option<Entry>)>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.entries[slot as usize].1 = Some(entry);
            return slot;
        }
        self.entries.push((0, Some(entry)));
        (self.entries.len() - 1) as u32
    }

    pub(super) fn get(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.1.as_mut()
    }

    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.entries[slot as usize].0
    }

    /// A timer set before belongs to another send from now on.
    pub(super) fn next_generation(&mut self, slot: u32) -> u32 {
        let generation = &mut self.entries[slot as usize].0;
        *generation = generation.wrapping_add(1);
        *generation
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.entries.get_mut(slot as usize)?.1.take()?;
        self.next_generation(slot);
        self.free.push(slot);
        Some(entry)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

/// The 65,536 IDs of a socket: random order, the one freed last comes last, so that a late
/// answer meets an ID that is not in use.
#[derive(Debug)]
pub(super) struct Ids {
    slots: Box<[u32]>,
    free: VecDeque<u16>,
}

impl Ids {
    pub(super) fn new() -> Self {
        let mut free: Vec<u16> = (0..=u16::MAX).collect();
        free.shuffle(&mut rand::rng());
        Self { slots: vec![FREE; 1 << 16].into(), free: free.into() }
    }

    pub(super) fn take(&mut self, slot: u32) -> Option<u16> {
        let id = self.free.pop_front()?;
        self.slots[usize::from(id)] = slot;
        Some(id)
    }

    pub(super) fn slot(&self, id: u16) -> Option<u32> {
        Some(self.slots[usize::from(id)]).filter(|s| *s != FREE)
    }

    pub(super) fn free(&mut self, id: u16) {
        self.slots[usize::from(id)] = FREE;
        self.free.push_back(id);
    }
}
