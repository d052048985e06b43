//! What an analyst wants to know of a candidate besides its ties.

use kudzu_shared::observable::Kind;
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::Relation;
use kudzu_shared::time::rfc3339;

use super::channel::Channel;
use super::interval::{Span, Spans};
use super::{Band, Believed, Candidate, Reason, Step, explain};
use crate::tree::{EdgeView, Tree};

/// Ties weaker than this are no second reason.
const SECOND: f64 = 0.1;
/// Users that an address names as its reasons.
const USERS: usize = 5;
/// Addresses told of a domain.
const PLACES: usize = 8;
/// Seconds within which passive DNS is as good as live: sensors see most names once a month.
const LATELY: i64 = 30 * 86_400;

/// A domain as candidate.
pub fn domain(all: &Believed<'_>, d: u32, score: f64, rank: usize, hand: bool) -> Candidate {
    let (tree, node) = (all.graph.tree, all.graph.domains.node(d));
    let reasons = explain::reasons(all, d);
    let independent = reasons.iter().filter(|r| r.strength >= SECOND).count();
    let band = match score {
        s if s >= 0.5 && independent >= 2 && hand => Band::Likely,
        s if s >= 0.25 => Band::Possible,
        _ => Band::Weak,
    };
    let places = places(tree, node);
    let systems = systems_of(tree, &places);
    let addresses: Vec<u32> = places.iter().map(|p| p.node).collect();
    // Where it is now: what it was years ago says nothing of it.
    let mut now = servers(tree, node);
    now.extend(places.iter().filter(|p| p.current).map(|p| p.node));
    Candidate {
        rank,
        value: explain::domain_text(all, d),
        kind: Kind::DomainName.as_str(),
        score,
        band,
        single_tie: independent < 2,
        reasons,
        registered: all.graph.domains.registered(d).map(rfc3339),
        resolves: tree.resolves(node),
        parked: any_listed(tree, &now, ListClass::Parking),
        sinkholed: any_listed(tree, &now, ListClass::Sinkhole),
        addresses: texts(tree, &addresses),
        autonomous_systems: systems,
    }
}

/// An address that believed domains use.
struct Held {
    node: u32,
    score: f64,
    /// Who uses it, with the belief in each for as long as it goes on; the best first.
    users: Vec<(u32, f64)>,
}

/// Addresses that believed domains use now, few others do, and no seed is.
pub fn addresses(all: &mut Believed<'_>, keep: usize, floor: f64) -> Vec<Candidate> {
    let (graph, beliefs) = (all.graph, &all.beliefs);
    let belief = |d: u32| if graph.domains.is_seed(d) { 1.0 } else { beliefs.score(d) };
    // An address is worth no more than the best of its users; half a last digit for rounding.
    let worth = beliefs.scores().map(|(d, _)| d).filter(|d| belief(*d) >= floor - 1e-6);
    let mut assets: Vec<u32> = worth.flat_map(|d| all.assets.addresses(d)).collect();
    assets.sort_unstable();
    assets.dedup();
    let now = Spans::one(Span { first: graph.now, last: graph.now });
    let held = |at: u32| {
        let asset = all.assets.get(at);
        let node = asset.nodes.0;
        if graph.tree.node(node).suppressed.is_some() {
            return None;
        }
        let mut users: Vec<(u32, f64)> =
            asset.users.iter().map(|(d, s)| (*d, belief(*d) * s.together(&now))).collect();
        users.sort_unstable_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
        let top = users.first()?.1;
        let share = users.iter().map(|(_, b)| b).sum::<f64>() / (asset.total.max(1) as f64);
        let score = super::round(top * share.min(1.0));
        (score >= floor).then_some(Held { node, score, users })
    };
    let mut found: Vec<Held> = assets.into_iter().filter_map(held).collect();
    found.sort_unstable_by(|a, b| {
        let item = |h: &Held| graph.tree.node(h.node).observable;
        b.score.total_cmp(&a.score).then_with(|| item(a).cmp(&item(b)))
    });
    found.truncate(keep);
    let at = |(at, held): (usize, &Held)| address(all, held, at + 1);
    found.iter().enumerate().map(at).collect()
}

fn address(all: &Believed<'_>, held: &Held, rank: usize) -> Candidate {
    let tree = all.graph.tree;
    let item = tree.node(held.node).observable;
    let reason = |(user, strength): &(u32, f64)| {
        let mut path = explain::path_to(all, *user);
        path.push(Step { value: item.to_string(), via: Some(Channel::Address.as_str().into()) });
        Reason {
            channel: Channel::Address.as_str().into(),
            strength: super::round(*strength),
            text: format!("is used by {}", explain::domain_text(all, *user)),
            path,
        }
    };
    let believed = held.users.iter().filter(|(_, strength)| *strength >= SECOND);
    Candidate {
        rank,
        value: item.to_string(),
        kind: item.kind.as_str(),
        score: held.score,
        band: if held.score >= 0.25 { Band::Possible } else { Band::Weak },
        single_tie: believed.clone().count() < 2,
        reasons: held.users.iter().take(1).chain(believed.skip(1).take(USERS - 1)).map(reason).collect(),
        registered: None,
        resolves: None,
        parked: false,
        sinkholed: false,
        addresses: Vec::new(),
        autonomous_systems: systems(tree, held.node),
    }
}

/// An address of a name.
struct Place {
    node: u32,
    /// Live, or seen lately.
    current: bool,
}

/// Whether a pair holds now: live, or seen within [`LATELY`] of the instant looked at.
fn is_current(tree: &Tree, e: &EdgeView<'_>) -> bool {
    e.last_seen.or(e.first_seen).is_none_or(|l| l >= tree.rules().spec.as_of.saturating_sub(LATELY))
}

/// Addresses of a name, live ones first and then by when they were last seen.
fn places(tree: &Tree, n: u32) -> Vec<Place> {
    let is_address = |e: &EdgeView<'_>| matches!(e.relation, Relation::ResolvesTo | Relation::SeenOn);
    let rank = |e: &EdgeView<'_>| (e.relation == Relation::SeenOn, -e.last_seen.unwrap_or(i64::MAX), e.to);
    let mut found: Vec<_> =
        tree.ways_from(n).filter(is_address).map(|e| (rank(&e), is_current(tree, &e))).collect();
    found.sort_unstable();
    let mut places: Vec<Place> = Vec::new();
    for ((.., node), current) in found {
        if places.len() < PLACES && places.iter().all(|p| p.node != node) {
            places.push(Place { node, current });
        }
    }
    places
}

/// Who announces these addresses.
fn systems_of(tree: &Tree, places: &[Place]) -> Vec<String> {
    let mut names: Vec<String> = places.iter().flat_map(|p| systems(tree, p.node)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn systems(tree: &Tree, n: u32) -> Vec<String> {
    let announced = |e: &EdgeView<'_>| e.relation == Relation::AnnouncedBy;
    tree.edges_from(n)
        .iter()
        .filter(|e| announced(e))
        .map(|e| tree.node(e.to).observable.to_string())
        .collect()
}

fn servers(tree: &Tree, n: u32) -> Vec<u32> {
    let used = |e: &EdgeView<'_>| e.relation == Relation::NameServer && is_current(tree, e);
    tree.ways_from(n).filter(used).map(|e| e.to).collect()
}

fn any_listed(tree: &Tree, nodes: &[u32], class: ListClass) -> bool {
    nodes
        .iter()
        .any(|n| tree.rules().packs.lookup(tree.node(*n).observable).is_some_and(|l| l.class == class))
}

fn texts(tree: &Tree, nodes: &[u32]) -> Vec<String> {
    nodes.iter().map(|n| tree.node(*n).observable.to_string()).collect()
}
