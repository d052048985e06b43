//! Registrations of domains, networks and systems, computed.

use std::net::{IpAddr, Ipv4Addr};

use super::cast::Org;
use super::lexicon::{person, provider, registrable};
use super::zones::Domain;
use super::{Generated, Tag};
use crate::model::{Autnum, IpNetwork, Registrant, Registrar, Registration};
use crate::name::Name;
use crate::rng::{Feistel, hash_bytes, unit};
use crate::time::DAY;

/// How many registrars there are.
pub(super) const REGISTRARS: u64 = 25;
const FREE_MAIL: &str = "postkastenmail.com";

impl Generated {
    pub(super) fn registered(&self, domain: &str) -> Option<Registration> {
        if let Some(written) = self.tables.registrations.get(domain) {
            return Some(written.clone());
        }
        let name = Name::from_text(domain)?;
        if registrable(name.as_wire())? != 0 {
            return None;
        }
        match self.domain(name.as_wire())? {
            Domain::Ordinary(i) => Some(self.ordinary_registration(i, domain)),
            Domain::Filler(index, hub) => {
                let hub = &self.cast.hubs[hub];
                let (first, last) = self.filler_times(hub, index - hub.base);
                let servers = self.cast.ns[hub.ns].groups[0].iter().map(ToString::to_string).collect();
                let created = first - (self.roll(Tag::Second, index) % (20 * DAY as u64)) as i64;
                Some(self.registration(index, domain, (created, last), servers))
            }
        }
    }

    fn ordinary_registration(&self, i: u64, domain: &str) -> Registration {
        let life = self.life(i);
        let servers = self.ns_hosts_of(i).iter().map(ToString::to_string).collect();
        self.registration(i, domain, (life.created, life.end.unwrap_or(self.now)), servers)
    }

    fn registration(
        &self,
        index: u64,
        domain: &str,
        (created, end): (i64, i64),
        nameservers: Vec<String>,
    ) -> Registration {
        let year = 365 * DAY;
        let years = (end - created) / year + 1;
        let expires = created + years * year;
        let ended = expires < self.now;
        let leader = if index < self.ordinary { self.leader(index) } else { index };
        let registrar = self.registrar_of(leader);
        Registration {
            domain: domain.to_owned(),
            handle: format!("D{}-SIM", self.handle_number(index)),
            registrar: self.registrar(registrar),
            registrant: self.registrant(leader, registrar),
            registered: created,
            changed: (created + (years - 1) * year).max(created),
            expires,
            status: vec![if ended { "redemption period" } else { "client transfer prohibited" }.to_owned()],
            nameservers,
            redirected: self.roll(Tag::Redirect, index).is_multiple_of(10),
        }
    }

    /// Few registrars have most of the customers.
    fn registrar_of(&self, leader: u64) -> u64 {
        let draw = unit(self.roll(Tag::Registrar, leader));
        ((draw * draw) * REGISTRARS as f64) as u64
    }

    pub(super) fn registrar(&self, number: u64) -> Registrar {
        let domain = provider(self.key, "registrar", number, "registrar", "com");
        let label = domain.split('.').next().unwrap_or_default();
        Registrar {
            name: format!("{}{} Inc.", label[..1].to_uppercase(), &label[1..]),
            iana_id: 1000 + number as u32 * 7,
            abuse_email: format!("abuse@{domain}"),
        }
    }

    /// The privacy service of a registrar: one address for all of its customers.
    pub(super) fn privacy(&self, registrar: u64) -> Registrant {
        let domain = provider(self.key, "privacy", registrar / 3, "privacy", "org");
        Registrant {
            handle: format!("PRIV{}-SIM", registrar / 3),
            name: String::new(),
            org: format!("Domain Privacy Service {}", registrar / 3 + 1),
            email: format!("contact@{domain}"),
            country: "IS".to_owned(),
            redacted: true,
        }
    }

    pub(super) fn registrant(&self, leader: u64, registrar: u64) -> Registrant {
        let draw = self.roll(Tag::Owner, leader);
        let owned = if leader < self.ordinary { self.cluster(leader).len() } else { 1 };
        let share = unit(draw);
        let hidden = if owned > 1 { 0.3 } else { 0.72 };
        if share < hidden {
            return self.privacy(registrar);
        }
        let country = ["DE", "US", "FR", "GB", "PL", "NL", "BR", "JP"][(draw >> 8) as usize % 8];
        let (given, family) = person(draw);
        let domain = self.lexicon.name(leader).to_string();
        let company = owned > 1 || share > 0.86;
        let org = if company {
            let stem = self.lexicon.stem(leader);
            format!(
                "{}{} {}",
                stem[..1].to_uppercase(),
                &stem[1..],
                ["GmbH", "Ltd", "SARL", "Inc"][draw as usize % 4]
            )
        } else {
            String::new()
        };
        let email = if company {
            format!("domains@{domain}")
        } else {
            format!("{}.{}@{FREE_MAIL}", given.to_lowercase(), self.lexicon.stem(leader))
        };
        Registrant {
            handle: format!("R{}-SIM", self.handle_number(leader)),
            name: format!("{given} {family}"),
            org,
            email,
            country: country.to_owned(),
            redacted: false,
        }
    }

    /// Registry handles do not show in which order domains are numbered.
    pub(super) fn handle_number(&self, index: u64) -> u64 {
        self.handles().forward(index)
    }

    fn handles(&self) -> Feistel {
        Feistel::new(self.key ^ 0x4a7d, self.lexicon.len())
    }

    pub(super) fn owned_by(&self, email: &str) -> Vec<String> {
        let email = email.to_ascii_lowercase();
        let mut found = self.tables.registered_by(&email);
        let leader = email.split_once('@').and_then(|(local, domain)| {
            if domain == FREE_MAIL {
                return self.lexicon.stem_index(local.split_once('.')?.1.as_bytes());
            }
            self.lexicon.index(Name::from_text(domain)?.as_wire())
        });
        if let Some(leader) = leader.filter(|l| *l < self.ordinary && self.leader(*l) == *l) {
            let owner = self.registrant(leader, self.registrar_of(leader));
            if !owner.redacted && owner.email == email {
                found.extend(self.cluster(leader).into_iter().map(|i| self.lexicon.name(i).to_string()));
            }
        }
        found.sort();
        found
    }

    pub(super) fn person_or_company(&self, handle: &str) -> Option<Registrant> {
        let upper = handle.to_ascii_uppercase();
        if let Some(written) = self.tables.entity(&upper) {
            return Some(written);
        }
        let inner = upper.strip_suffix("-SIM")?;
        if let Some(number) = inner.strip_prefix("PRIV") {
            let number: u64 = number.parse().ok()?;
            return (number < REGISTRARS.div_ceil(3)).then(|| self.privacy(number * 3));
        }
        if let Some(asn) = inner.strip_prefix("ORG-AS") {
            let asn: u32 = asn.parse().ok()?;
            return self.cast.orgs.iter().find(|o| o.asn == asn).map(holder);
        }
        let number: u64 = inner.strip_prefix('R')?.parse().ok()?;
        let index = (number < self.lexicon.len()).then(|| self.handles().inverse(number))?;
        let leader = if index < self.ordinary { self.leader(index) } else { index };
        let known = index < self.ordinary || self.cast.hub_of(index).is_some();
        let owner = self.registrant(leader, self.registrar_of(leader));
        (known && !owner.redacted && leader == index).then_some(owner)
    }

    pub(super) fn ip_network(&self, addr: IpAddr) -> Option<IpNetwork> {
        let (slot, net) = self.net_of(addr)?;
        let org = &self.cast.orgs[net.org];
        let (start, prefix): (IpAddr, u8) = match addr {
            IpAddr::V4(v4) => (Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00).into(), 24),
            IpAddr::V6(_) => (crate::model::mask(addr, 32)?, 32),
        };
        Some(IpNetwork {
            handle: format!("NET{}-SIM", hash_bytes(self.key, &slot.to_be_bytes()) as u32),
            name: format!("{}-NET-{slot}", label(org)),
            start,
            prefix,
            country: org.country.to_owned(),
            registered: net.since,
            asn: org.asn,
            holder: holder(org),
            abuse_email: format!("abuse@{}", org.domain),
        })
    }

    pub(super) fn system(&self, number: u32) -> Option<Autnum> {
        let org = self.cast.orgs.iter().find(|o| o.asn == number)?;
        Some(Autnum {
            number,
            name: format!("{}-AS", label(org)),
            country: org.country.to_owned(),
            registered: org.since,
            holder: holder(org),
            abuse_email: format!("abuse@{}", org.domain),
        })
    }
}

fn label(org: &Org) -> String {
    org.domain.split('.').next().unwrap_or_default().to_ascii_uppercase()
}

fn holder(org: &Org) -> Registrant {
    Registrant {
        handle: format!("ORG-AS{}-SIM", org.asn),
        name: String::new(),
        org: org.name.clone(),
        email: format!("noc@{}", org.domain),
        country: org.country.to_owned(),
        redacted: false,
    }
}
