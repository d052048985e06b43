//! The tree as the ranking sees it: domains, and what they use. When they use it is looked up
//! in the tree for what belief comes to (`assets.rs`); of most assets nobody asks.

use kudzu_shared::pair::Relation;
use kudzu_shared::time::UnixSeconds;

use super::assets::CROWD;
use super::bursts::Bursts;
use super::channel::Channel;
use super::domains::Domains;
use super::interval::Span;
use super::uses::Uses;
use crate::tree::{EdgeView, NodeView, Tree};

/// Domains and who uses what.
#[derive(Debug)]
pub struct Graph<'t> {
    /// What it is of.
    pub tree: &'t Tree,
    /// Its domains.
    pub domains: Domains,
    /// What they use.
    pub uses: Uses,
    /// Which of them were registered together.
    pub bursts: Bursts,
    /// The instant that the job looks at.
    pub now: UnixSeconds,
}

/// Which end of a pair is the asset that the other one uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asset {
    Key,
    Value,
    /// A pair set may tie anything: each end is an asset of the other.
    Both,
}

/// The tie that a relation makes, if it makes one.
const fn tie(relation: Relation) -> Option<(Channel, Asset)> {
    use Relation as R;
    Some(match relation {
        R::ResolvesTo | R::SeenOn => (Channel::Address, Asset::Value),
        R::HostedName | R::ReverseName => (Channel::Address, Asset::Key),
        R::AliasOf => (Channel::Alias, Asset::Value),
        R::AliasFrom => (Channel::Alias, Asset::Key),
        R::NameServer => (Channel::NameServer, Asset::Value),
        R::NameServerOf => (Channel::NameServer, Asset::Key),
        R::MailExchange => (Channel::MailHost, Asset::Value),
        R::MailExchangeOf => (Channel::MailHost, Asset::Key),
        R::SpfAddress => (Channel::SpfAddress, Asset::Value),
        R::ResponsibleMailbox => (Channel::Mailbox, Asset::Value),
        R::RegisteredBy | R::ContactMailbox => (Channel::Registrant, Asset::Value),
        R::RegistrantOf => (Channel::Registrant, Asset::Key),
        R::NamedInCertificate => (Channel::Certificate, Asset::Value),
        R::CertificateName => (Channel::Certificate, Asset::Key),
        R::RelatedTo => (Channel::Related, Asset::Both),
        R::SpfInclude | R::PrimaryServer | R::RegistrableDomain | R::Host | R::Registrar => return None,
        R::AbuseMailbox | R::WithinNetblock | R::AnnouncedBy => return None,
    })
}

/// What a node uses by one of its own pairs: the asset, how, and when.
pub fn used(e: &EdgeView<'_>, now: UnixSeconds) -> Option<(u32, Channel, Span)> {
    let (channel, asset) = tie(e.relation)?;
    (asset != Asset::Key).then(|| (e.to, channel, span(channel, e, now)))
}

/// Who uses a node by one of its own pairs: the user, how, and when.
pub fn user(e: &EdgeView<'_>, now: UnixSeconds) -> Option<(u32, Channel, Span)> {
    let (channel, asset) = tie(e.relation)?;
    (asset != Asset::Value).then(|| (e.to, channel, span(channel, e, now)))
}

/// When a pair holds. Of certificates it does not say so: they do themselves.
fn span(channel: Channel, e: &EdgeView<'_>, now: UnixSeconds) -> Span {
    let lasts = matches!(channel, Channel::Mailbox | Channel::Registrant | Channel::Related);
    if lasts && e.first_seen.or(e.last_seen).is_none() {
        return Span::ALWAYS;
    }
    Span::seen(e.first_seen, e.last_seen, now)
}

impl<'t> Graph<'t> {
    /// The domains of a tree and what they use.
    pub fn of(tree: &'t Tree) -> Self {
        let domains = Domains::of(tree);
        let mut uses = Uses::with_room(tree.pairs_at_most());
        let mut registrars = Vec::new();
        for n in 0..tree.len() {
            let own = domains.of_node(n);
            for e in tree.ways_from(n) {
                if let (Some(d), Relation::Registrar) = (own, e.relation) {
                    registrars.extend(domains.registered(d).map(|at| (d, e.to, at)));
                }
                let Some((channel, asset)) = tie(e.relation) else { continue };
                if let (Some(d), Asset::Value | Asset::Both) = (own, asset) {
                    uses.add(e.to, channel, d);
                }
                let user = domains.of_node(e.to);
                if let (Some(d), Asset::Key | Asset::Both) = (user, asset) {
                    uses.add(n, channel, d);
                    if e.relation == Relation::ReverseName {
                        uses.add_reverse(n, d);
                    }
                }
            }
        }
        uses.sort(domains.len());
        Self { tree, domains, uses, bursts: Bursts::of(registrars), now: tree.rules().spec.as_of }
    }

    /// Whoever owns a name server, mail host or alias target that others use is tied to them.
    pub fn owner(&self, node: u32, channel: Channel) -> Option<u32> {
        let owner = self.domains.of_node(node)?;
        self.uses.users(node, channel).any(|d| d != owner).then_some(owner)
    }

    /// Whether a domain uses a node in this way, or owns what others use, and providers do not
    /// let it.
    fn counts(&self, node: u32, channel: Channel, d: u32) -> bool {
        (self.uses.has(node, channel, d) || self.owner(node, channel) == Some(d))
            && !(channel == Channel::Address && self.uses.is_let(node, d))
    }

    /// Whether a use is none: what a provider lets is not its own, and what is said as a tie of
    /// its own kind is not said again by a pair set.
    pub fn is_void(&self, node: u32, channel: Channel, d: u32) -> bool {
        match channel {
            Channel::Address => self.uses.is_let(node, d),
            Channel::Related => {
                let others = Channel::OF_PAIRS.into_iter().filter(|c| *c != Channel::Related);
                others.into_iter().any(|c| self.counts(node, c, d))
            }
            _ => false,
        }
    }

    /// The instant before which what was over is another holder's: a domain's registration.
    pub fn since(&self, d: u32) -> UnixSeconds {
        self.domains.registered(d).unwrap_or(i64::MIN).saturating_sub(86_400)
    }

    /// Whether a node is a seed.
    pub fn is_seed(&self, node: u32) -> bool {
        self.tree.node(node).depth == 0
    }

    /// How many use a node: those that are known, or more where a source or a stub says so.
    pub fn total(&self, node: u32, known: u64) -> u64 {
        let NodeView { suppressed, depth, .. } = self.tree.node(node);
        if depth != 0 && suppressed.is_some_and(|s| s.count.is_none()) {
            return u64::MAX; // A list calls it everybody's.
        }
        let counted = suppressed.and_then(|s| s.count).unwrap_or(0);
        (known + self.tree.unseen_users(node)).max(counted)
    }

    /// Whether too many use a node, without a look at when: it is enough to count those of whom
    /// nothing can make their use void.
    pub fn is_crowd(&self, node: u32, channel: Channel) -> bool {
        let is_safe = |d: &u32| {
            let may_be_void = match channel {
                Channel::Address => self.uses.is_provider(*d),
                Channel::Related => true,
                _ => false,
            };
            !may_be_void && self.domains.registered(*d).is_none()
        };
        let users = self.uses.users(node, channel);
        users.len() > CROWD && users.filter(is_safe).take(CROWD + 1).count() > CROWD
    }

    /// Whether an asset of one node may tie anybody, as far as that shows without a look at when
    /// it was used.
    pub fn may_tie(&self, node: u32, channel: Channel) -> bool {
        let users = self.uses.users(node, channel).len();
        let users = users + usize::from(self.domains.of_node(node).is_some());
        users > 1 && self.total(node, 1) <= CROWD as u64
    }
}
