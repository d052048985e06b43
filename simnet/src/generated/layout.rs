//! Who sits where: permutations and shares that can be computed from either end.

use crate::rng::{Blocks, Feistel};

/// One placement of all ordinary domains on host addresses.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    domains: Feistel,
    blocks: Blocks,
    hosts: Feistel,
}

/// The place of a domain in a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Number of the host address.
    pub(crate) host: u64,
    /// Place among the block's domains.
    pub(crate) offset: u64,
    /// The block.
    pub(crate) block: u64,
}

impl Layout {
    /// `hosts` is how many host addresses there are; at least as many as blocks.
    pub(crate) fn new(key: u64, domains: u64, sizes: &[u32], hosts: Option<u64>) -> Self {
        let blocks = Blocks::new(sizes);
        let hosts = hosts.unwrap_or_else(|| blocks.count(domains)).max(blocks.count(domains));
        Self { domains: Feistel::new(key, domains), blocks, hosts: Feistel::new(key ^ 0x0a05, hosts) }
    }

    pub(crate) fn hosts(&self) -> u64 {
        self.hosts.size()
    }

    pub(crate) fn seat(&self, domain: u64) -> Seat {
        let spot = self.blocks.locate(self.domains.forward(domain));
        Seat { host: self.hosts.forward(spot.block), offset: spot.offset, block: spot.block }
    }

    /// The domains of a block, in the order of their offsets.
    pub(crate) fn block(&self, block: u64) -> impl ExactSizeIterator<Item = u64> {
        let range = self.blocks.range(block, self.domains.size());
        let domains = self.domains;
        let length = range.end.saturating_sub(range.start) as usize;
        (0..length).map(move |i| domains.inverse(range.start + i as u64))
    }

    /// The block on a host address.
    pub(crate) fn block_on(&self, host: u64) -> u64 {
        self.hosts.inverse(host)
    }
}

/// A division of all ordinary domains among takers.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    domains: Feistel,
    ends: Vec<u64>,
}

impl Shares {
    /// Weights are shares of all domains; what is left over belongs to nobody.
    pub(crate) fn new(key: u64, domains: u64, weights: &[f64]) -> Self {
        let mut sum = 0.0;
        let ends = weights
            .iter()
            .map(|weight| {
                sum += weight;
                ((sum * domains as f64) as u64).min(domains)
            })
            .collect();
        Self { domains: Feistel::new(key, domains), ends }
    }

    /// The taker of a domain.
    pub(crate) fn of(&self, domain: u64) -> Option<usize> {
        let position = self.domains.forward(domain);
        let taker = self.ends.partition_point(|end| *end <= position);
        (taker < self.ends.len()).then_some(taker)
    }

    /// The domains of a taker.
    pub(crate) fn members(&self, taker: usize) -> impl Iterator<Item = u64> {
        let start = if taker == 0 { 0 } else { self.ends.get(taker - 1).copied().unwrap_or(0) };
        let end = self.ends.get(taker).copied().unwrap_or(start);
        let domains = self.domains;
        (start..end).map(move |position| domains.inverse(position))
    }
}

/// Weights that fall with rank and sum up to `total`.
pub(crate) fn zipf(count: usize, total: f64) -> impl Iterator<Item = f64> {
    let sum: f64 = (1..=count).map(|rank| 1.0 / (rank as f64).powf(0.6)).sum();
    (1..=count).map(move |rank| total / (rank as f64).powf(0.6) / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_leads_both_ways() {
        let layout = Layout::new(5, 10_000, &[1, 7, 30], None);
        for domain in (0..10_000).step_by(37) {
            let seat = layout.seat(domain);
            assert_eq!(layout.block_on(seat.host), seat.block);
            assert_eq!(layout.block(seat.block).nth(seat.offset as usize), Some(domain));
        }
    }

    #[test]
    fn shares_lead_both_ways() {
        let shares = Shares::new(5, 10_000, &[0.5, 0.1]);
        assert_eq!(shares.members(0).count(), 5000);
        assert!(shares.members(1).all(|d| shares.of(d) == Some(1)));
        assert_eq!((0..10_000).filter(|d| shares.of(*d).is_none()).count(), 4000);
    }
}
