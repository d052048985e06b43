//! Clusters of young domains in one hand that is nobody's enemy: agencies, companies, hobbyists. They stand
//! near the seed and look like a campaign from close by.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Generated;
use super::actor::Operation;
use super::cast::{POPULAR_MAIL, POPULAR_NS};
use super::lexicon::person;
use super::ordinary::Stay;
use super::registry::REGISTRARS;
use super::sheet::Sheet;
use crate::model::Registrant;
use crate::rng::Stream;
use crate::time::DAY;
use crate::truth::DecoyKind;

/// Number of the first written domain of a cluster.
const FIRST_AGENCY: u64 = 540;
const AGENCIES: usize = 6;

/// How one domain of a cluster comes across the seed's neighbourhood.
#[derive(Clone, Debug)]
enum Meeting {
    /// On this address now, among others.
    Now(Ipv4Addr),
    /// On this address until then.
    Until(Ipv4Addr, i64),
    /// Registered just after this, at this registrar.
    Burst(i64, u64),
    /// In a hosting company's certificate with this domain, which its owner has since then.
    Certificate(String, i64),
    /// Only by what everybody shares.
    None,
}

/// What the domains of a cluster have in common.
struct Agency {
    index: u64,
    size: u64,
    began: i64,
    /// Seconds over which they were registered.
    span: i64,
    registrar: u64,
    owner: Registrant,
    ns: Vec<String>,
    mx: Vec<String>,
    /// Address, from, until; the last one is the present one.
    servers: Vec<(Ipv4Addr, i64, i64)>,
}

impl Generated {
    /// Writes the clusters around a campaign.
    pub(super) fn write_agencies(&mut self, operation: &Operation, chance: &mut Stream) {
        let seed = operation.machines[0].addr;
        let covers: Vec<Ipv4Addr> = operation.sheets.iter().filter_map(|s| s.current).collect();
        let covers: Vec<Ipv4Addr> = covers.into_iter().filter(|a| self.host_of(*a).is_some()).collect();
        let registered: Vec<&Sheet> = operation.sheets.iter().filter(|s| !s.dynamic).collect();
        let meetings = (0..AGENCIES).map(|n| {
            let sheet = chance.pick(&registered);
            let machine = chance.pick(&operation.machines);
            match n {
                0 if !covers.is_empty() => Meeting::Now(*chance.pick(&covers)),
                1 => Meeting::Until(machine.addr, machine.waves[0].0 - chance.spread(30, 200) as i64 * DAY),
                2 => Meeting::Burst(sheet.registered, sheet.registrar),
                3 => Meeting::Certificate(sheet.domain.clone(), sheet.held()),
                _ => Meeting::None,
            }
        });
        let meetings: Vec<Meeting> = meetings.collect();
        let mut used = operation.used.clone();
        let near = self.near(seed, &used);
        self.agencies(&meetings, &near, &mut used, chance);
    }

    /// Writes the clusters around a seed without a campaign.
    pub(super) fn write_agencies_around(&mut self, seed: Ipv4Addr, chance: &mut Stream) {
        let left = self.now - chance.spread(30, 400) as i64 * DAY;
        let mut meetings = vec![Meeting::None; AGENCIES];
        meetings[0] = Meeting::Now(seed);
        meetings[1] = Meeting::Until(seed, left);
        let mut used = BTreeSet::from([seed]);
        let near = self.near(seed, &used);
        self.agencies(&meetings, &near, &mut used, chance);
        self.truth.decoys.clear();
    }

    /// Ordinary hosts one domain away from the seed.
    fn near(&self, seed: Ipv4Addr, used: &BTreeSet<Ipv4Addr>) -> Vec<Ipv4Addr> {
        let rows = self.tables.rows.of_rdata(&seed.to_string());
        let owners = rows.iter().filter_map(|r| crate::name::Name::from_text(&r.rrname));
        let mut domains: Vec<u64> = owners.filter_map(|n| self.lexicon.index(n.as_wire())).collect();
        domains.extend(self.host_of(seed).into_iter().flat_map(|host| self.tenants(host)));
        domains.retain(|i| *i < self.ordinary);
        let places: BTreeSet<Ipv4Addr> = domains
            .iter()
            .flat_map(|i| self.stays(*i))
            .map(|s| s.addr)
            .filter(|a| !used.contains(a))
            .collect();
        places.into_iter().filter(|a| self.host_of(*a).is_some()).collect()
    }

    fn agencies(
        &mut self,
        meetings: &[Meeting],
        near: &[Ipv4Addr],
        used: &mut BTreeSet<Ipv4Addr>,
        chance: &mut Stream,
    ) {
        let mut index = self.ordinary + FIRST_AGENCY;
        for meeting in meetings {
            let agency = self.agency(index, used, chance);
            index += agency.size;
            self.write_agency(&agency, meeting, near, chance);
        }
    }

    fn agency(&mut self, index: u64, used: &mut BTreeSet<Ipv4Addr>, chance: &mut Stream) -> Agency {
        let leader = self.lexicon.name(index).to_string();
        let began = self.now - chance.spread(40, 700) as i64 * DAY;
        let span = (chance.spread(1, 20_000) as i64 * 1800).min(self.now - began - 15 * DAY);
        let registrar = chance.below(REGISTRARS);
        let owner = if chance.chance(0.65) {
            self.agency_owner(index, &leader, chance)
        } else {
            self.privacy(registrar)
        };
        let popular = |world: &Self, chance: &mut Stream| {
            let provider = &world.cast.ns[chance.below(POPULAR_NS as u64) as usize];
            chance.pick(&provider.groups).iter().map(ToString::to_string).collect()
        };
        let ns = match chance.below(10) {
            0..7 => vec![format!("ns1.{leader}"), format!("ns2.{leader}")],
            _ => popular(self, chance),
        };
        let mx = match chance.below(10) {
            0..5 => vec![format!("mail.{leader}")],
            5..8 => {
                let provider = &self.cast.mail[chance.below(POPULAR_MAIL as u64) as usize];
                provider.groups[0].iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        };
        let mut place = |world: &mut Self, chance: &mut Stream| {
            let addr = world.beside_hosts(used, chance).addr;
            used.insert(addr);
            addr
        };
        let mut servers = vec![(place(self, chance), began, self.now)];
        if chance.chance(0.5) {
            // A move to another server: at once, or after a while elsewhere.
            let moved = began + (self.now - began) * chance.between(20, 80) as i64 / 100;
            let back = (moved + chance.below(30) as i64 * DAY).min(self.now - 6 * DAY);
            servers = vec![(servers[0].0, began, moved), (place(self, chance), back, self.now)];
        }
        Agency { index, size: chance.spread(10, 60), began, span, registrar, owner, ns, mx, servers }
    }

    fn agency_owner(&self, index: u64, leader: &str, chance: &mut Stream) -> Registrant {
        let (given, family) = person(chance.draw());
        let stem = self.lexicon.stem(index);
        let company = chance.chance(0.7);
        let org =
            if company { format!("{}{} GmbH", stem[..1].to_uppercase(), &stem[1..]) } else { String::new() };
        Registrant {
            handle: format!("R{}-SIM", self.handle_number(index)),
            name: format!("{given} {family}"),
            org,
            email: format!("{}@{leader}", if company { "domains".to_owned() } else { given.to_lowercase() }),
            country: (*chance.pick(&["DE", "FR", "GB", "NL", "US"])).to_owned(),
            redacted: false,
        }
    }

    fn write_agency(&mut self, agency: &Agency, meeting: &Meeting, near: &[Ipv4Addr], chance: &mut Stream) {
        let mut sheets: Vec<Sheet> =
            (0..agency.size).map(|k| self.agency_sheet(agency, k, near, chance)).collect();
        let front = sheets[0].current.unwrap_or(agency.servers[0].0);
        let own: Vec<String> = agency.ns.iter().chain(&agency.mx).cloned().collect();
        let below = format!(".{}", sheets[0].domain);
        sheets[0].hosts.extend(own.into_iter().filter(|h| h.ends_with(&below)).map(|h| (h, front)));
        self.meet(&mut sheets[1], meeting, chance);
        for sheet in &sheets {
            self.write(sheet);
        }
        for group in sheets.chunks(chance.spread(3, 60) as usize) {
            let names: Vec<String> = group.iter().map(|s| s.domain.clone()).collect();
            let youngest = group.iter().map(|s| s.registered).max().unwrap_or(agency.began);
            let issued = (youngest + chance.between(1, 48) as i64 * 3600)
                .max(self.now - chance.between(2, 80) as i64 * DAY)
                .min(self.now - 3600);
            let cert = self.cert_from(chance.draw() | (1 << 63), names, issued, 90);
            self.tables.add_cert(cert);
        }
    }

    fn agency_sheet(&self, agency: &Agency, k: u64, near: &[Ipv4Addr], chance: &mut Stream) -> Sheet {
        let after = if k == 0 { 0 } else { chance.below(agency.span.max(1) as u64) as i64 };
        let registered = agency.began + after;
        let first = registered + chance.between(1, 72) as i64 * 3600;
        let now = self.now - chance.between(1, 40) as i64 * 3600;
        let mut stays: Vec<Stay> = Vec::new();
        // Two of them and a quarter of the others live at a hosting company instead, some near the seed.
        if k == 2 || k == 3 || (k > 3 && chance.chance(0.2)) {
            let close = !near.is_empty() && (k < 4 || chance.chance(0.3));
            let any = self.host_addr(chance.below(self.layouts[0].hosts()));
            stays.push(Stay { addr: if close { *chance.pick(near) } else { any }, first, last: now });
        } else {
            for (addr, from, until) in &agency.servers {
                let (first, last) = (first.max(*from), now.min(*until));
                if first < last {
                    stays.push(Stay { addr: *addr, first, last });
                }
            }
        }
        Sheet {
            domain: self.lexicon.name(agency.index + k).to_string(),
            index: agency.index + k,
            registrar: agency.registrar,
            registered,
            registrant: agency.owner.clone(),
            ns: agency.ns.clone(),
            mx: agency.mx.clone(),
            current: stays.last().map(|s| s.addr),
            stays,
            served: true,
            seen: now,
            ..Sheet::default()
        }
    }

    /// Lets one domain cross the way of the seed's neighbourhood.
    fn meet(&mut self, sheet: &mut Sheet, meeting: &Meeting, chance: &mut Stream) {
        let now = self.now - 3600 * chance.between(1, 40) as i64;
        let kind = match meeting {
            Meeting::Now(addr) => {
                sheet.stays = vec![Stay { addr: *addr, first: sheet.registered + DAY, last: now }];
                sheet.current = Some(*addr);
                DecoyKind::ChanceAddress
            }
            Meeting::Until(addr, left) => {
                let first = left - chance.spread(15, 300) as i64 * DAY;
                sheet.registered = sheet.registered.min(first - DAY);
                sheet.stays.insert(0, Stay { addr: *addr, first, last: *left });
                DecoyKind::OtherTime
            }
            Meeting::Burst(at, registrar) => {
                (sheet.registered, sheet.registrar) = (at + chance.between(60, 3_000) as i64, *registrar);
                let first = sheet.registered + DAY;
                sheet.stays.retain(|s| s.last > first);
                sheet.stays.iter_mut().for_each(|s| s.first = s.first.max(first));
                DecoyKind::ChanceBurst
            }
            Meeting::Certificate(with, since) => {
                let issued = (self.now - chance.between(2, 40) as i64 * DAY)
                    .max(since + DAY / 2)
                    .max(sheet.registered + DAY / 2);
                self.stranger_certificate(vec![with.clone(), sheet.domain.clone()], issued, chance);
                DecoyKind::SharedCertificate
            }
            Meeting::None => return,
        };
        self.decoy(sheet.domain.clone(), kind);
    }
}
