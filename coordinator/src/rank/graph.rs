//! The tree as the ranking sees it: domains, and what they use, when.

use kudzu_shared::fact::{FactName, FactValue};
use kudzu_shared::observable::{Kind, Name, ObservableRef, psl};
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::Relation;
use kudzu_shared::time::UnixSeconds;
use rustc_hash::{FxHashMap, FxHashSet};

use super::interval::{Span, Spans};
use crate::tree::{EdgeView, Tree};

/// Users of one asset that are kept at most; what more than these share ties nobody.
const CROWD: usize = 300;

/// A use of an asset, before uses are put together.
#[derive(Debug, Clone, Copy)]
struct Use {
    asset: usize,
    domain: usize,
    span: Span,
    /// Whether it comes from the reverse tree.
    reverse: bool,
}

/// Addresses with reverse names under one domain from which on it is their provider's:
/// providers name what they let, and who lives there is not theirs.
const PROVIDER: u32 = 3;

/// A kind of tie. Channels of one group are not independent of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// The same address, forward, reverse or in passive DNS.
    Address,
    /// The same CNAME target.
    Alias,
    /// An address or block that both allow to send mail.
    SpfAddress,
    /// The same name server.
    NameServer,
    /// The same two name servers, each of which may serve many.
    NameServerPair,
    /// The same responsible mailbox.
    Mailbox,
    /// The same mail host.
    MailHost,
    /// The same registrant or contact.
    Registrant,
    /// Registered at the same registrar within the hour.
    Burst,
    /// Named in the same certificate.
    Certificate,
    /// Said by a pair set or declared source.
    Related,
}

/// How many groups of channels there are.
pub const GROUPS: usize = 6;

impl Channel {
    /// The group: ties of one group count once.
    pub const fn group(self) -> usize {
        match self {
            Channel::Address | Channel::Alias | Channel::SpfAddress => 0,
            Channel::NameServer | Channel::NameServerPair | Channel::Mailbox => 1,
            Channel::MailHost => 2,
            Channel::Registrant | Channel::Burst => 3,
            Channel::Certificate => 4,
            Channel::Related => 5,
        }
    }

    /// The name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Address => "address",
            Channel::Alias => "alias",
            Channel::SpfAddress => "spf-address",
            Channel::NameServer => "name-server",
            Channel::NameServerPair => "name-server-pair",
            Channel::Mailbox => "responsible-mailbox",
            Channel::MailHost => "mail-host",
            Channel::Registrant => "registrant",
            Channel::Burst => "registration-burst",
            Channel::Certificate => "certificate",
            Channel::Related => "related",
        }
    }
}

/// What several domains may share.
#[derive(Debug)]
pub struct Asset {
    /// Kind of tie.
    pub channel: Channel,
    /// The node it is, or for a pair of name servers the two.
    pub nodes: (u32, Option<u32>),
    /// Domains that use it, and when.
    pub users: Vec<(usize, Spans)>,
    /// How many use it by what sources count; at least as many as are known.
    pub total: u64,
    /// Whether it is a seed.
    pub seed: bool,
}

/// A registrable domain.
#[derive(Debug)]
pub struct Domain {
    /// Wire form.
    pub name: Box<[u8]>,
    /// Its node, or that of the first name below it.
    pub node: u32,
    /// Whether it holds a seed.
    pub seed: bool,
    /// Whether it is never a candidate: own, excluded, or listed as everybody's.
    pub barred: bool,
    /// What it uses.
    pub assets: Vec<usize>,
    /// When it was registered.
    pub registered: Option<UnixSeconds>,
}

/// Domains and assets.
#[derive(Debug, Default)]
pub struct Graph {
    /// Domains, in the order of their first nodes.
    pub domains: Vec<Domain>,
    /// Assets.
    pub assets: Vec<Asset>,
    /// The instant that the job looks at.
    pub now: UnixSeconds,
    uses: Vec<Use>,
    by_name: FxHashMap<Box<[u8]>, usize>,
    by_node: FxHashMap<(Channel, u32, Option<u32>), usize>,
    /// Domain of each node, where it has one.
    pub of_node: Vec<Option<usize>>,
}

impl Graph {
    /// The domains and assets of a tree.
    pub fn of(tree: &Tree) -> Self {
        let mut g = Graph { now: tree.rules().spec.as_of, ..Graph::default() };
        for n in 0..tree.len() {
            let domain = g.domain_of(tree, n);
            g.of_node.push(domain);
        }
        let mut servers: Vec<Vec<(u32, Span)>> = vec![Vec::new(); g.domains.len()];
        let mut registrars: Vec<Option<u32>> = vec![None; g.domains.len()];
        for n in 0..tree.len() {
            for edge in tree.edges_from(n) {
                g.tie(tree, &edge);
                g.note(&edge, &mut servers, &mut registrars);
            }
        }
        g.pair_servers(&servers);
        g.bursts(&registrars);
        g.gather();
        g.drop_repeated();
        g.count(tree);
        g
    }

    fn domain_of(&mut self, tree: &Tree, n: u32) -> Option<usize> {
        let node = tree.node(n);
        if node.observable.kind != Kind::DomainName {
            return None;
        }
        let name = Name::from_wire(node.observable.wire)?;
        let listed = |name: &Name, class: ListClass| {
            let item = ObservableRef { kind: Kind::DomainName, wire: name.wire() };
            tree.rules().packs.lookup(item).is_some_and(|l| l.class == class)
        };
        // Under a dynamic DNS provider each name is somebody's own.
        let parent_shared = name.parent().is_some_and(|p| listed(&p, ListClass::DynamicDns));
        let own = if parent_shared { name.clone() } else { psl::registrable(&name)? };
        let at = *self.by_name.entry(own.wire().into()).or_insert(self.domains.len());
        if at == self.domains.len() {
            let item = ObservableRef { kind: Kind::DomainName, wire: own.wire() };
            let barred = tree.rules().suppression(item, false).is_some();
            self.domains.push(Domain {
                name: own.wire().into(),
                node: n,
                seed: false,
                barred,
                assets: Vec::new(),
                registered: None,
            });
        }
        let domain = &mut self.domains[at];
        domain.seed |= node.depth == 0;
        if *domain.name == *node.observable.wire {
            domain.node = n;
            for (fact, value) in tree.facts(n) {
                if let (FactName::Registered, FactValue::Time(t)) = (fact, value) {
                    domain.registered = Some(*t);
                }
            }
        }
        Some(at)
    }

    /// The asset tie that a pair makes, if it makes one.
    fn tie(&mut self, tree: &Tree, e: &EdgeView<'_>) {
        use Relation as R;
        let live = Span::seen(e.first_seen, e.last_seen, self.now);
        let lasting = if e.first_seen.or(e.last_seen).is_some() { live } else { Span::ALWAYS };
        let (channel, user, asset, span) = match e.relation {
            R::ResolvesTo | R::SeenOn => (Channel::Address, e.from, e.to, live),
            R::HostedName | R::ReverseName => (Channel::Address, e.to, e.from, live),
            R::AliasOf => (Channel::Alias, e.from, e.to, live),
            R::AliasFrom => (Channel::Alias, e.to, e.from, live),
            R::NameServer => (Channel::NameServer, e.from, e.to, live),
            R::NameServerOf => (Channel::NameServer, e.to, e.from, live),
            R::MailExchange => (Channel::MailHost, e.from, e.to, live),
            R::MailExchangeOf => (Channel::MailHost, e.to, e.from, live),
            R::SpfAddress => (Channel::SpfAddress, e.from, e.to, live),
            R::ResponsibleMailbox => (Channel::Mailbox, e.from, e.to, lasting),
            R::RegisteredBy | R::ContactMailbox => (Channel::Registrant, e.from, e.to, lasting),
            R::RegistrantOf => (Channel::Registrant, e.to, e.from, lasting),
            R::NamedInCertificate => (Channel::Certificate, e.from, e.to, validity(tree, e.to)),
            R::CertificateName => (Channel::Certificate, e.to, e.from, validity(tree, e.from)),
            R::RelatedTo => {
                self.related(e, lasting);
                return;
            }
            R::SpfInclude | R::PrimaryServer | R::RegistrableDomain | R::Host | R::Registrar => return,
            R::AbuseMailbox | R::WithinNetblock | R::AnnouncedBy => return,
        };
        let Some(domain) = self.of_node[user as usize] else { return };
        self.use_asset(domain, channel, (asset, None), span);
        if let (Relation::ReverseName, Some(last)) = (e.relation, self.uses.last_mut()) {
            last.reverse = true;
        }
        // Who owns a name server, mail host or alias target is tied to those who use it.
        if let Some(owner) = self.of_node[asset as usize].filter(|o| *o != domain) {
            self.use_asset(owner, channel, (asset, None), Span::ALWAYS);
        }
    }

    /// A pair set may tie anything: each end that is no domain is an asset of the other.
    fn related(&mut self, e: &EdgeView<'_>, span: Span) {
        for (user, asset) in [(e.from, e.to), (e.to, e.from)] {
            if let Some(domain) = self.of_node[user as usize] {
                self.use_asset(domain, Channel::Related, (asset, None), span);
                if let Some(other) = self.of_node[asset as usize].filter(|o| *o != domain) {
                    self.use_asset(other, Channel::Related, (asset, None), Span::ALWAYS);
                }
            }
        }
    }

    /// What is said as a tie of its own kind is not said again by a pair set.
    fn drop_repeated(&mut self) {
        let said = |d: usize, node: u32, assets: &[Asset]| {
            let same = |a: &usize| assets[*a].nodes.0 == node && assets[*a].channel != Channel::Related;
            self.domains[d].assets.iter().any(same)
        };
        let mut dropped = Vec::new();
        for (at, asset) in self.assets.iter().enumerate().filter(|(_, a)| a.channel == Channel::Related) {
            let users = asset.users.iter().map(|(d, _)| *d);
            dropped.extend(users.filter(|d| said(*d, asset.nodes.0, &self.assets)).map(|d| (at, d)));
        }
        for (at, d) in dropped {
            self.assets[at].users.retain(|(u, _)| *u != d);
            self.domains[d].assets.retain(|a| *a != at);
        }
    }

    fn use_asset(&mut self, domain: usize, channel: Channel, nodes: (u32, Option<u32>), span: Span) {
        let next = self.assets.len();
        let at = *self.by_node.entry((channel, nodes.0, nodes.1)).or_insert(next);
        if at == next {
            self.assets.push(Asset { channel, nodes, users: Vec::new(), total: 0, seed: false });
        }
        self.uses.push(Use { asset: at, domain, span, reverse: false });
    }

    /// Puts the uses together by asset and domain.
    fn gather(&mut self) {
        let mut uses = std::mem::take(&mut self.uses);
        let mut named = vec![0u32; self.domains.len()];
        uses.iter().filter(|u| u.reverse).for_each(|u| named[u.domain] += 1);
        let let_out: FxHashSet<(usize, usize)> = uses
            .iter()
            .filter(|u| u.reverse && named[u.domain] >= PROVIDER)
            .map(|u| (u.asset, u.domain))
            .collect();
        uses.retain(|u| !let_out.contains(&(u.asset, u.domain)));
        uses.sort_unstable_by_key(|u| (u.asset, u.domain, u.span.first, u.span.last));
        for of_asset in uses.chunk_by(|a, b| a.asset == b.asset) {
            let Some(at) = of_asset.first().map(|u| u.asset) else { continue };
            for of_domain in of_asset.chunk_by(|a, b| a.domain == b.domain) {
                let Some(first) = of_domain.first() else { continue };
                let asset = &mut self.assets[at];
                if asset.users.len() >= CROWD {
                    asset.total += 1; // So many that the tie says nothing: counted, not kept.
                    continue;
                }
                let mut spans = Spans::one(first.span);
                of_domain.iter().skip(1).for_each(|u| spans.add(u.span));
                // What was over when a domain was registered anew is another holder's.
                let registered = self.domains[first.domain].registered.unwrap_or(i64::MIN);
                let Some(spans) = spans.since(registered.saturating_sub(86_400)) else { continue };
                asset.users.push((first.domain, spans));
                self.domains[first.domain].assets.push(at);
            }
        }
    }

    fn note(&self, e: &EdgeView<'_>, servers: &mut [Vec<(u32, Span)>], registrars: &mut [Option<u32>]) {
        let (user, server) = match e.relation {
            Relation::NameServer => (e.from, e.to),
            Relation::NameServerOf => (e.to, e.from),
            Relation::Registrar => {
                if let Some(d) = self.of_node[e.from as usize] {
                    registrars[d] = Some(e.to);
                }
                return;
            }
            _ => return,
        };
        if let Some(d) = self.of_node[user as usize] {
            let span = Span::seen(e.first_seen, e.last_seen, self.now);
            if servers[d].len() < 16 && !servers[d].iter().any(|(s, _)| *s == server) {
                servers[d].push((server, span));
            }
        }
    }

    /// Two name servers that each serve many may be a rare pair together.
    fn pair_servers(&mut self, servers: &[Vec<(u32, Span)>]) {
        for (domain, used) in servers.iter().enumerate() {
            for (i, (a, span_a)) in used.iter().enumerate() {
                for (b, span_b) in &used[i + 1..] {
                    let pair = ((*a).min(*b), Some((*a).max(*b)));
                    if span_a.together(*span_b) == 1.0 {
                        self.use_asset(domain, Channel::NameServerPair, pair, span_a.hull(*span_b));
                    }
                }
            }
        }
    }

    /// Domains registered at one registrar within an hour of each other, few at a time.
    fn bursts(&mut self, registrars: &[Option<u32>]) {
        const WITHIN: i64 = 3_600;
        let mut by_registrar: FxHashMap<u32, Vec<(UnixSeconds, usize)>> = FxHashMap::default();
        for (d, registrar) in registrars.iter().enumerate() {
            if let (Some(r), Some(at)) = (registrar, self.domains[d].registered) {
                by_registrar.entry(*r).or_default().push((at, d));
            }
        }
        let mut registrars: Vec<_> = by_registrar.into_iter().collect();
        registrars.sort_unstable_by_key(|(r, _)| *r);
        for (registrar, mut dates) in registrars {
            dates.sort_unstable();
            for (n, burst) in dates.chunk_by(|a, b| b.0 - a.0 <= WITHIN).enumerate() {
                if burst.len() < 2 {
                    continue;
                }
                // The number tells bursts of one registrar apart; it is no node.
                let key = (registrar, Some(u32::MAX - u32::try_from(n).unwrap_or(u32::MAX)));
                for (_, d) in burst {
                    self.use_asset(*d, Channel::Burst, key, Span::ALWAYS);
                }
            }
        }
    }

    /// Counts of users: what is known, or more where a source or a stub says so.
    fn count(&mut self, tree: &Tree) {
        for asset in &mut self.assets {
            asset.total += asset.users.len() as u64;
            asset.seed = asset.nodes.1.is_none() && tree.node(asset.nodes.0).depth == 0;
            if asset.nodes.1.is_none() {
                let suppressed = tree.node(asset.nodes.0).suppressed;
                let listed = suppressed.is_some_and(|s| s.count.is_none());
                let counted = suppressed.and_then(|s| s.count).unwrap_or(0);
                asset.total = (asset.total + tree.unseen_users(asset.nodes.0)).max(counted);
                if listed && !asset.seed {
                    asset.total = u64::MAX; // A list calls it everybody's.
                }
            }
        }
    }
}

/// When a certificate is valid; always where nobody says.
fn validity(tree: &Tree, cert: u32) -> Span {
    let mut span = Span::ALWAYS;
    for (name, value) in tree.facts(cert) {
        match (name, value) {
            (FactName::NotBefore, FactValue::Time(t)) => span.first = *t,
            (FactName::NotAfter, FactValue::Time(t)) => span.last = *t,
            _ => {}
        }
    }
    Span { first: span.first, last: span.last.max(span.first) }
}
