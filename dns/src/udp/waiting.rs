//! Questions that are to be sent.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::entry::{Entry, Next};
use crate::servers::Sent;

/// Questions that may go to the same servers wait together, in order: where the first of
/// them has to wait, so have the others, and nobody else.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// None is empty.
    groups: Vec<Group>,
    fresh: usize,
    len: usize,
}

#[derive(Debug)]
struct Group {
    next: Next,
    asked: Vec<Sent>,
    slots: VecDeque<u32>,
    /// No server takes one of these before.
    resume: Option<Instant>,
}

impl Group {
    fn is_due(&self, now: Instant) -> bool {
        self.resume.is_none_or(|at| at <= now)
    }
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many were never sent.
    pub(super) fn fresh(&self) -> usize {
        self.fresh
    }

    pub(super) fn push(&mut self, slot: u32, entry: &Entry) {
        self.group(entry).slots.push_back(slot);
    }

    /// Puts back what was taken, and whatever waits with it has to wait as long.
    pub(super) fn put_back(&mut self, slot: u32, entry: &Entry, resume: Option<Instant>) {
        let group = self.group(entry);
        group.slots.push_front(slot);
        group.resume = resume;
    }

    /// The group of an entry that is added to it.
    fn group(&mut self, entry: &Entry) -> &mut Group {
        self.len += 1;
        self.fresh += usize::from(entry.asked.is_empty());
        let same = |g: &Group| g.next == entry.next && g.asked == entry.asked;
        let at = self.groups.iter().position(same).unwrap_or_else(|| {
            let (next, asked) = (entry.next, entry.asked.clone());
            self.groups.push(Group { next, asked, slots: VecDeque::new(), resume: None });
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }

    /// Takes one that may be sent now, those that were sent before first.
    pub(super) fn take(&mut self, now: Instant) -> Option<u32> {
        let due = |(_, g): &(usize, &Group)| g.is_due(now);
        let at = self.groups.iter().enumerate().filter(due).max_by_key(|(_, g)| !g.asked.is_empty())?.0;
        let group = &mut self.groups[at];
        let slot = group.slots.pop_front()?;
        self.len -= 1;
        self.fresh -= usize::from(group.asked.is_empty());
        if group.slots.is_empty() {
            self.groups.swap_remove(at);
        }
        Some(slot)
    }

    /// When one may be sent again.
    pub(super) fn resume(&self, now: Instant) -> Option<Instant> {
        self.groups.iter().map(|g| g.resume.unwrap_or(now)).min()
    }
}
