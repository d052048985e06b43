//! Domains that only look like the campaign, and the other crime around it.

use super::Generated;
use super::actor::Operation;
use super::cast::{MAIL, ORG_BULLETPROOF, POPULAR_NS};
use super::lexicon::person;
use super::machines::Populated;
use super::ordinary::{Delegation, Mail, Stay};
use super::registry::REGISTRARS;
use super::sheet::Sheet;
use crate::model::Registrant;
use crate::name::Name;
use crate::rng::Stream;
use crate::time::DAY;
use crate::truth::{Decoy, DecoyKind};

/// Addresses of each bulletproof hoster.
const BULLETPROOF_ADDRS: usize = 20;
/// Numbers of written domains: first crime, first decoy.
const FIRST_CRIME: u64 = 1_000;
const LAST_CRIME: u64 = 2_800;
const FIRST_DECOY: u64 = 500;
/// Of hosts and certificates with so few names, all strangers are decoys; of larger ones some.
const FEW: usize = 25;

impl Generated {
    /// Fills the bulletproof hosters with names that have nothing to do with each other.
    pub(super) fn write_crime(&mut self, chance: &mut Stream) -> Vec<Populated> {
        let mut places = Vec::new();
        let mut index = self.ordinary + FIRST_CRIME;
        for place in 0..3 * BULLETPROOF_ADDRS {
            let org = ORG_BULLETPROOF + place % 3;
            let addr = self.cast.next_addr(org, &self.space);
            // Many small ones, few with up to 60.
            let count = 5 + (chance.below(56) * chance.below(56)) / 56;
            let mut names = Vec::new();
            for _ in 0..count {
                if index >= self.ordinary + LAST_CRIME {
                    return places;
                }
                let age = chance.between(20, 700) as i64 * DAY;
                let registered = self.now - age - chance.below(86_400) as i64;
                let first = registered + chance.between(1, 9) as i64 * DAY;
                let over = chance.chance(0.4);
                let last = if over {
                    first + (self.now - first) / 2
                } else {
                    self.now - chance.below(90_000) as i64
                };
                let mut sheet = self.plain_sheet(index, registered, chance);
                if chance.chance(0.3) {
                    let before = self.host_addr(chance.below(self.layouts[0].hosts()));
                    sheet.stays.push(Stay { addr: before, first: registered + 3600, last: first });
                }
                sheet.stays.push(Stay { addr, first, last });
                sheet.current = (!over).then_some(addr);
                sheet.served = !over;
                sheet.seen = last;
                self.write(&sheet);
                names.push((sheet.domain, first, last));
                index += 1;
            }
            places.push(Populated { addr, names });
        }
        places
    }

    /// A domain with popular servers and no owner to be seen.
    fn plain_sheet(&self, index: u64, registered: i64, chance: &mut Stream) -> Sheet {
        let registrar = chance.below(REGISTRARS);
        let provider = &self.cast.ns[chance.below(POPULAR_NS as u64) as usize];
        Sheet {
            domain: self.lexicon.name(index).to_string(),
            index,
            registrar,
            registered,
            registrant: self.privacy(registrar),
            ns: chance.pick(&provider.groups).iter().map(ToString::to_string).collect(),
            served: true,
            seen: self.now - 3600,
            ..Sheet::default()
        }
    }

    pub(super) fn write_decoys(&mut self, operation: &Operation, chance: &mut Stream) {
        let each = (operation.sheets.len() / 8).max(2);
        self.small_hosts(operation);
        let mut index = self.ordinary + FIRST_DECOY;
        for n in 0..each {
            let registered: Vec<&Sheet> = operation.sheets.iter().filter(|s| !s.dynamic).collect();
            let sheet = *chance.pick(&registered);
            self.neighbours_by_chance(operation, sheet, chance);
            self.other_times(operation, n, chance);
            self.expired(operation, index, chance);
            self.chance_burst(operation, index + 1, chance);
            index += 2;
        }
        self.shared_certificates(operation, each, chance);
        self.truth.decoys.sort_by(|a, b| (a.kind, &a.domain).cmp(&(b.kind, &b.domain)));
        self.truth.decoys.dedup_by(|a, b| a.domain == b.domain);
    }

    pub(super) fn decoy(&mut self, domain: String, kind: DecoyKind) {
        if !self.truth.decoys.iter().any(|d| d.domain == domain) {
            self.truth.decoys.push(Decoy { domain, kind });
        }
    }

    /// Everybody beside the campaign where few are.
    fn small_hosts(&mut self, operation: &Operation) {
        for host in operation.sheets.iter().filter_map(|s| self.host_of(s.current?)).collect::<Vec<_>>() {
            let block: Vec<u64> = self.layouts[0].block(self.layouts[0].block_on(host)).collect();
            for i in block.iter().filter(|_| block.len() <= FEW) {
                if self.life(*i).end.is_none() {
                    self.decoy(self.lexicon.name(*i).to_string(), DecoyKind::ChanceAddress);
                }
            }
        }
    }

    /// Ordinary domains that share a popular thing with a campaign domain.
    fn neighbours_by_chance(&mut self, operation: &Operation, sheet: &Sheet, chance: &mut Stream) {
        let covered: Vec<u64> = operation.sheets.iter().filter_map(|s| self.host_of(s.current?)).collect();
        if !covered.is_empty() {
            let host = *chance.pick(&covered);
            let block: Vec<u64> = self.layouts[0].block(self.layouts[0].block_on(host)).collect();
            let alive: Vec<u64> = block.into_iter().filter(|i| self.life(*i).end.is_none()).collect();
            if !alive.is_empty() {
                self.decoy(self.lexicon.name(*chance.pick(&alive)).to_string(), DecoyKind::ChanceAddress);
            }
        }
        let server = sheet.ns.first().and_then(|h| Name::from_text(h));
        if let Some((number, pair)) = server.and_then(|h| self.cast.ns_hosts.get(&h).copied()) {
            let same = Delegation::Provider { number, pair };
            self.find_decoy(DecoyKind::PopularNs, chance, |world, i| world.delegation(i) == same);
        }
        let privacy = self.privacy(sheet.registrar).email;
        self.find_decoy(DecoyKind::PrivacyRegistrant, chance, |world, i| {
            let domain = world.lexicon.name(i).to_string();
            world.registered(&domain).is_some_and(|r| r.registrant.redacted && r.registrant.email == privacy)
        });
        let provider = (0..MAIL).find(|n| {
            let hosts = &self.cast.mail[*n].groups[0];
            sheet.mx.first().is_some_and(|mx| hosts[0].to_string() == *mx)
        });
        if let Some(number) = provider {
            self.find_decoy(DecoyKind::SharedMail, chance, |world, i| {
                world.mail(i) == Mail::Provider(number)
            });
        }
    }

    /// Looks for an ordinary domain of a kind; a few in a hundred are usual, so that this ends soon.
    fn find_decoy(&mut self, kind: DecoyKind, chance: &mut Stream, fits: impl Fn(&Self, u64) -> bool) {
        for _ in 0..400 {
            let i = chance.below(self.ordinary);
            if self.life(i).end.is_none() && fits(self, i) {
                self.decoy(self.lexicon.name(i).to_string(), kind);
                return;
            }
        }
    }

    /// Former tenants of a machine of the campaign.
    fn other_times(&mut self, operation: &Operation, n: usize, chance: &mut Stream) {
        let machine = &operation.machines[n % operation.machines.len()];
        for i in self.former_tenants(machine.addr, machine.waves[0].0, 1, chance) {
            self.decoy(self.lexicon.name(i).to_string(), DecoyKind::OtherTime);
        }
    }

    /// Once on a machine of the campaign, then let go, and now somebody else's.
    fn expired(&mut self, operation: &Operation, index: u64, chance: &mut Stream) {
        let machine = chance.pick(&operation.machines);
        let (from, _) = machine.waves[0];
        let registered = self.now - chance.between(10, 35) as i64 * DAY;
        let (given, family) = person(chance.draw());
        let addr = self.host_addr(chance.below(self.layouts[0].hosts()));
        let domain = self.lexicon.name(index).to_string();
        let mut sheet = self.plain_sheet(index, registered, chance);
        sheet.registrant = Registrant {
            handle: format!("R{}-SIM", self.handle_number(index)),
            email: format!("{}@{domain}", given.to_lowercase()),
            name: format!("{given} {family}"),
            country: "FR".to_owned(),
            ..Registrant::default()
        };
        let left = (from + 15 * DAY).min(registered - 5 * DAY);
        sheet.stays = vec![
            Stay { addr: machine.addr, first: left - 40 * DAY, last: left },
            Stay { addr, first: registered + DAY, last: self.now - 7200 },
        ];
        sheet.current = Some(addr);
        self.write(&sheet);
        self.decoy(domain, DecoyKind::ExpiredRegistrant);
    }

    /// Registered by chance at the same registrar within the hour.
    fn chance_burst(&mut self, operation: &Operation, index: u64, chance: &mut Stream) {
        let sheet = match operation.bursts.is_empty() {
            true => chance.pick(&operation.sheets),
            false => &operation.sheets[*chance.pick(&operation.bursts)],
        };
        let registered = sheet.registered + chance.between(60, 3_000) as i64;
        let mut own = self.plain_sheet(index, registered, chance);
        own.registrar = sheet.registrar;
        own.registrant = self.privacy(sheet.registrar);
        let addr = self.host_addr(chance.below(self.layouts[0].hosts()));
        own.stays = vec![Stay { addr, first: registered + DAY, last: self.now - 5400 }];
        own.current = Some(addr);
        self.write(&own);
        self.decoy(own.domain, DecoyKind::ChanceBurst);
    }

    /// One campaign name among strangers.
    fn shared_certificates(&mut self, operation: &Operation, each: usize, chance: &mut Stream) {
        for _ in 0..each.div_ceil(4) {
            let planned = chance.pick(&operation.sheets);
            let issued = (planned.held() + DAY / 2).max(self.now - chance.between(2, 80) as i64 * DAY);
            self.stranger_certificate(vec![planned.domain.clone()], issued, chance);
        }
    }

    /// A certificate of a hosting company, in which these names stand among strangers.
    pub(super) fn stranger_certificate(&mut self, mut names: Vec<String>, issued: i64, chance: &mut Stream) {
        let count = (chance.spread(5, 80) as usize).saturating_sub(names.len()).max(3);
        let mut strangers: Vec<u64> = Vec::new();
        while strangers.len() < count {
            let i = chance.below(self.ordinary);
            let life = self.life(i);
            if life.end.is_none() && life.created < issued && !strangers.contains(&i) {
                strangers.push(i);
            }
        }
        let strangers: Vec<String> = strangers.iter().map(|i| self.lexicon.name(*i).to_string()).collect();
        for name in strangers.iter().take(if count <= FEW { count } else { 4 }) {
            self.decoy(name.clone(), DecoyKind::SharedCertificate);
        }
        names.extend(strangers);
        chance.shuffle(&mut names);
        let cert = self.cert_from(chance.draw() | (1 << 63), names, issued, 365);
        self.tables.add_cert(cert);
    }
}
