//! Look-up in well below a microsecond: names by the hash of a wire suffix, addresses by
//! binary search over disjoint spans.

use std::cmp::Reverse;
use std::hash::Hasher as _;

use rustc_hash::{FxHashMap, FxHasher};

/// Listed names in wire form.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Hash of the wire form to the newest entry with that hash.
    by_hash: FxHashMap<u64, u32>,
    entries: Vec<Entry>,
    octets: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Entry {
    start: u32,
    len: u8,
    list: u16,
    /// Whether names below it are meant too.
    below: bool,
    /// The next entry with the same hash.
    next: Option<u32>,
}

impl Names {
    pub(super) fn reserve(&mut self, names: usize, octets: usize) {
        self.by_hash.reserve(names);
        self.entries.reserve(names);
        self.octets.reserve(octets);
    }

    /// Adds a name in wire form.
    pub(super) fn add(&mut self, wire: &[u8], list: u16, below: bool) {
        let hash = hash(wire);
        let first = self.by_hash.get(&hash).copied();
        // 4 GiB of names, or a name over 255 octets, cannot come out of the loader.
        let (Ok(start), Ok(at), Ok(len)) =
            (u32::try_from(self.octets.len()), u32::try_from(self.entries.len()), u8::try_from(wire.len()))
        else {
            return;
        };
        self.octets.extend_from_slice(wire);
        self.entries.push(Entry { start, len, list, below, next: first });
        self.by_hash.insert(hash, at);
    }

    /// The list of the longest listed suffix that applies; one that is weak only where no
    /// other does.
    pub(super) fn find(&self, wire: &[u8], weak: impl Fn(u16) -> bool) -> Option<u16> {
        let mut fallback = None;
        let mut suffix = wire;
        while let Some(&len @ 1..) = suffix.first() {
            if let Some(first) = self.by_hash.get(&hash(suffix)) {
                let whole = suffix.len() == wire.len();
                let hits =
                    self.chain(Some(*first)).filter(|e| self.octets_of(e) == suffix && (whole || e.below));
                match hits.map(|e| (weak(e.list), e.list)).min() {
                    Some((false, list)) => return Some(list),
                    Some((true, list)) => fallback = fallback.or(Some(list)),
                    None => {}
                }
            }
            suffix = suffix.get(usize::from(len) + 1..).unwrap_or_default();
        }
        fallback
    }

    fn chain(&self, first: Option<u32>) -> impl Iterator<Item = &Entry> {
        let entry = |at: Option<u32>| self.entries.get(usize::try_from(at?).ok()?);
        std::iter::successors(entry(first), move |e| entry(e.next))
    }

    fn octets_of(&self, entry: &Entry) -> &[u8] {
        let start = entry.start as usize;
        self.octets.get(start..start + usize::from(entry.len)).unwrap_or_default()
    }
}

fn hash(wire: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(wire);
    hasher.finish()
}

/// Listed blocks of one address family. Blocks are nested or apart, never crossing.
#[derive(Debug, Clone)]
pub(super) struct Ranges<A> {
    ranges: Vec<Range<A>>,
    /// Where the innermost block changes, sorted by address.
    spans: Vec<(A, Option<u32>)>,
}

#[derive(Debug, Clone)]
struct Range<A> {
    first: A,
    last: A,
    list: u16,
    /// The block around it.
    outer: Option<u32>,
}

impl<A> Default for Ranges<A> {
    fn default() -> Self {
        Self { ranges: Vec::new(), spans: Vec::new() }
    }
}

impl<A: Copy + Ord + Next> Ranges<A> {
    pub(super) fn add(&mut self, first: A, last: A, list: u16) {
        self.ranges.push(Range { first, last, list, outer: None });
    }

    /// Makes what was added findable; of equal blocks that of the first list stays.
    pub(super) fn seal(&mut self) {
        self.ranges.sort_by_key(|r| (r.first, Reverse(r.last), r.list));
        self.ranges.dedup_by_key(|r| (r.first, r.last));
        self.spans.clear();
        let mut open: Vec<u32> = Vec::new();
        for at in 0..self.ranges.len() {
            let first = self.ranges[at].first;
            self.close(&mut open, Some(first));
            self.ranges[at].outer = open.last().copied();
            let Ok(number) = u32::try_from(at) else { return };
            self.span(first, Some(number));
            open.push(number);
        }
        self.close(&mut open, None);
    }

    /// Ends the open blocks that end before an address.
    fn close(&mut self, open: &mut Vec<u32>, before: Option<A>) {
        while let Some(inner) = open.last() {
            let last = self.ranges[*inner as usize].last;
            if before.is_some_and(|b| last >= b) {
                break;
            }
            open.pop();
            if let Some(next) = last.next() {
                self.span(next, open.last().copied());
            }
        }
    }

    fn span(&mut self, first: A, range: Option<u32>) {
        match self.spans.last_mut() {
            Some(last) if last.0 == first => last.1 = range,
            _ => self.spans.push((first, range)),
        }
    }

    /// The list of the innermost block that holds all from `first` to `last`.
    pub(super) fn find(&self, first: A, last: A) -> Option<u16> {
        let after = self.spans.partition_point(|(start, _)| *start <= first);
        let mut range = self.spans.get(after.checked_sub(1)?)?.1;
        while let Some(found) = self.ranges.get(usize::try_from(range?).ok()?) {
            if found.last >= last {
                return Some(found.list);
            }
            range = found.outer;
        }
        None
    }
}

/// The address after one.
pub(super) trait Next: Sized {
    fn next(self) -> Option<Self>;
}

impl Next for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Next for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}
