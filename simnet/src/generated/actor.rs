//! The campaign's people and machines: gives a shape names, times and places.

use std::net::Ipv4Addr;

use super::Generated;
use super::campaign::Shape;
use super::cast::{MAIL, ORG_BULLETPROOF, ORG_HOSTING, ORGS, POPULAR_MAIL, POPULAR_NS};
use super::lexicon::person;
use super::ordinary::Stay;
use super::registry::REGISTRARS;
use super::sheet::Sheet;
use crate::model::Registrant;
use crate::name::Name;
use crate::rng::{Stream, mix, unit};
use crate::time::DAY;
use crate::truth::{Planned, Tie};

/// Of so many ordinary domains, one is to stand two steps from the seed's names: enough that a walk of six
/// steps comes to most of the neighbourhood, and few enough that it does so only in its last steps.
const NEAR: u64 = 32;

/// An address of the campaign, with the times of the waves on it, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) addr: Ipv4Addr,
    pub(super) waves: Vec<(i64, i64)>,
}

/// What was made of a campaign; decoys are laid around it.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) sheets: Vec<Sheet>,
    pub(super) machines: Vec<Machine>,
    /// Sheets that share one registration burst.
    pub(super) bursts: Vec<usize>,
}

impl Generated {
    /// Writes the campaign and its decoys; without a campaign only a seed.
    pub(super) fn write_campaign(&mut self) {
        self.truth.seed = self.spec.seed;
        self.truth.scale = self.spec.scale;
        self.truth.as_of = crate::time::rfc3339(self.now);
        let mut chance = Stream::new(self.key, 0xca3b);
        self.write_crime(&mut chance);
        if self.spec.campaign {
            let shape = Shape::grow(&mut chance);
            let operation = self.stage(&shape, &mut chance);
            for sheet in &operation.sheets {
                self.write(sheet);
            }
            self.write_shared_certificates(&shape, &operation, &mut chance);
            self.write_decoys(&operation, &mut chance);
            self.truth.seeds = vec![operation.machines[0].addr.to_string()];
            self.truth.planned = planned(&shape, &operation);
        } else {
            let addr = self.plain_seed(&mut chance);
            let known = self.neighbours(addr);
            self.widen(addr, known, &mut chance);
            self.truth.seeds = vec![addr.to_string()];
        }
    }

    /// A host of middling size.
    fn plain_seed(&self, chance: &mut Stream) -> Ipv4Addr {
        loop {
            let host = chance.below(self.layouts[0].hosts());
            if (8..=40).contains(&self.block_len(host)) {
                return self.host_addr(host);
            }
        }
    }

    fn stage(&mut self, shape: &Shape, chance: &mut Stream) -> Operation {
        let mut operation = Operation::default();
        let mut machine_of = vec![usize::MAX; shape.shared.len()];
        for (s, shared) in shape.shared.iter().enumerate() {
            if shared.tie == Tie::Address && !shared.members.is_empty() {
                machine_of[s] = operation.machines.len();
                let machine = self.machine(s, chance);
                operation.machines.push(machine);
            }
        }
        for m in 0..shape.members.len() {
            let sheet = self.member_sheet(shape, m, &machine_of, &operation.machines, chance);
            operation.sheets.push(sheet);
        }
        for (s, shared) in shape.shared.iter().enumerate() {
            match shared.tie {
                Tie::NameServerPair => self.give_name_servers(&shared.members, &mut operation.sheets, chance),
                Tie::MailHost => give_mail_host(&shared.members, &mut operation.sheets, s),
                Tie::Registrant => {
                    let owner = self.actor(s as u64);
                    for m in &shared.members {
                        operation.sheets[*m].registrant = owner.clone();
                    }
                }
                Tie::RegistrationBurst => {
                    give_burst(&shared.members, &mut operation.sheets, chance);
                    operation.bursts.extend(&shared.members);
                }
                Tie::Address | Tie::Certificate => {}
            }
        }
        let seed = operation.machines[0].addr;
        let on_seed = operation.sheets.iter().filter(|s| s.stays.iter().any(|stay| stay.addr == seed));
        let known = on_seed.flat_map(|s| &s.stays).map(|stay| self.neighbours(stay.addr)).sum();
        self.widen(seed, known, chance);
        operation
    }

    /// How many ordinary domains share an address, now or earlier.
    fn neighbours(&self, addr: Ipv4Addr) -> u64 {
        self.host_of(addr).map_or(0, |host| self.tenants(host).len() as u64)
    }

    /// Gives the seed address former tenants until enough of the neighbourhood stands behind them.
    fn widen(&mut self, seed: Ipv4Addr, known: u64, chance: &mut Stream) {
        let wanted = self.ordinary / NEAR;
        let mut behind = known;
        for _ in 0..200 {
            if behind >= wanted {
                return;
            }
            for i in self.former_tenants(seed, 1, chance) {
                behind += self.stays(i).iter().map(|stay| self.neighbours(stay.addr)).sum::<u64>();
            }
        }
    }

    /// Dedicated, at a bulletproof or an ordinary hoster, with one to three waves.
    fn machine(&mut self, number: usize, chance: &mut Stream) -> Machine {
        let org = if chance.chance(0.45) {
            ORG_BULLETPROOF + chance.below(3) as usize
        } else {
            ORG_HOSTING + chance.below((ORGS - ORG_HOSTING) as u64) as usize
        };
        let addr = self.cast.next_addr(org, &self.space);
        let zone = self.cast.orgs[org].domain.clone();
        if let Some(host) = Name::from_text(&format!("host-{}.{zone}", addr.to_string().replace('.', "-"))) {
            self.write_ptr(addr, &host);
        }
        let active = number == 0 || chance.chance(0.6);
        let mut until = if active { self.now } else { self.now - chance.between(20, 90) as i64 * DAY };
        let mut waves = Vec::new();
        for _ in 0..chance.between(1, 3) {
            let from = until - chance.between(50, 120) as i64 * DAY;
            waves.push((from, until));
            // The next wave back overlaps by weeks, or ends where this one begins.
            until = if chance.chance(0.6) { from + chance.between(7, 20) as i64 * DAY } else { from };
        }
        waves.reverse();
        Machine { addr, waves }
    }

    fn member_sheet(
        &self,
        shape: &Shape,
        m: usize,
        machine_of: &[usize],
        machines: &[Machine],
        chance: &mut Stream,
    ) -> Sheet {
        let member = &shape.members[m];
        let mut stays: Vec<Stay> = Vec::new();
        for s in member.shares.iter().filter(|s| shape.shared[**s].tie == Tie::Address) {
            let machine = &machines[machine_of[*s]];
            let place = shape.shared[*s].members.iter().position(|x| *x == m).unwrap_or(0);
            // The first four hold the seed address now; elsewhere waves take turns.
            let newest = machine.waves.len() - 1;
            let now = stays.is_empty() && (place % 2 == 0 || (*s == 0 && place < 4));
            let wave = if now { newest } else { place % machine.waves.len() };
            stays.push(self.stay_in(machine.addr, machine.waves[wave], chance));
        }
        stays.sort_by_key(|s| s.first);
        let mut current = stays.last().filter(|s| s.last > self.now - 2 * DAY).map(|s| s.addr);
        let earliest =
            stays.first().map_or_else(|| self.now - chance.between(30, 400) as i64 * DAY, |s| s.first);
        let registered = earliest - chance.between(6, 21 * 24) as i64 * 3600;
        if member.resolves && current.is_none() {
            let addr = self.cover_host(chance);
            let first = stays.last().map_or(registered + DAY, |s| s.last - 2 * DAY);
            stays.push(Stay { addr, first, last: self.now - chance.between(1, 40) as i64 * 3600 });
            current = Some(addr);
        }
        let registrar = ((unit(chance.draw()).powi(2)) * REGISTRARS as f64) as u64;
        let provider = &self.cast.ns[chance.below(POPULAR_NS as u64 / 2) as usize];
        let mail = (chance.chance(0.4) && shape.share_of(m, Tie::MailHost).is_none()).then(|| {
            let known = if chance.chance(0.85) { POPULAR_MAIL } else { MAIL };
            &self.cast.mail[chance.below(known as u64) as usize]
        });
        let index = self.ordinary + m as u64;
        Sheet {
            domain: self.lexicon.name(index).to_string(),
            index,
            registrar,
            registered,
            registrant: self.privacy(registrar),
            ns: chance.pick(&provider.groups).iter().map(ToString::to_string).collect(),
            mx: mail.iter().flat_map(|p| p.groups[0].iter().map(ToString::to_string)).collect(),
            txt: mail.iter().map(|p| format!("v=spf1 include:_spf.{} ~all", p.domain)).collect(),
            stays,
            current,
            served: true,
            seen: self.now - chance.between(1, 40) as i64 * 3600,
            ..Sheet::default()
        }
    }

    /// All stays of one wave overlap in its middle.
    fn stay_in(&self, addr: Ipv4Addr, (from, until): (i64, i64), chance: &mut Stream) -> Stay {
        let length = (until - from) as f64;
        let first = from + (unit(chance.draw()) * 0.35 * length) as i64;
        let last = if until == self.now {
            until - chance.between(1, 40) as i64 * 3600
        } else {
            until - (unit(chance.draw()) * 0.25 * length) as i64
        };
        Stay { addr, first, last }
    }

    /// A shared host among whose many names one more is not noticed.
    fn cover_host(&self, chance: &mut Stream) -> Ipv4Addr {
        loop {
            let host = chance.below(self.layouts[0].hosts());
            if self.block_len(host) >= 20 {
                return self.host_addr(host);
            }
        }
    }

    /// Two hosts of the group's own, or a pair of hosts that are seldom combined.
    fn give_name_servers(&mut self, members: &[usize], sheets: &mut [Sheet], chance: &mut Stream) {
        let Some(&leader) = members.first() else { return };
        let pair = if chance.chance(0.6) || self.cast.medium_ns < 2 {
            let addr = sheets[leader].current.unwrap_or_else(|| self.cover_host(chance));
            let domain = sheets[leader].domain.clone();
            let pair = vec![format!("ns1.{domain}"), format!("ns2.{domain}")];
            sheets[leader].hosts.extend(pair.iter().map(|h| (h.clone(), addr)));
            pair
        } else {
            let first = chance.below(self.cast.medium_ns as u64) as usize;
            let second =
                (first + 1 + chance.below(self.cast.medium_ns as u64 - 1) as usize) % self.cast.medium_ns;
            [(first, 0), (second, 1)]
                .map(|(n, place)| self.cast.ns[POPULAR_NS + n].groups[0][place].to_string())
                .to_vec()
        };
        for m in members {
            sheets[*m].ns.clone_from(&pair);
        }
    }

    /// A person who shows the same name and address again and again.
    fn actor(&self, number: u64) -> Registrant {
        let draw = mix(self.key ^ number ^ 0xac70);
        let (given, family) = person(draw);
        let email = format!(
            "{}.{}{}@postkastenmail.com",
            given.to_lowercase(),
            family.to_lowercase(),
            draw % 90 + 10
        );
        Registrant {
            handle: format!("R{}-SIM", self.handle_number(self.ordinary + 2_990 - number)),
            name: format!("{given} {family}"),
            org: String::new(),
            email,
            country: ["DE", "PL", "NL", "US"][(draw >> 9) as usize % 4].to_owned(),
            redacted: false,
        }
    }

    /// Puts old domains on an address for a time that ended years ago.
    pub(super) fn former_tenants(&mut self, addr: Ipv4Addr, count: usize, chance: &mut Stream) -> Vec<u64> {
        let mut found = Vec::with_capacity(count);
        let latest = self.now - 3 * 365 * DAY;
        for _ in 0..count * 200 {
            let i = chance.below(self.ordinary);
            let life = self.life(i);
            if found.len() == count {
                break;
            }
            if life.created > latest - 500 * DAY || life.end.is_some() || found.contains(&i) {
                continue;
            }
            let first = life.created + chance.between(6, 20) as i64 * DAY;
            let last = (first + chance.between(60, 900) as i64 * DAY).min(latest);
            let name = self.lexicon.name(i).to_string();
            let row = self.row(name, "A", addr.to_string(), first, last);
            self.tables.rows.add(row);
            found.push(i);
        }
        found
    }

    fn write_shared_certificates(&mut self, shape: &Shape, operation: &Operation, chance: &mut Stream) {
        for shared in shape.shared.iter().filter(|s| s.tie == Tie::Certificate && !s.members.is_empty()) {
            let sheets = shared.members.iter().map(|m| &operation.sheets[*m]);
            let names: Vec<String> = sheets.clone().map(|s| s.domain.clone()).collect();
            let youngest = sheets.map(|s| s.registered).max().unwrap_or(self.now - 30 * DAY);
            let issued = (youngest + chance.between(2, 60) as i64 * 3600).min(self.now - 3600);
            let cert = self.cert_from(chance.draw() | (1 << 63), names, issued, 90);
            self.tables.add_cert(cert);
        }
        // Most have one of their own besides.
        for sheet in operation.sheets.iter().filter(|s| s.current.is_some()) {
            if chance.chance(0.7) {
                let names = vec![sheet.domain.clone(), format!("www.{}", sheet.domain)];
                let issued = (sheet.registered + 7200).max(self.now - chance.between(1, 80) as i64 * DAY);
                let cert = self.cert_from(chance.draw() | (1 << 63), names, issued, 90);
                self.tables.add_cert(cert);
            }
        }
    }
}

fn planned(shape: &Shape, operation: &Operation) -> Vec<Planned> {
    let one = |(m, sheet): (usize, &Sheet)| Planned {
        domain: sheet.domain.clone(),
        ties: shape.ties(m),
        reachable: shape.members[m].reachable,
        resolves: sheet.current.is_some(),
    };
    operation.sheets.iter().enumerate().map(one).collect()
}

fn give_mail_host(members: &[usize], sheets: &mut [Sheet], number: usize) {
    let Some(&leader) = members.first() else { return };
    let host = format!("{}.{}", ["mx", "smtp", "mail"][number % 3], sheets[leader].domain);
    if let Some(addr) = sheets[leader].current {
        sheets[leader].hosts.push((host.clone(), addr));
    }
    for m in members {
        sheets[*m].mx = vec![host.clone()];
        sheets[*m].txt = vec!["v=spf1 mx -all".to_owned()];
    }
}

/// The same registrar within half an hour, early enough for all of them.
fn give_burst(members: &[usize], sheets: &mut [Sheet], chance: &mut Stream) {
    let Some(&leader) = members.first() else { return };
    let start = members.iter().map(|m| sheets[*m].registered).min().unwrap_or_default() - 1800;
    let registrar = sheets[leader].registrar;
    for m in members {
        sheets[*m].registered = start + chance.below(1800) as i64;
        sheets[*m].registrar = registrar;
    }
}
