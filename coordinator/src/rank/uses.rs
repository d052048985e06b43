//! Who uses what: each use is one word, and all of them lie in two sorted lists.

use super::channel::Channel;
use super::domains::{by_number, slice};

/// Addresses with reverse names under one domain from which on it is their provider's:
/// providers name what they let, and who lives there is not theirs.
const PROVIDER: usize = 3;

/// Bits of a domain's number, and of an asset's; a job numbers fewer things than 2^29.
const BITS: u32 = 30;
const MASK: u64 = (1 << BITS) - 1;
/// Stands where the channel stands: the reverse tree says that the domain uses the address.
const REVERSE: u8 = 15;

/// A use in a word: asset, channel and domain, so that sorted words are sorted uses.
const fn word(asset: u32, channel: u8, domain: u32) -> u64 {
    (asset as u64) << (BITS + 4) | (channel as u64) << BITS | domain as u64 & MASK
}

const fn asset(word: u64) -> u32 {
    (word >> (BITS + 4)) as u32
}

const fn code(word: u64) -> u8 {
    (word >> BITS) as u8 & 15
}

const fn domain(word: u64) -> u32 {
    (word & MASK) as u32
}

/// All uses of one node by domains, as pairs say them.
#[derive(Debug, Default)]
pub struct Uses {
    words: Vec<u64>,
    /// Where in `by_domain` those of each domain start.
    starts: Vec<u32>,
    /// Places in `words`.
    by_domain: Vec<u32>,
    /// Domains that are named after what they let.
    providers: Vec<u32>,
}

impl Uses {
    /// None yet, with room for some.
    pub fn with_room(n: usize) -> Self {
        Self { words: Vec::with_capacity(n), ..Self::default() }
    }

    /// Notes a use.
    pub fn add(&mut self, of: u32, by: Channel, domain: u32) {
        self.words.push(word(of, by as u8, domain));
    }

    /// Notes that the reverse tree says that a domain uses an address.
    pub fn add_reverse(&mut self, of: u32, domain: u32) {
        self.words.push(word(of, REVERSE, domain));
    }

    /// Sorts them; what is asked of them is known from here on.
    pub fn sort(&mut self, domains: usize) {
        self.words.sort_unstable();
        self.words.dedup();
        let words = &self.words;
        // Fewer words than pairs, two of each at most: their places have 32 bits.
        let places = 0..u32::try_from(words.len()).unwrap_or(u32::MAX);
        let by_domain = places.map(|at| (words[at as usize], at)).filter(|(w, _)| code(*w) != REVERSE);
        (self.starts, self.by_domain) = by_number(domains, by_domain.map(|(w, at)| (domain(w), at)));
        let reverse = self.words.iter().filter(|w| code(**w) == REVERSE);
        let mut named: Vec<u32> = reverse.map(|w| domain(*w)).collect();
        named.sort_unstable();
        let many = named.chunk_by(|a, b| a == b).filter(|g| g.len() >= PROVIDER);
        self.providers = many.map(|g| g[0]).collect();
    }

    /// The domains that use a node in this way, in order.
    pub fn users(&self, of: u32, by: Channel) -> impl ExactSizeIterator<Item = u32> + Clone {
        let start = self.words.partition_point(|w| *w < word(of, by as u8, 0));
        let rest = &self.words[start..];
        let end = rest.partition_point(|w| *w <= word(of, by as u8, u32::MAX));
        rest[..end].iter().map(|w| domain(*w))
    }

    /// Whether a domain uses a node in this way.
    pub fn has(&self, of: u32, by: Channel, domain: u32) -> bool {
        self.words.binary_search(&word(of, by as u8, domain)).is_ok()
    }

    /// Whether any domain uses a node.
    pub fn is_used(&self, of: u32) -> bool {
        let start = self.words.partition_point(|w| *w < word(of, 0, 0));
        self.words.get(start).is_some_and(|w| asset(*w) == of)
    }

    /// What a domain uses, and how, in the order of nodes.
    pub fn of(&self, d: u32) -> impl Iterator<Item = (u32, Channel)> {
        let words = slice(&self.starts, &self.by_domain, d).iter().map(|at| self.words[*at as usize]);
        words.filter_map(|w| {
            let by = Channel::OF_PAIRS.into_iter().find(|c| *c as u8 == code(w))?;
            Some((asset(w), by))
        })
    }

    /// Whether an address is named after a domain that names what it lets.
    pub fn is_let(&self, of: u32, d: u32) -> bool {
        self.is_provider(d) && self.words.binary_search(&word(of, REVERSE, d)).is_ok()
    }

    /// Whether a domain names what it lets.
    pub fn is_provider(&self, d: u32) -> bool {
        self.providers.binary_search(&d).is_ok()
    }
}
