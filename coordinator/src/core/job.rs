//! The state machine of one job: events in, actions out. No clock, no sockets, no
//! randomness: time comes with the event.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{Answer, End, Part, Question, Verdict};
use kudzu_shared::source::Class;

use super::ahead;
use super::parts::Parts;
use super::planted::{Bugs, Planted};
use super::queue::{Batch, Limits, Queue};
pub use super::report::Counts;
use super::store::{Lookup, LookupId, Store, state};
use super::ticket::{self, Ticket};
use crate::tree::build::Builder;
use crate::tree::rules::Rules;

/// What happens to a job.
#[derive(Debug)]
pub enum Event {
    /// A lookup's result came.
    Result {
        /// The lookup, as it was sent.
        lookup: Ticket,
        /// Which part of the answer it is.
        part: Part,
        /// What it brought.
        answer: Answer,
    },
    /// A timer that [`Job::next_wake`] asked for.
    Tick,
    /// The user wants no more.
    Cancel,
}

/// What is to be done for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a task.
    Ask(Batch),
    /// The tree is whole: take the result.
    Done,
}

/// What was taken of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The questions that it answers.
    pub questions: Vec<Question>,
    /// Pairs that came with it.
    pub pairs: usize,
    /// Whether its lookup has ended: else a later round asks again.
    pub ended: bool,
}

/// Settings of the state machine; times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Window and packing; HTTP classes get a thirty-second of the window.
    pub limits: Limits,
    /// Later rounds in which transient failures are asked again, at most 3.
    pub rounds: u8,
    /// How long after a failure its next round comes. It must be longer than a failure stays
    /// in the cache.
    pub retry_ms: u64,
    /// When a task that brought nothing is sent again, counted from the last result of its
    /// class.
    pub redispatch_ms: u64,
    /// Whether lookups are asked before the tree demands them.
    pub ahead: bool,
    /// For tests of the tests.
    pub bugs: Bugs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits { window: 16_384, task_questions: 256, task_delay_ms: 5 },
            rounds: 2,
            retry_ms: 1_050,
            redispatch_ms: 60_000,
            ahead: true,
            bugs: Bugs::default(),
        }
    }
}

/// How many times the re-dispatch time a task may take while others of its class are answered.
const PATIENCE: u64 = 10;

/// Tasks of one class on their way, oldest first.
#[derive(Debug, Default)]
struct Sent {
    tasks: VecDeque<(u64, Vec<Ticket>)>,
    /// When a result of this class came last.
    heard: u64,
}

impl Sent {
    /// When the oldest task counts as lost: a while after it was sent, and after the last
    /// sign of life. Where results still come, it waits its turn at a slow upstream.
    fn lost_at(&self, redispatch_ms: u64) -> Option<u64> {
        let (at, _) = self.tasks.front()?;
        let latest = at.saturating_add(redispatch_ms.saturating_mul(PATIENCE));
        Some(self.heard.max(*at).saturating_add(redispatch_ms).min(latest))
    }
}

/// One job.
#[derive(Debug)]
pub struct Job {
    pub(crate) rules: Rules,
    pub(crate) store: Store,
    pub(crate) tree: Builder,
    settings: Settings,
    pub(super) started: u64,
    deadline: Option<u64>,
    pub(super) queues: [Queue; 3],
    retries: BinaryHeap<Reverse<(u64, LookupId)>>,
    sent: [Sent; 3],
    parts: Parts<LookupId>,
    pub(super) by_source: Vec<[u64; 3]>,
    pub(super) questions: u64,
    /// Results for lookups that had ended.
    pub duplicates: u64,
    pub(super) first_tree: Option<u64>,
    pub(super) done: bool,
}

impl Job {
    /// Starts a job; the first actions follow from its seeds.
    pub fn start(now: u64, rules: Rules, settings: Settings, out: &mut Vec<Action>) -> Self {
        let mut store = Store::keyed(rules.spec.salt);
        let mut ask = Vec::new();
        let settings = Settings { rounds: settings.rounds.min(ticket::ROUNDS), ..settings };
        let tree = Builder::new(&rules, &mut store, settings.bugs, &mut ask);
        let http = Limits { window: (settings.limits.window / 32).max(16), ..settings.limits };
        let mut job = Self {
            deadline: rules.budgets.deadline_ms.map(|d| now.saturating_add(d)),
            by_source: vec![[0; 3]; rules.asks.len()],
            queues: [
                Queue::new(Class::Dns, settings.limits),
                Queue::new(Class::Http, http),
                Queue::new(Class::Local, settings.limits),
            ],
            rules,
            store,
            tree,
            settings,
            started: now,
            retries: BinaryHeap::new(),
            sent: Default::default(),
            parts: Parts::default(),
            questions: 0,
            duplicates: 0,
            first_tree: None,
            done: false,
        };
        job.enqueue(&ask, true);
        job.proceed(now, out);
        job
    }

    /// Takes an event in; appends what is to be done. Says what was taken of a result: the
    /// whole answer, once its last part has come, and nothing of a late or repeated one.
    pub fn on_event(&mut self, now: u64, event: Event, out: &mut Vec<Action>) -> Option<Taken> {
        if self.done {
            self.duplicates += u64::from(matches!(event, Event::Result { .. }));
            return None;
        }
        // Whatever event tells that it is late.
        if self.deadline.is_some_and(|d| now >= d) {
            self.stop(Verdict::Deadline);
        }
        let mut taken = None;
        match event {
            Event::Result { lookup, part, answer } => taken = self.on_result(now, lookup, part, answer),
            Event::Tick => self.on_tick(now),
            Event::Cancel => {
                if self.settings.bugs.has(Planted::AskAfterCancel) {
                    self.plant_ask_after_cancel(out);
                }
                self.stop(Verdict::Cancelled);
            }
        }
        self.proceed(now, out);
        taken
    }

    /// Tells that tasks wait to leave: what was not sent is not lost.
    pub fn held_up(&mut self, now: u64) {
        self.sent.iter_mut().for_each(|s| s.heard = now);
    }

    /// When the next [`Event::Tick`] is wanted.
    pub fn next_wake(&self) -> Option<u64> {
        if self.done {
            return None;
        }
        let flush = self.queues.iter().filter_map(Queue::due).min();
        let retry = self.retries.peek().map(|Reverse((at, _))| *at);
        let resend = self.sent.iter().filter_map(|s| s.lost_at(self.settings.redispatch_ms)).min();
        [flush, retry, resend, self.deadline].into_iter().flatten().min()
    }

    /// What a task says of a lookup: the ask's index in the plan, and the key.
    pub fn describe(&self, lookup: Ticket) -> (u8, Observable) {
        let l = &self.store.lookups[ticket::lookup(lookup)];
        (l.ask, self.store.names.get(l.key).to_owned())
    }

    /// The plan's ask that a lookup belongs to, by index.
    pub fn ask_of(&self, lookup: Ticket) -> u8 {
        self.store.lookups.get(ticket::lookup(lookup)).map_or(0, |l| l.ask)
    }

    /// The round that a lookup was sent in: 0 is the first.
    pub fn round(&self, lookup: Ticket) -> u8 {
        ticket::round(lookup)
    }

    /// The job's rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    fn enqueue(&mut self, lookups: &[LookupId], demanded: bool) {
        for id in lookups {
            self.queues[self.class_of(*id)].push(*id, demanded);
        }
    }

    /// The questions of a lookup that are still wanted, bit by index.
    fn wanted(&self, id: LookupId) -> u32 {
        let lookup = &self.store.lookups[id];
        let all = self.rules.asks[usize::from(lookup.ask)].questions;
        let open = |i: &u8| lookup.verdict(*i).is_none_or(|v| v.is_transient());
        (0..all).filter(open).fold(0, |mask, i| mask | 1 << i)
    }

    /// Whether a result for this ticket is still wanted: its lookup is in flight in the same
    /// round, or was and waits to be sent again. Else a late part of an answer would be lost.
    pub(super) fn is_open(&self, ticket: Ticket) -> bool {
        let (old, late) =
            (self.settings.bugs.has(Planted::OldRound), self.settings.bugs.has(Planted::AcceptLate));
        self.store.lookups.get(ticket::lookup(ticket)).is_some_and(|l| {
            let open = l.state & (state::LATER | state::ENDED) == 0 || late && l.is(state::ENDED);
            open && (old || l.rounds == ticket::round(ticket))
        })
    }

    fn on_result(&mut self, now: u64, ticket: Ticket, part: Part, answer: Answer) -> Option<Taken> {
        if !self.is_open(ticket) {
            self.duplicates += 1;
            return None;
        }
        let id = ticket::lookup(ticket);
        let class = self.class_of(id);
        self.sent[class].heard = now;
        self.queues[class].came(now, ticket);
        let mix = self.settings.bugs.has(Planted::MixParts);
        let part = if mix { Part { sending: 0, ..part } } else { part };
        let mut answer = self.parts.add(id, part, answer)?;
        let wanted = self.wanted(id);
        if self.store.lookups[id].is(state::IN_FLIGHT) {
            self.came_back(id, wanted);
            self.forget_answered(class);
        }
        self.note_verdicts(id, wanted, &answer);
        // Its worker's clock says that the time is over: the tree is as partial as by ours.
        let late = answer.questions.iter().any(|q| q.verdict == Verdict::Deadline);
        let (questions, pairs) = (std::mem::take(&mut answer.questions), answer.pairs.len());
        let taken = Taken { questions, pairs, ended: true };
        let drop = self.settings.bugs.has(Planted::DropResult) && id % 5 == 3;
        let answer = if drop { Answer::default() } else { answer };
        let found = !answer.pairs.is_empty();
        self.store.absorb(id, answer);
        if self.first_tree.is_none() && found {
            self.first_tree = Some(now.saturating_sub(self.started));
        }
        if self.ask_again(now, id) {
            return Some(Taken { ended: false, ..taken });
        }
        self.end(id);
        if late {
            self.stop(Verdict::Deadline);
        }
        if self.settings.ahead && self.tree.stopped.is_none() {
            let mut asks = Vec::new();
            ahead::expand(&self.rules, &mut self.store, &self.tree, id, &mut asks);
            self.enqueue(&asks, false);
        }
        Some(taken)
    }

    fn note_verdicts(&mut self, id: LookupId, wanted: u32, answer: &Answer) {
        let lookup = &mut self.store.lookups[id];
        let mut open = wanted;
        for q in &answer.questions {
            if q.index < 32 && wanted & (1 << q.index) != 0 {
                let hide = self.settings.bugs.has(Planted::FailureAsEmpty) && q.verdict == Verdict::Timeout;
                lookup.set_verdict(q.index, if hide { Verdict::NoData } else { q.verdict });
                open &= !(1 << q.index);
            }
        }
        // A worker that says nothing of a question has not answered it.
        (0..32).filter(|i| open & (1 << i) != 0).for_each(|i| lookup.set_verdict(i, Verdict::Malformed));
        self.questions += u64::from(wanted.count_ones());
    }

    /// Puts a lookup with transient failures back for a later round, if there is one.
    fn ask_again(&mut self, now: u64, id: LookupId) -> bool {
        let lookup = &mut self.store.lookups[id];
        let transient = lookup.verdicts().any(|(_, v)| v.is_transient());
        if !transient || lookup.rounds >= self.settings.rounds {
            return false;
        }
        if self.tree.stopped.is_some() {
            self.tree.cut_short |= lookup.is(state::DEMANDED);
            return false;
        }
        let due = now + self.settings.retry_ms;
        lookup.rounds += 1;
        lookup.state = lookup.state & state::DEMANDED | state::WAITING | state::LATER;
        self.retries.push(Reverse((due, id)));
        true
    }

    fn end(&mut self, id: LookupId) {
        let lookup = &mut self.store.lookups[id];
        let demanded = lookup.is(state::DEMANDED);
        lookup.state = lookup.state & state::DEMANDED | state::ENDED;
        let bad = matches!(lookup.end(), End::Failed | End::Throttled | End::Dead);
        let counts = &mut self.by_source[usize::from(lookup.ask)];
        counts[0] += 1;
        counts[1] += u64::from(bad);
        if demanded {
            self.tree.ended();
            if self.settings.bugs.has(Planted::EndTwice) {
                self.tree.ended();
            }
        }
    }

    fn on_tick(&mut self, now: u64) {
        while let Some(Reverse((due, id))) = self.retries.peek().copied() {
            if due > now {
                break;
            }
            self.retries.pop();
            self.store.lookups[id].state &= !state::LATER;
            let demanded = self.store.lookups[id].is(state::DEMANDED);
            self.enqueue(&[id], demanded);
        }
        for class in 0..self.sent.len() {
            while self.sent[class].lost_at(self.settings.redispatch_ms).is_some_and(|at| at <= now) {
                let lost = self.sent[class].tasks.pop_front().map(|(_, tickets)| tickets);
                self.send_again(lost.unwrap_or_default());
            }
        }
    }

    /// Takes the oldest tasks off the list as far as they are answered.
    fn forget_answered(&mut self, class: usize) {
        while let Some((_, tickets)) = self.sent[class].tasks.front_mut() {
            let open = |t: &Ticket| {
                let lookup = &self.store.lookups[ticket::lookup(*t)];
                lookup.is(state::IN_FLIGHT) && lookup.rounds == ticket::round(*t)
            };
            while tickets.pop_if(|t| !open(t)).is_some() {}
            if !tickets.is_empty() {
                break;
            }
            self.sent[class].tasks.pop_front();
        }
    }

    fn send_again(&mut self, lost: Vec<Ticket>) {
        for ticket in lost {
            // Answered meanwhile, it may be in flight again in a later round.
            let id = ticket::lookup(ticket);
            let lost = self.is_open(ticket) && self.store.lookups[id].is(state::IN_FLIGHT);
            if lost && !self.settings.bugs.has(Planted::ForgetLost) {
                self.came_back(id, self.wanted(id));
                let lookup = &mut self.store.lookups[id];
                lookup.state = lookup.state & state::DEMANDED | state::WAITING;
                self.enqueue(&[id], true);
            }
        }
    }

    fn class_of(&self, id: LookupId) -> usize {
        self.rules.asks[usize::from(self.store.lookups[id].ask)].source.class as usize
    }

    /// Gives the window back what a lookup in flight took of it.
    fn came_back(&mut self, id: LookupId, questions: u32) {
        self.by_source[usize::from(self.store.lookups[id].ask)][2] -= 1;
        self.store.lookups[id].state &= !state::IN_FLIGHT;
        self.queues[self.class_of(id)].answered(questions.count_ones());
    }

    /// Asks for no more; the tree is closed with what there is.
    fn stop(&mut self, verdict: Verdict) {
        if self.tree.stopped.is_some() {
            return;
        }
        self.tree.stopped = Some(verdict);
        let open = |l: &Lookup| l.is(state::DEMANDED) && !l.is(state::ENDED);
        self.tree.cut_short |= self.store.lookups.iter().any(open);
        self.end_open(verdict);
    }

    /// Ends whatever has not ended.
    fn end_open(&mut self, verdict: Verdict) {
        for id in 0..self.store.lookups.len() {
            let lookup = self.store.lookups[id];
            if lookup.is(state::ENDED) {
                continue;
            }
            if lookup.is(state::IN_FLIGHT) {
                self.by_source[usize::from(lookup.ask)][2] -= 1;
            }
            let all = self.rules.asks[usize::from(lookup.ask)].questions;
            // A verdict that an earlier round brought stands: it is what is known.
            for q in (0..all).filter(|q| lookup.verdict(*q).is_none()) {
                self.store.lookups[id].set_verdict(q, verdict);
            }
            self.end(id);
        }
        self.queues.iter_mut().for_each(Queue::clear);
        self.retries.clear();
        self.sent = Default::default();
        self.parts.clear();
    }

    /// Closes levels, sends what the window has room for, and says when the job is done.
    fn proceed(&mut self, now: u64, out: &mut Vec<Action>) {
        let mut asks = Vec::new();
        self.tree.advance(&self.rules, &mut self.store, &mut asks);
        self.enqueue(&asks, true);
        if self.tree.is_done() {
            // What was asked ahead and is still open; the tree does not demand it.
            self.end_open(Verdict::Cancelled);
            self.done = true;
            out.push(Action::Done);
            return;
        }
        for at in 0..self.queues.len() {
            self.send(now, at, out);
        }
    }

    fn send(&mut self, now: u64, at: usize, out: &mut Vec<Action>) {
        while let Some(id) = self.queues[at].pop() {
            let lookup = self.store.lookups[id];
            let early = lookup.is(state::LATER) && !self.settings.bugs.has(Planted::AskEarly);
            let twice = self.settings.bugs.has(Planted::AskTwice) && lookup.is(state::IN_FLIGHT);
            if early || !lookup.is(state::WAITING) && !twice {
                continue; // It was queued twice: asked ahead, and then demanded.
            }
            let wanted = self.wanted(id);
            let entry = &mut self.store.lookups[id];
            entry.state = entry.state & !(state::WAITING | state::LATER) | state::IN_FLIGHT;
            self.by_source[usize::from(lookup.ask)][2] += 1;
            let full = self.queues[at].pack(now, ticket::of(id, lookup.rounds), wanted);
            self.dispatch(now, full, out);
        }
        let due = self.queues[at].flush_due(now);
        self.dispatch(now, due, out);
    }

    fn dispatch(&mut self, now: u64, batch: Option<Batch>, out: &mut Vec<Action>) {
        let Some(mut batch) = batch else { return };
        // The answer to an earlier task may have come while a lookup was packed again.
        batch.lookups.retain(|(ticket, _)| self.is_open(*ticket));
        if !batch.lookups.is_empty() {
            let tickets = batch.lookups.iter().map(|(ticket, _)| *ticket).collect();
            self.sent[batch.class as usize].tasks.push_back((now, tickets));
            self.queues[batch.class as usize].left(now, &batch.lookups);
            out.push(Action::Ask(batch));
        }
    }

    fn plant_ask_after_cancel(&mut self, out: &mut Vec<Action>) {
        for queue in &mut self.queues {
            while let Some(id) = queue.pop() {
                queue.pack(0, ticket::of(id, self.store.lookups[id].rounds), self.rules.asks.len() as u32);
            }
            out.extend(queue.flush().map(Action::Ask));
        }
    }
}
