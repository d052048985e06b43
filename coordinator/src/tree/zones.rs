//! Wildcard zones: counted as their names enter the tree, probed, judged, capped.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use kudzu_shared::observable::{Kind, Name, ObservableRef, psl};
use rustc_hash::FxHashMap;

use crate::core::intern::ObsId;
use crate::core::store::{LookupId, Store};
use kudzu_shared::pair::Relation;

/// Random names asked of a zone: one alone may exist by chance.
const PROBES: u32 = 3;
/// Pairs of one name from which on they are sorted by lookup.
const MANY: usize = 64;

/// What is known of a zone under which many names were found.
#[derive(Debug, Default)]
struct Zone {
    probes: Vec<LookupId>,
    /// What any name below it resolves to; empty where it is no wildcard.
    answers: Vec<ObsId>,
    kept: u32,
    representative: Option<ObsId>,
}

/// The zones of a job.
#[derive(Debug, Default)]
pub struct Zones {
    /// Names in the tree under each zone, by its hash: most zones never have enough of them
    /// to be worth more memory. Zones with equal hashes are probed early, no more.
    names: FxHashMap<u32, u32>,
    /// Those with enough names.
    by_name: HashMap<Box<[u8]>, Zone, FixedState>,
    /// How many of these are wildcards.
    wild: usize,
    /// Zones that reached the threshold and were not probed yet.
    ripe: Vec<Box<[u8]>>,
    probing: Vec<Box<[u8]>>,
    /// Pairs by the lookup that brought them, of names with many.
    sorted: Sorted,
}

/// Half of a hash.
fn short(hash: u64) -> u32 {
    // Both halves are as good.
    (hash >> 32) as u32
}

/// The pairs of a name by lookup.
type Sorted = FxHashMap<ObsId, FxHashMap<LookupId, Vec<(u8, ObsId)>>>;

impl Zones {
    /// None yet. The key guards against names made to collide.
    pub fn keyed(key: u64) -> Self {
        Self { by_name: HashMap::with_hasher(FixedState::with_seed(key)), ..Self::default() }
    }

    /// Counts a name that enters the tree under the zones above it.
    pub fn count(&mut self, item: ObservableRef<'_>, threshold: u32) {
        for zone in above(item) {
            let names = self.names.entry(short(self.by_name.hasher().hash_one(zone))).or_default();
            *names += 1;
            if *names >= threshold && !self.by_name.contains_key(zone) {
                self.by_name.insert(zone.into(), Zone::default());
                self.ripe.push(zone.into());
            }
        }
    }

    /// Whether some zones wait to be probed.
    pub fn has_ripe(&self) -> bool {
        !self.ripe.is_empty()
    }

    /// The random names to ask for the zones that became ripe, from the job's salt.
    pub fn probes(&mut self, salt: u64) -> Vec<(usize, Name)> {
        self.ripe.sort_unstable(); // Whatever order they ripened in.
        self.probing = std::mem::take(&mut self.ripe);
        let mut names = Vec::new();
        for (at, zone) in self.probing.iter().enumerate() {
            for n in 0..PROBES {
                let label = format!("{:016x}", mix(salt, zone, n));
                let mut wire = Vec::with_capacity(17 + zone.len());
                wire.push(16);
                wire.extend_from_slice(label.as_bytes());
                wire.extend_from_slice(zone);
                // A zone name so long that no label fits below it holds no wildcard either.
                names.extend(Name::from_wire(&wire).map(|name| (at, name)));
            }
        }
        names
    }

    /// Notes the lookup that asks a probe of the `at`-th zone of the last [`Zones::probes`].
    pub fn asked(&mut self, at: usize, lookup: LookupId) {
        if let Some(zone) = self.probing.get(at).and_then(|z| self.by_name.get_mut(z)) {
            zone.probes.push(lookup);
        }
    }

    /// Judges the zones whose probes have ended.
    pub fn judge(&mut self, store: &Store) {
        self.sorted.clear(); // The last level brought more.
        for name in std::mem::take(&mut self.probing) {
            let Some(zone) = self.by_name.get_mut(&name) else { continue };
            let probes = zone.probes.iter();
            let answers: Vec<Vec<ObsId>> = probes.map(|p| answers(store, &mut self.sorted, *p)).collect();
            if answers.len() == PROBES as usize && answers.iter().all(|a| !a.is_empty()) {
                zone.answers = answers.concat();
                zone.answers.sort_unstable();
                zone.answers.dedup();
                self.wild += 1;
            }
        }
    }

    /// The wildcard that a name comes from: a zone above it answers every name with what
    /// this one's lookup was answered. The first such name of a zone stands for it and is
    /// let through.
    pub fn synthesised(&mut self, store: &Store, id: ObsId, lookups: &[LookupId]) -> Option<String> {
        if self.wild == 0 {
            return None;
        }
        for name in above(store.names.get(id)) {
            let Some(zone) = self.by_name.get_mut(name) else { continue };
            if zone.answers.is_empty() {
                continue;
            }
            let own = lookups.iter().flat_map(|l| answers(store, &mut self.sorted, *l));
            let own: Vec<ObsId> = own.collect();
            if own.is_empty() || !own.iter().all(|a| zone.answers.binary_search(a).is_ok()) {
                continue;
            }
            if *zone.representative.get_or_insert(id) != id {
                return Some(text(name));
            }
        }
        None
    }

    /// Whether a new name may enter under the wildcard zones above it; counts it if so.
    pub fn admit(&mut self, item: ObservableRef<'_>, keep: u32) -> bool {
        if self.wild == 0 {
            return true;
        }
        let wild = |z: &Zone| !z.answers.is_empty();
        if above(item).any(|n| self.by_name.get(n).is_some_and(|z| wild(z) && z.kept >= keep)) {
            return false;
        }
        for name in above(item) {
            if let Some(zone) = self.by_name.get_mut(name).filter(|z| wild(z)) {
                zone.kept += 1;
            }
        }
        true
    }

    /// Whether a name lies under a zone that was found to be a wildcard.
    pub fn is_wild(&self, item: ObservableRef<'_>) -> bool {
        self.wild > 0 && above(item).any(|n| self.by_name.get(n).is_some_and(|z| !z.answers.is_empty()))
    }

    /// Octets held, roughly.
    pub fn heap_bytes(&self) -> usize {
        self.names.capacity() * (size_of::<(u32, u32)>() + 1) * 8 / 7
            + self.by_name.capacity() * (size_of::<Zone>() + 48)
    }
}

/// The zones that may hold a wildcard for a name: its parent and its registrable domain.
/// Never a public suffix: what lies under one belongs to many.
fn above(item: ObservableRef<'_>) -> impl Iterator<Item = &[u8]> {
    let zones = || {
        let name = (item.kind == Kind::DomainName).then(|| Name::from_wire(item.wire))??;
        let registrable = psl::registrable(&name)?.wire().len();
        let parent = item.wire.get(1 + usize::from(*item.wire.first()?)..)?;
        let beyond = parent.len().checked_sub(registrable)?;
        Some([Some(parent), parent.get(beyond..).filter(|_| beyond > 0)])
    };
    zones().unwrap_or_default().into_iter().flatten()
}

/// What a lookup's own name resolves to, over its aliases: addresses and alias targets.
fn answers(store: &Store, sorted: &mut Sorted, lookup: LookupId) -> Vec<ObsId> {
    let mut found = Vec::new();
    let mut at = store.lookups[lookup].key;
    // An alias chain is at most 11 links long (the resolvers' limit).
    for _ in 0..12 {
        let mut alias: Option<ObsId> = None;
        let mut note = |relation: u8, value: ObsId| {
            if relation == Relation::ResolvesTo as u8 {
                found.push(value);
            } else if relation == Relation::AliasOf as u8 {
                found.push(value);
                // One name has one alias; where it has more, whichever came first must not matter.
                let first = |a: &ObsId| store.names.get(*a) < store.names.get(value);
                alias = alias.filter(first).or(Some(value));
            }
        };
        if store.edges_of(at).nth(MANY).is_none() {
            store.edges_of(at).filter(|e| e.lookup == lookup).for_each(|e| note(e.relation, e.value));
        } else {
            let by_lookup = sorted.entry(at).or_insert_with(|| by_lookup(store, at));
            by_lookup.get(&lookup).into_iter().flatten().for_each(|(r, v)| note(*r, *v));
        }
        match alias {
            Some(next) => at = next,
            None => break,
        }
    }
    found
}

/// The pairs of a name by lookup: what thousands of names are an alias of would else be
/// read thousands of times.
fn by_lookup(store: &Store, at: ObsId) -> FxHashMap<LookupId, Vec<(u8, ObsId)>> {
    let mut all: FxHashMap<LookupId, Vec<(u8, ObsId)>> = FxHashMap::default();
    for edge in store.edges_of(at) {
        all.entry(edge.lookup).or_default().push((edge.relation, edge.value));
    }
    all
}

fn text(wire: &[u8]) -> String {
    ObservableRef { kind: Kind::DomainName, wire }.to_string()
}

/// A number that only who knows the salt can guess (FNV-1a over salt, zone and count, and
/// a finaliser); it need not be a cryptographic one, only not the same in another job.
fn mix(salt: u64, zone: &[u8], n: u32) -> u64 {
    let bytes = salt.to_le_bytes().into_iter().chain(zone.iter().copied()).chain(n.to_le_bytes());
    let mut h = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    h ^= h >> 31;
    h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^ (h >> 29)
}
