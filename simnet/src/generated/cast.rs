//! The companies of the internet: networks, hosters, DNS and mail providers, hubs.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use super::lexicon::provider;
use super::space::Space;
use crate::name::Name;
use crate::rng::{hash_bytes, mix};
use crate::time::{DAY, GENERATED_NOW};

/// How many autonomous systems there are.
pub(crate) const ORGS: usize = 300;
/// The first organisations have special trades; the rest host.
pub(crate) const ORG_CDN: usize = 0;
pub(crate) const ORG_PARKING: usize = 3;
pub(crate) const ORG_GIANT: usize = 4;
pub(crate) const ORG_BULLETPROOF: usize = 9;
pub(crate) const ORG_RESIDENTIAL: usize = 12;
pub(crate) const ORG_SINKHOLE: usize = 14;
pub(crate) const ORG_DNS: usize = 15;
pub(crate) const ORG_MAIL: usize = 25;
pub(crate) const ORG_HOSTING: usize = 40;

/// Name server providers that everybody uses.
pub(crate) const POPULAR_NS: usize = 30;
/// Mail providers, and how many of them everybody uses.
pub(crate) const MAIL: usize = 25;
pub(crate) const POPULAR_MAIL: usize = 15;
/// Addresses of one CDN.
pub(crate) const CDN_EDGES: usize = 4;

/// An organisation with an AS number.
#[derive(Clone, Debug)]
pub(crate) struct Org {
    pub(crate) asn: u32,
    pub(crate) domain: String,
    pub(crate) name: String,
    pub(crate) country: &'static str,
    pub(crate) registry: &'static str,
    pub(crate) since: i64,
}

/// A provider with hosts that customers point at.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) domain: String,
    /// Name servers: pairs. Mail: one group of all hosts.
    pub(crate) groups: Vec<Vec<Name>>,
    pub(crate) org: usize,
}

/// What a hub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HubKind {
    Cdn,
    Parking,
    Giant,
    Sinkhole,
}

/// An address with very many names, which are numbered `base..base + count`.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    pub(crate) kind: HubKind,
    pub(crate) addr: Ipv4Addr,
    pub(crate) base: u64,
    pub(crate) count: u64,
    /// Name server provider of its names.
    pub(crate) ns: usize,
    pub(crate) org: usize,
}

/// What a slot of address space is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Host addresses from this number on.
    Hosting(u64),
    /// Hosts that stand in the tables.
    Infra,
    /// Customers with changing addresses, from this number on.
    Residential(u64),
}

/// A slot of address space.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) used: Use,
    pub(crate) org: usize,
    pub(crate) since: i64,
}

/// Everybody with a trade.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) orgs: Vec<Org>,
    pub(crate) nets: Vec<Net>,
    /// Popular, then medium, then parking.
    pub(crate) ns: Vec<Provider>,
    pub(crate) medium_ns: usize,
    pub(crate) mail: Vec<Provider>,
    pub(crate) hubs: Vec<Hub>,
    pub(crate) cdns: Vec<String>,
    pub(crate) dyndns: Vec<String>,
    pub(crate) ns_hosts: HashMap<Name, (usize, usize)>,
    pub(crate) mail_hosts: HashMap<Name, usize>,
    infra: HashMap<usize, (u64, u8)>,
    /// Networks outside the usual space, by upper 24 bits.
    placed: BTreeMap<u32, u64>,
}

/// Addresses that the lists of what everybody shares name, for the first hub of a kind.
const LISTED_CDN: Ipv4Addr = Ipv4Addr::new(104, 18, 32, 7);
const LISTED_PARKING: Ipv4Addr = Ipv4Addr::new(2, 57, 90, 16);
const LISTED_SINKHOLE: Ipv4Addr = Ipv4Addr::new(5, 79, 71, 205);
/// Whose name servers a list calls those of parked domains.
const LISTED_PARKING_NS: &str = "brainydns.com";
/// A dynamic DNS provider that a list names.
pub(crate) const LISTED_DYNDNS: &str = "duckdns.org";

/// Host addresses in one slot.
pub(crate) const HOSTS_PER_NET: u64 = 12;
/// Dynamic addresses in one slot.
pub(crate) const LINES_PER_NET: u64 = 250;
/// Slots of dynamic addresses.
const RESIDENTIAL_NETS: u64 = 16;

impl Cast {
    pub(crate) fn new(seed: u64, hosts: u64, domains: u64, first_hub_name: u64, space: &Space) -> Self {
        let orgs = orgs(seed);
        let hosting = (0..hosts.div_ceil(HOSTS_PER_NET)).map(|n| {
            let org = ORG_HOSTING + (mix(seed ^ n ^ 0x0e7) % (ORGS - ORG_HOSTING) as u64) as usize;
            Net { used: Use::Hosting(n * HOSTS_PER_NET), org, since: since(seed, n) }
        });
        let residential = (0..RESIDENTIAL_NETS).map(|n| Net {
            used: Use::Residential(n * LINES_PER_NET),
            org: ORG_RESIDENTIAL + (n % 2) as usize,
            since: since(seed, n ^ 0x4e5),
        });
        let nets: Vec<Net> = hosting.chain(residential).collect();
        let medium_ns = medium_ns(domains) as usize;
        let mut cast = Self {
            orgs,
            nets,
            ns: Vec::new(),
            medium_ns,
            mail: Vec::new(),
            hubs: Vec::new(),
            cdns: (0..3).map(|n| provider(seed, "cdn", n, "-cdn", "net")).collect(),
            dyndns: (0..2).map(|n| provider(seed, "dyn", n, "-dyn", "org")).collect(),
            ns_hosts: HashMap::new(),
            mail_hosts: HashMap::new(),
            infra: HashMap::new(),
            placed: BTreeMap::new(),
        };
        cast.add_ns(seed);
        cast.add_mail(seed);
        cast.add_hubs(seed, first_hub_name, space);
        cast
    }

    /// The next free address in the networks of an organisation.
    pub(crate) fn next_addr(&mut self, org: usize, space: &Space) -> Ipv4Addr {
        let fresh = self.nets.len() as u64;
        let (slot, last) = self.infra.entry(org).or_insert((fresh, 2));
        if *slot == fresh || *last >= 250 {
            let since = self.orgs[org].since + 30 * DAY;
            self.nets.push(Net { used: Use::Infra, org, since });
            (*slot, *last) = (fresh, 2);
        }
        // Uneven steps, so that neighbours in one network do not always stand side by side.
        *last += 1 + (mix(*slot ^ u64::from(*last)) % 3) as u8;
        space.v4(*slot, *last)
    }

    /// Gives an organisation the /24 around an address outside the usual space.
    fn place(&mut self, addr: Ipv4Addr, org: usize) -> Ipv4Addr {
        self.placed.insert(addr.to_bits() >> 8, self.nets.len() as u64);
        self.nets.push(Net { used: Use::Infra, org, since: self.orgs[org].since + 30 * DAY });
        addr
    }

    /// The number of a network outside the usual space.
    pub(crate) fn placed(&self, addr: Ipv4Addr) -> Option<u64> {
        self.placed.get(&(addr.to_bits() >> 8)).copied()
    }

    pub(crate) fn parking_ns(&self) -> usize {
        POPULAR_NS + self.medium_ns
    }

    /// The hub whose name has this number.
    pub(crate) fn hub_of(&self, index: u64) -> Option<(usize, u64)> {
        let at = self.hubs.partition_point(|h| h.base <= index).checked_sub(1)?;
        let rank = index - self.hubs[at].base;
        (rank < self.hubs[at].count).then_some((at, rank))
    }

    fn add_ns(&mut self, seed: u64) {
        for n in 0..self.parking_ns() + 1 {
            let (word, org) = match n {
                n if n < POPULAR_NS => ("dns", ORG_DNS + n % 10),
                n if n == self.parking_ns() => ("parking", ORG_PARKING),
                n => ("hosting", ORG_HOSTING + n % (ORGS - ORG_HOSTING)),
            };
            let made = provider(seed, "ns", n as u64, word, ["com", "net", "org", "de"][n % 4]);
            let domain = if n == self.parking_ns() { LISTED_PARKING_NS.to_owned() } else { made };
            // Only the largest spread their customers over several pairs.
            let pairs = if n < 6 { 1 + (mix(seed ^ n as u64) % 3) as usize } else { 1 };
            let host =
                |i: usize| Name::from_text(&format!("ns{}.{domain}", i + 1)).unwrap_or_else(Name::root);
            let groups: Vec<Vec<Name>> = (0..pairs).map(|p| vec![host(2 * p), host(2 * p + 1)]).collect();
            for (pair, hosts) in groups.iter().enumerate() {
                self.ns_hosts.extend(hosts.iter().map(|h| (h.clone(), (n, pair))));
            }
            self.ns.push(Provider { domain, groups, org });
        }
    }

    fn add_mail(&mut self, seed: u64) {
        for n in 0..MAIL {
            let domain = provider(seed, "mx", n as u64, "mail", ["com", "net", "de"][n % 3]);
            let hosts = 1 + n % 3;
            let group: Vec<Name> =
                (1..=hosts).filter_map(|i| Name::from_text(&format!("mx{i}.{domain}"))).collect();
            self.mail_hosts.extend(group.iter().map(|h| (h.clone(), n)));
            self.mail.push(Provider { domain, groups: vec![group], org: ORG_MAIL + n % 15 });
        }
    }

    fn add_hubs(&mut self, seed: u64, first: u64, space: &Space) {
        let mut base = first;
        let parking = self.parking_ns();
        let mut add = |cast: &mut Self, kind, org, count, ns| {
            let first = cast.hubs.iter().all(|h| h.kind != kind);
            let addr = match kind {
                HubKind::Cdn if first => cast.place(LISTED_CDN, org),
                HubKind::Parking if first => cast.place(LISTED_PARKING, org),
                HubKind::Sinkhole if first => cast.place(LISTED_SINKHOLE, org),
                _ => cast.next_addr(org, space),
            };
            cast.hubs.push(Hub { kind, addr, base, count, ns, org });
            base += count;
        };
        for edge in 0..3 * CDN_EDGES {
            // One edge in each CDN carries a million names.
            let draw = hash_bytes(seed ^ edge as u64, b"edge");
            let count = if edge % CDN_EDGES == 0 { 1_000_000 } else { 100_000 + draw % 300_000 };
            add(self, HubKind::Cdn, ORG_CDN + edge / CDN_EDGES, count, edge % 10);
        }
        for _ in 0..2 {
            add(self, HubKind::Parking, ORG_PARKING, 300_000, parking);
        }
        for n in 0..5 {
            let count = 5_000 + hash_bytes(seed ^ n, b"giant") % 15_000;
            add(self, HubKind::Giant, ORG_GIANT + n as usize, count, 10 + n as usize);
        }
        for n in 0..2 {
            let count = 2_000 + hash_bytes(seed ^ n, b"sink") % 4_000;
            add(self, HubKind::Sinkhole, ORG_SINKHOLE, count, POPULAR_NS - 1);
        }
    }
}

/// How many name server providers of middling size there are.
pub(crate) fn medium_ns(domains: u64) -> u64 {
    (domains / 3000).max(1)
}

/// How many names all hubs have together; known before the hubs are.
pub(crate) fn hub_names(seed: u64) -> u64 {
    let edges: u64 = (0..3 * CDN_EDGES)
        .map(|e| {
            if e % CDN_EDGES == 0 {
                1_000_000
            } else {
                100_000 + hash_bytes(seed ^ e as u64, b"edge") % 300_000
            }
        })
        .sum();
    let giants: u64 = (0..5).map(|n| 5_000 + hash_bytes(seed ^ n, b"giant") % 15_000).sum();
    let sinks: u64 = (0..2).map(|n| 2_000 + hash_bytes(seed ^ n, b"sink") % 4_000).sum();
    edges + 600_000 + giants + sinks
}

fn since(seed: u64, n: u64) -> i64 {
    GENERATED_NOW - (9 + (mix(seed ^ n ^ 0x51ce) % 14) as i64) * 365 * DAY
}

fn orgs(seed: u64) -> Vec<Org> {
    const PLACES: [(&str, &str); 12] = [
        ("DE", "ripencc"),
        ("US", "arin"),
        ("NL", "ripencc"),
        ("FR", "ripencc"),
        ("GB", "ripencc"),
        ("SG", "apnic"),
        ("BR", "lacnic"),
        ("PL", "ripencc"),
        ("JP", "apnic"),
        ("MD", "ripencc"),
        ("SC", "afrinic"),
        ("CA", "arin"),
    ];
    (0..ORGS as u64)
        .map(|n| {
            let word = match n as usize {
                ORG_CDN..ORG_PARKING => "cdnet",
                ORG_PARKING => "parking",
                ORG_RESIDENTIAL..ORG_SINKHOLE => "telekom",
                ORG_SINKHOLE => "-sinkhole",
                ORG_DNS..ORG_MAIL => "dnsnet",
                ORG_MAIL..ORG_HOSTING => "mailnet",
                _ => ["hosting", "servers", "cloud", "datacenter"][(mix(seed ^ n) % 4) as usize],
            };
            let domain = provider(seed, "org", n, word, ["com", "net", "de", "org"][(n % 4) as usize]);
            let label = domain.split('.').next().unwrap_or_default();
            let (country, registry) = PLACES[(mix(seed ^ n ^ 0xcc) % 12) as usize];
            let form = ["Ltd", "GmbH", "Inc", "BV", "SAS"][(mix(seed ^ n ^ 0xf0) % 5) as usize];
            Org {
                // 113 is prime to the range, so that the numbers are distinct and not in a row.
                asn: 30_000 + ((n * 113 + mix(seed) % 30_000) % 30_000) as u32,
                name: format!("{}{} {form}", label[..1].to_uppercase(), &label[1..]),
                domain,
                country,
                registry,
                since: GENERATED_NOW - (24 + (mix(seed ^ n ^ 0xa5) % 3) as i64) * 365 * DAY,
            }
        })
        .collect()
}
