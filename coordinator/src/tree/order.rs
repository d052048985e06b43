//! Which pairs count, and their canonical order.

use std::cmp::Ordering;

use kudzu_shared::observable::Kind;
use kudzu_shared::pair::Relation;

use super::rules::Rules;
use crate::core::intern::ObsId;
use crate::core::store::{Edge, PERSONAL, Store, flag, relation, state};
use crate::model::overlaps;

/// Whether a pair counts for the tree: its lookup is demanded and has ended, its value is
/// no probe, and its times meet the job's window.
pub fn counts(rules: &Rules, store: &Store, edge: &Edge) -> bool {
    let (first, last) = store.seen(edge);
    store.is_demanded(edge.lookup)
        && store.lookups[edge.lookup].is(state::ENDED)
        && store.entries[edge.value].flags & flag::PROBE == 0
        && overlaps(first, last, rules.spec.since, rules.spec.until)
}

/// The canonical order of one node's pairs: relation, last seen (newest first; not reported
/// counts as now), kind, wire bytes.
pub fn in_order(store: &Store, a: &Edge, b: &Edge) -> Ordering {
    let last = |e: &Edge| store.seen(e).1.unwrap_or(i64::MAX);
    let by_value = || store.names.get(a.value).cmp(&store.names.get(b.value));
    a.relation.cmp(&b.relation).then_with(|| last(b).cmp(&last(a))).then_with(by_value)
}

/// Keeps the newest pair of each `(relation, value)`, in canonical order.
pub fn distinct(store: &Store, pairs: &mut Vec<Edge>) {
    pairs.sort_unstable_by(|a, b| {
        (a.relation, a.value).cmp(&(b.relation, b.value)).then(in_order(store, a, b))
    });
    pairs.dedup_by(|b, a| {
        let same = a.relation == b.relation && a.value == b.value;
        if same {
            // Whichever of equal pairs came first: one that names a person is enough.
            a.marking |= b.marking & PERSONAL;
        }
        same
    });
    pairs.sort_unstable_by(|a, b| in_order(store, a, b));
}

/// What a relation says of its value.
pub fn role(rel: u8) -> u8 {
    match relation(rel) {
        Relation::NameServer | Relation::PrimaryServer => flag::NAME_SERVER,
        Relation::MailExchange => flag::MAIL_HOST,
        _ => 0,
    }
}

/// The /64 of an IPv6 address.
pub fn prefix_of(store: &Store, id: ObsId) -> Option<u64> {
    let item = store.names.get(id);
    let octets: [u8; 8] = (item.kind == Kind::Ipv6Addr).then_some(item.wire)?.get(..8)?.try_into().ok()?;
    Some(u64::from_be_bytes(octets))
}
