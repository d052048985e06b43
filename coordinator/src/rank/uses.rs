//! Who uses what, when: gathered as it comes, put together in one sort.

use rustc_hash::FxHashSet;

use super::graph::{Asset, Channel, Domain};
use super::interval::{Span, Spans};

/// Users of one asset that are kept at most; what more than these share ties nobody.
pub const CROWD: usize = 300;
/// Addresses with reverse names under one domain from which on it is their provider's:
/// providers name what they let, and who lives there is not theirs.
const PROVIDER: u32 = 3;
/// Stands for "no second node" in a key; no tree has as many.
const NONE: u32 = u32::MAX;

/// A use of an asset, before uses are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    /// Channel, node, second node.
    asset: (Channel, u32, u32),
    domain: u32,
    span: Span,
    /// Whether it comes from the reverse tree.
    reverse: bool,
}

/// All uses.
#[derive(Debug, Default)]
pub struct Uses(Vec<Use>);

impl Uses {
    /// None yet, with room for some.
    pub fn with_room(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    /// Notes a use.
    pub fn add(
        &mut self,
        channel: Channel,
        node: u32,
        other: Option<u32>,
        domain: usize,
        span: Span,
        reverse: bool,
    ) {
        // A tree has fewer than 2^32 nodes, and so fewer domains.
        let domain = u32::try_from(domain).unwrap_or(NONE);
        self.0.push(Use { asset: (channel, node, other.unwrap_or(NONE)), domain, span, reverse });
    }

    /// Puts the uses together by asset and domain; the order does not depend on how they came.
    pub fn gather(mut self, domains: &mut [Domain]) -> Vec<Asset> {
        self.0.sort_unstable();
        self.drop_let_out(domains.len());
        self.drop_repeated();
        let mut assets = Vec::with_capacity(self.0.chunk_by(|a, b| a.asset == b.asset).count());
        for of_asset in self.0.chunk_by(|a, b| a.asset == b.asset) {
            if let Some(asset) = gathered(of_asset, domains) {
                asset.users.iter().for_each(|(d, _)| domains[*d].assets.push(assets.len()));
                assets.push(asset);
            }
        }
        assets
    }

    /// Takes out what providers let, which is named after them.
    fn drop_let_out(&mut self, domains: usize) {
        let place = |u: &Use| (u.asset, u.domain);
        let mut named = vec![0_u32; domains];
        for group in self.0.chunk_by(|a, b| place(a) == place(b)).filter(|g| g.iter().any(|u| u.reverse)) {
            named[group[0].domain as usize] += 1;
        }
        let reversed = self.0.iter().filter(|u| u.reverse && named[u.domain as usize] >= PROVIDER);
        let let_out: FxHashSet<_> = reversed.map(place).collect();
        if !let_out.is_empty() {
            self.0.retain(|u| !let_out.contains(&place(u)));
        }
    }

    /// What is said as a tie of its own kind is not said again by a pair set.
    fn drop_repeated(&mut self) {
        let is_related = |u: &Use| u.asset.0 == Channel::Related;
        if !self.0.iter().any(is_related) {
            return;
        }
        let others = self.0.iter().filter(|u| !is_related(u) && u.asset.2 == NONE);
        let said: FxHashSet<(u32, u32)> = others.map(|u| (u.asset.1, u.domain)).collect();
        self.0.retain(|u| !is_related(u) || !said.contains(&(u.asset.1, u.domain)));
    }
}

/// The asset of these uses; `None` where it ties nobody.
fn gathered(uses: &[Use], domains: &[Domain]) -> Option<Asset> {
    let (channel, node, other) = uses.first()?.asset;
    let mut asset = Asset {
        channel,
        nodes: (node, (other != NONE).then_some(other)),
        users: Vec::new(),
        total: 0,
        seed: false,
    };
    for of_domain in uses.chunk_by(|a, b| a.domain == b.domain) {
        let first = of_domain.first()?;
        let domain = first.domain as usize;
        let mut spans = Spans::one(first.span);
        of_domain.iter().skip(1).for_each(|u| spans.add(u.span));
        // What was over when a domain was registered anew is another holder's.
        let registered = domains[domain].registered.unwrap_or(i64::MIN);
        let Some(spans) = spans.since(registered.saturating_sub(86_400)) else { continue };
        asset.total += 1;
        if asset.users.len() < CROWD {
            asset.users.push((domain, spans));
        }
    }
    if asset.total > CROWD as u64 {
        asset.users.clear(); // So many that the tie says nothing: counted, not kept.
    }
    (asset.total > 0).then_some(asset)
}
