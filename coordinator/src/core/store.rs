//! What a job knows: observables, lookups, and the pairs, facts and totals they brought.
//!
//! Compact by design: flat arrays, `u32` links, no allocation per item.

use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::ObservableRef;
use kudzu_shared::outcome::{Answer, End, Verdict};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::time::UnixSeconds;
use rustc_hash::FxHashMap;

use super::chunk::ChunkVec;
pub use super::edge::{Edge, PERSONAL};
use super::edge::{LIMIT, Packed, Times};
use super::facts::Facts;
use super::intern::{Interner, ObsId};

/// "None" in every link.
pub const NIL: u32 = u32::MAX;
/// A depth that no node has.
pub const NO_DEPTH: u8 = u8::MAX;
/// Questions that one lookup can have.
pub const MAX_QUESTIONS: usize = 12;

/// A lookup's number within its job.
pub type LookupId = u32;

/// What is known of one observable.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// First of its pairs (a list through [`Edge::next`]).
    pub first_edge: u32,
    /// First of its lookups (a list through [`Lookup::next`]).
    pub first_lookup: LookupId,
    /// Its number in the tree, in canonical order.
    pub rank: u32,
    /// Its canonical parent in the tree.
    pub parent: ObsId,
    /// Nodes of closed levels that have a pair to it.
    pub in_degree: u32,
    /// Depth in the tree.
    pub depth: u8,
    /// Depth at which it was asked ahead of the tree.
    pub ahead: u8,
    /// Why its canonical parent leads to it.
    pub relation: u8,
    /// See the `flag` module.
    pub flags: u8,
}

/// Bits of [`Entry::flags`].
pub mod flag {
    /// Some pair that counts says that it names a person.
    pub const PERSONAL: u8 = 1;
    /// Some tree edge says it is a name server or primary server.
    pub const NAME_SERVER: u8 = 2;
    /// Some tree edge says it is a mail host.
    pub const MAIL_HOST: u8 = 4;
    /// It is suppressed: its lookups are not asked.
    pub const SUPPRESSED: u8 = 8;
    /// It is a wildcard probe, and never a node.
    pub const PROBE: u8 = 16;
}

/// A lookup: `(ask of the plan, key)`.
#[derive(Debug, Clone, Copy)]
pub struct Lookup {
    /// What is looked up.
    pub key: ObsId,
    /// Next lookup of the same key.
    pub next: LookupId,
    /// Verdict by question: five bits each, zero while there is none, six in a word (one
    /// `u64` would cost four octets a lookup in alignment).
    pub verdicts: [u32; 2],
    /// Which ask of the plan.
    pub ask: u8,
    /// Rounds asked so far.
    pub rounds: u8,
    /// See the `state` module.
    pub state: u8,
}

/// Bits of [`Lookup::state`].
pub mod state {
    /// The tree demands it.
    pub const DEMANDED: u8 = 1;
    /// It is in a queue of the coordinator, or waits for a later round.
    pub const WAITING: u8 = 2;
    /// It was sent, and no outcome came yet.
    pub const IN_FLIGHT: u8 = 4;
    /// It has ended.
    pub const ENDED: u8 = 8;
    /// With `WAITING`: its later round has not come. A queue may still name it from before.
    pub const LATER: u8 = 16;
}

impl Lookup {
    /// The verdict on a question.
    pub fn verdict(&self, index: u8) -> Option<Verdict> {
        let n = (self.verdicts.get(usize::from(index / 6))? >> (5 * u32::from(index % 6))) & 31;
        Verdict::ALL.get((n as usize).checked_sub(1)?).copied()
    }

    /// Notes the verdict on a question; a later round replaces an earlier one.
    pub fn set_verdict(&mut self, index: u8, verdict: Verdict) {
        if usize::from(index) >= MAX_QUESTIONS {
            return;
        }
        let code = Verdict::ALL.iter().position(|v| *v == verdict).map_or(0, |p| p as u32 + 1);
        let (word, shift) = (&mut self.verdicts[usize::from(index / 6)], 5 * u32::from(index % 6));
        *word = (*word & !(31 << shift)) | (code << shift);
    }

    /// The verdicts there are, by question.
    pub fn verdicts(&self) -> impl Iterator<Item = (u8, Verdict)> + '_ {
        (0..MAX_QUESTIONS as u8).filter_map(|i| self.verdict(i).map(|v| (i, v)))
    }

    /// What it ended with.
    pub fn end(&self) -> End {
        End::of(self.verdicts().map(|(_, v)| v))
    }

    /// Whether a state bit is set.
    pub fn is(&self, bit: u8) -> bool {
        self.state & bit != 0
    }
}

/// What a job knows.
#[derive(Debug, Default)]
pub struct Store {
    /// The observables.
    pub names: Interner,
    /// What is known of each.
    pub entries: ChunkVec<Entry>,
    /// The pairs.
    pub edges: ChunkVec<Packed>,
    /// The lookups.
    pub lookups: ChunkVec<Lookup>,
    /// How many there are of each ask.
    pub by_ask: Vec<u64>,
    /// First and last seen of the edges that have them.
    times: Times,
    /// What is said of observables beside their pairs.
    pub facts: Facts,
    /// True totals by key: the relation, the lookup that brought it, and the number.
    pub totals: FxHashMap<ObsId, Vec<(u8, LookupId, u64)>>,
    /// Values and texts that were too long to intern, and pairs beyond what a job can number.
    pub oversized: u64,
}

impl Store {
    /// An empty one; the key guards it against names made to collide.
    pub fn keyed(key: u64) -> Self {
        Self { names: Interner::keyed(key), facts: Facts::keyed(key), ..Self::default() }
    }

    /// Interns an observable; `None` where it is too long to be a key.
    pub fn intern(&mut self, item: ObservableRef<'_>) -> Option<ObsId> {
        let Some((id, new)) = self.names.intern(item) else {
            self.oversized += 1;
            return None;
        };
        if new {
            self.entries.push(Entry {
                first_edge: NIL,
                first_lookup: NIL,
                rank: NIL,
                parent: NIL,
                in_degree: 0,
                depth: NO_DEPTH,
                ahead: NO_DEPTH,
                relation: 0,
                flags: 0,
            });
        }
        Some(id)
    }

    /// The lookup of an ask at a key, if it is registered.
    pub fn lookup_of(&self, key: ObsId, ask: u8) -> Option<LookupId> {
        self.lookups_of(key).find(|id| self.lookups[*id].ask == ask)
    }

    /// The registered lookups of a key.
    pub fn lookups_of(&self, key: ObsId) -> impl Iterator<Item = LookupId> + '_ {
        let mut at = self.entries[key].first_lookup;
        std::iter::from_fn(move || {
            let id = (at != NIL).then_some(at)?;
            at = self.lookups[id].next;
            Some(id)
        })
    }

    /// Registers a lookup. The caller has seen that there is none.
    pub fn register(&mut self, key: ObsId, ask: u8) -> LookupId {
        let next = self.entries[key].first_lookup;
        let id = self.lookups.push(Lookup { key, next, verdicts: [0; 2], ask, rounds: 0, state: 0 });
        self.entries[key].first_lookup = id;
        let ask = usize::from(ask);
        if self.by_ask.len() <= ask {
            self.by_ask.resize(ask + 1, 0);
        }
        self.by_ask[ask] += 1;
        id
    }

    /// Whether the tree demands a lookup; of a probe it knows nothing.
    pub fn is_demanded(&self, lookup: LookupId) -> bool {
        let lookup = &self.lookups[lookup];
        lookup.is(state::DEMANDED) && self.entries[lookup.key].flags & flag::PROBE == 0
    }

    /// The pairs of a key, newest first, whatever lookup brought them.
    pub fn edges_of(&self, key: ObsId) -> impl Iterator<Item = Edge> {
        let mut at = self.entries[key].first_edge;
        std::iter::from_fn(move || {
            let edge = Edge::from(*self.edges.get((at != NIL).then_some(at)?)?);
            at = edge.next;
            Some(edge)
        })
    }

    /// First and last seen of a pair, as the source reports them.
    pub fn seen(&self, edge: &Edge) -> (Option<UnixSeconds>, Option<UnixSeconds>) {
        self.times.get(edge.times)
    }

    /// Takes in what a lookup brought: its pairs, facts and totals. Verdicts are the caller's.
    pub fn absorb(&mut self, lookup: LookupId, answer: Answer) {
        for pair in &answer.pairs {
            self.add_pair(lookup, pair);
        }
        for fact in &answer.facts {
            let Some(subject) = self.intern(fact.subject.as_ref()) else { continue };
            self.oversized += u64::from(!self.facts.add(subject, lookup, fact));
        }
        for total in answer.totals {
            if let Some(key) = self.intern(total.key.as_ref()) {
                self.totals.entry(key).or_default().push((total.relation as u8, lookup, total.total));
            }
        }
    }

    fn add_pair(&mut self, lookup: LookupId, pair: &Pair) {
        let (Some(key), Some(value)) = (self.intern(pair.key.as_ref()), self.intern(pair.value.as_ref()))
        else {
            return;
        };
        if key == value {
            return; // A thing related to itself says nothing.
        }
        if self.edges.len().max(self.names.len()).max(self.lookups.len()) >= LIMIT {
            self.oversized += 1;
            return;
        }
        let times = self.times.push(pair.first_seen, pair.last_seen);
        let next = self.entries[key].first_edge;
        let personal = if pair.personal { PERSONAL } else { 0 };
        let (relation, marking) = (pair.relation as u8, pair.marking as u8 | personal);
        let at = self.edges.push(Edge { value, next, lookup, times, relation, marking }.into());
        self.entries[key].first_edge = at;
    }

    /// The true total that the lookups that count report for a key's relation.
    pub fn total(&self, key: ObsId, relation: u8, counts: impl Fn(LookupId) -> bool) -> Option<u64> {
        let reported = self.totals.get(&key)?.iter();
        reported.filter(|(r, lookup, _)| *r == relation && counts(*lookup)).map(|(.., total)| *total).max()
    }

    /// Octets held.
    pub fn heap_bytes(&self) -> usize {
        self.names.heap_bytes()
            + self.entries.heap_bytes()
            + self.edges.heap_bytes()
            + self.lookups.heap_bytes()
            + self.times.heap_bytes()
            + self.facts.heap_bytes()
            + self.totals.capacity() * 48
    }
}

/// The relation by number; stored ones are always known.
pub fn relation(n: u8) -> Relation {
    Relation::from_u8(n).unwrap_or(Relation::RelatedTo)
}

/// The marking by number; stored ones are always known.
pub fn marking(n: u8) -> Tlp {
    Tlp::from_u8(n & !PERSONAL).unwrap_or(Tlp::Red)
}
