//! The registrable domains of a tree, by number, in the order of their first nodes.

use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use kudzu_shared::fact::FactName;
use kudzu_shared::observable::{Kind, Name, ObservableRef, psl};
use kudzu_shared::packs::ListClass;
use kudzu_shared::time::UnixSeconds;

use crate::tree::{Said, Tree};

/// "None" in lists of numbers: no tree has as many nodes.
pub const NONE: u32 = u32::MAX;
/// Stands for a date that nobody said.
const NEVER: UnixSeconds = UnixSeconds::MIN;

/// A registrable domain in sixteen octets: every third node or so has one of its own.
#[derive(Debug)]
struct Domain {
    registered: UnixSeconds,
    /// Its node, or that of the first name below it.
    node: u32,
    /// How many of that name's last octets are its own name.
    len: u8,
    seed: bool,
}

/// The domains, and which nodes are theirs.
#[derive(Debug, Default)]
pub struct Domains {
    list: Vec<Domain>,
    /// Domain of each node, where it has one.
    of_node: Vec<u32>,
    /// Where in `nodes` those of each domain start.
    starts: Vec<u32>,
    nodes: Vec<u32>,
}

impl Domains {
    /// Those of a tree.
    pub fn of(tree: &Tree) -> Self {
        let mut all = Self { of_node: Vec::with_capacity(tree.len() as usize), ..Self::default() };
        let mut names =
            Names { hasher: FixedState::with_seed(tree.rules().spec.salt), known: HashTable::new() };
        let seeds = seeds(tree);
        for n in 0..tree.len() {
            let domain = all.take(tree, &mut names, n, n < seeds).unwrap_or(NONE);
            all.of_node.push(domain);
        }
        all.list.shrink_to_fit();
        drop(names);
        let with_domain = || (0..tree.len()).zip(&all.of_node).filter(|(_, d)| **d != NONE);
        (all.starts, all.nodes) = by_number(all.list.len(), with_domain().map(|(n, d)| (*d, n)));
        all
    }

    /// The domain of a node, made where it is new.
    fn take(&mut self, tree: &Tree, names: &mut Names, n: u32, seed: bool) -> Option<u32> {
        let wire = name_of(tree, n)?;
        let own = own_part(tree, wire)?;
        let hash = names.hash(own);
        let is_own = |(h, d): &(u32, u32)| *h == hash && self.wire(tree, *d) == own;
        let known = names.known.find(spread(hash), is_own).map(|(_, d)| *d);
        let at = known.unwrap_or_else(|| {
            let at = u32::try_from(self.list.len()).unwrap_or(NONE);
            names.known.insert_unique(spread(hash), (hash, at), |(h, _)| spread(*h));
            // A name has at most 255 octets.
            let len = u8::try_from(own.len()).unwrap_or(u8::MAX);
            self.list.push(Domain { registered: NEVER, node: n, len, seed: false });
            at
        });
        let domain = &mut self.list[at as usize];
        domain.seed |= seed;
        if own.len() == wire.len() {
            domain.node = n;
            for (fact, value) in tree.facts(n) {
                if let (FactName::Registered, Said::Time(t)) = (fact, value) {
                    domain.registered = t;
                }
            }
        }
        Some(at)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The domain of a node.
    pub fn of_node(&self, n: u32) -> Option<u32> {
        self.of_node.get(n as usize).copied().filter(|d| *d != NONE)
    }

    /// The nodes of a domain, in order.
    pub fn nodes(&self, d: u32) -> &[u32] {
        slice(&self.starts, &self.nodes, d)
    }

    /// Its node, or that of the first name below it.
    pub fn node(&self, d: u32) -> u32 {
        self.list[d as usize].node
    }

    /// Whether it holds a seed.
    pub fn is_seed(&self, d: u32) -> bool {
        self.list[d as usize].seed
    }

    /// Those that hold a seed.
    pub fn seeds(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.list).filter(|(_, domain)| domain.seed).map(|(d, _)| d)
    }

    /// When it was registered.
    pub fn registered(&self, d: u32) -> Option<UnixSeconds> {
        Some(self.list[d as usize].registered).filter(|t| *t != NEVER)
    }

    /// Its name.
    pub fn name<'t>(&self, tree: &'t Tree, d: u32) -> ObservableRef<'t> {
        ObservableRef { kind: Kind::DomainName, wire: self.wire(tree, d) }
    }

    fn wire<'t>(&self, tree: &'t Tree, d: u32) -> &'t [u8] {
        let Domain { node, len, .. } = self.list[d as usize];
        let wire = name_of(tree, node).unwrap_or_default();
        &wire[wire.len().saturating_sub(len.into())..]
    }
}

/// How many seeds there are: they are the first nodes.
pub fn seeds(tree: &Tree) -> u32 {
    tree.nodes().take_while(|n| n.depth == 0).fold(0, |n, _| n + 1)
}

/// Domains by name: the hash of it, and the number. The key of the hash is the job's, so that
/// whoever chooses names does not choose which of them collide.
struct Names {
    hasher: FixedState,
    known: HashTable<(u32, u32)>,
}

impl Names {
    fn hash(&self, name: &[u8]) -> u32 {
        (self.hasher.hash_one(name) >> 32) as u32
    }
}

/// The table looks at the first bits of a hash, and at the last.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// The name that a node is, if it is one.
fn name_of(tree: &Tree, n: u32) -> Option<&[u8]> {
    let item = tree.store.names.get(tree.built.order[n]);
    (item.kind == Kind::DomainName).then_some(item.wire)
}

/// The end of a name that is the domain which it belongs to.
fn own_part<'a>(tree: &Tree, wire: &'a [u8]) -> Option<&'a [u8]> {
    let name = Name::from_wire(wire)?;
    // Under a dynamic DNS provider each name is somebody's own.
    let parent = wire.split_first().and_then(|(len, rest)| rest.get(usize::from(*len)..));
    let is_provider = |wire| {
        let listed = tree.rules().packs.lookup(ObservableRef { kind: Kind::DomainName, wire });
        listed.is_some_and(|l| l.class == ListClass::DynamicDns)
    };
    if parent.is_some_and(is_provider) {
        return Some(wire);
    }
    let own = psl::registrable(&name)?.wire().len();
    wire.get(wire.len().checked_sub(own)?..)
}

/// Items by number, in their order: where those of each number start, and all of them.
pub fn by_number(
    numbers: usize,
    items: impl DoubleEndedIterator<Item = (u32, u32)> + Clone,
) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; numbers + 1];
    items.clone().for_each(|(at, _)| starts[at as usize] += 1);
    let mut all = 0;
    for start in &mut starts {
        all += *start;
        *start = all;
    }
    // Each start is the end by now, and goes down as its items are put in from behind.
    let mut sorted = vec![0_u32; all as usize];
    items.rev().for_each(|(at, item)| {
        starts[at as usize] -= 1;
        sorted[starts[at as usize] as usize] = item;
    });
    (starts, sorted)
}

/// The items of a number, as [`by_number`] put them.
pub fn slice<'a>(starts: &[u32], items: &'a [u32], at: u32) -> &'a [u32] {
    let (from, to) = (starts[at as usize], starts[at as usize + 1]);
    &items[from as usize..to as usize]
}
