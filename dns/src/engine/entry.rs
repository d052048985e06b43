//! Questions between their arrival and their end, by slot.

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use super::ring::Timer;
use crate::server::Fate;
use crate::{Question, Reply, Verdict};

/// Sends of one question over UDP at most.
pub(super) const MAX_SENDS: usize = 8;

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

/// What a question does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits to be sent.
    Waiting,
    /// It waits for an answer, or for the time to send it again.
    Out,
    /// It waits for an answer over TCP from this server, sent in this step of its window.
    Stream(u16, u32),
    /// Nobody is left to ask; an answer to an earlier send may still come.
    Draining,
}

/// One datagram of a question. Its ID lives until the question ends, so that a late answer
/// counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Send {
    pub(super) socket: u16,
    pub(super) id: u16,
    pub(super) server: u16,
    /// Of the server's window.
    pub(super) step: u32,
    pub(super) fate: Fate,
    pub(super) edns: bool,
    pub(super) at: Instant,
    /// When it counts as lost.
    pub(super) until: Instant,
}

/// A question that is to be asked over TCP.
#[derive(Debug)]
pub(crate) struct StreamQuery {
    /// Which question; its answer names it.
    pub(crate) timer: Timer,
    pub(crate) addr: SocketAddr,
    /// The query, with an ID of 0.
    pub(crate) message: Vec<u8>,
    /// Where its question ends.
    pub(crate) end: usize,
}

impl StreamQuery {
    /// Whether a message with its ID is its answer, be it one that cannot be read.
    pub(super) fn is_answered_by(&self, message: &[u8]) -> bool {
        let is_response = message.get(2).is_some_and(|flags| flags & 0xf8 == 0x80);
        // A server that cannot read a query may leave the question out.
        let question = match message.get(4..6) {
            Some([0, 0]) => return is_response,
            Some([0, 1]) => (message.get(12..self.end), self.message.get(12..self.end)),
            _ => return false,
        };
        let (Some(got), Some(own)) = question else { return false };
        // The type and the class have no letters.
        let ((got, got_type), (own, own_type)) = (got.split_at(got.len() - 4), own.split_at(own.len() - 4));
        is_response && got.eq_ignore_ascii_case(own) && got_type == own_type
    }
}

/// One question.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) question: Question,
    /// Whose it is, among the readers.
    pub(super) reader: u32,
    pub(super) sends: SmallVec<[Send; 1]>,
    pub(super) stage: Stage,
    pub(super) next: Next,
    /// The letters' case; the same for all sends.
    pub(super) case: u64,
    pub(super) admitted: Instant,
    pub(super) first_sent: Option<Instant>,
    /// Of the answers that did not end it, the one that counts.
    pub(super) best: Option<Box<Reply>>,
    /// Answers with a live ID that were none, since it was last asked over TCP for them.
    pub(super) forged: u8,
    /// So many of its first sends are no longer answered by datagrams: somebody guesses.
    pub(super) shut: usize,
    /// TCP queries.
    pub(super) streams: u8,
    /// An answer said that there is more.
    pub(super) truncated: bool,
}

impl Entry {
    /// Sends so far, by server.
    pub(super) fn asked(&self) -> impl Iterator<Item = (u16, Fate)> {
        self.sends.iter().map(|s| (s.server, s.fate))
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
        let heard = |server: u16| self.sends.iter().any(|s| s.server == server && s.fate == Fate::Answered);
        let lost = |s: &&Send| matches!(s.fate, Fate::Lost | Fate::Open) && !heard(s.server);
        self.sends.iter().find(lost).map(|s| s.server)
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
    pub(super) fn insert(&mut self, question: Question, reader: u32, case: u64, now: Instant) -> (u32, u32) {
        let entry = Entry {
            question,
            reader,
            sends: SmallVec::new(),
            stage: Stage::Waiting,
            next: Next::Any,
            case,
            admitted: now,
            first_sent: None,
            best: None,
            forged: 0,
            shut: 0,
            streams: 0,
            truncated: false,
        };
        if let Some(slot) = self.free.pop() {
            let (generation, place) = &mut self.entries[slot as usize];
            *place = Some(entry);
            return (slot, *generation);
        }
        self.entries.push((0, Some(entry)));
        ((self.entries.len() - 1) as u32, 0)
    }

    pub(super) fn get(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.1.as_mut()
    }

    /// The entry, if it is still the one that was meant.
    pub(super) fn same(&mut self, (slot, generation): (u32, u32)) -> Option<&mut Entry> {
        let (now, entry) = self.entries.get_mut(slot as usize)?;
        entry.as_mut().filter(|_| *now == generation)
    }

    pub(super) fn generation(&self, slot: u32) -> u32 {
        self.entries[slot as usize].0
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Entry> {
        let (generation, place) = self.entries.get_mut(slot as usize)?;
        let entry = place.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(slot);
        Some(entry)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}
