//! The assembled tree: nodes in canonical order, every way to each, and what was left out.

pub mod build;
mod chunks;
pub mod coverage;
pub mod explain;
pub mod order;
pub mod read;
pub mod rules;
pub mod shown;
pub mod ways;
pub mod write;
pub mod zones;

use kudzu_shared::fact::FactName;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Observable, ObservableRef};
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::pair::Relation;
use kudzu_shared::source::Class;
use kudzu_shared::time::UnixSeconds;

pub use crate::core::facts::Said;
use crate::core::intern::ObsId;
use crate::core::job::Job;
use crate::core::planted::Planted;
use crate::core::store::{Edge, NO_DEPTH, PERSONAL, Store, flag, marking, relation, state};
use build::{Builder, cut};
use order::{counts, distinct, in_order};
use rules::Rules;
pub use rules::Suppression;

/// Links of an alias chain that are followed.
const ALIASES: usize = 12;

/// A tree, as [`crate::model::JobResult`] carries it. Nodes are numbered in canonical order.
#[derive(Debug)]
pub struct Tree {
    pub(crate) rules: Rules,
    pub(crate) store: Store,
    pub(crate) built: Builder,
}

/// One node.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// Its number.
    pub n: u32,
    /// What it is.
    pub observable: ObservableRef<'a>,
    /// Hops from a seed.
    pub depth: u8,
    /// Its canonical parent; `None` for a seed.
    pub parent: Option<u32>,
    /// Why the parent leads to it.
    pub relation: Option<Relation>,
    /// Why it was not asked about.
    pub suppressed: Option<&'a Suppression>,
}

/// One pair between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeView<'a> {
    /// The key's node.
    pub from: u32,
    /// The value's node.
    pub to: u32,
    /// Why the value follows.
    pub relation: Relation,
    /// Who says so.
    pub source: &'a str,
    /// As the source reports it.
    pub first_seen: Option<UnixSeconds>,
    /// As the source reports it.
    pub last_seen: Option<UnixSeconds>,
    /// With whom it may be shared.
    pub marking: Tlp,
    /// Whether the value names a person.
    pub personal: bool,
}

/// What was left out under a node, or of the whole tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StubView {
    /// Under which node; `None` for the whole tree.
    pub parent: Option<u32>,
    /// Along which relation.
    pub relation: Option<Relation>,
    /// `hub`, `fan-out`, `nodes`, `wildcard`, `later`, `limit` or `depth`.
    pub reason: &'static str,
    /// How many.
    pub total: u64,
    /// The first of them.
    pub sample: Vec<String>,
}

impl Tree {
    /// Takes the tree out of an ended job.
    pub fn of(job: Job) -> Self {
        let mut tree = Self { rules: job.rules, store: job.store, built: job.tree };
        let persons: Vec<ObsId> = (0..tree.len())
            .flat_map(|n| tree.kept(tree.built.order[n]))
            .filter(|e| e.marking & PERSONAL != 0)
            .map(|e| e.value)
            .collect();
        persons.into_iter().for_each(|id| tree.store.entries[id].flags |= flag::PERSONAL);
        tree
    }

    /// How many nodes there are.
    pub fn len(&self) -> u32 {
        self.built.order.len()
    }

    /// Whether there is no node, not even a seed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rules that made it.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A node by number, which must be below [`Tree::len`].
    pub fn node(&self, n: u32) -> NodeView<'_> {
        let id = self.built.order[n];
        let entry = &self.store.entries[id];
        let parent = self.store.entries.get(entry.parent).map(|p| p.rank);
        NodeView {
            n,
            observable: self.store.names.get(id),
            depth: entry.depth,
            parent,
            relation: parent.map(|_| relation(entry.relation)),
            suppressed: self.built.suppressed.get(&id),
        }
    }

    /// All nodes in canonical order.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView<'_>> {
        (0..self.len()).map(|n| self.node(n))
    }

    /// The number of an observable, if it is in the tree.
    pub fn find(&self, item: &Observable) -> Option<u32> {
        self.rank(self.store.names.find(item.as_ref())?)
    }

    /// The nodes whose canonical parent this is, in order. Children of one node follow each
    /// other in the order of their level, so that this takes the time of their number.
    pub fn children(&self, n: u32) -> impl Iterator<Item = u32> + '_ {
        let id = self.built.order[n];
        let level = usize::from(self.store.entries[id].depth) + 1;
        let start = self.built.levels.get(level).copied().unwrap_or(self.len());
        let end = self.built.levels.get(level + 1).copied().unwrap_or(self.len());
        let parent_rank =
            move |r: u32| self.store.entries.get(self.store.entries[self.built.order[r]].parent);
        // Within a level nodes are ordered by their parent's rank: find the first of ours.
        let (mut low, mut high) = (start, end);
        while low < high {
            let mid = low + (high - low) / 2;
            if parent_rank(mid).is_some_and(|p| p.rank < n) { low = mid + 1 } else { high = mid }
        }
        (low..end).take_while(move |r| parent_rank(*r).is_some_and(|p| p.rank == n))
    }

    /// All pairs from a node to nodes, in canonical order, each said once by each source.
    pub fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>> {
        let id = self.built.order[n];
        let mut edges: Vec<Edge> = self.kept(id).collect();
        // What came from the cache does not bear the job's own marking; it is the same pair.
        let said = |e: &Edge| {
            let personal = e.marking & PERSONAL != 0;
            (self.source(e), self.store.seen(e), self.marking(e), personal)
        };
        edges.sort_unstable_by(|a, b| in_order(&self.store, a, b).then_with(|| said(a).cmp(&said(b))));
        edges.dedup_by(|b, a| a.relation == b.relation && a.value == b.value && said(a) == said(b));
        edges.iter().filter_map(|e| self.view(n, e)).collect()
    }

    /// The pairs of [`Tree::edges_from`] in no order, and some of them several times: for
    /// whoever sorts what it makes of them.
    pub fn ways_from(&self, n: u32) -> impl Iterator<Item = EdgeView<'_>> {
        self.kept(self.built.order[n]).filter_map(move |e| self.view(n, &e))
    }

    /// No fewer pairs than [`Tree::ways_from`] gives of all nodes together.
    pub fn pairs_at_most(&self) -> usize {
        self.store.edges.len() as usize
    }

    /// All pairs of a node whose value is a node, unordered.
    fn kept(&self, id: ObsId) -> impl Iterator<Item = Edge> {
        self.store.edges_of(id).filter(move |e| {
            counts(&self.rules, &self.store, e)
                && self.store.entries[e.value].depth != NO_DEPTH
                && !self.is_hub(id, e.relation)
        })
    }

    /// Whether a node has so many values of a relation that none of them are followed.
    fn is_hub(&self, id: ObsId, rel: u8) -> bool {
        self.built.cuts.get(&(id, rel)).is_some_and(|c| c & cut::HUB != 0)
    }

    fn view(&self, from: u32, e: &Edge) -> Option<EdgeView<'_>> {
        let (first_seen, last_seen) = self.store.seen(e);
        Some(EdgeView {
            from,
            to: self.rank(e.value)?,
            relation: relation(e.relation),
            source: self.source(e),
            first_seen,
            last_seen,
            marking: self.marking(e),
            personal: e.marking & PERSONAL != 0,
        })
    }

    fn marking(&self, e: &Edge) -> Tlp {
        marking(e.marking).max(self.rules.spec.policy.tlp)
    }

    fn source(&self, e: &Edge) -> &str {
        let ask = usize::from(self.store.lookups[e.lookup].ask);
        &self.rules.asks[ask].source.name
    }

    /// All pairs that lead to a node. Linear in the tree: for one node that somebody asks about.
    pub fn edges_to(&self, n: u32) -> Vec<EdgeView<'_>> {
        (0..self.len()).flat_map(|from| self.edges_from(from)).filter(|e| e.to == n).collect()
    }

    /// What was left out under a node.
    pub fn stubs(&self, n: u32) -> Vec<StubView> {
        let id = self.built.order[n];
        let entry = &self.store.entries[id];
        if entry.flags & flag::SUPPRESSED != 0 || entry.depth >= self.rules.budgets.depth {
            return Vec::new();
        }
        let counted = |e: &Edge| counts(&self.rules, &self.store, e);
        let whole = |e: Edge| self.store.entries[e.value].depth != NO_DEPTH && !self.is_hub(id, e.relation);
        // Of most nodes nothing is left out.
        if !self.store.totals.contains_key(&id) && self.store.edges_of(id).filter(counted).all(whole) {
            return Vec::new();
        }
        let mut pairs: Vec<Edge> = self.store.edges_of(id).filter(counted).collect();
        distinct(&self.store, &mut pairs);
        // A source may count what it sent nothing of, or nothing within the time window.
        let counted = self.store.totals.get(&id).into_iter().flatten().map(|(rel, ..)| *rel);
        let mut relations: Vec<u8> = pairs.iter().map(|e| e.relation).chain(counted).collect();
        relations.sort_unstable();
        relations.dedup();
        let group = |rel: u8| {
            let start = pairs.partition_point(|e| e.relation < rel);
            let end = pairs.partition_point(|e| e.relation <= rel);
            &pairs[start..end]
        };
        relations.into_iter().flat_map(|rel| self.stubs_of(n, id, rel, group(rel))).collect()
    }

    /// How many values of a relation demanded lookups sent, whatever their time.
    fn sent(&self, id: ObsId, rel: u8) -> u64 {
        let is_sent = |e: &Edge| e.relation == rel && self.store.is_demanded(e.lookup);
        let mut values: Vec<ObsId> = self.store.edges_of(id).filter(is_sent).map(|e| e.value).collect();
        values.sort_unstable();
        values.dedup();
        values.len() as u64
    }

    fn stubs_of(&self, n: u32, id: ObsId, rel: u8, group: &[Edge]) -> Vec<StubView> {
        let why = self.built.cuts.get(&(id, rel)).copied().unwrap_or(0);
        let total = self.store.total(id, rel, |l| self.store.is_demanded(l));
        let reported = total.unwrap_or(0).max(group.len() as u64);
        let stub = |reason, total, out: &[&Edge]| StubView {
            parent: Some(n),
            relation: Some(relation(rel)),
            reason,
            total,
            sample: out.iter().take(3).map(|e| self.store.names.get(e.value).to_string()).collect(),
        };
        if why & cut::HUB != 0 {
            let all: Vec<&Edge> = group.iter().collect();
            return vec![stub("hub", reported, &all)];
        }
        let missing = group.iter().filter(|e| self.store.entries[e.value].depth == NO_DEPTH);
        let wild =
            |e: &&Edge| why & cut::WILDCARD != 0 && self.built.zones.is_wild(self.store.names.get(e.value));
        let (wildcard, rest): (Vec<&Edge>, Vec<&Edge>) = missing.partition(wild);
        let mut stubs = Vec::new();
        if !wildcard.is_empty() {
            stubs.push(stub("wildcard", wildcard.len() as u64, &wildcard));
        }
        if !rest.is_empty() && !self.built.bugs.has(Planted::ForgetStub) {
            let reason = match why {
                _ if why & cut::NODES != 0 => "nodes",
                _ if why & cut::FAN_OUT != 0 => "fan-out",
                // A lookup further down told of it when this node's level had closed.
                _ => "later",
            };
            stubs.push(stub(reason, rest.len() as u64, &rest));
        }
        let beyond = total.map_or(0, |total| total.saturating_sub(self.sent(id, rel)));
        if beyond > 0 {
            stubs.push(stub("limit", beyond, &[]));
        }
        stubs
    }

    /// How many names use a node beyond those that sources named: they count addresses,
    /// name servers, mail hosts, alias targets and certificates. 0 where nobody counts.
    pub fn unseen_users(&self, n: u32) -> u64 {
        let id = self.built.order[n];
        let demanded = |l: u32| self.store.is_demanded(l);
        [
            Relation::HostedName,
            Relation::NameServerOf,
            Relation::MailExchangeOf,
            Relation::AliasFrom,
            Relation::CertificateName,
        ]
        .into_iter()
        .filter_map(|r| Some(self.store.total(id, r as u8, demanded)?.saturating_sub(self.sent(id, r as u8))))
        .max()
        .unwrap_or(0)
    }

    /// What the depth budget left out: nodes at the last level that some ask would take.
    pub fn unexpanded(&self) -> u64 {
        let depth = self.rules.budgets.depth;
        let start = self.built.levels.get(usize::from(depth)).copied().unwrap_or(self.len());
        let takes = |id: ObsId| {
            let item = self.store.names.get(id);
            self.rules.asks.iter().any(|r| r.never.is_none() && r.source.takes.contains(&item.kind))
        };
        let open = |id: &ObsId| self.store.entries[*id].flags & flag::SUPPRESSED == 0 && takes(*id);
        (start..self.len()).map(|r| self.built.order[r]).filter(open).count() as u64
    }

    /// What demanded lookups say of a node, in canonical order, each once.
    pub fn facts(&self, n: u32) -> Vec<(FactName, Said<'_>)> {
        let stored = self.store.facts.of(self.built.order[n]);
        let counted = stored.filter(|(lookup, ..)| self.store.is_demanded(*lookup));
        let mut facts: Vec<_> = counted.map(|(_, name, said)| (name, said)).collect();
        facts.sort_unstable();
        facts.dedup();
        facts
    }

    /// What the lookups of a node ended with, by ask of the plan: source, end, and the
    /// verdicts that are neither found nor empty.
    pub fn lookups(&self, n: u32) -> Vec<(&str, End, Vec<Verdict>)> {
        let id = self.built.order[n];
        let mut ended: Vec<_> = self
            .store
            .lookups_of(id)
            .map(|l| &self.store.lookups[l])
            .filter(|l| l.is(state::DEMANDED))
            .map(|l| {
                let bad = |v: &Verdict| !matches!(v.end(), End::Found | End::Empty);
                let verdicts = l.verdicts().map(|(_, v)| v).filter(bad).collect();
                (l.ask, l.end(), verdicts)
            })
            .collect();
        ended.sort_unstable_by_key(|(ask, ..)| *ask);
        let name = |ask: u8| self.rules.asks[usize::from(ask)].source.name.as_str();
        ended.into_iter().map(|(ask, end, verdicts)| (name(ask), end, verdicts)).collect()
    }

    /// Whether a name has an address now, over its aliases, by live DNS; `None` where that
    /// was not asked or did not answer. What a budget kept out of the tree counts as well.
    pub fn resolves(&self, n: u32) -> Option<bool> {
        let is_live = |l: u32| {
            let lookup = &self.store.lookups[l];
            let source = &self.rules.asks[usize::from(lookup.ask)].source;
            lookup.is(state::DEMANDED)
                && source.class == Class::Dns
                && source.returns.contains(&Relation::ResolvesTo)
        };
        let id = self.built.order[n];
        let (mut seen, mut at) = (vec![id], 0);
        while let Some(name) = seen.get(at).copied() {
            at += 1;
            for edge in self.store.edges_of(name).filter(|e| is_live(e.lookup)) {
                match relation(edge.relation) {
                    Relation::ResolvesTo => return Some(true),
                    Relation::AliasOf if seen.len() < ALIASES && !seen.contains(&edge.value) => {
                        seen.push(edge.value);
                    }
                    _ => {}
                }
            }
        }
        let asks_address = |l: u32| {
            let types = &self.rules.asks[usize::from(self.store.lookups[l].ask)].ask.types;
            types.iter().any(|t| t == "A" || t == "AAAA")
        };
        let answered = |l: u32| {
            let good = |v: Verdict| matches!(v.end(), End::Found | End::Empty);
            let mut verdicts = self.store.lookups[l].verdicts().peekable();
            verdicts.peek().is_some() && verdicts.all(|(_, v)| good(v))
        };
        let mut asked = self.store.lookups_of(id).filter(|l| is_live(*l) && asks_address(*l)).peekable();
        (asked.peek().is_some() && asked.all(answered)).then_some(false)
    }

    /// Whether some pair says that a node names a person.
    pub fn is_personal(&self, n: u32) -> bool {
        self.store.entries[self.built.order[n]].flags & flag::PERSONAL != 0
    }

    fn rank(&self, id: ObsId) -> Option<u32> {
        let entry = &self.store.entries[id];
        (entry.depth != NO_DEPTH).then_some(entry.rank)
    }
}
