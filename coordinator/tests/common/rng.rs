//! Seeded randomness that never changes with a crate's version, so that seeds can be kept.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.0)
    }

    /// Below `n`, which is at least 1; the bias at these sizes does not matter.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// From `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let at = self.below(list.len() as u64) as usize;
        &list[at]
    }

    /// The first ones more often than the last ones: how hubs come about.
    pub fn pick_skewed<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let n = list.len() as u64;
        let at = self.below(n).min(self.below(n)).min(self.below(n)) as usize;
        &list[at]
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            let other = self.below(at as u64 + 1) as usize;
            list.swap(at, other);
        }
    }
}

/// A number that follows from a seed and some bytes: faults are drawn from it, so that they
/// depend on what is asked and never on when.
pub fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut h = finish(seed ^ 0xcbf2_9ce4_8422_2325);
    for part in parts {
        h = part.iter().fold(h ^ 0xff, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    }
    finish(h)
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
