//! Asking ahead: what an outcome makes likely to be demanded is asked before its level is
//! closed. It makes the engine quick and never changes the tree: what the tree does not
//! demand in the end stays evidence.

use kudzu_shared::observable::Kind;
use rustc_hash::FxHashMap;

use super::intern::ObsId;
use super::store::{Edge, LookupId, NO_DEPTH, Store, flag, relation, state};
use crate::tree::build::Builder;
use crate::tree::order::{in_order, role};
use crate::tree::rules::Rules;

/// Registers what follows from an ended lookup, as far as the tree may demand it.
pub fn expand(rules: &Rules, store: &mut Store, tree: &Builder, lookup: LookupId, ask: &mut Vec<LookupId>) {
    let key = store.lookups[lookup].key;
    let entry = store.entries[key];
    let depth = entry.depth.min(entry.ahead);
    let budgets = &rules.budgets;
    // A budget on questions is spent in the tree's order alone; and once as many things
    // are known as the tree may hold, asking further ahead would be for nothing.
    let bound = budgets.questions.is_some() || store.names.len() >= budgets.nodes;
    let leaf = depth == NO_DEPTH || depth + 1 >= budgets.depth;
    if bound || leaf || entry.flags & (flag::SUPPRESSED | flag::PROBE) != 0 {
        return;
    }
    for edge in likely(rules, store, key, lookup) {
        child(rules, store, tree, &edge, depth + 1, ask);
    }
}

/// The pairs of a lookup that neither a hub nor a fan-out cap takes out.
fn likely(rules: &Rules, store: &Store, key: ObsId, lookup: LookupId) -> Vec<Edge> {
    let mut edges: Vec<Edge> = store.edges_of(key).filter(|e| e.lookup == lookup).collect();
    let mut counts: FxHashMap<u8, u64> = FxHashMap::default();
    for edge in &edges {
        *counts.entry(edge.relation).or_default() += 1;
    }
    for (rel, n) in &mut counts {
        *n = store.total(key, *rel, |l| l == lookup).unwrap_or(0).max(*n);
    }
    edges.retain(|e| counts[&e.relation] <= u64::from(rules.plan.hub_of(relation(e.relation))));
    let cap = rules.budgets.fan_out;
    if counts.values().any(|n| *n > u64::from(cap)) {
        edges.sort_unstable_by(|a, b| in_order(store, a, b));
        let mut taken: FxHashMap<u8, u32> = FxHashMap::default();
        edges.retain(|e| {
            let n = taken.entry(e.relation).or_default();
            *n += 1;
            *n <= cap
        });
    }
    edges
}

fn child(rules: &Rules, store: &mut Store, tree: &Builder, edge: &Edge, depth: u8, ask: &mut Vec<LookupId>) {
    let entry = store.entries[edge.value];
    let seen = entry.depth.min(entry.ahead) <= depth;
    if seen || entry.flags & (flag::SUPPRESSED | flag::PROBE) != 0 || entry.in_degree > rules.plan.hub {
        return;
    }
    store.entries[edge.value].ahead = depth;
    let item = store.names.get(edge.value);
    let wild = item.kind == Kind::DomainName && tree.zones.is_wild(item);
    if wild || rules.suppression(item, false).is_some() || !rules.in_scope(item) {
        return;
    }
    let flags = entry.flags | role(edge.relation);
    let mut wanted = Vec::new();
    for (at, rule) in rules.asks.iter().enumerate() {
        let free = rule.never.is_none() && rule.is_unlimited();
        // At most MAX_ASKS asks pass the plan's check.
        let at = at as u8;
        if free && rules.applies(rule, item, depth, flags) && store.lookup_of(edge.value, at).is_none() {
            wanted.push(at);
        }
    }
    for at in wanted {
        let id = store.register(edge.value, at);
        store.lookups[id].state = state::WAITING;
        ask.push(id);
    }
}
