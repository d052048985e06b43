//! What happened so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the start. Each only grows.
#[derive(Debug, Default)]
pub struct Stats {
    /// Datagrams sent.
    pub sent: AtomicU64,
    /// Answers accepted.
    pub answered: AtomicU64,
    /// Sends that were not answered in time.
    pub timeouts: AtomicU64,
    /// Questions asked over TCP.
    pub tcp: AtomicU64,
    /// Questions whose reader went away.
    pub withdrawn: AtomicU64,
    /// Datagrams that the system refused to send.
    pub unsent: AtomicU64,
    /// Ignored: shorter than a header.
    pub short: AtomicU64,
    /// Ignored: a query.
    pub not_response: AtomicU64,
    /// Ignored: of another operation.
    pub opcode: AtomicU64,
    /// Ignored: nothing in flight on the socket has its ID. Late answers are among these.
    pub unknown_id: AtomicU64,
    /// Ignored: answered before.
    pub duplicate: AtomicU64,
    /// Ignored: not from where the question went.
    pub wrong_source: AtomicU64,
    /// Ignored: another question, or an answer that cannot be one.
    pub wrong_question: AtomicU64,
    /// Ignored: the question's letters changed, by a server that repeats them.
    pub wrong_case: AtomicU64,
    /// How often somebody guessed at a question's answers: it went over TCP.
    pub forged: AtomicU64,
    /// Ignored: to a question at whose answers somebody had guessed.
    pub shut: AtomicU64,
    /// Records left out of answers: not of the name asked, nor of its aliases.
    pub foreign: AtomicU64,
    /// Datagrams that the kernel dropped for want of room in a receive buffer.
    pub dropped: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Stats {
    /// Each count with its name, in order.
    pub fn all(&self) -> [(&'static str, u64); 18] {
        [
            ("sent", &self.sent),
            ("answered", &self.answered),
            ("timeouts", &self.timeouts),
            ("tcp", &self.tcp),
            ("withdrawn", &self.withdrawn),
            ("unsent", &self.unsent),
            ("short", &self.short),
            ("not_response", &self.not_response),
            ("opcode", &self.opcode),
            ("unknown_id", &self.unknown_id),
            ("duplicate", &self.duplicate),
            ("wrong_source", &self.wrong_source),
            ("wrong_question", &self.wrong_question),
            ("wrong_case", &self.wrong_case),
            ("forged", &self.forged),
            ("shut", &self.shut),
            ("foreign", &self.foreign),
            ("dropped", &self.dropped),
        ]
        .map(|(name, counter)| (name, counter.load(Relaxed)))
    }
}
