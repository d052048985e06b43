//! `T(job, outcomes)`: walks the outcomes level by level from the seeds (`docs/ARCHITECTURE.md`).
//!
//! The builder is driven as outcomes come: it says which lookups the next level demands,
//! and closes a level once these have ended. What it makes depends on the outcomes of
//! demanded lookups alone, never on when they came.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use kudzu_shared::observable::Kind;
use kudzu_shared::outcome::Verdict;
use rustc_hash::FxHashMap;

use super::order::{counts, distinct, prefix_of, role};
use super::rules::{Rules, Suppression};
use super::zones::Zones;
use crate::core::chunk::ChunkVec;
use crate::core::intern::ObsId;
use crate::core::planted::{Bugs, Planted};
use crate::core::store::{Edge, LookupId, NIL, NO_DEPTH, Store, flag, relation, state};

/// Why values of a node are not in the tree; bits of an entry of [`Builder::cuts`].
pub mod cut {
    /// More values than make a hub.
    pub const HUB: u8 = 1;
    /// More new values than the fan-out cap.
    pub const FAN_OUT: u8 = 2;
    /// The node budget is used up.
    pub const NODES: u8 = 4;
    /// Names under a wildcard beyond those kept.
    pub const WILDCARD: u8 = 8;
}

/// A value that a level offers to the next one.
#[derive(Debug, Clone, Copy)]
struct Offer {
    parent: ObsId,
    value: ObsId,
    relation: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Lookups,
    Probes,
    Done,
}

/// How often a /64 is pointed to, by distinct nodes.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    last: ObsId,
    count: u32,
}

/// The tree as far as it is built.
#[derive(Debug)]
pub struct Builder {
    /// Nodes in canonical order.
    pub order: ChunkVec<ObsId>,
    /// Where each level starts in the order.
    pub levels: Vec<u32>,
    /// Why nodes are suppressed.
    pub suppressed: FxHashMap<ObsId, Suppression>,
    /// What was cut, by node and relation.
    pub cuts: FxHashMap<(ObsId, u8), u8>,
    /// Lookups and questions that policy, configuration or a level's limit rule out.
    pub never: BTreeMap<(u8, Verdict), (u64, u64)>,
    /// Wildcard zones.
    pub zones: Zones,
    prefixes: FxHashMap<u64, Prefix>,
    /// How strongly the level before leads to each node of the open one: the sum, over the
    /// ways to it, of a million divided by the values that came with it.
    pull: Vec<u32>,
    /// Demanded lookups of the open level that have not ended.
    open: u32,
    phase: Phase,
    spent: Vec<u64>,
    /// Questions demanded, by ask, and of all.
    asked: Vec<u64>,
    questions: u64,
    /// Lookups that were refused, by ask: they ended without having been asked.
    pub refused: Vec<u64>,
    pub(super) bugs: Bugs,
    /// Set once the job is over its deadline or cancelled: what is not asked yet never is.
    pub stopped: Option<Verdict>,
    /// Whether that changed anything: something the tree demands was not asked to its end.
    pub cut_short: bool,
}

impl Builder {
    /// A tree of the seeds alone; says which lookups they demand.
    pub fn new(rules: &Rules, store: &mut Store, bugs: Bugs, ask: &mut Vec<LookupId>) -> Self {
        let mut seeds = rules.spec.seeds.clone();
        seeds.sort();
        seeds.dedup();
        let mut b = Self {
            order: ChunkVec::default(),
            levels: vec![0],
            suppressed: FxHashMap::default(),
            cuts: FxHashMap::default(),
            never: BTreeMap::new(),
            zones: Zones::keyed(rules.spec.salt),
            prefixes: FxHashMap::default(),
            pull: Vec::new(),
            open: 0,
            phase: Phase::Lookups,
            spent: vec![0; rules.asks.len()],
            asked: vec![0; rules.asks.len()],
            questions: 0,
            refused: vec![0; rules.asks.len()],
            bugs,
            stopped: None,
            cut_short: false,
        };
        for seed in &seeds {
            if let Some(id) = store.intern(seed.as_ref()) {
                b.enter(rules, store, Offer { parent: NIL, value: id, relation: 0 }, 0);
            }
        }
        b.demand_level(rules, store, 0, ask);
        b
    }

    /// Whether the tree is whole.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// The depth of the level that is open.
    pub fn depth(&self) -> u8 {
        // There are at most 64 levels; see the plan's check.
        (self.levels.len() - 1) as u8
    }

    /// Takes note that a demanded lookup has ended.
    pub fn ended(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// Closes every level that can be closed; says which lookups are demanded next.
    pub fn advance(&mut self, rules: &Rules, store: &mut Store, ask: &mut Vec<LookupId>) {
        while self.open == 0 && self.phase != Phase::Done {
            if self.phase == Phase::Lookups {
                self.phase = Phase::Probes;
                self.demand_probes(rules, store, ask);
                continue;
            }
            self.zones.judge(store);
            let offers = self.collect(rules, store);
            if self.bugs.has(Planted::LateHub) {
                self.plant_late_hub(rules, store);
            }
            let start = self.order.len();
            let depth = self.depth() + 1;
            self.levels.push(start);
            self.admit(rules, store, &offers, depth);
            if self.order.len() == start {
                self.levels.pop();
                self.phase = Phase::Done;
            } else {
                self.phase = Phase::Lookups;
                self.demand_level(rules, store, start, ask);
            }
        }
    }

    /// Puts a node into the tree, and decides whether it is asked about.
    fn enter(&mut self, rules: &Rules, store: &mut Store, offer: Offer, depth: u8) {
        let rank = self.order.push(offer.value);
        let suppression = {
            let item = store.names.get(offer.value);
            self.zones.count(item, rules.plan.wildcard_after);
            let listed =
                if self.bugs.has(Planted::AskExcluded) { None } else { rules.suppression(item, depth == 0) };
            listed.or_else(|| self.popular(rules, store, offer.value, depth))
        };
        let entry = &mut store.entries[offer.value];
        entry.depth = depth;
        entry.rank = rank;
        entry.parent = offer.parent;
        entry.relation = offer.relation;
        if let Some(why) = suppression {
            entry.flags |= flag::SUPPRESSED;
            self.suppressed.insert(offer.value, why);
        }
    }

    /// A value that more nodes lead to than make a hub, counted by /64 for IPv6 too.
    fn popular(&self, rules: &Rules, store: &Store, id: ObsId, depth: u8) -> Option<Suppression> {
        if depth == 0 {
            return None;
        }
        let own = store.entries[id].in_degree;
        let shared = prefix_of(store, id).and_then(|p| self.prefixes.get(&p)).map_or(0, |p| p.count);
        let count = own.max(shared);
        (count > rules.plan.hub).then(|| Suppression {
            reason: "hub",
            list: (shared > own).then(|| "/64".into()),
            count: Some(count.into()),
        })
    }

    /// Registers what the plan asks of the nodes from `start` on.
    fn demand_level(&mut self, rules: &Rules, store: &mut Store, start: u32, ask: &mut Vec<LookupId>) {
        let mut limited: Vec<(u8, Reverse<u32>, u32)> = Vec::new();
        for rank in start..self.order.len() {
            let id = self.order[rank];
            let entry = store.entries[id];
            if entry.depth >= rules.budgets.depth || entry.flags & flag::SUPPRESSED != 0 {
                continue;
            }
            for (at, rule) in rules.asks.iter().enumerate() {
                if !rules.applies(rule, store.names.get(id), entry.depth, entry.flags) {
                    continue;
                }
                // At most MAX_ASKS asks pass the plan's check.
                let at = at as u8;
                if rule.ask.per_level.is_some() && rule.never.is_none() {
                    let pull = self.pull.get((rank - start) as usize).copied().unwrap_or(0);
                    limited.push((at, Reverse(pull), rank));
                } else {
                    self.demand(rules, store, id, at, ask);
                }
            }
        }
        self.pull = Vec::new();
        limited.sort_unstable();
        for group in limited.chunk_by(|a, b| a.0 == b.0) {
            let Some(rule) = group.first().and_then(|g| rules.asks.get(usize::from(g.0))) else { continue };
            let most = rule.ask.per_level.map_or(usize::MAX, |n| n as usize);
            for (at, _, rank) in group.iter().take(most) {
                self.demand(rules, store, self.order[*rank], *at, ask);
            }
            let rest = group.len().saturating_sub(most) as u64;
            if let Some((at, ..)) = group.first().filter(|_| rest > 0) {
                self.rule_out(*at, Verdict::Budget, rest, rest * u64::from(rule.questions));
            }
        }
    }

    /// Counts lookups that are not asked, and need no entry of their own for that.
    fn rule_out(&mut self, at: u8, verdict: Verdict, lookups: u64, questions: u64) {
        let counts = self.never.entry((at, verdict)).or_default();
        *counts = (counts.0 + lookups, counts.1 + questions);
    }

    fn demand(&mut self, rules: &Rules, store: &mut Store, key: ObsId, at: u8, ask: &mut Vec<LookupId>) {
        let rule = &rules.asks[usize::from(at)];
        let questions = u64::from(rule.questions);
        if let Some(verdict) = rule.never {
            self.rule_out(at, verdict, 1, questions);
            return;
        }
        let known = store.lookup_of(key, at);
        let id = known.unwrap_or_else(|| store.register(key, at));
        if store.lookups[id].is(state::DEMANDED) {
            return;
        }
        store.lookups[id].state |= state::DEMANDED;
        // What a budget or the scope may rule out is never asked ahead, so that a refusal
        // finds no outcome: the tree cannot depend on what happened to be there.
        let refused = self.refuse(rules, store, key, at, known.is_some());
        let lookup = &mut store.lookups[id];
        match refused {
            Some(verdict) => {
                (0..rule.questions).for_each(|q| lookup.set_verdict(q, verdict));
                lookup.state = state::DEMANDED | state::ENDED;
                self.refused[usize::from(at)] += 1;
            }
            None if lookup.is(state::ENDED) => {}
            None => {
                self.open += 1;
                // One that waits for a later round comes back by itself.
                if !lookup.is(state::IN_FLIGHT) && lookup.rounds == 0 {
                    lookup.state |= state::WAITING;
                    ask.push(id);
                }
            }
        }
    }

    /// Why a demanded lookup is not asked: scope, budgets, or the job is over.
    fn refuse(&mut self, rules: &Rules, store: &Store, key: ObsId, at: u8, known: bool) -> Option<Verdict> {
        let rule = &rules.asks[usize::from(at)];
        let questions = u64::from(rule.questions);
        if !rules.in_scope(store.names.get(key)) {
            return Some(Verdict::Scope);
        }
        let spent = &mut self.spent[rule.purse];
        let over_credits = rule.source.credits.is_some_and(|c| *spent + 1 > c);
        let over_budget = rules.budgets.questions.is_some_and(|q| self.questions + questions > q);
        let asked = &mut self.asked[usize::from(at)];
        let over_own = rule.ask.questions.is_some_and(|q| *asked + questions > q);
        if over_credits || over_budget || over_own {
            return Some(Verdict::Budget);
        }
        if !known && self.stopped.is_some() {
            self.cut_short = true;
            return self.stopped;
        }
        *spent += 1;
        *asked += questions;
        self.questions += questions;
        None
    }

    fn demand_probes(&mut self, rules: &Rules, store: &mut Store, ask: &mut Vec<LookupId>) {
        if self.stopped.is_some() {
            self.cut_short |= self.zones.has_ripe();
            return;
        }
        let Some(at) = rules.probe_rule() else { return };
        for (zone, name) in self.zones.probes(rules.spec.salt) {
            let item = kudzu_shared::observable::Observable::from_name(&name);
            // A zone whose names are not asked about is not probed either (I5).
            if rules.suppression(item.as_ref(), false).is_some() {
                continue;
            }
            let Some(key) = store.intern(item.as_ref()) else { continue };
            if self.bugs.has(Planted::LeakProbe) {
                let way = Offer { parent: self.order[0], value: key, relation: 1 };
                self.enter(rules, store, way, self.depth());
                continue;
            }
            store.entries[key].flags |= flag::PROBE;
            self.demand(rules, store, key, at, ask);
            if let Some(lookup) = store.lookup_of(key, at) {
                self.zones.asked(zone, lookup);
            }
        }
    }

    /// The pairs of a node that count for the next level, in canonical order, each
    /// `(relation, value)` once.
    fn pairs(rules: &Rules, store: &Store, id: ObsId, depth: u8) -> Vec<Edge> {
        let mut pairs: Vec<Edge> = store
            .edges_of(id)
            .filter(|e| {
                let lookup = &store.lookups[e.lookup];
                counts(rules, store, e) && store.entries[lookup.key].depth <= depth
            })
            .collect();
        distinct(store, &mut pairs);
        pairs
    }

    /// First pass over the open level: verdicts that need all of it, and what it offers.
    fn collect(&mut self, rules: &Rules, store: &mut Store) -> Vec<Offer> {
        let depth = self.depth();
        let (mut offers, mut values) = (Vec::new(), Vec::new());
        for rank in self.levels[usize::from(depth)]..self.order.len() {
            let id = self.order[rank];
            if store.entries[id].flags & flag::SUPPRESSED != 0 {
                continue;
            }
            if depth > 0 && self.suppress_synthesised(store, id) {
                continue;
            }
            let pairs = Self::pairs(rules, store, id, depth);
            for group in pairs.chunk_by(|a, b| a.relation == b.relation) {
                let Some(first) = group.first() else { continue };
                if depth > 0 && self.is_hub(rules, store, id, first.relation, group.len()) {
                    self.cuts.insert((id, first.relation), cut::HUB);
                    continue;
                }
                for edge in group {
                    store.entries[edge.value].flags |= role(edge.relation);
                    offers.push(Offer { parent: id, value: edge.value, relation: edge.relation });
                }
            }
            let own = offers.iter().rev().take_while(|o| o.parent == id);
            values.clear();
            values.extend(own.map(|o| o.value));
            values.sort_unstable();
            values.dedup();
            values.iter().for_each(|v| self.count_parent(store, id, *v));
        }
        offers
    }

    fn plant_late_hub(&mut self, rules: &Rules, store: &mut Store) {
        for rank in self.levels.get(1).copied().unwrap_or(u32::MAX)..self.order.len() {
            let id = self.order[rank];
            if let Some(why) = self.popular(rules, store, id, 1) {
                store.entries[id].flags |= flag::SUPPRESSED;
                self.suppressed.insert(id, why);
            }
        }
    }

    fn suppress_synthesised(&mut self, store: &mut Store, id: ObsId) -> bool {
        if store.names.get(id).kind != Kind::DomainName {
            return false;
        }
        let lookups: Vec<LookupId> =
            store.lookups_of(id).filter(|l| store.lookups[*l].is(state::DEMANDED)).collect();
        let Some(zone) = self.zones.synthesised(store, id, &lookups) else { return false };
        store.entries[id].flags |= flag::SUPPRESSED;
        let why = Suppression { reason: "wildcard", list: Some(zone), count: None };
        self.suppressed.insert(id, why);
        true
    }

    fn is_hub(&self, rules: &Rules, store: &Store, id: ObsId, rel: u8, found: usize) -> bool {
        let total = store.total(id, rel, |l| store.is_demanded(l)).unwrap_or(0).max(found as u64);
        total > u64::from(rules.plan.hub_of(relation(rel)))
    }

    /// Counts a parent of a value; each parent is counted once.
    fn count_parent(&mut self, store: &mut Store, parent: ObsId, value: ObsId) {
        if let Some(prefix) = prefix_of(store, value) {
            let entry = self.prefixes.entry(prefix).or_insert(Prefix { last: NIL, count: 0 });
            if entry.last != parent {
                *entry = Prefix { last: parent, count: entry.count + 1 };
            }
        }
        let degree = &mut store.entries[value].in_degree;
        *degree = degree.saturating_add(1);
    }

    /// Second pass: takes in what was offered, in order, as far as the budgets go.
    fn admit(&mut self, rules: &Rules, store: &mut Store, offers: &[Offer], depth: u8) {
        let group = |a: &Offer, b: &Offer| a.parent == b.parent && a.relation == b.relation;
        if depth > rules.budgets.depth {
            return;
        }
        for group in offers.chunk_by(group) {
            let mut taken = 0;
            for offer in group {
                if store.entries[offer.value].depth != NO_DEPTH {
                    continue; // It has a canonical parent already; this one is a further way to it.
                }
                let cut = if self.order.len() >= rules.budgets.nodes {
                    cut::NODES
                } else if taken >= rules.budgets.fan_out && !self.bugs.has(Planted::IgnoreFanOut) {
                    cut::FAN_OUT
                } else if !self.zones.admit(store.names.get(offer.value), rules.plan.wildcard_keep) {
                    cut::WILDCARD
                } else {
                    taken += 1;
                    self.enter(rules, store, *offer, depth);
                    continue;
                };
                *self.cuts.entry((offer.parent, offer.relation)).or_default() |= cut;
            }
        }
        self.weigh(store, offers, depth);
    }

    /// Adds up how strongly each node of the new level is led to.
    fn weigh(&mut self, store: &Store, offers: &[Offer], depth: u8) {
        let start = self.levels[usize::from(depth)];
        self.pull = vec![0; (self.order.len() - start) as usize];
        for group in offers.chunk_by(|a, b| a.parent == b.parent && a.relation == b.relation) {
            let share = u32::try_from(1_000_000 / group.len()).unwrap_or(0);
            for entry in group.iter().map(|o| &store.entries[o.value]).filter(|e| e.depth == depth) {
                if let Some(pull) = self.pull.get_mut((entry.rank - start) as usize) {
                    *pull = pull.saturating_add(share);
                }
            }
        }
    }

    /// Octets held.
    pub fn heap_bytes(&self) -> usize {
        self.order.heap_bytes()
            + self.suppressed.capacity() * (size_of::<Suppression>() + 24)
            + self.cuts.capacity() * 12
            + self.prefixes.capacity() * 18
            + self.zones.heap_bytes()
    }
}
