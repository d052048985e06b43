//! Addresses of the campaign: machines of its own, places among strangers, and who was there before.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Generated;
use super::cast::{HOSTS_PER_NET, LINES_PER_NET, ORG_BULLETPROOF, ORG_HOSTING, ORGS};
use super::ordinary::Stay;
use crate::rng::{Stream, unit};
use crate::time::DAY;
use crate::truth::DecoyKind;

/// Of so many ordinary domains, one is to stand two steps from the seed's names: enough that a walk of six
/// steps comes to most of the neighbourhood, and few enough that it does so only in its last steps.
const NEAR: u64 = 32;

/// An address of the campaign, with the times of the waves on it, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) addr: Ipv4Addr,
    pub(super) waves: Vec<(i64, i64)>,
}

/// An address with those who are or were on it.
#[derive(Clone, Debug)]
pub(super) struct Populated {
    pub(super) addr: Ipv4Addr,
    /// Domain, first and last seen.
    pub(super) names: Vec<(String, i64, i64)>,
}

impl Generated {
    /// Where a machine of the campaign stands; the first one is its own.
    pub(super) fn machine(
        &mut self,
        number: usize,
        crime: &[Populated],
        used: &mut BTreeSet<Ipv4Addr>,
        chance: &mut Stream,
    ) -> Machine {
        let hoster = ORG_HOSTING + chance.below((ORGS - ORG_HOSTING) as u64) as usize;
        let kind = if number == 0 { 62 + chance.below(38) } else { chance.below(100) };
        let place = match kind {
            0..22 => self.among_crime(crime, used, chance),
            22..37 => self.among_few(used, chance),
            37..47 => self.line(used, chance),
            47..62 | 80..90 => self.own(ORG_BULLETPROOF + chance.below(3) as usize),
            62..80 => self.beside_hosts(used, chance),
            _ => self.own(hoster),
        };
        let Populated { addr, names } = place;
        used.insert(addr);
        let waves = self.waves(number == 0 || chance.chance(0.6), (37..47).contains(&kind), chance);
        for (domain, first, last) in names {
            let met = waves.iter().any(|(from, until)| first <= *until && last >= *from);
            self.decoy(domain, if met { DecoyKind::ChanceAddress } else { DecoyKind::OtherTime });
        }
        Machine { addr, waves }
    }

    /// One to three waves, newest last; between them weeks of overlap, nothing, or months of silence.
    fn waves(&self, active: bool, short: bool, chance: &mut Stream) -> Vec<(i64, i64)> {
        let mut until = if active { self.now } else { self.now - chance.between(20, 120) as i64 * DAY };
        let mut waves = Vec::new();
        for _ in 0..if short { 1 } else { chance.between(1, 3) } {
            let days = if short { chance.between(14, 60) } else { chance.between(50, 120) };
            let from = until - days as i64 * DAY;
            waves.push((from, until));
            until = match chance.below(20) {
                0..9 => from + chance.between(7, 20) as i64 * DAY,
                9..14 => from - chance.below(10) as i64 * DAY,
                _ => from - chance.spread(20, 150) as i64 * DAY,
            };
        }
        waves.reverse();
        waves
    }

    fn own(&mut self, org: usize) -> Populated {
        let addr = self.cast.next_addr(org, &self.space);
        self.name_machine(addr);
        Populated { addr, names: Vec::new() }
    }

    /// A rented machine in the network of ordinary hosts, between two of them.
    pub(super) fn beside_hosts(&mut self, used: &BTreeSet<Ipv4Addr>, chance: &mut Stream) -> Populated {
        loop {
            let host = self.host_addr(chance.below(self.layouts[0].hosts() / HOSTS_PER_NET * HOSTS_PER_NET));
            let addr = Ipv4Addr::from_bits(host.to_bits() + chance.between(2, 18) as u32);
            if addr.octets()[..3] == host.octets()[..3] && !used.contains(&addr) {
                self.name_machine(addr);
                return Populated { addr, names: Vec::new() };
            }
        }
    }

    fn name_machine(&mut self, addr: Ipv4Addr) {
        if let Some(host) = self.generic_ptr(addr) {
            self.write_ptr(addr, &host);
        }
    }

    /// An address of a bulletproof hoster on which other crime is.
    fn among_crime(
        &mut self,
        crime: &[Populated],
        used: &BTreeSet<Ipv4Addr>,
        chance: &mut Stream,
    ) -> Populated {
        let free: Vec<&Populated> = crime.iter().filter(|p| !used.contains(&p.addr)).collect();
        if free.is_empty() { self.own(ORG_BULLETPROOF) } else { (*chance.pick(&free)).clone() }
    }

    /// A small shared host with its tenants of then and now.
    fn among_few(&mut self, used: &BTreeSet<Ipv4Addr>, chance: &mut Stream) -> Populated {
        for _ in 0..400 {
            let host = chance.below(self.layouts[0].hosts());
            let addr = self.host_addr(host);
            let tenants = self.tenants(host);
            if (20..=60).contains(&tenants.len()) && !used.contains(&addr) {
                let on = |i: &u64| self.stays(*i).into_iter().find(|s| s.addr == addr).map(|s| (*i, s));
                let names = tenants.iter().filter_map(on);
                let names = names.map(|(i, s)| (self.lexicon.name(i).to_string(), s.first, s.last)).collect();
                return Populated { addr, names };
            }
        }
        self.own(ORG_HOSTING)
    }

    /// Somebody's line at home, with a dynamic DNS name.
    fn line(&mut self, used: &BTreeSet<Ipv4Addr>, chance: &mut Stream) -> Populated {
        for _ in 0..50 {
            let line = self.line_of(chance.below(LINES_PER_NET));
            if let Some(addr) = line.filter(|addr| !used.contains(addr)) {
                return Populated { addr, names: Vec::new() };
            }
        }
        self.own(ORG_HOSTING)
    }

    /// All stays of one wave overlap in its middle.
    pub(super) fn stay_in(&self, addr: Ipv4Addr, (from, until): (i64, i64), chance: &mut Stream) -> Stay {
        let length = (until - from) as f64;
        let first = from + (unit(chance.draw()) * 0.35 * length) as i64;
        let last = if until == self.now {
            until - chance.between(1, 40) as i64 * 3600
        } else {
            until - (unit(chance.draw()) * 0.25 * length) as i64
        };
        Stay { addr, first, last }
    }

    /// A shared host of any size from six names up, on which the campaign is not yet: two of its domains on
    /// one small host would be a tie.
    pub(super) fn cover_host(&self, used: &mut BTreeSet<Ipv4Addr>, chance: &mut Stream) -> Ipv4Addr {
        let wanted = chance.spread(6, 160) as usize;
        let mut tries = 0;
        loop {
            let host = chance.below(self.layouts[0].hosts());
            let (addr, names) = (self.host_addr(host), self.block_len(host));
            tries += 1;
            let near = tries > 100 || (wanted / 2..=wanted * 2).contains(&names);
            let free = tries > 2_000 || (names >= 6 && !used.contains(&addr));
            if near && free {
                used.insert(addr);
                return addr;
            }
        }
    }

    /// Any host on which the campaign is not.
    pub(super) fn other_host(&self, used: &mut BTreeSet<Ipv4Addr>, chance: &mut Stream) -> Ipv4Addr {
        let mut tries = (0..100).map(|_| self.host_addr(chance.below(self.layouts[0].hosts())));
        let addr = tries.find(|addr| !used.contains(addr));
        let addr = addr.unwrap_or_else(|| self.host_addr(0));
        used.insert(addr);
        addr
    }

    /// How many ordinary domains share an address, now or earlier.
    pub(super) fn neighbours(&self, addr: Ipv4Addr) -> u64 {
        self.host_of(addr).map_or(0, |host| self.tenants(host).len() as u64)
    }

    /// Gives the seed address former tenants until enough of the neighbourhood stands behind them.
    pub(super) fn widen(&mut self, seed: Ipv4Addr, came: i64, known: u64, chance: &mut Stream) -> Vec<u64> {
        let wanted = self.ordinary / NEAR;
        let (mut behind, mut found) = (known, Vec::new());
        for _ in 0..200 {
            if behind >= wanted {
                break;
            }
            for i in self.former_tenants(seed, came, 1, chance) {
                behind += self.stays(i).iter().map(|stay| self.neighbours(stay.addr)).sum::<u64>();
                found.push(i);
            }
        }
        found
    }

    /// Puts older domains on an address for a time that ended before somebody else came: mostly years
    /// before, for a few only weeks or months.
    pub(super) fn former_tenants(
        &mut self,
        addr: Ipv4Addr,
        came: i64,
        count: usize,
        chance: &mut Stream,
    ) -> Vec<u64> {
        let mut found = Vec::with_capacity(count);
        for _ in 0..count * 200 {
            if found.len() == count {
                break;
            }
            let i = chance.below(self.ordinary);
            let life = self.life(i);
            let gap = if chance.chance(0.2) { chance.spread(30, 200) } else { chance.spread(200, 5 * 365) };
            let last = came - gap as i64 * DAY;
            if life.created > last - 60 * DAY || life.end.is_some() || found.contains(&i) {
                continue;
            }
            let first = (last - chance.spread(40, 900) as i64 * DAY).max(life.created + 6 * DAY);
            let name = self.lexicon.name(i).to_string();
            let row = self.row(name, "A", addr.to_string(), first, last);
            self.tables.rows.add(row);
            found.push(i);
        }
        found
    }
}
