//! A world made from a seed: most of it is computed when asked, the irregular rest stands in tables.

mod actor;
mod agencies;
mod campaign;
mod cast;
mod certs;
mod corners;
mod decoys;
mod history;
mod infra;
mod layout;
mod lexicon;
mod machines;
mod ordinary;
mod registry;
mod reverse;
mod sheet;
mod space;
mod zones;

use std::net::IpAddr;
use std::sync::Arc;

use self::cast::{CDN_EDGES, Cast, MAIL, POPULAR_MAIL, POPULAR_NS, hub_names};
use self::layout::{Layout, Shares, zipf};
use self::lexicon::{Lexicon, TLDS};
use self::space::Space;
use crate::model::{Autnum, Certificate, IpNetwork, Record, Registrant, Registration};
use crate::pdns::Rows;
use crate::rng::mix;
use crate::tables::Tables;
use crate::time::GENERATED_NOW;
use crate::truth::Truth;
use crate::world::{Internet, PdnsQuery, Step, WorldSpec};

/// Ordinary domains at scale 1.
const NEIGHBOURHOOD: f64 = 60_000.0;
/// Numbers kept for domains that stand in the tables.
const WRITTEN_NAMES: u64 = 4_000;

/// Names in the certificates of hosting companies.
const SHARED_CERTS: [u32; 12] = [5, 48, 9, 80, 14, 6, 64, 25, 35, 8, 18, 72];

/// What a draw is for; keeps draws about the same number apart.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
enum Tag {
    Age = 1,
    Second,
    Dead,
    End,
    Seen,
    Cluster,
    Octet,
    V6,
    Start,
    Cut,
    Gap,
    Part,
    NsPair,
    SecondMx,
    Www,
    Mailbox,
    Spf,
    Ptr,
    V6Ptr,
    Registrar,
    Owner,
    Redirect,
    Certified,
    CertPhase,
    HubRow,
    Count,
    Ttl,
    Line,
}

/// Knobs that were turned until the neighbourhood had the right size (examples/reach.rs).
#[derive(Clone, Copy, Debug)]
struct Tune {
    /// Share of domains with an IPv6 address.
    v6: f64,
    /// Scales how many earlier addresses domains have.
    history: f64,
    /// Tenths of the domains with own mail hosts that have a second one.
    second_mx: u64,
}

const TUNE: Tune = Tune { v6: 0.55, history: 1.0, second_mx: 3 };

/// A generated world.
#[derive(Debug)]
pub(crate) struct Generated {
    spec: WorldSpec,
    key: u64,
    now: i64,
    ordinary: u64,
    tune: Tune,
    lexicon: Lexicon,
    space: Space,
    /// The present one first, then earlier ones.
    layouts: [Layout; 4],
    ns_shares: Shares,
    mail_shares: Shares,
    visits: Shares,
    shared_certs: Layout,
    cast: Cast,
    tables: Tables,
    truth: Truth,
    /// Companies numbered so far.
    companies: u64,
}

impl Generated {
    pub(crate) fn new(spec: &WorldSpec) -> Self {
        let key = mix(spec.seed ^ 0x6b75_647a_7521);
        let ordinary = ((NEIGHBOURHOOD * spec.scale) as u64).clamp(2_000, 1 << 30);
        let layouts = layouts(key, ordinary);
        let first_hub_name = ordinary + WRITTEN_NAMES + cast::medium_ns(ordinary);
        let space = Space::new(key);
        let cast = Cast::new(key, layouts[0].hosts(), ordinary, first_hub_name, &space);
        let mut world = Self {
            spec: spec.clone(),
            key,
            now: GENERATED_NOW,
            ordinary,
            tune: TUNE,
            lexicon: Lexicon::new(key, first_hub_name + hub_names(key)),
            space,
            layouts,
            ns_shares: Shares::new(key ^ 0x05, ordinary, &ns_weights(cast.medium_ns)),
            mail_shares: Shares::new(key ^ 0x3a11, ordinary, &mail_weights()),
            visits: Shares::new(key ^ 0x0b, ordinary, &visit_weights()),
            shared_certs: Layout::new(key ^ 0x5a, ordinary, &SHARED_CERTS, None),
            cast,
            tables: Tables::default(),
            truth: Truth::default(),
            companies: 0,
        };
        world.write_infra();
        world.write_corners();
        world.write_campaign();
        world.tables.close();
        world
    }

    /// A draw that depends on the world, the purpose and a number.
    fn roll(&self, tag: Tag, number: u64) -> u64 {
        mix(mix(self.key ^ ((tag as u64) << 48)) ^ number)
    }
}

fn layouts(key: u64, ordinary: u64) -> [Layout; 4] {
    const PRESENT: [u32; 36] = [
        1, 150, 2, 18, 1, 40, 6, 3, 80, 10, 1, 24, 5, 2, 110, 9, 1, 34, 12, 4, 20, 1, 60, 7, 3, 28, 14, 2,
        48, 8, 1, 16, 5, 3, 10, 6,
    ];
    const EARLIER: [[u32; 12]; 3] = [
        [2, 70, 5, 25, 140, 3, 12, 50, 8, 100, 18, 35],
        [1, 90, 9, 30, 15, 120, 4, 22, 60, 45, 12, 33],
        [3, 80, 10, 130, 20, 40, 6, 28, 65, 14, 50, 9],
    ];
    let present = Layout::new(key ^ 0x01, ordinary, &PRESENT, None);
    let hosts = Some(present.hosts());
    let [a, b, c] = EARLIER;
    let earlier = |salt: u64, sizes: [u32; 12]| Layout::new(key ^ salt, ordinary, &sizes, hosts);
    [present, earlier(0x11, a), earlier(0x21, b), earlier(0x31, c)]
}

/// 85 % popular, 10 % medium; the rest has servers of its own.
fn ns_weights(medium: usize) -> Vec<f64> {
    let popular = zipf(POPULAR_NS, 0.85);
    popular.chain(std::iter::repeat_n(0.10 / medium as f64, medium)).collect()
}

/// Popular providers, small ones, then own mail hosts, then null MX; the rest has no mail.
fn mail_weights() -> Vec<f64> {
    let small = std::iter::repeat_n(0.004, MAIL - POPULAR_MAIL);
    zipf(POPULAR_MAIL, 0.38).chain(small).chain([0.42, 0.02]).collect()
}

/// In the order of the hubs: CDN edges, parking, giants, sinkholes.
fn visit_weights() -> Vec<f64> {
    let edges = std::iter::repeat_n(0.05 / (3 * CDN_EDGES) as f64, 3 * CDN_EDGES);
    edges.chain([0.04, 0.04]).chain([0.006; 5]).chain([0.001; 2]).collect()
}

impl Internet for Generated {
    fn as_of(&self) -> i64 {
        self.now
    }

    fn truth(&self) -> Truth {
        self.truth.clone()
    }

    fn step(&self, name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Step {
        self.resolve(name, qtype, out)
    }

    fn pdns(self: Arc<Self>, query: &PdnsQuery) -> Rows {
        history::rows(&self, query)
    }

    fn registration(&self, domain: &str) -> Option<Registration> {
        self.registered(domain)
    }

    fn registered_by(&self, email: &str) -> Vec<String> {
        self.owned_by(email)
    }

    fn tlds(&self) -> Vec<String> {
        TLDS.map(str::to_owned).to_vec()
    }

    fn network(&self, addr: IpAddr) -> Option<IpNetwork> {
        self.ip_network(addr)
    }

    fn autnum(&self, number: u32) -> Option<Autnum> {
        self.system(number)
    }

    fn entity(&self, handle: &str) -> Option<Registrant> {
        self.person_or_company(handle)
    }

    fn certs_by_name(&self, name: &str, subdomains: bool) -> Vec<Certificate> {
        self.certificates(name, subdomains)
    }

    fn cert(&self, sha256: &str) -> Option<Certificate> {
        self.certificate(sha256)
    }
}

#[cfg(test)]
mod likeness;
#[cfg(test)]
mod tests;
