//! Reverse names and the origin zones, both computed from an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cast::{LINES_PER_NET, Use};
use super::zones::record;
use super::{Generated, Tag};
use crate::model::{RData, Rcode, Record, Verdict, rtype};
use crate::name::{Name, labels};
use crate::presentation::txt;
use crate::time::rfc3339;
use crate::world::Step;

/// A name whose meaning is an address.
enum Reverse {
    Ptr(IpAddr),
    Origin(IpAddr),
    System(u32),
    /// Part of a reverse tree.
    Between,
    /// Not to be read.
    Nonsense,
}

impl Generated {
    /// Answers names of the reverse trees; `None` for all others.
    pub(super) fn reverse(&self, name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Option<Step> {
        let read = read(name)?;
        if matches!(read, Reverse::Ptr(_) | Reverse::Between | Reverse::Nonsense) && self.tables.has(name) {
            return self.tables.step(name, qtype, out);
        }
        let found = match read {
            Reverse::Ptr(addr) => self.ptr(addr).map(|host| (rtype::PTR, RData::Host(host))),
            Reverse::Origin(addr) => self.origin(addr).map(|text| (rtype::TXT, txt(text.as_bytes()))),
            Reverse::System(asn) => self.system_text(asn).map(|text| (rtype::TXT, txt(text.as_bytes()))),
            Reverse::Between => return Some(Step::End(Verdict::of(Rcode::NoError))),
            Reverse::Nonsense => None,
        };
        let authority = tree_soa(name);
        Some(match found {
            Some((rtype, rdata)) if rtype == qtype => {
                out.push(record(name, rtype, 14_400, rdata));
                Step::Found
            }
            Some(_) => Step::negative(Rcode::NoError, authority),
            None => Step::negative(Rcode::NxDomain, authority),
        })
    }

    fn ptr(&self, addr: IpAddr) -> Option<Name> {
        match addr {
            IpAddr::V4(v4) => {
                if let Some(host) = self.host_of(v4) {
                    return match self.roll(Tag::Ptr, host) % 100 {
                        0..60 => self.generic_ptr(v4),
                        60..85 => {
                            let first = self.layouts[0].block(self.layouts[0].block_on(host)).next()?;
                            Some(self.lexicon.name(first))
                        }
                        _ => None,
                    };
                }
                let (_, net) = self.net_of(addr)?;
                if matches!(net.used, Use::Residential(_)) { self.generic_ptr(v4) } else { None }
            }
            IpAddr::V6(v6) => {
                let owner = self.v6_owner(v6)?;
                (self.roll(Tag::V6Ptr, owner) % 10 < 3).then(|| self.lexicon.name(owner))
            }
        }
    }

    /// `host-192-0-2-1.<organisation>`, for hosting and lines alike.
    pub(super) fn generic_ptr(&self, addr: Ipv4Addr) -> Option<Name> {
        let (_, net) = self.net_of(addr.into())?;
        let zone = Name::from_text(&self.cast.orgs[net.org].domain)?;
        Some(zone.child(format!("host-{}", addr.to_string().replace('.', "-")).as_bytes()))
    }

    fn origin(&self, addr: IpAddr) -> Option<String> {
        let network = self.ip_network(addr)?;
        let org = self.cast.orgs.iter().find(|o| o.asn == network.asn)?;
        let since = &rfc3339(network.registered)[..10];
        Some(format!("{} | {} | {} | {} | {since}", org.asn, network.cidr(), org.country, org.registry))
    }

    fn system_text(&self, asn: u32) -> Option<String> {
        let org = self.cast.orgs.iter().find(|o| o.asn == asn)?;
        let since = &rfc3339(org.since)[..10];
        Some(format!("{asn} | {} | {} | {since} | {}, {}", org.country, org.registry, org.name, org.country))
    }

    /// The line on which a dynamic DNS user is now.
    pub(super) fn line_of(&self, user: u64) -> Option<Ipv4Addr> {
        let first = self.cast.nets.iter().position(|n| matches!(n.used, Use::Residential(_)))? as u64;
        let lines = self.cast.nets.iter().filter(|n| matches!(n.used, Use::Residential(_))).count() as u64;
        let users = lines * LINES_PER_NET;
        let line =
            crate::rng::Feistel::new(self.roll(Tag::Line, 0), users).forward((user < users).then_some(user)?);
        Some(self.space.v4(first + line / LINES_PER_NET, (line % LINES_PER_NET) as u8 + 2))
    }

    /// The dynamic DNS user on a line.
    pub(super) fn user_on(&self, addr: Ipv4Addr) -> Option<u64> {
        let (slot, octet) = self.space.slot_v4(addr)?;
        let Use::Residential(first) = self.cast.nets.get(slot as usize)?.used else { return None };
        let inside = u64::from(octet).checked_sub(2).filter(|i| *i < LINES_PER_NET)?;
        let lines = self.cast.nets.iter().filter(|n| matches!(n.used, Use::Residential(_))).count() as u64;
        let users = lines * LINES_PER_NET;
        Some(crate::rng::Feistel::new(self.roll(Tag::Line, 0), users).inverse(first + inside))
    }
}

fn read(name: &[u8]) -> Option<Reverse> {
    let all: Vec<&[u8]> = labels(name).collect();
    let v4 = |rest: &[&[u8]]| octets(rest).map(|addr| Reverse::Ptr(addr.into()));
    if let Some(rest) = strip(&all, &[b"in-addr", b"arpa"]) {
        return Some(v4(rest).unwrap_or(if rest.len() < 4 { Reverse::Between } else { Reverse::Nonsense }));
    }
    if let Some(rest) = strip(&all, &[b"ip6", b"arpa"]) {
        let full = nibbles(rest).filter(|_| rest.len() == 32).map(|addr| Reverse::Ptr(addr.into()));
        return Some(full.unwrap_or(if rest.len() < 32 { Reverse::Between } else { Reverse::Nonsense }));
    }
    if let Some(rest) = strip(&all, &[b"origin", b"asn", b"cymru", b"com"]) {
        return Some(octets(rest).map_or(Reverse::Nonsense, |addr| Reverse::Origin(addr.into())));
    }
    if let Some(rest) = strip(&all, &[b"origin6", b"asn", b"cymru", b"com"]) {
        return Some(nibbles(rest).map_or(Reverse::Nonsense, |addr| Reverse::Origin(addr.into())));
    }
    let rest = strip(&all, &[b"asn", b"cymru", b"com"])?;
    let number = match rest {
        [label] => std::str::from_utf8(label).ok().and_then(|l| l.strip_prefix("as")?.parse().ok()),
        _ => None,
    };
    Some(number.map_or(Reverse::Nonsense, Reverse::System))
}

fn strip<'a, 'b>(all: &'a [&'b [u8]], suffix: &[&[u8]]) -> Option<&'a [&'b [u8]]> {
    let cut = all.len().checked_sub(suffix.len())?;
    (all[cut..] == *suffix).then(|| &all[..cut])
}

fn octets(labels: &[&[u8]]) -> Option<Ipv4Addr> {
    let [d, c, b, a] = labels else { return None };
    let read = |l: &[u8]| std::str::from_utf8(l).ok()?.parse::<u8>().ok();
    Some(Ipv4Addr::new(read(a)?, read(b)?, read(c)?, read(d)?))
}

/// Reversed hexadecimal digits; missing low ones are zero.
fn nibbles(labels: &[&[u8]]) -> Option<Ipv6Addr> {
    if labels.is_empty() || labels.len() > 32 {
        return None;
    }
    let mut bits = 0_u128;
    for (place, label) in labels.iter().rev().enumerate() {
        let [digit] = label else { return None };
        bits |= u128::from(char::from(*digit).to_digit(16)?) << (124 - 4 * place);
    }
    Some(Ipv6Addr::from_bits(bits))
}

fn tree_soa(name: &[u8]) -> Record {
    let all: Vec<&[u8]> = labels(name).collect();
    let mut zone = Name::root();
    for label in all.iter().rev().take(2) {
        zone = zone.child(label);
    }
    super::zones::soa(zone.clone(), zone.child(b"a"), zone.child(b"hostmaster"), 2_026_060_101)
}
