//! Belief: how likely it is that a domain is of the same hand as the seeds.
//!
//! From domain to domain it flows along what both use: the product of the ties on the
//! most reliable way from a seed. Ties of several independent groups between the same two
//! domains add up (noisy or). How much a shared asset ties is a matter of how many others
//! use it at the time, or of how many of these are believed already, whichever is more:
//! a crowded address says nothing, one whose users are nearly all suspect says much.

use std::collections::BinaryHeap;

use super::graph::{Asset, Channel, GROUPS, Graph};
use super::interval::{Span, Spans};

/// Ways weaker than this are not followed.
const FLOOR: f64 = 0.04;
/// Passes: the first knows rarity alone, later ones also who else uses an asset.
const PASSES: usize = 4;
/// An asset with more users than this ties nobody.
const CROWD: u64 = super::uses::CROWD as u64;
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
    pub from: Option<usize>,
    /// What both use.
    pub asset: usize,
    /// What it adds: the belief in `from` times the strength of the tie.
    pub strength: f64,
}

/// The beliefs of a graph.
#[derive(Debug)]
pub struct Beliefs {
    belief: Vec<f64>,
    /// The strongest tie of each group, by domain.
    ties: Vec<[Option<Tie>; GROUPS]>,
    /// The most reliable ways to a domain: several where they are equally good.
    ways: Vec<Vec<Tie>>,
    /// The domains next to a seed that the best ways to each settled one begin at.
    roots: Vec<Vec<u32>>,
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

/// By asset, how many others use it at the time of each of its users. Made when it is first
/// needed, for all passes.
type Crowds = Vec<Option<Vec<f64>>>;

/// What one pass over the graph works with.
struct Pass<'a> {
    graph: &'a Graph,
    suspects: &'a [f64],
    crowds: &'a mut Crowds,
    /// By asset, for each of its users; made when it is first needed.
    closeness: Vec<Option<Vec<f64>>>,
    heap: BinaryHeap<(Belief, usize)>,
    /// The domains on the best ways to each settled one.
    behind: Vec<Vec<u32>>,
    /// Marks those behind the one at hand.
    mark: Vec<u32>,
}

/// What one domain reaches of another.
struct Reached {
    domain: usize,
    groups: [f64; GROUPS],
    best: Tie,
}

impl Beliefs {
    /// Computes them.
    pub fn of(graph: &Graph) -> Self {
        let mut suspects = vec![0.0; graph.domains.len()];
        let mut crowds: Crowds = graph.assets.iter().map(|_| None).collect();
        let mut beliefs = Self::pass(graph, &suspects, &mut crowds);
        for _ in 1..PASSES {
            for (d, s) in suspects.iter_mut().enumerate() {
                *s = beliefs.score(d);
            }
            beliefs = Self::pass(graph, &suspects, &mut crowds);
        }
        beliefs
    }

    /// One pass over the graph, strongest ways first.
    fn pass(graph: &Graph, suspects: &[f64], crowds: &mut Crowds) -> Self {
        let n = graph.domains.len();
        let mut b = Self {
            belief: vec![0.0; n],
            ties: vec![[None; GROUPS]; n],
            ways: vec![Vec::new(); n],
            roots: vec![Vec::new(); n],
        };
        let mut pass = Pass {
            graph,
            suspects,
            crowds,
            closeness: graph.assets.iter().map(|_| None).collect(),
            heap: BinaryHeap::new(),
            behind: vec![Vec::new(); n],
            mark: vec![u32::MAX; n],
        };
        for (d, domain) in graph.domains.iter().enumerate() {
            if domain.seed {
                b.belief[d] = 1.0;
                pass.heap.push((Belief(1.0), d));
            }
        }
        for (at, asset) in graph.assets.iter().enumerate().filter(|(_, a)| a.seed) {
            let now = Spans::one(Span { first: graph.now, last: graph.now });
            let close = closeness_of(asset, suspects, &mut pass.crowds[at]);
            for ((d, spans), close) in asset.users.iter().zip(close) {
                let strength = weight(asset.channel) * close * spans.together(&now);
                let tie = Tie { from: None, asset: at, strength };
                b.keep(*d, tie, asset.channel.group());
                b.settle(*d, tie, strength, &mut pass.heap);
            }
        }
        let mut settled = vec![false; n];
        while let Some((Belief(value), d)) = pass.heap.pop() {
            if value < FLOOR {
                break;
            }
            if !std::mem::replace(&mut settled[d], true) {
                b.spread(&mut pass, d, value);
            }
        }
        b
    }

    /// Carries the belief in one domain to those it shares assets with.
    fn spread(&mut self, pass: &mut Pass<'_>, d: usize, value: f64) {
        self.mark_behind(pass, d);
        self.find_roots(d);
        for Reached { domain, groups, best } in self.reached(pass, d, value) {
            let together = 1.0 - groups.iter().map(|s| 1.0 - s).product::<f64>();
            self.settle(domain, best, value * together, &mut pass.heap);
        }
    }

    /// Notes the domains on the best ways to one: what is believed because of them is no
    /// reason for them. Whoever is on such a way is believed more, and so settled before.
    fn mark_behind(&self, pass: &mut Pass<'_>, d: usize) {
        let mut behind: Vec<u32> = Vec::new();
        for from in self.ways[d].iter().filter_map(|t| t.from) {
            behind.push(index(from));
            behind.extend_from_slice(&pass.behind[from]);
        }
        behind.sort_unstable();
        behind.dedup();
        behind.iter().for_each(|b| pass.mark[*b as usize] = index(d));
        pass.behind[d] = behind;
    }

    /// Notes where the best ways to a domain begin.
    fn find_roots(&mut self, d: usize) {
        let mut roots: Vec<u32> = Vec::new();
        for tie in &self.ways[d] {
            match tie.from {
                Some(from) => roots.extend_from_slice(&self.roots[from]),
                None => roots.push(index(d)),
            }
        }
        if roots.is_empty() {
            roots.push(index(d)); // A seed.
        }
        roots.sort_unstable();
        roots.dedup();
        self.roots[d] = roots;
    }

    fn reached(&mut self, pass: &mut Pass<'_>, d: usize, value: f64) -> Vec<Reached> {
        let Pass { graph, suspects, crowds, closeness, mark, .. } = pass;
        let mut reached: Vec<Reached> = Vec::new();
        let mut place = rustc_hash::FxHashMap::<usize, usize>::default();
        for at in &graph.domains[d].assets {
            let asset = &graph.assets[*at];
            if asset.total > CROWD {
                continue;
            }
            let close = closeness[*at].get_or_insert_with(|| closeness_of(asset, suspects, &mut crowds[*at]));
            let Ok(own) = asset.users.binary_search_by_key(&d, |(u, _)| *u) else { continue };
            let own = &asset.users[own].1;
            for ((c, spans), close) in asset.users.iter().zip(close.iter()) {
                let most = weight(asset.channel) * close;
                if *c == d || mark[*c] == index(d) || most < FLOOR {
                    continue;
                }
                let strength = most * own.together(spans) * wave(graph, d, *c);
                if strength < FLOOR {
                    continue;
                }
                let tie = Tie { from: Some(d), asset: *at, strength: value * strength };
                let slot = *place.entry(*c).or_insert_with(|| {
                    reached.push(Reached { domain: *c, groups: [0.0; GROUPS], best: tie });
                    reached.len() - 1
                });
                let Reached { groups, best, .. } = &mut reached[slot];
                let group = &mut groups[asset.channel.group()];
                *group = group.max(strength);
                if tie.strength > best.strength {
                    *best = tie;
                }
                self.keep(*c, tie, asset.channel.group());
            }
        }
        reached
    }

    fn settle(&mut self, c: usize, tie: Tie, value: f64, heap: &mut BinaryHeap<(Belief, usize)>) {
        if value > self.belief[c] + EQUAL {
            self.belief[c] = value;
            self.ways[c].clear();
            self.ways[c].push(tie);
            heap.push((Belief(value), c));
        } else if value > self.belief[c] - EQUAL && self.belief[c] < 1.0 {
            self.ways[c].push(tie);
        }
    }

    fn keep(&mut self, c: usize, tie: Tie, group: usize) {
        let best = &mut self.ties[c][group];
        if best.is_none_or(|b| tie.strength > b.strength + EQUAL) {
            *best = Some(tie);
        }
    }

    /// The score of a domain: its most reliable way, or what its independent ties add up to.
    ///
    /// However many ties lead to a doubtful domain, they make nobody less doubtful than it is:
    /// ties whose ways begin at the same place add up to no more than the belief in the best
    /// of those they lead to.
    pub fn score(&self, d: usize) -> f64 {
        let mut left: Vec<&Tie> = self.ties[d].iter().flatten().collect();
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
            let most = together.iter().map(|t| t.from.map_or(1.0, |f| self.belief[f])).fold(0.0, f64::max);
            let apart = 1.0 - together.iter().map(|t| 1.0 - 0.9 * t.strength).product::<f64>();
            doubt *= 1.0 - apart.min(most);
        }
        self.belief[d].max(1.0 - doubt).min(1.0)
    }

    /// Whether the ways behind two ties begin at the same place.
    fn is_one_root(&self, a: &Tie, b: &Tie) -> bool {
        match (a.from, b.from) {
            (Some(a), Some(b)) => self.roots[a].iter().any(|r| self.roots[b].binary_search(r).is_ok()),
            _ => false,
        }
    }

    /// The strongest tie of each group, strongest first.
    pub fn ties(&self, d: usize) -> Vec<Tie> {
        let mut ties: Vec<Tie> = self.ties[d].iter().flatten().copied().collect();
        ties.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        ties
    }

    /// The tie on the most reliable way to a domain.
    pub fn via(&self, d: usize) -> Option<Tie> {
        self.ways[d].first().copied()
    }

    /// Whether the graph holds a group that looks like one hand: many young domains, tied
    /// strongly and in several ways, that meet the seeds in several places. A company's
    /// handful of names does not, nor does an agency one of whose names lives at a seed's
    /// address by chance.
    pub fn one_hand(&self, graph: &Graph) -> bool {
        const ENOUGH: usize = 12;
        const PLACES: usize = 3;
        const YOUNG: i64 = 2 * 365 * 86_400;
        let young =
            |d: &usize| graph.domains[*d].registered.is_some_and(|r| graph.now.saturating_sub(r) < YOUNG);
        let strong = (0..graph.domains.len()).filter(|d| self.score(*d) >= 0.5 && young(d));
        let strong: Vec<usize> = strong.collect();
        let mut places: Vec<u32> = strong.iter().flat_map(|d| self.roots[*d].iter().copied()).collect();
        places.sort_unstable();
        places.dedup();
        // A seed that is a domain is known to be of that hand.
        let known = places.iter().any(|r| graph.domains[*r as usize].seed);
        strong.len() >= ENOUGH && (known || places.len() >= PLACES)
    }
}

/// A domain's number; a tree has fewer than 2^32 nodes.
fn index(d: usize) -> u32 {
    u32::try_from(d).unwrap_or(u32::MAX)
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

/// How much using an asset says about each of its users, 0 to 1: how few others use it at
/// the same time, or how many of these are suspect.
fn closeness_of(asset: &Asset, suspects: &[f64], crowds: &mut Option<Vec<f64>>) -> Vec<f64> {
    let crowds = crowds.get_or_insert_with(|| crowds_of(asset));
    let suspected: Vec<&(usize, Spans)> = asset.users.iter().filter(|(d, _)| suspects[*d] > 0.0).collect();
    let close = |((user, spans), crowd): (&(usize, Spans), &f64)| {
        let others = suspected.iter().filter(|(d, _)| d != user);
        let suspect: f64 = others.map(|(d, other)| spans.together(other) * suspects[*d]).sum();
        let rare = 1.0 / (1.0 + (crowd / scale(asset.channel)).powi(3));
        let share = if *crowd > 0.0 { suspect / crowd } else { 0.0 };
        // Rounded, so that the order of the sums does not show.
        (rare.max(share) * 1e9).round() / 1e9
    };
    asset.users.iter().zip(crowds.iter()).map(close).collect()
}

/// How many others use an asset at the time of each of its users.
fn crowds_of(asset: &Asset) -> Vec<f64> {
    // Users that sources count and the tree does not hold may have been there at any time.
    let unknown = asset.total.saturating_sub(asset.users.len() as u64) as f64;
    let mut crowds = vec![unknown; asset.users.len()];
    for (i, (_, a)) in asset.users.iter().enumerate() {
        for (j, (_, b)) in asset.users.iter().enumerate().skip(i + 1) {
            let together = a.together(b);
            crowds[i] += together;
            crowds[j] += together;
        }
    }
    crowds
}

/// The number of other users at which a tie is worth half.
const fn scale(channel: Channel) -> f64 {
    match channel {
        Channel::Registrant | Channel::Mailbox | Channel::Related => 20.0,
        Channel::Certificate => 8.0,
        Channel::Burst => 6.0,
        _ => 10.0,
    }
}

/// Domains that were registered far apart are less likely one campaign's.
fn wave(graph: &Graph, a: usize, b: usize) -> f64 {
    match (graph.domains[a].registered, graph.domains[b].registered) {
        (Some(x), Some(y)) => {
            let days = (x - y).unsigned_abs() as f64 / 86_400.0;
            0.5 + 0.5 * (-(days / WAVE_DAYS).powi(2)).exp()
        }
        _ => UNDATED,
    }
}
