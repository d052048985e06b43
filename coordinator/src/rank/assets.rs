//! What domains share, and when each of them used it: put together from the tree when belief
//! comes to it, and kept.

use kudzu_shared::fact::FactName;
use rustc_hash::FxHashMap;

use super::channel::Channel;
use super::domains::{NONE, seeds};
use super::graph::{Graph, used, user};
use super::interval::{Span, Spans};
use crate::tree::{Said, Tree};

/// Users of one asset at most; what more than these share ties nobody.
pub const CROWD: usize = 300;
/// Name servers of one domain that are looked at in pairs.
const SERVERS: usize = 16;
/// Pairs of a domain from which on what they say is kept: others are read again.
const BUSY: usize = 64;

/// Channel, node, and a second node or [`NONE`]: assets in their order.
type Key = (Channel, u32, u32);

/// What several domains may share.
#[derive(Debug)]
pub struct Asset {
    /// Kind of tie.
    pub channel: Channel,
    /// The node it is, or for a pair of name servers the two.
    pub nodes: (u32, Option<u32>),
    /// Domains that use it, in order, and when.
    pub users: Box<[(u32, Spans)]>,
    /// How many use it by what sources count; at least as many as are known.
    pub total: u64,
}

/// The assets that somebody asked for.
#[derive(Debug)]
pub struct Assets<'g> {
    graph: &'g Graph<'g>,
    list: Vec<Asset>,
    /// Where each is in the list; [`NONE`] for what ties nobody.
    known: FxHashMap<Key, u32>,
    /// What domains of many pairs use: asset, how, when.
    busy: FxHashMap<u32, Vec<(u32, Channel, Span)>>,
}

impl<'g> Assets<'g> {
    /// None yet.
    pub fn new(graph: &'g Graph<'g>) -> Self {
        Self { graph, list: Vec::new(), known: FxHashMap::default(), busy: FxHashMap::default() }
    }

    /// One by its number.
    pub fn get(&self, at: u32) -> &Asset {
        &self.list[at as usize]
    }

    /// Those that are seeds, in order.
    pub fn of_seeds(&mut self) -> Vec<u32> {
        let mut keys: Vec<Key> = Vec::new();
        for node in (0..seeds(self.graph.tree)).filter(|n| self.graph.uses.is_used(*n)) {
            keys.extend(Channel::OF_PAIRS.map(|channel| (channel, node, NONE)));
        }
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| self.find(key)).collect()
    }

    /// Those that tie a domain to others, in order.
    pub fn that_tie(&mut self, d: u32) -> Box<[u32]> {
        let mut keys = self.keys(d);
        keys.retain(|(channel, node, other)| *other != NONE || self.graph.may_tie(*node, *channel));
        let found: Vec<u32> = keys.into_iter().filter_map(|key| self.find(key)).collect();
        let ties = |at: &u32| {
            let asset = self.get(*at);
            asset.total <= CROWD as u64 && asset.users.len() > 1 && asset.user(d).is_some()
        };
        found.into_iter().filter(ties).collect()
    }

    /// The addresses that a domain uses, seeds left out.
    pub fn addresses(&mut self, d: u32) -> Vec<u32> {
        let is_address = |key: &Key| key.0 == Channel::Address && !self.graph.is_seed(key.1);
        let keys: Vec<Key> = self.keys(d).into_iter().filter(is_address).collect();
        keys.into_iter().filter_map(|key| self.find(key)).collect()
    }

    /// What a domain may use, in order.
    fn keys(&self, d: u32) -> Vec<Key> {
        let Graph { domains, uses, bursts, .. } = self.graph;
        let mut keys: Vec<Key> = uses.of(d).map(|(node, channel)| (channel, node, NONE)).collect();
        let servers: Vec<u32> = servers(self.graph, d).collect();
        for (i, a) in servers.iter().enumerate() {
            keys.extend(servers[i + 1..].iter().map(|b| (Channel::NameServerPair, *a, *b)));
        }
        keys.extend(bursts.of_domain(d).map(|(registrar, number)| (Channel::Burst, registrar, number)));
        for node in domains.nodes(d).iter().filter(|n| uses.is_used(**n)) {
            let owned = |c: &Channel| self.graph.owner(*node, *c) == Some(d);
            keys.extend(Channel::OF_PAIRS.into_iter().filter(owned).map(|c| (c, *node, NONE)));
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The asset of a key; `None` where nobody uses it, or too many do.
    fn find(&mut self, key: Key) -> Option<u32> {
        if let Some(at) = self.known.get(&key) {
            return Some(*at).filter(|at| *at != NONE);
        }
        let made = self.make(key);
        // Fewer than pairs in the tree.
        let at = if made.is_some() { self.list.len() as u32 } else { NONE };
        self.list.extend(made);
        self.known.insert(key, at);
        Some(at).filter(|at| *at != NONE)
    }

    fn make(&mut self, key: Key) -> Option<Asset> {
        let (channel, node, other) = key;
        let users = match channel {
            Channel::Burst => self.together(other)?,
            Channel::NameServerPair => self.of_both(node, other)?,
            _ => self.of_one(node, channel)?,
        };
        let total = users.len() as u64;
        let total = if other == NONE { self.graph.total(node, total) } else { total };
        let nodes = (node, (other != NONE).then_some(other));
        (!users.is_empty()).then(|| Asset { channel, nodes, users: users.into(), total })
    }

    /// The domains of a burst; `None` where there are too many.
    fn together(&self, number: u32) -> Option<Vec<(u32, Spans)>> {
        let domains = self.graph.bursts.domains(number);
        let always = |d: &u32| Some((*d, Spans::since(self.graph.since(*d), &mut vec![Span::ALWAYS])?));
        let users: Vec<_> = domains.iter().filter_map(always).collect();
        (users.len() <= CROWD).then_some(users)
    }

    /// The users of a node; `None` where there are too many.
    fn of_one(&mut self, node: u32, channel: Channel) -> Option<Vec<(u32, Spans)>> {
        let graph = self.graph;
        if graph.is_crowd(node, channel) {
            return None;
        }
        let owner = graph.owner(node, channel);
        let own = by_own_pairs(graph, node, channel);
        let valid = (channel == Channel::Certificate).then(|| validity(graph.tree, node));
        let mut domains: Vec<u32> = graph.uses.users(node, channel).chain(owner).collect();
        domains.sort_unstable();
        domains.dedup();
        let (mut users, mut spans) = (Vec::new(), Vec::new());
        for d in domains.into_iter().filter(|d| !graph.is_void(node, channel, *d)) {
            match valid {
                Some(valid) if graph.uses.has(node, channel, d) => spans.push(valid),
                Some(_) => {}
                None => self.said(d, node, channel, &own, &mut spans),
            }
            spans.extend((owner == Some(d)).then_some(Span::ALWAYS));
            users.extend(Spans::since(graph.since(d), &mut spans).map(|spans| (d, spans)));
            if users.len() > CROWD {
                return None;
            }
        }
        Some(users)
    }

    /// The users of two name servers at once; `None` where there are too many.
    fn of_both(&mut self, a: u32, b: u32) -> Option<Vec<(u32, Spans)>> {
        const NS: Channel = Channel::NameServer;
        let graph = self.graph;
        let (few, many) =
            if graph.uses.users(a, NS).len() <= graph.uses.users(b, NS).len() { (a, b) } else { (b, a) };
        let mut both = graph.uses.users(few, NS).filter(|d| graph.uses.has(many, NS, *d)).peekable();
        both.peek()?;
        let (own_a, own_b) = (by_own_pairs(graph, a, NS), by_own_pairs(graph, b, NS));
        let (mut users, mut spans) = (Vec::new(), Vec::new());
        for d in both.filter(|d| [a, b].iter().all(|s| servers(graph, *d).any(|server| server == *s))) {
            self.said(d, a, NS, &own_a, &mut spans);
            let with_a = spans.drain(..).reduce(Span::hull);
            self.said(d, b, NS, &own_b, &mut spans);
            let with_b = spans.drain(..).reduce(Span::hull);
            let (Some(with_a), Some(with_b)) = (with_a, with_b) else { continue };
            if with_a.together(with_b) == 1.0 {
                spans.push(with_a.hull(with_b));
                users.extend(Spans::since(graph.since(d), &mut spans).map(|spans| (d, spans)));
            }
            if users.len() > CROWD {
                return None;
            }
        }
        Some(users)
    }

    /// When a domain uses a node, by pairs of either; those of the node itself are given.
    fn said(&mut self, d: u32, node: u32, channel: Channel, own: &[(u32, Span)], spans: &mut Vec<Span>) {
        let of_d = own.partition_point(|(user, _)| *user < d);
        spans.extend(own[of_d..].iter().take_while(|(user, _)| *user == d).map(|(_, span)| *span));
        if let Some(uses) = self.busy.get(&d) {
            let start = uses.partition_point(|(n, c, _)| (*n, *c) < (node, channel));
            let same = uses[start..].iter().take_while(|(n, c, _)| (*n, *c) == (node, channel));
            spans.extend(same.map(|(.., span)| *span));
            return;
        }
        let mut pairs = 0;
        for (n, c, span) in by_pairs_of(self.graph, d) {
            pairs += 1;
            spans.extend(((n, c) == (node, channel)).then_some(span));
        }
        if pairs >= BUSY {
            let mut uses: Vec<_> = by_pairs_of(self.graph, d).collect();
            uses.sort_unstable();
            self.busy.insert(d, uses);
        }
    }
}

impl Asset {
    /// Where a domain stands among the users.
    pub fn user(&self, d: u32) -> Option<usize> {
        self.users.binary_search_by_key(&d, |(user, _)| *user).ok()
    }
}

/// What a domain uses by pairs of its names.
fn by_pairs_of<'t>(graph: &'t Graph<'_>, d: u32) -> impl Iterator<Item = (u32, Channel, Span)> + 't {
    let pairs = graph.domains.nodes(d).iter().flat_map(|n| graph.tree.ways_from(*n));
    pairs.filter_map(|e| used(&e, graph.now))
}

/// Who uses a node by its own pairs, in the order of domains.
fn by_own_pairs(graph: &Graph<'_>, node: u32, channel: Channel) -> Vec<(u32, Span)> {
    let users = graph.tree.ways_from(node).filter_map(|e| user(&e, graph.now));
    let in_channel = users.filter(|(_, c, _)| *c == channel);
    let mut users: Vec<(u32, Span)> =
        in_channel.filter_map(|(n, _, span)| Some((graph.domains.of_node(n)?, span))).collect();
    users.sort_unstable();
    users
}

/// The name servers of a domain that are looked at in pairs, in order.
fn servers(graph: &Graph<'_>, d: u32) -> impl Iterator<Item = u32> {
    graph.uses.of(d).filter(|(_, c)| *c == Channel::NameServer).map(|(n, _)| n).take(SERVERS)
}

/// When a certificate is valid; always where nobody says.
fn validity(tree: &Tree, cert: u32) -> Span {
    let mut span = Span::ALWAYS;
    for (name, value) in tree.facts(cert) {
        match (name, value) {
            (FactName::NotBefore, Said::Time(t)) => span.first = t,
            (FactName::NotAfter, Said::Time(t)) => span.last = t,
            _ => {}
        }
    }
    Span { first: span.first, last: span.last.max(span.first) }
}
