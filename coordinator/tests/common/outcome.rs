//! Outcomes of whole lookups in a tiny world, and what they say of a name.

use std::collections::BTreeSet;

use kudzu_shared::fact::Fact;
use kudzu_shared::observable::{Kind, Observable, psl};
use kudzu_shared::outcome::{Total, Verdict};
use kudzu_shared::pair::{Pair, Relation};

use super::case::Case;

/// What a lookup ended with, all rounds together.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub verdicts: Vec<Verdict>,
    pub pairs: Vec<Pair>,
    pub facts: Vec<Fact>,
    pub totals: Vec<Total>,
}

/// The outcome of a lookup that is asked in up to `rounds` later rounds.
pub fn outcome(case: &Case, ask: u8, key: &Observable, rounds: u8) -> Outcome {
    let n = case.questions(ask);
    let mut all = Outcome { verdicts: vec![Verdict::Timeout; n.into()], ..Outcome::default() };
    for round in 0..=rounds {
        let open = |i: &u8| all.verdicts[usize::from(*i)].is_transient();
        let mask = (0..n).filter(open).fold(0, |m, i| m | 1 << i);
        if mask == 0 {
            break;
        }
        let answer = case.answer(ask, key, mask, round);
        for q in &answer.questions {
            all.verdicts[usize::from(q.index)] = q.verdict;
        }
        all.pairs.extend(answer.pairs);
        all.facts.extend(answer.facts);
        all.totals.extend(answer.totals);
    }
    all
}

/// A lookup that the tree demands.
#[derive(Debug, Clone)]
pub struct Demanded {
    pub ask: u8,
    pub key: Observable,
    /// The level that demands it; `None` for a wildcard probe.
    pub depth: Option<u8>,
    pub outcome: Outcome,
}

/// The zones that may hold a wildcard for a name: its parent and its registrable domain.
pub fn zones_above(what: &Observable) -> Vec<Observable> {
    let Some(name) = what.name() else { return Vec::new() };
    let (Some(registrable), Some(parent)) = (psl::registrable(&name), name.parent()) else {
        return Vec::new();
    };
    if !parent.is_within(&registrable) {
        return Vec::new();
    }
    let mut zones = vec![Observable::from_name(&parent)];
    if parent != registrable {
        zones.push(Observable::from_name(&registrable));
    }
    zones
}

/// Where a name leads by one lookup: addresses and alias targets along its chain.
pub fn resolved(lookup: &Demanded, what: &Observable) -> BTreeSet<Observable> {
    let (mut found, mut at) = (BTreeSet::new(), what.clone());
    for _ in 0..12 {
        let own = || lookup.outcome.pairs.iter().filter(|p| p.key == at && p.value != at);
        let of = |relation| own().filter(move |p| p.relation == relation).map(|p| p.value.clone());
        found.extend(of(Relation::ResolvesTo).chain(of(Relation::AliasOf)));
        match of(Relation::AliasOf).min() {
            Some(next) => at = next,
            None => break,
        }
    }
    found
}

/// The /64 of an IPv6 address.
pub fn prefix(what: &Observable) -> Option<[u8; 8]> {
    (what.kind() == Kind::Ipv6Addr).then(|| what.wire()[..8].try_into().expect("16 octets"))
}

/// Whether a pair was seen in the job's window.
pub fn in_window(case: &Case, p: &Pair) -> bool {
    let (first, last) = (p.first_seen.or(p.last_seen), p.last_seen.or(p.first_seen));
    let since = case.spec.since.is_none_or(|s| last.is_none_or(|l| l >= s));
    let until = case.spec.until.is_none_or(|u| first.is_none_or(|f| f <= u));
    since && until
}

/// Why values of a node by a relation are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cut {
    pub hub: bool,
    pub nodes: bool,
    pub fan_out: bool,
    pub wildcard: bool,
}
