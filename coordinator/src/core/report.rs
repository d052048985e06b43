//! What a job tells of itself: where its lookups are, and how far it is.

use std::collections::BTreeMap;

use super::backlog::Open;
use super::job::Job;
use super::store::state;
use super::ticket::{self, Ticket};
use crate::model::Progress;

/// Lookups by where they are (I1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub registered: u64,
    /// In a queue, or waiting for a later round.
    pub waiting: u64,
    /// Sent.
    pub in_flight: u64,
    /// Ended.
    pub ended: u64,
    /// In none of these places, or in two: always 0.
    pub astray: u64,
}

impl Job {
    /// Lookups by where they are, counted anew (I1); linear, for tests and reports.
    pub fn counts(&self) -> Counts {
        let mut c = Counts::default();
        for lookup in self.store.lookups.iter() {
            c.registered += 1;
            c.waiting += u64::from(lookup.is(state::WAITING));
            c.in_flight += u64::from(lookup.is(state::IN_FLIGHT));
            c.ended += u64::from(lookup.is(state::ENDED));
            let places = lookup.state & (state::WAITING | state::IN_FLIGHT | state::ENDED);
            c.astray += u64::from(places.count_ones() != 1);
        }
        c
    }

    /// Has a lookup in flight go on at a later round, which was known before; gives its ticket.
    pub fn at_round(&mut self, ticket: Ticket, round: u8) -> Ticket {
        let (id, round) = (ticket::lookup(ticket), round.min(ticket::ROUNDS));
        if let Some(lookup) = self.store.lookups.get(id) {
            let rounds = lookup.rounds.max(round);
            self.store.lookups[id].rounds = rounds;
            return ticket::of(id, rounds);
        }
        ticket
    }

    /// Whether a result for this ticket would be taken.
    pub fn wants(&self, ticket: Ticket) -> bool {
        !self.done && self.is_open(ticket)
    }

    /// Where the job stands.
    pub fn progress(&self, now: u64) -> Progress {
        let (mut sources, mut open) = (BTreeMap::new(), BTreeMap::<String, Open>::new());
        let (mut ended, mut in_flight) = (0, 0);
        let asks = self.rules.asks.iter().zip(&self.by_source).zip(&self.tree.refused);
        for (at, ((rule, counts), refused)) in asks.enumerate() {
            let counts = [counts[0] + refused, counts[1], counts[2]];
            let entry: &mut [u64; 3] = sources.entry(rule.source.name.clone()).or_default();
            for (sum, n) in entry.iter_mut().zip(counts) {
                *sum += n;
            }
            let registered = self.store.by_ask.get(at).copied().unwrap_or(0);
            let left = registered.saturating_sub(counts[0]);
            if left > 0 {
                let questions = left * u64::from(rule.questions);
                *open.entry(rule.source.name.clone()).or_default() += Open { lookups: left, questions };
            }
            ended += counts[0];
            in_flight += counts[2];
        }
        let registered = u64::from(self.store.lookups.len());
        Progress {
            elapsed_ms: now.saturating_sub(self.started),
            nodes: u64::from(self.store.names.len()),
            levels: self.tree.depth(),
            registered,
            waiting: registered.saturating_sub(ended + in_flight),
            in_flight,
            ended,
            questions: self.questions,
            outstanding: self.queues.iter().map(|q| u64::from(q.outstanding())).sum(),
            sources,
            first_tree_ms: self.first_tree,
            open,
        }
    }

    /// Lookups that were asked ahead and that the tree did not demand.
    pub fn unused(&self) -> u64 {
        self.store.lookups.iter().filter(|l| !l.is(state::DEMANDED)).count() as u64
    }

    /// Octets that the job's structures hold.
    pub fn heap_bytes(&self) -> usize {
        self.store.heap_bytes() + self.tree.heap_bytes()
    }
}
