//! The campaign's people: gives a shape names, times and places.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Generated;
use super::campaign::Shape;
use super::cast::{LISTED_DYNDNS, MAIL, POPULAR_MAIL, POPULAR_NS};
use super::lexicon::person;
use super::machines::{Machine, Populated};
use super::ordinary::Stay;
use super::registry::REGISTRARS;
use super::sheet::Sheet;
use crate::model::Registrant;
use crate::rng::{Stream, mix, unit};
use crate::time::DAY;
use crate::truth::{DecoyKind, Planned, Tie};

/// What was made of a campaign; decoys are laid around it.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) sheets: Vec<Sheet>,
    pub(super) machines: Vec<Machine>,
    /// Addresses on which the campaign is or was.
    pub(super) used: BTreeSet<Ipv4Addr>,
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
        let crime = self.write_crime(&mut chance);
        if self.spec.campaign {
            let shape = Shape::grow(&mut chance);
            let operation = self.stage(&shape, &crime, &mut chance);
            for sheet in &operation.sheets {
                self.write(sheet);
            }
            self.write_shared_certificates(&shape, &operation, &mut chance);
            self.write_agencies(&operation, &mut chance);
            self.write_decoys(&operation, &mut chance);
            self.truth.seeds = vec![operation.machines[0].addr.to_string()];
            self.truth.planned = planned(&shape, &operation);
        } else {
            let addr = self.plain_seed(&mut chance);
            let known = self.neighbours(addr);
            self.widen(addr, self.now, known, &mut chance);
            self.write_agencies_around(addr, &mut chance);
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

    fn stage(&mut self, shape: &Shape, crime: &[Populated], chance: &mut Stream) -> Operation {
        let mut operation = Operation::default();
        let mut machine_of = vec![usize::MAX; shape.shared.len()];
        for (s, shared) in shape.shared.iter().enumerate() {
            if shared.tie == Tie::Address && !shared.members.is_empty() {
                machine_of[s] = operation.machines.len();
                let machine = self.machine(s, crime, &mut operation.used, chance);
                operation.machines.push(machine);
            }
        }
        for m in 0..shape.members.len() {
            let sheet = self.member_sheet(shape, m, &machine_of, &mut operation, chance);
            operation.sheets.push(sheet);
        }
        for (s, shared) in shape.shared.iter().enumerate() {
            match shared.tie {
                Tie::NameServerPair => self.give_name_servers(&shared.members, &mut operation, chance),
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
        self.make_dynamic(shape, &mut operation);
        let seed = operation.machines[0].addr;
        let on_seed = operation.sheets.iter().filter(|s| s.stays.iter().any(|stay| stay.addr == seed));
        let known = on_seed.flat_map(|s| &s.stays).map(|stay| self.neighbours(stay.addr)).sum();
        for i in self.widen(seed, operation.machines[0].waves[0].0, known, chance) {
            self.decoy(self.lexicon.name(i).to_string(), DecoyKind::OtherTime);
        }
        operation
    }

    /// Where a member was and is, oldest first.
    fn member_stays(
        &self,
        shape: &Shape,
        m: usize,
        machine_of: &[usize],
        machines: &[Machine],
        chance: &mut Stream,
    ) -> Vec<Stay> {
        let on: Vec<usize> = shape.members[m]
            .shares
            .iter()
            .copied()
            .filter(|s| shape.shared[*s].tie == Tie::Address)
            .collect();
        let mut stays: Vec<Stay> = Vec::new();
        for s in &on {
            let machine = &machines[machine_of[*s]];
            let place = shape.shared[*s].members.iter().position(|x| *x == m).unwrap_or(0);
            // The first four hold the seed address now; elsewhere waves take turns.
            let newest = machine.waves.len() - 1;
            let turn = place.is_multiple_of(2) && on.last() == Some(s);
            let now = stays.iter().all(|s| s.last < self.now - 2 * DAY);
            let wave =
                if now && (turn || (*s == 0 && place < 4)) { newest } else { place % machine.waves.len() };
            stays.push(self.stay_in(machine.addr, machine.waves[wave], chance));
        }
        stays.sort_by_key(|s| s.first);
        if let [earlier, later] = &mut stays[..]
            && later.first - earlier.first > 6 * DAY
            && earlier.last < self.now - 2 * DAY
        {
            // It moved from the one to the other.
            earlier.last = earlier.last.min(later.first - chance.below(3 * 86_400) as i64);
        }
        stays
    }

    fn member_sheet(
        &self,
        shape: &Shape,
        m: usize,
        machine_of: &[usize],
        operation: &mut Operation,
        chance: &mut Stream,
    ) -> Sheet {
        let member = &shape.members[m];
        let mut stays = self.member_stays(shape, m, machine_of, &operation.machines, chance);
        let mut current = stays.iter().rev().find(|s| s.last > self.now - 2 * DAY).map(|s| s.addr);
        let earliest =
            stays.first().map_or_else(|| self.now - chance.spread(30, 700) as i64 * DAY, |s| s.first);
        let mut registered = earliest - chance.spread(6, 60 * 24) as i64 * 3600;
        if member.resolves && current.is_none() {
            let addr = self.cover_host(&mut operation.used, chance);
            let first = stays.last().map_or(registered + DAY, |s| s.last - 2 * DAY);
            stays.push(Stay { addr, first, last: self.now - chance.between(1, 40) as i64 * 3600 });
            current = Some(addr);
        }
        let mut taken = None;
        if shape.share_of(m, Tie::RegistrationBurst).is_none() && chance.chance(0.12) {
            // Bought from somebody who had it for years.
            taken = Some(registered);
            let left = registered - chance.spread(1, 200) as i64 * DAY;
            registered -= chance.spread(2 * 365, 9 * 365) as i64 * DAY;
            let addr = self.other_host(&mut operation.used, chance);
            stays.insert(0, Stay { addr, first: registered + 2 * DAY, last: left });
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
            taken,
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

    /// A few that have nothing but an address are names below a provider of dynamic DNS.
    fn make_dynamic(&self, shape: &Shape, operation: &mut Operation) {
        let fit = |m: &usize| shape.ties(*m) == [Tie::Address] && operation.sheets[*m].hosts.is_empty();
        let members: Vec<usize> = (4..operation.sheets.len()).filter(fit).take(3).collect();
        for m in members {
            let sheet = &mut operation.sheets[m];
            let taken = sheet.held();
            sheet.stays.retain(|s| s.last >= taken);
            *sheet = Sheet {
                domain: format!("{}.{LISTED_DYNDNS}", self.lexicon.stem(sheet.index)),
                index: sheet.index,
                registered: taken,
                stays: std::mem::take(&mut sheet.stays),
                current: sheet.current,
                seen: sheet.seen,
                dynamic: true,
                ..Sheet::default()
            };
        }
    }

    /// Two hosts of the group's own, or a pair of hosts that are seldom combined.
    fn give_name_servers(&mut self, members: &[usize], operation: &mut Operation, chance: &mut Stream) {
        let Some(&leader) = members.first() else { return };
        let Operation { sheets, used, .. } = operation;
        let pair = if chance.chance(0.6) || self.cast.medium_ns < 2 {
            let addr = sheets[leader].current.unwrap_or_else(|| self.cover_host(used, chance));
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

    fn write_shared_certificates(&mut self, shape: &Shape, operation: &Operation, chance: &mut Stream) {
        for shared in shape.shared.iter().filter(|s| s.tie == Tie::Certificate && !s.members.is_empty()) {
            let sheets = shared.members.iter().map(|m| &operation.sheets[*m]);
            let names: Vec<String> = sheets.clone().map(|s| s.domain.clone()).collect();
            let youngest = sheets.map(Sheet::held).max().unwrap_or(self.now - 30 * DAY);
            let issued = (youngest + chance.between(2, 60) as i64 * 3600).min(self.now - 3600);
            if chance.chance(0.15) {
                self.stranger_certificate(names, issued, chance);
            } else {
                let cert = self.cert_from(chance.draw() | (1 << 63), names, issued, 90);
                self.tables.add_cert(cert);
            }
        }
        // Most have one of their own besides.
        for sheet in operation.sheets.iter().filter(|s| s.current.is_some() && !s.dynamic) {
            if chance.chance(0.7) {
                let names = vec![sheet.domain.clone(), format!("www.{}", sheet.domain)];
                let issued = (sheet.held() + 7200).max(self.now - chance.between(1, 80) as i64 * DAY);
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
