//! What a job has to send: queues by class, the window, and the packing into tasks.

use std::collections::VecDeque;

use kudzu_shared::source::Class;

use super::pace::Pace;
use super::store::LookupId;
use super::ticket::Ticket;

/// How much may be outstanding, and how tasks are packed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Questions outstanding by class, at most.
    pub window: u32,
    /// Questions in one task at most.
    pub task_questions: u32,
    /// Milliseconds after its first lookup when a task leaves, full or not.
    pub task_delay_ms: u64,
}

/// A task's lookups, each with the questions that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Which queue it travels on.
    pub class: Class,
    /// The lookups.
    pub lookups: Vec<(Ticket, u32)>,
}

/// The queues of one class.
#[derive(Debug)]
pub struct Queue {
    class: Class,
    limits: Limits,
    pace: Pace,
    demanded: VecDeque<LookupId>,
    ahead: VecDeque<LookupId>,
    /// Questions sent and not answered, those packed and not sent included.
    outstanding: u32,
    pack: Vec<(Ticket, u32)>,
    packed: u32,
    since: u64,
}

impl Queue {
    /// Empty.
    pub fn new(class: Class, limits: Limits) -> Self {
        Self {
            class,
            limits,
            // What waits at the upstreams of others waits for their limits.
            pace: match class {
                Class::Dns => Pace::adaptive(limits.window),
                Class::Http | Class::Local => Pace::fixed(limits.window),
            },
            demanded: VecDeque::new(),
            ahead: VecDeque::new(),
            outstanding: 0,
            pack: Vec::new(),
            packed: 0,
            since: 0,
        }
    }

    /// Adds a lookup: what the tree demands goes before what is asked ahead of it.
    pub fn push(&mut self, lookup: LookupId, demanded: bool) {
        if demanded { self.demanded.push_back(lookup) } else { self.ahead.push_back(lookup) }
    }

    /// The next lookup to send, if the window has room.
    pub fn pop(&mut self) -> Option<LookupId> {
        if self.outstanding >= self.pace.size() {
            self.pace.is_full();
            return None;
        }
        self.demanded.pop_front().or_else(|| self.ahead.pop_front())
    }

    /// Packs a popped lookup; returns a task when that fills one.
    pub fn pack(&mut self, now: u64, lookup: Ticket, questions: u32) -> Option<Batch> {
        let n = questions.count_ones();
        let full = self.packed + n > self.limits.task_questions;
        let task = if full { self.flush() } else { None };
        if self.pack.is_empty() {
            self.since = now;
        }
        self.pack.push((lookup, questions));
        self.packed += n;
        self.outstanding += n;
        task
    }

    /// The packed task, whatever its size.
    pub fn flush(&mut self) -> Option<Batch> {
        self.packed = 0;
        let lookups = std::mem::take(&mut self.pack);
        (!lookups.is_empty()).then_some(Batch { class: self.class, lookups })
    }

    /// The packed task if its time has come.
    pub fn flush_due(&mut self, now: u64) -> Option<Batch> {
        self.due().filter(|due| *due <= now).and_then(|_| self.flush())
    }

    /// When the packed task leaves.
    pub fn due(&self) -> Option<u64> {
        (!self.pack.is_empty()).then_some(self.since + self.limits.task_delay_ms)
    }

    /// Takes note of a task that leaves.
    pub fn left(&mut self, now: u64, lookups: &[(Ticket, u32)]) {
        self.pace.left(now, lookups);
    }

    /// Takes note of a result.
    pub fn came(&mut self, now: u64, lookup: Ticket) {
        self.pace.came(now, lookup);
    }

    /// Takes note of answered questions.
    pub fn answered(&mut self, questions: u32) {
        self.outstanding = self.outstanding.saturating_sub(questions);
    }

    /// Questions outstanding.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Forgets everything that was not sent.
    pub fn clear(&mut self) {
        self.demanded.clear();
        self.ahead.clear();
        self.pack.clear();
        self.packed = 0;
        self.outstanding = 0;
        self.pace.forget();
    }
}
