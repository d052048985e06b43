//! Chance without state: every draw is a function of a seed, a tag and a number.

/// Scrambles 64 bits (the finaliser of splitmix64).
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hashes bytes; stable over versions and machines, unlike the standard hasher.
pub(crate) fn hash_bytes(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = mix(seed ^ (bytes.len() as u64).rotate_left(32));
    for chunk in bytes.chunks(8) {
        let mut word = [0_u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = mix(state ^ u64::from_le_bytes(word));
    }
    state
}

/// Maps a hash to [0, 1).
pub(crate) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// A permutation of `0..size`, computable in both directions; leaves all other numbers where they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feistel {
    key: u64,
    size: u64,
    half: u32,
}

impl Feistel {
    pub(crate) fn new(key: u64, size: u64) -> Self {
        let size = size.max(1);
        let bits = 64 - (size - 1).leading_zeros();
        Self { key: mix(key), size, half: bits.div_ceil(2).max(1) }
    }

    pub(crate) fn forward(&self, value: u64) -> u64 {
        if value >= self.size {
            return value;
        }
        let mut v = value;
        // Cycle walking: the network permutes a power of four, so leave it only inside the range.
        loop {
            v = self.rounds(v, [1, 2, 3, 4]);
            if v < self.size {
                return v;
            }
        }
    }

    pub(crate) fn inverse(&self, value: u64) -> u64 {
        if value >= self.size {
            return value;
        }
        let swap = |v: u64| (v >> self.half) | ((v & self.mask()) << self.half);
        let mut v = value;
        loop {
            v = swap(self.rounds(swap(v), [4, 3, 2, 1]));
            if v < self.size {
                return v;
            }
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    fn mask(&self) -> u64 {
        (1_u64 << self.half) - 1
    }

    fn rounds(&self, value: u64, order: [u64; 4]) -> u64 {
        let (mut left, mut right) = (value >> self.half, value & self.mask());
        for round in order {
            let next = left ^ (mix(self.key.wrapping_add(round << 56) ^ right) & self.mask());
            left = right;
            right = next;
        }
        (left << self.half) | right
    }
}

/// A partition of `0..n` into blocks whose sizes repeat a pattern, computable in both directions.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    starts: Vec<u32>,
    owner: Vec<u16>,
}

/// Where a position lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) block: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Blocks {
    pub(crate) fn new(sizes: &[u32]) -> Self {
        let mut starts = vec![0];
        let mut owner = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            owner.extend(std::iter::repeat_n(index as u16, *size as usize));
            starts.push(owner.len() as u32);
        }
        Self { starts, owner }
    }

    pub(crate) fn locate(&self, position: u64) -> Spot {
        let span = self.owner.len() as u64;
        let (round, inside) = (position / span, (position % span) as usize);
        let index = self.owner[inside] as usize;
        Spot {
            block: round * self.per_round() + index as u64,
            offset: inside as u64 - u64::from(self.starts[index]),
            size: u64::from(self.starts[index + 1] - self.starts[index]),
        }
    }

    /// The positions of a block, cut at `total`.
    pub(crate) fn range(&self, block: u64, total: u64) -> std::ops::Range<u64> {
        let (round, index) = (block / self.per_round(), (block % self.per_round()) as usize);
        let base = round * self.owner.len() as u64;
        let start = (base + u64::from(self.starts[index])).min(total);
        start..(base + u64::from(self.starts[index + 1])).min(total)
    }

    /// How many blocks cover `0..total`.
    pub(crate) fn count(&self, total: u64) -> u64 {
        if total == 0 { 0 } else { self.locate(total - 1).block + 1 }
    }

    fn per_round(&self) -> u64 {
        self.starts.len() as u64 - 1
    }
}

/// A sequence of draws, for what is generated once and kept.
#[derive(Clone, Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    pub(crate) fn new(seed: u64, tag: u64) -> Self {
        Self(mix(mix(seed) ^ tag))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// A number in `low..=high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A number in `low..=high`, every factor as likely as every other; `low` is at least 1.
    pub(crate) fn spread(&mut self, low: u64, high: u64) -> u64 {
        let factor = (high as f64 / low as f64).powf(unit(self.draw()));
        ((low as f64 * factor).round() as u64).clamp(low, high)
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        unit(self.draw()) < probability
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn feistel_is_its_own_way_back(key: u64, size in 1_u64..10_000_000, value: u64) {
            let permutation = Feistel::new(key, size);
            let value = value % size;
            prop_assert_eq!(permutation.inverse(permutation.forward(value)), value);
            prop_assert_eq!(permutation.forward(permutation.inverse(value)), value);
        }

        #[test]
        fn every_position_lies_in_its_block(position in 0_u64..1_000_000) {
            let blocks = Blocks::new(&[1, 5, 2, 40]);
            let spot = blocks.locate(position);
            let range = blocks.range(spot.block, u64::MAX);
            prop_assert_eq!(range.start + spot.offset, position);
            prop_assert_eq!(range.end - range.start, spot.size);
        }
    }

    #[test]
    fn feistel_leaves_alone_what_is_out_of_range() {
        let permutation = Feistel::new(7, 1000);
        for value in [1000, 1024, 70_000, u64::MAX] {
            assert_eq!((permutation.forward(value), permutation.inverse(value)), (value, value));
        }
    }

    #[test]
    fn feistel_hits_each_value_once() {
        let permutation = Feistel::new(7, 1000);
        let mut seen: Vec<u64> = (0..1000).map(|v| permutation.forward(v)).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }
}
