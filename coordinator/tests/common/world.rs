//! A tiny internet from a seed: names under zones, addresses, name servers, mail hosts,
//! certificates, registrants, aliases, wildcards, hubs, cycles.

use std::collections::{BTreeMap, BTreeSet};

use kudzu_shared::observable::{Name, Observable};
use kudzu_shared::pair::Relation;
use kudzu_shared::time::UnixSeconds;

use super::rng::Rng;

/// Midnight, 2024-01-01 UTC: worlds happen in the year after it.
pub const EPOCH: UnixSeconds = 1_704_067_200;
const DAY: i64 = 86_400;

/// A name under which each name resolves.
#[derive(Debug, Clone, Default)]
pub struct Wild {
    pub addresses: Vec<Observable>,
    pub alias: Option<Observable>,
}

/// When a source saw a pair.
pub type Seen = (Option<UnixSeconds>, Option<UnixSeconds>);

/// What there is.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub seed: u64,
    pub names: Vec<Observable>,
    pub addresses: Vec<Observable>,
    pub wild: BTreeMap<Observable, Wild>,
    pub alias: BTreeMap<Observable, Vec<Observable>>,
    pub address: BTreeMap<Observable, BTreeSet<Observable>>,
    pub ns: BTreeMap<Observable, BTreeSet<Observable>>,
    pub mx: BTreeMap<Observable, BTreeSet<Observable>>,
    pub ptr: BTreeMap<Observable, BTreeSet<Observable>>,
    /// Passive DNS: name, address, when.
    pub history: BTreeMap<(Observable, Observable), Seen>,
    pub certificates: BTreeMap<Observable, BTreeSet<Observable>>,
    pub registrant: BTreeMap<Observable, Observable>,
    /// A file of pairs.
    pub mine: BTreeMap<Observable, BTreeSet<(Relation, Observable, Seen)>>,
    /// How many rows more than it gives a source says there are.
    pub beyond: u64,
}

pub fn name(text: &str) -> Observable {
    Observable::from_name(&Name::from_text(text).expect("a name"))
}

pub fn ip(text: &str) -> Observable {
    Observable::from_ip(text.parse().expect("an address"))
}

const ZONES: [&str; 6] = ["alpha.com", "beta.net", "gamma.co.uk", "delta.org", "eps.de", "wild.info"];
const LABELS: [&str; 10] = ["www", "mail", "a.b", "c.b", "ns1", "x", "y.z", "deep.er.b", "ns2", "d.b"];

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut w = World { seed, beyond: *rng.pick(&[0, 0, 3, 1_000_000]), ..World::default() };
        w.things(&mut rng);
        w.records(&mut rng);
        w.wildcards(&mut rng);
        w.past(&mut rng);
        w.registrations(&mut rng);
        w.pairs(&mut rng);
        w
    }

    fn things(&mut self, rng: &mut Rng) {
        for zone in &ZONES[..rng.within(2, 6) as usize] {
            self.names.push(name(zone));
            for _ in 0..rng.within(2, 8) {
                self.names.push(name(&format!("{}.{zone}", rng.pick(&LABELS))));
            }
        }
        self.names.push(name("unknown"));
        for n in 0..rng.within(3, 14) {
            self.addresses.push(match rng.below(3) {
                0 => ip(&format!("2a01:4f8:{}::{n}", rng.below(2))),
                _ => ip(&format!("45.{}.7.{n}", rng.below(3))),
            });
        }
        if rng.percent(30) {
            self.addresses.push(ip("10.0.0.1"));
            self.names.push(name("printer.local"));
        }
        rng.shuffle(&mut self.names);
        rng.shuffle(&mut self.addresses);
    }

    fn records(&mut self, rng: &mut Rng) {
        let aliases = rng.below(40);
        for n in self.names.clone() {
            if rng.percent(aliases) {
                let targets = self.alias.entry(n.clone()).or_default();
                targets.push(rng.pick(&self.names).clone()); // Itself too: some chains are cycles.
                if rng.percent(10) {
                    targets.push(rng.pick(&self.names).clone()); // Forbidden, and seen in the wild.
                }
                targets.sort();
                targets.dedup();
            }
            for _ in 0..rng.below(3) {
                let a = rng.pick_skewed(&self.addresses).clone();
                self.address.entry(n.clone()).or_default().insert(a);
            }
            for _ in 0..rng.below(2) {
                self.ns.entry(n.clone()).or_default().insert(rng.pick_skewed(&self.names).clone());
                self.mx.entry(n.clone()).or_default().insert(rng.pick_skewed(&self.names).clone());
            }
        }
        for a in self.addresses.clone() {
            for _ in 0..rng.below(3) {
                self.ptr.entry(a.clone()).or_default().insert(rng.pick(&self.names).clone());
            }
        }
    }

    fn wildcards(&mut self, rng: &mut Rng) {
        for zone in ["wild.info", "b.alpha.com", "beta.net"] {
            if !rng.percent(30) {
                continue;
            }
            let mut wild = Wild::default();
            for _ in 0..rng.within(1, 2) {
                wild.addresses.push(rng.pick(&self.addresses).clone());
            }
            if rng.percent(30) {
                wild.alias = Some(rng.pick(&self.names).clone());
            }
            self.wild.insert(name(zone), wild.clone());
            // Names that exist only because somebody asked; passive DNS and PTR remember them.
            for n in 0..rng.within(1, 9) {
                let made_up = name(&format!("r{n}.{zone}"));
                for a in &wild.addresses {
                    self.history.insert((made_up.clone(), a.clone()), seen(rng));
                }
                if rng.percent(30) {
                    let a = rng.pick(&self.addresses).clone();
                    self.ptr.entry(a).or_default().insert(made_up.clone());
                }
                self.names.push(made_up);
            }
        }
    }

    fn past(&mut self, rng: &mut Rng) {
        for n in self.names.clone() {
            for _ in 0..rng.below(3) {
                let a = rng.pick_skewed(&self.addresses).clone();
                self.history.insert((n.clone(), a), seen(rng));
            }
        }
    }

    fn registrations(&mut self, rng: &mut Rng) {
        let people = ["eve@evil.net", "abuse@alpha.com", "no one in particular"];
        for n in self.names.clone() {
            if rng.percent(30) {
                let who = rng.pick(&people);
                let kind = if who.contains('@') {
                    kudzu_shared::observable::Kind::EmailAddr
                } else {
                    kudzu_shared::observable::Kind::Identity
                };
                let who = Observable::from_wire(kind, who.as_bytes()).expect("a person");
                self.registrant.insert(n.clone(), who);
            }
            if rng.percent(25) {
                let print = [rng.below(3) as u8 + 1; 32];
                let kind = kudzu_shared::observable::Kind::X509Certificate;
                let cert = Observable::from_wire(kind, &print).expect("a fingerprint");
                self.certificates.entry(cert).or_default().insert(n);
            }
        }
    }

    fn pairs(&mut self, rng: &mut Rng) {
        let all: Vec<Observable> = self.names.iter().chain(&self.addresses).cloned().collect();
        for key in &all {
            for _ in 0..rng.below(2) {
                let value = rng.pick_skewed(&all).clone();
                let relation = *rng.pick(&[Relation::RelatedTo, Relation::HostedName, Relation::NameServer]);
                self.mine.entry(key.clone()).or_default().insert((relation, value, seen(rng)));
            }
        }
        // What a registry says too, without its word that this is a person.
        for (key, who) in self.registrant.clone() {
            if rng.percent(20) {
                let row = (Relation::RegisteredBy, who, (None, None));
                self.mine.entry(key).or_default().insert(row);
            }
        }
    }

    /// Whether a name has anything of its own.
    pub fn exists(&self, n: &Observable) -> bool {
        self.alias.contains_key(n)
            || self.address.contains_key(n)
            || self.ns.contains_key(n)
            || self.mx.contains_key(n)
    }
}

fn seen(rng: &mut Rng) -> Seen {
    let first = EPOCH + rng.below(300) as i64 * DAY;
    let last = first + rng.below(60) as i64 * DAY;
    match rng.below(8) {
        0 => (None, None),
        1 => (None, Some(last)),
        2 => (Some(first), None),
        _ => (Some(first), Some(last)),
    }
}
