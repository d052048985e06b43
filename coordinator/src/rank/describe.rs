//! What an analyst wants to know of a candidate besides its ties.

use kudzu_shared::observable::Kind;
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::Relation;
use kudzu_shared::time::rfc3339;

use super::belief::Beliefs;
use super::graph::{Channel, Graph};
use super::interval::{Span, Spans};
use super::{Band, Candidate, Reason, Step, explain};
use crate::tree::Tree;

/// Ties weaker than this are no second reason.
const SECOND: f64 = 0.1;

/// A domain as candidate.
pub fn domain(
    tree: &Tree,
    graph: &Graph,
    beliefs: &Beliefs,
    d: usize,
    score: f64,
    rank: usize,
    hand: bool,
) -> Candidate {
    let item = &graph.domains[d];
    let reasons = explain::reasons(tree, graph, beliefs, d);
    let independent = reasons.iter().filter(|r| r.strength >= SECOND).count();
    let band = match score {
        s if s >= 0.5 && independent >= 2 && hand => Band::Likely,
        s if s >= 0.25 => Band::Possible,
        _ => Band::Weak,
    };
    let (addresses, systems) = places(tree, item.node);
    let servers = servers(tree, item.node);
    Candidate {
        rank,
        value: explain::domain_text(graph, d),
        kind: Kind::DomainName.as_str(),
        score,
        band,
        single_tie: independent < 2,
        reasons,
        registered: item.registered.map(rfc3339),
        resolves: resolves(tree, item.node),
        parked: any_listed(tree, &servers, ListClass::Parking)
            || any_listed(tree, &addresses, ListClass::Parking),
        sinkholed: any_listed(tree, &servers, ListClass::Sinkhole)
            || any_listed(tree, &addresses, ListClass::Sinkhole),
        addresses: texts(tree, &addresses),
        autonomous_systems: systems,
    }
}

/// Addresses that believed domains use now, few others do, and no seed is.
pub fn addresses(tree: &Tree, graph: &Graph, beliefs: &Beliefs, keep: usize, floor: f64) -> Vec<Candidate> {
    let now = Spans::one(Span { first: graph.now, last: graph.now });
    let mut found: Vec<(u32, f64, usize)> = graph
        .assets
        .iter()
        .filter(|a| a.channel == Channel::Address && !a.seed && a.total <= 300)
        .filter(|a| tree.node(a.nodes.0).suppressed.is_none())
        .filter_map(|a| {
            let belief = |d: usize| if graph.domains[d].seed { 1.0 } else { beliefs.score(d) };
            let held: Vec<(usize, f64)> =
                a.users.iter().map(|(d, s)| (*d, belief(*d) * s.together(&now))).collect();
            let (best, top) = held.iter().copied().max_by(|x, y| x.1.total_cmp(&y.1).then(y.0.cmp(&x.0)))?;
            let share = held.iter().map(|(_, b)| b).sum::<f64>() / (a.total.max(1) as f64);
            let score = super::round(top * share.min(1.0));
            (score >= floor).then_some((a.nodes.0, score, best))
        })
        .collect();
    found.sort_unstable_by(|a, b| {
        b.1.total_cmp(&a.1).then_with(|| tree.node(a.0).observable.cmp(&tree.node(b.0).observable))
    });
    found.truncate(keep);
    let at =
        |(at, (n, score, user)): (usize, &(u32, f64, usize))| address(tree, graph, *n, *score, *user, at + 1);
    found.iter().enumerate().map(at).collect()
}

fn address(tree: &Tree, graph: &Graph, n: u32, score: f64, user: usize, rank: usize) -> Candidate {
    let item = tree.node(n).observable;
    let name = explain::domain_text(graph, user);
    let reason = Reason {
        channel: Channel::Address.as_str(),
        strength: score,
        text: format!("is used by {name}"),
        path: vec![
            Step { value: name, via: None },
            Step { value: item.to_string(), via: Some(Channel::Address.as_str()) },
        ],
    };
    Candidate {
        rank,
        value: item.to_string(),
        kind: item.kind.as_str(),
        score,
        band: if score >= 0.25 { Band::Possible } else { Band::Weak },
        single_tie: true,
        reasons: vec![reason],
        registered: None,
        resolves: None,
        parked: false,
        sinkholed: false,
        addresses: Vec::new(),
        autonomous_systems: systems(tree, n),
    }
}

/// Addresses of a name, live ones first and then by when they were last seen, and who
/// announces them.
fn places(tree: &Tree, n: u32) -> (Vec<u32>, Vec<String>) {
    let mut found: Vec<(bool, i64, u32)> = tree
        .edges_from(n)
        .iter()
        .filter(|e| matches!(e.relation, Relation::ResolvesTo | Relation::SeenOn))
        .map(|e| (e.relation == Relation::SeenOn, -e.last_seen.unwrap_or(i64::MAX), e.to))
        .collect();
    found.sort_unstable();
    let mut addresses: Vec<u32> = Vec::new();
    found.iter().for_each(|(.., n)| {
        if !addresses.contains(n) {
            addresses.push(*n);
        }
    });
    addresses.truncate(8);
    let mut names: Vec<String> = addresses.iter().flat_map(|a| systems(tree, *a)).collect();
    names.sort_unstable();
    names.dedup();
    (addresses, names)
}

fn systems(tree: &Tree, n: u32) -> Vec<String> {
    let announced = |e: &crate::tree::EdgeView<'_>| e.relation == Relation::AnnouncedBy;
    tree.edges_from(n)
        .iter()
        .filter(|e| announced(e))
        .map(|e| tree.node(e.to).observable.to_string())
        .collect()
}

fn servers(tree: &Tree, n: u32) -> Vec<u32> {
    tree.edges_from(n).iter().filter(|e| e.relation == Relation::NameServer).map(|e| e.to).collect()
}

fn any_listed(tree: &Tree, nodes: &[u32], class: ListClass) -> bool {
    nodes
        .iter()
        .any(|n| tree.rules().packs.lookup(tree.node(*n).observable).is_some_and(|l| l.class == class))
}

fn texts(tree: &Tree, nodes: &[u32]) -> Vec<String> {
    nodes.iter().map(|n| tree.node(*n).observable.to_string()).collect()
}

/// Whether live DNS gave an address; `None` where it was not asked or did not answer.
fn resolves(tree: &Tree, n: u32) -> Option<bool> {
    if tree
        .edges_from(n)
        .iter()
        .any(|e| e.relation == Relation::ResolvesTo || e.relation == Relation::AliasOf)
    {
        return Some(true);
    }
    let live = |source: &str| {
        tree.rules()
            .asks
            .iter()
            .any(|r| r.source.name == source && r.source.returns.contains(&Relation::ResolvesTo))
    };
    let answered = |end: End, bad: &[Verdict]| matches!(end, End::Found | End::Empty) && bad.is_empty();
    tree.lookups(n).iter().any(|(source, end, bad)| live(source) && answered(*end, bad)).then_some(false)
}
