//! Belief: how likely it is that a domain is of the same hand as the seeds.
//!
//! From domain to domain it flows along what both use: the product of the ties on the
//! most reliable way from a seed. Ties of several independent groups between the same two
//! domains add up (noisy or). How much a shared asset ties is a matter of how many others
//! use it at the time, or of how many of these are believed already, whichever is more:
//! a crowded address says nothing, one whose users are nearly all suspect says much.

use std::collections::BinaryHeap;

use kudzu_shared::time::UnixSeconds;

use super::assets::Assets;
use super::channel::{Channel, GROUPS};
use super::closeness::Closeness;
use super::domains::NONE;
use super::graph::Graph;
use super::interval::{Span, Spans};

/// Ways weaker than this are not followed.
const FLOOR: f64 = 0.04;
/// Passes: the first knows rarity alone, later ones also who else uses an asset.
const PASSES: usize = 4;
/// Beliefs that differ by less are equal: what lies beyond is the order of additions.
const EQUAL: f64 = 1e-9;
/// The same where one of them has no known date.
const UNDATED: f64 = 0.8;
/// Registered within this many days of each other: waves of one campaign.
const WAVE_DAYS: f64 = 420.0;

/// A tie between a believed domain and another, through one asset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    /// Who is believed; `None` for the seed asset itself.
    pub from: Option<u32>,
    /// What both use.
    pub asset: u32,
    /// What it adds: the belief in `from` times the strength of the tie.
    pub strength: f64,
}

/// The beliefs of a graph: of most domains there is none, and nothing is held of them.
#[derive(Debug)]
pub struct Beliefs {
    /// Where in `held` each domain is, or [`NONE`].
    place: Vec<u32>,
    held: Vec<Held>,
}

/// What is held of a domain that belief came to.
#[derive(Debug, Default)]
struct Held {
    domain: u32,
    belief: f64,
    /// Its score in the last pass.
    suspect: f64,
    /// The strongest tie of each group.
    ties: [Option<Tie>; GROUPS],
    /// The most reliable ways to it: several where they are equally good.
    ways: Vec<Tie>,
    /// The domains next to a seed that its best ways begin at, once it is settled.
    roots: Vec<u32>,
    /// The domains on its best ways, once it is settled.
    behind: Vec<u32>,
    settled: bool,
    /// The last domain that it is behind of.
    marked: Option<u32>,
    /// The last domain that reached it, and where it stands among those that this one reached.
    reached: Option<(u32, u32)>,
    /// What ties it to others, once it was asked for.
    assets: Option<Box<[u32]>>,
}

/// In the total order of numbers, so that a heap can hold it.
#[derive(Debug)]
struct Belief(f64);

impl PartialEq for Belief {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Belief {}

impl PartialOrd for Belief {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Belief {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What one pass over the graph works with.
struct Pass<'a, 'g> {
    graph: &'a Graph<'a>,
    assets: &'a mut Assets<'g>,
    closeness: &'a mut Closeness,
    heap: BinaryHeap<(Belief, u32)>,
}

/// What one domain reaches of another.
struct Reached {
    domain: u32,
    groups: [f64; GROUPS],
    best: Tie,
}

impl Held {
    /// Forgets a pass, but for the score that it led to.
    fn next_pass(&mut self, suspect: f64) {
        self.ways.clear();
        self.roots.clear();
        self.behind.clear();
        *self = Self {
            domain: self.domain,
            suspect,
            ways: std::mem::take(&mut self.ways),
            roots: std::mem::take(&mut self.roots),
            behind: std::mem::take(&mut self.behind),
            assets: self.assets.take(),
            ..Self::default()
        };
    }
}

impl Beliefs {
    /// Computes them.
    pub fn of(graph: &Graph<'_>, assets: &mut Assets<'_>) -> Self {
        let mut beliefs = Self { place: vec![NONE; graph.domains.len()], held: Vec::new() };
        let mut closeness = Closeness::default();
        for pass in 0..PASSES {
            if pass > 0 {
                let scores: Vec<f64> = beliefs.held.iter().map(|h| beliefs.score(h.domain)).collect();
                beliefs.held.iter_mut().zip(scores).for_each(|(h, score)| h.next_pass(score));
                closeness.next_pass();
            }
            let heap = BinaryHeap::new();
            beliefs.pass(Pass { graph, assets, closeness: &mut closeness, heap });
        }
        beliefs
    }

    /// One pass over the graph, strongest ways first.
    fn pass(&mut self, mut pass: Pass<'_, '_>) {
        let graph = pass.graph;
        for d in graph.domains.seeds() {
            self.hold(d).belief = 1.0;
            pass.heap.push((Belief(1.0), d));
        }
        let now = Spans::one(Span { first: graph.now, last: graph.now });
        for at in pass.assets.of_seeds() {
            let asset = pass.assets.get(at);
            let close = pass.closeness.of(at, asset, |d| self.suspect(d));
            for ((d, spans), close) in asset.users.iter().zip(close) {
                let strength = weight(asset.channel) * close * spans.together(&now);
                let tie = Tie { from: None, asset: at, strength };
                self.keep(*d, tie, asset.channel.group());
                self.settle(*d, tie, strength, &mut pass.heap);
            }
        }
        while let Some((Belief(value), d)) = pass.heap.pop() {
            if value < FLOOR {
                break;
            }
            if !std::mem::replace(&mut self.hold(d).settled, true) {
                self.spread(&mut pass, d, value);
            }
        }
    }

    /// Carries the belief in one domain to those it shares assets with.
    fn spread(&mut self, pass: &mut Pass<'_, '_>, d: u32, value: f64) {
        self.mark_behind(d);
        self.find_roots(d);
        for Reached { domain, groups, best } in self.reached(pass, d, value) {
            let together = 1.0 - groups.iter().map(|s| 1.0 - s).product::<f64>();
            self.settle(domain, best, value * together, &mut pass.heap);
        }
    }

    /// Notes the domains on the best ways to one: what is believed because of them is no
    /// reason for them. Whoever is on such a way is believed more, and so settled before.
    fn mark_behind(&mut self, d: u32) {
        let mut behind = std::mem::take(&mut self.hold(d).behind);
        for from in self.ways(d).iter().filter_map(|t| t.from) {
            behind.push(from);
            behind.extend(self.held(from).iter().flat_map(|h| &h.behind));
        }
        behind.sort_unstable();
        behind.dedup();
        behind.iter().for_each(|b| self.hold(*b).marked = Some(d));
        self.hold(d).behind = behind;
    }

    /// Notes where the best ways to a domain begin.
    fn find_roots(&mut self, d: u32) {
        let mut roots = std::mem::take(&mut self.hold(d).roots);
        for tie in self.ways(d) {
            match tie.from {
                Some(from) => roots.extend_from_slice(self.roots(from)),
                None => roots.push(d),
            }
        }
        if roots.is_empty() {
            roots.push(d); // A seed.
        }
        roots.sort_unstable();
        roots.dedup();
        self.hold(d).roots = roots;
    }

    fn reached(&mut self, pass: &mut Pass<'_, '_>, d: u32, value: f64) -> Vec<Reached> {
        let Pass { graph, assets, closeness, .. } = pass;
        let mut reached: Vec<Reached> = Vec::new();
        let registered = graph.domains.registered(d);
        let own_assets = self.hold(d).assets.take().unwrap_or_else(|| assets.that_tie(d));
        for at in &own_assets {
            let asset = assets.get(*at);
            let close = closeness.of(*at, asset, |d| self.suspect(d));
            let Some(own) = asset.user(d) else { continue };
            let own = &asset.users[own].1;
            for ((c, spans), close) in asset.users.iter().zip(close) {
                let most = weight(asset.channel) * close;
                if *c == d || most < FLOOR || self.held(*c).is_some_and(|h| h.marked == Some(d)) {
                    continue;
                }
                let strength = most * own.together(spans) * wave(registered, graph.domains.registered(*c));
                if strength < FLOOR {
                    continue;
                }
                let tie = Tie { from: Some(d), asset: *at, strength: value * strength };
                let slot = &mut self.hold(*c).reached;
                let (_, slot) = *slot.insert(match *slot {
                    Some((by, slot)) if by == d => (by, slot),
                    _ => {
                        reached.push(Reached { domain: *c, groups: [0.0; GROUPS], best: tie });
                        (d, index(reached.len() - 1))
                    }
                });
                let Reached { groups, best, .. } = &mut reached[slot as usize];
                let group = &mut groups[asset.channel.group()];
                *group = group.max(strength);
                if tie.strength > best.strength {
                    *best = tie;
                }
                self.keep(*c, tie, asset.channel.group());
            }
        }
        self.hold(d).assets = Some(own_assets);
        reached
    }

    fn settle(&mut self, c: u32, tie: Tie, value: f64, heap: &mut BinaryHeap<(Belief, u32)>) {
        let held = self.hold(c);
        if value > held.belief + EQUAL {
            held.belief = value;
            held.ways.clear();
            held.ways.push(tie);
            heap.push((Belief(value), c));
        } else if value > held.belief - EQUAL && held.belief < 1.0 {
            held.ways.push(tie);
        }
    }

    fn keep(&mut self, c: u32, tie: Tie, group: usize) {
        let best = &mut self.hold(c).ties[group];
        if best.is_none_or(|b| tie.strength > b.strength + EQUAL) {
            *best = Some(tie);
        }
    }

    /// What is held of a domain.
    fn held(&self, d: u32) -> Option<&Held> {
        self.held.get(self.place[d as usize] as usize)
    }

    /// What is held of a domain from now on.
    fn hold(&mut self, d: u32) -> &mut Held {
        let place = &mut self.place[d as usize];
        if *place == NONE {
            *place = index(self.held.len());
            self.held.push(Held { domain: d, ..Held::default() });
        }
        &mut self.held[*place as usize]
    }

    fn belief(&self, d: u32) -> f64 {
        self.held(d).map_or(0.0, |h| h.belief)
    }

    fn suspect(&self, d: u32) -> f64 {
        self.held(d).map_or(0.0, |h| h.suspect)
    }

    fn ways(&self, d: u32) -> &[Tie] {
        self.held(d).map_or(&[], |h| &h.ways)
    }

    fn roots(&self, d: u32) -> &[u32] {
        self.held(d).map_or(&[], |h| &h.roots)
    }

    /// The domains that belief came to, each with its score.
    pub fn scores(&self) -> impl Iterator<Item = (u32, f64)> {
        self.held.iter().map(|h| (h.domain, self.score(h.domain)))
    }

    /// The score of a domain: its most reliable way, or what its independent ties add up to.
    ///
    /// However many ties lead to a doubtful domain, they make nobody less doubtful than it is:
    /// ties whose ways begin at the same place add up to no more than the belief in the best
    /// of those they lead to.
    pub fn score(&self, d: u32) -> f64 {
        let Some(held) = self.held(d) else { return 0.0 };
        let mut left: Vec<&Tie> = held.ties.iter().flatten().collect();
        let mut doubt = 1.0;
        while let Some(tie) = left.pop() {
            let mut together = vec![tie];
            let mut at = 0;
            while let Some(one) = together.get(at).copied() {
                at += 1;
                let (same, other) = left.into_iter().partition(|t| self.is_one_root(one, t));
                left = other;
                together.extend::<Vec<&Tie>>(same);
            }
            let most = together.iter().map(|t| t.from.map_or(1.0, |f| self.belief(f))).fold(0.0, f64::max);
            let apart = 1.0 - together.iter().map(|t| 1.0 - 0.9 * t.strength).product::<f64>();
            doubt *= 1.0 - apart.min(most);
        }
        held.belief.max(1.0 - doubt).min(1.0)
    }

    /// Whether the ways behind two ties begin at the same place.
    fn is_one_root(&self, a: &Tie, b: &Tie) -> bool {
        match (a.from, b.from) {
            (Some(a), Some(b)) => self.roots(a).iter().any(|r| self.roots(b).binary_search(r).is_ok()),
            _ => false,
        }
    }

    /// The strongest tie of each group, strongest first.
    pub fn ties(&self, d: u32) -> Vec<Tie> {
        let mut ties: Vec<Tie> = self.held(d).iter().flat_map(|h| h.ties).flatten().collect();
        ties.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        ties
    }

    /// The tie on the most reliable way to a domain.
    pub fn via(&self, d: u32) -> Option<Tie> {
        self.ways(d).first().copied()
    }

    /// Whether the graph holds a group that looks like one hand: many young domains, tied
    /// strongly and in several ways, that meet the seeds in several places. A company's
    /// handful of names does not, nor does an agency one of whose names lives at a seed's
    /// address by chance.
    pub fn one_hand(&self, graph: &Graph<'_>) -> bool {
        const ENOUGH: usize = 12;
        const PLACES: usize = 3;
        const YOUNG: i64 = 2 * 365 * 86_400;
        let young = |d: u32| graph.domains.registered(d).is_some_and(|r| graph.now.saturating_sub(r) < YOUNG);
        let strong = self.scores().filter(|(d, score)| *score >= 0.5 && young(*d)).map(|(d, _)| d);
        let strong: Vec<u32> = strong.collect();
        let mut places: Vec<u32> = strong.iter().flat_map(|d| self.roots(*d)).copied().collect();
        places.sort_unstable();
        places.dedup();
        // A seed that is a domain is known to be of that hand.
        let known = places.iter().any(|r| graph.domains.is_seed(*r));
        strong.len() >= ENOUGH && (known || places.len() >= PLACES)
    }
}

/// A number within a list; a tree has fewer than 2^32 nodes.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

/// How much a kind of tie says at best.
const fn weight(channel: Channel) -> f64 {
    match channel {
        Channel::Registrant | Channel::Certificate => 0.95,
        Channel::Address | Channel::NameServerPair | Channel::Related => 0.9,
        Channel::NameServer | Channel::MailHost => 0.88,
        Channel::Alias | Channel::Mailbox => 0.8,
        Channel::SpfAddress => 0.7,
        Channel::Burst => 0.25,
    }
}

/// Domains that were registered far apart are less likely one campaign's.
fn wave(a: Option<UnixSeconds>, b: Option<UnixSeconds>) -> f64 {
    match (a, b) {
        (Some(x), Some(y)) => {
            let days = (x - y).unsigned_abs() as f64 / 86_400.0;
            0.5 + 0.5 * (-(days / WAVE_DAYS).powi(2)).exp()
        }
        _ => UNDATED,
    }
}
