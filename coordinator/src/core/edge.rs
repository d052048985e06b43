//! Pairs in sixteen octets each, and their times in eight: there are several to a node, and
//! they are most of what a job remembers.

use kudzu_shared::time::UnixSeconds;
use rustc_hash::FxHashMap;

use super::chunk::ChunkVec;
use super::intern::ObsId;
use super::store::{LookupId, NIL};

/// Bits of a number within [`Packed`]; the rest of each word holds a piece of the tag.
const BITS: u32 = 29;
const MASK: u32 = (1 << BITS) - 1;
/// Numbers from here on cannot be stored; jobs of as many things do not fit into memory.
pub const LIMIT: u32 = MASK;

/// One pair, in the list of its key.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// The value.
    pub value: ObsId,
    /// Next pair of the same key, or [`NIL`].
    pub next: u32,
    /// The lookup that brought it.
    pub lookup: LookupId,
    /// Index into the times, or [`NIL`].
    pub times: u32,
    /// Relation by number.
    pub relation: u8,
    /// Marking by number; [`PERSONAL`] is set where the value names a person.
    pub marking: u8,
}

/// The bit of [`Edge::marking`] that says: the value names a person.
pub const PERSONAL: u8 = 0x80;

/// The numbers of an edge, each with three bits of a tag: marking (3 bits), personal, and
/// relation (8 bits).
#[derive(Debug, Clone, Copy)]
pub struct Packed([u32; 4]);

impl From<Edge> for Packed {
    fn from(e: Edge) -> Self {
        let personal = u32::from(e.marking & PERSONAL != 0);
        let tag = u32::from(e.marking & 7) | personal << 3 | u32::from(e.relation) << 4;
        let mut words = [e.value, e.next, e.lookup, e.times];
        for (word, at) in words.iter_mut().zip(0..) {
            // NIL becomes all ones.
            *word = *word & MASK | (tag >> (3 * at) & 7) << BITS;
        }
        Self(words)
    }
}

impl From<Packed> for Edge {
    fn from(Packed(words): Packed) -> Self {
        let tag = words.iter().zip(0..).fold(0, |tag, (word, at)| tag | (word >> BITS) << (3 * at));
        let number = |word: u32| if word & MASK == MASK { NIL } else { word & MASK };
        let [value, next, lookup, times] = words.map(number);
        let personal = if tag & 8 != 0 { PERSONAL } else { 0 };
        // Eight bits and three: the tag has no more.
        Self { value, next, lookup, times, relation: (tag >> 4) as u8, marking: (tag & 7) as u8 | personal }
    }
}

/// First and last seen, as sources report them.
#[derive(Debug, Default)]
pub struct Times {
    seen: ChunkVec<[u32; 2]>,
    /// Those that no `u32` holds, by index and place.
    wide: FxHashMap<(u32, u8), UnixSeconds>,
}

/// Not reported.
const NOT: u32 = u32::MAX;
/// In [`Times::wide`].
const WIDE: u32 = u32::MAX - 1;

impl Times {
    /// Keeps times; the index to find them by, [`NIL`] where there are none.
    pub fn push(&mut self, first: Option<UnixSeconds>, last: Option<UnixSeconds>) -> u32 {
        if (first, last) == (None, None) || self.seen.len() >= LIMIT {
            return NIL;
        }
        let at = self.seen.len();
        let mut word = |time: Option<UnixSeconds>, place: u8| match time {
            None => NOT,
            Some(t) => u32::try_from(t).ok().filter(|t| *t < WIDE).unwrap_or_else(|| {
                self.wide.insert((at, place), t);
                WIDE
            }),
        };
        let words = [word(first, 0), word(last, 1)];
        self.seen.push(words)
    }

    /// The times at an index.
    pub fn get(&self, at: u32) -> (Option<UnixSeconds>, Option<UnixSeconds>) {
        let Some([first, last]) = self.seen.get(at) else { return (None, None) };
        let time = |word: u32, place: u8| match word {
            NOT => None,
            WIDE => self.wide.get(&(at, place)).copied(),
            t => Some(UnixSeconds::from(t)),
        };
        (time(*first, 0), time(*last, 1))
    }

    /// Octets held.
    pub fn heap_bytes(&self) -> usize {
        self.seen.heap_bytes() + self.wide.capacity() * 24
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_edge_comes_back(
            value in 0..LIMIT, next in 0..LIMIT, lookup in 0..LIMIT, times in 0..LIMIT,
            relation: u8, marking in 0u8..8, personal: bool, last: bool,
        ) {
            let marking = marking | if personal { PERSONAL } else { 0 };
            let (next, times) = if last { (NIL, NIL) } else { (next, times) };
            let edge = Edge { value, next, lookup, times, relation, marking };
            let back = Edge::from(Packed::from(edge));
            prop_assert_eq!(format!("{back:?}"), format!("{edge:?}"));
        }

        #[test]
        fn times_come_back(all in prop::collection::vec((any::<Option<i64>>(), any::<Option<u32>>()), 1..40)) {
            let mut times = Times::default();
            for (first, last) in all {
                let last = last.map(i64::from);
                let at = times.push(first, last);
                prop_assert_eq!(times.get(at), (first, last));
            }
        }
    }

    #[test]
    fn an_edge_takes_sixteen_octets() {
        assert_eq!(size_of::<Packed>(), 16);
    }
}
