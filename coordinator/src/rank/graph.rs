//! The tree as the ranking sees it: domains, and what they use, when.

use std::collections::HashMap;

use foldhash::quality::FixedState;
use kudzu_shared::fact::FactName;
use kudzu_shared::observable::{Kind, Name, ObservableRef, psl};
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::Relation;
use kudzu_shared::time::UnixSeconds;
use rustc_hash::FxHashMap;

use super::interval::{Span, Spans};
use super::uses::Uses;
use crate::tree::{EdgeView, Said, Tree};

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

/// Name servers of one domain that are looked at in pairs.
const SERVERS: usize = 16;

/// Domains and assets.
#[derive(Debug, Default)]
pub struct Graph {
    /// Domains, in the order of their first nodes.
    pub domains: Vec<Domain>,
    /// Assets, in the order of their channels and nodes.
    pub assets: Vec<Asset>,
    /// The instant that the job looks at.
    pub now: UnixSeconds,
    by_name: HashMap<Box<[u8]>, usize, FixedState>,
    /// Domain of each node, where it has one.
    pub of_node: Vec<Option<usize>>,
}

/// What is noted on the way over the pairs.
#[derive(Debug, Default)]
struct Notes {
    uses: Uses,
    /// Domain, name server, when.
    servers: Vec<(usize, u32, Span)>,
    registrars: FxHashMap<usize, u32>,
    /// When certificates are valid.
    valid: FxHashMap<u32, Span>,
}

impl Graph {
    /// The domains and assets of a tree.
    pub fn of(tree: &Tree) -> Self {
        let spec = &tree.rules().spec;
        let by_name = HashMap::with_hasher(FixedState::with_seed(spec.salt));
        let mut g = Graph { now: spec.as_of, by_name, ..Graph::default() };
        for n in 0..tree.len() {
            let domain = g.domain_of(tree, n);
            g.of_node.push(domain);
        }
        let mut notes = Notes { uses: Uses::with_room(tree.pairs_at_most()), ..Notes::default() };
        for n in 0..tree.len() {
            for edge in tree.ways_from(n) {
                g.tie(tree, &edge, &mut notes);
                g.note(&edge, &mut notes);
            }
        }
        g.pair_servers(&mut notes);
        g.bursts(&mut notes);
        g.assets = notes.uses.gather(&mut g.domains);
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
        let own = if parent_shared { name } else { psl::registrable(&name)? };
        let known = self.by_name.get(own.wire()).copied();
        let at = known.unwrap_or_else(|| {
            let item = ObservableRef { kind: Kind::DomainName, wire: own.wire() };
            self.by_name.insert(own.wire().into(), self.domains.len());
            self.domains.push(Domain {
                name: own.wire().into(),
                node: n,
                seed: false,
                barred: tree.rules().suppression(item, false).is_some(),
                assets: Vec::new(),
                registered: None,
            });
            self.domains.len() - 1
        });
        let domain = &mut self.domains[at];
        domain.seed |= node.depth == 0;
        if *domain.name == *node.observable.wire {
            domain.node = n;
            for (fact, value) in tree.facts(n) {
                if let (FactName::Registered, Said::Time(t)) = (fact, value) {
                    domain.registered = Some(t);
                }
            }
        }
        Some(at)
    }

    /// The asset tie that a pair makes, if it makes one.
    fn tie(&self, tree: &Tree, e: &EdgeView<'_>, notes: &mut Notes) {
        use Relation as R;
        let live = Span::seen(e.first_seen, e.last_seen, self.now);
        let lasting = if e.first_seen.or(e.last_seen).is_some() { live } else { Span::ALWAYS };
        let mut valid = |cert: u32| *notes.valid.entry(cert).or_insert_with(|| validity(tree, cert));
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
            R::NamedInCertificate => (Channel::Certificate, e.from, e.to, valid(e.to)),
            R::CertificateName => (Channel::Certificate, e.to, e.from, valid(e.from)),
            R::RelatedTo => {
                self.related(e, lasting, &mut notes.uses);
                return;
            }
            R::SpfInclude | R::PrimaryServer | R::RegistrableDomain | R::Host | R::Registrar => return,
            R::AbuseMailbox | R::WithinNetblock | R::AnnouncedBy => return,
        };
        let Some(domain) = self.of_node[user as usize] else { return };
        notes.uses.add(channel, asset, None, domain, span, e.relation == R::ReverseName);
        // Who owns a name server, mail host or alias target is tied to those who use it.
        if let Some(owner) = self.of_node[asset as usize].filter(|o| *o != domain) {
            notes.uses.add(channel, asset, None, owner, Span::ALWAYS, false);
        }
    }

    /// A pair set may tie anything: each end that is no domain is an asset of the other.
    fn related(&self, e: &EdgeView<'_>, span: Span, uses: &mut Uses) {
        for (user, asset) in [(e.from, e.to), (e.to, e.from)] {
            if let Some(domain) = self.of_node[user as usize] {
                uses.add(Channel::Related, asset, None, domain, span, false);
                if let Some(other) = self.of_node[asset as usize].filter(|o| *o != domain) {
                    uses.add(Channel::Related, asset, None, other, Span::ALWAYS, false);
                }
            }
        }
    }

    fn note(&self, e: &EdgeView<'_>, notes: &mut Notes) {
        let (user, server) = match e.relation {
            Relation::NameServer => (e.from, e.to),
            Relation::NameServerOf => (e.to, e.from),
            Relation::Registrar => {
                if let Some(d) = self.of_node[e.from as usize] {
                    // Of several the first in the tree, whichever came first.
                    let first = notes.registrars.entry(d).or_insert(e.to);
                    *first = e.to.min(*first);
                }
                return;
            }
            _ => return,
        };
        if let Some(d) = self.of_node[user as usize] {
            notes.servers.push((d, server, Span::seen(e.first_seen, e.last_seen, self.now)));
        }
    }

    /// Two name servers that each serve many may be a rare pair together.
    fn pair_servers(&self, notes: &mut Notes) {
        let mut servers = std::mem::take(&mut notes.servers);
        servers.sort_unstable_by_key(|(d, server, span)| (*d, *server, span.first, span.last));
        servers.dedup_by(|b, a| {
            let same = (a.0, a.1) == (b.0, b.1);
            if same {
                a.2 = a.2.hull(b.2);
            }
            same
        });
        for used in servers.chunk_by(|a, b| a.0 == b.0) {
            let used = &used[..used.len().min(SERVERS)];
            for (i, (domain, a, span_a)) in used.iter().enumerate() {
                for (_, b, span_b) in &used[i + 1..] {
                    if span_a.together(*span_b) == 1.0 {
                        let span = span_a.hull(*span_b);
                        notes.uses.add(Channel::NameServerPair, *a, Some(*b), *domain, span, false);
                    }
                }
            }
        }
    }

    /// Domains registered at one registrar within an hour of each other, few at a time.
    fn bursts(&self, notes: &mut Notes) {
        const WITHIN: i64 = 3_600;
        let dated = notes.registrars.iter().filter_map(|(d, r)| Some((*r, self.domains[*d].registered?, *d)));
        let mut dates: Vec<(u32, UnixSeconds, usize)> = dated.collect();
        dates.sort_unstable();
        let near = |a: &(u32, UnixSeconds, usize), b: &(u32, UnixSeconds, usize)| {
            a.0 == b.0 && b.1.saturating_sub(a.1) <= WITHIN
        };
        for (n, burst) in dates.chunk_by(near).filter(|burst| burst.len() > 1).enumerate() {
            // The number tells bursts of one registrar apart; it is no node.
            let number = u32::MAX - 1 - u32::try_from(n).unwrap_or(u32::MAX - 1);
            for (registrar, _, d) in burst {
                notes.uses.add(Channel::Burst, *registrar, Some(number), *d, Span::ALWAYS, false);
            }
        }
    }

    /// Counts of users: what is known, or more where a source or a stub says so.
    fn count(&mut self, tree: &Tree) {
        for asset in &mut self.assets {
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
            (FactName::NotBefore, Said::Time(t)) => span.first = t,
            (FactName::NotAfter, Said::Time(t)) => span.last = t,
            _ => {}
        }
    }
    Span { first: span.first, last: span.last.max(span.first) }
}
