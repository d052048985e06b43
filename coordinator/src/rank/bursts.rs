//! Domains registered at one registrar within an hour of each other, few at a time.

use kudzu_shared::time::UnixSeconds;

/// Seconds between two of a burst.
const WITHIN: i64 = 3_600;

/// A burst.
#[derive(Debug)]
struct Burst {
    registrar: u32,
    /// In order.
    domains: Vec<u32>,
}

/// The bursts of a tree.
#[derive(Debug, Default)]
pub struct Bursts {
    list: Vec<Burst>,
    /// The burst of each domain that is in one, in the order of domains.
    by_domain: Vec<(u32, u32)>,
}

impl Bursts {
    /// From the domains with their registrars and dates.
    pub fn of(mut registrars: Vec<(u32, u32, UnixSeconds)>) -> Self {
        // Of several registrars the first in the tree, whichever came first.
        registrars.sort_unstable();
        registrars.dedup_by_key(|(d, ..)| *d);
        let mut dates: Vec<_> = registrars.into_iter().map(|(d, registrar, at)| (registrar, at, d)).collect();
        dates.sort_unstable();
        let near = |a: &(u32, UnixSeconds, u32), b: &(u32, UnixSeconds, u32)| {
            a.0 == b.0 && b.1.saturating_sub(a.1) <= WITHIN
        };
        let mut bursts = Self::default();
        for burst in dates.chunk_by(near).filter(|burst| burst.len() > 1) {
            let mut domains: Vec<u32> = burst.iter().map(|(.., d)| *d).collect();
            domains.sort_unstable();
            // There are fewer bursts than nodes.
            let at = bursts.list.len() as u32;
            bursts.by_domain.extend(domains.iter().map(|d| (*d, at)));
            bursts.list.push(Burst { registrar: burst[0].0, domains });
        }
        bursts.by_domain.sort_unstable();
        bursts
    }

    /// The burst that a domain is in: its registrar, and a number that is no node's.
    pub fn of_domain(&self, d: u32) -> Option<(u32, u32)> {
        let at = self.by_domain.binary_search_by_key(&d, |(d, _)| *d).ok()?;
        let (_, burst) = self.by_domain[at];
        Some((self.list[burst as usize].registrar, number(burst)))
    }

    /// The domains of a burst by the number of [`Bursts::of_domain`], in order.
    pub fn domains(&self, at: u32) -> &[u32] {
        self.list.get(number(at) as usize).map_or(&[], |b| &b.domains)
    }
}

/// Tells bursts of one registrar apart. It is its own inverse.
const fn number(burst: u32) -> u32 {
    u32::MAX - 1 - burst
}
