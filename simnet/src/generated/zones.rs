//! DNS of names: ordinary domains, names on hubs, hosts of providers.

use std::net::Ipv4Addr;

use super::cast::{CDN_EDGES, HubKind};
use super::lexicon::registrable;
use super::ordinary::{Delegation, Mail, Www};
use super::{Generated, Tag};
use crate::model::{RData, Rcode, Record, Soa, Verdict, rtype};
use crate::name::{Name, labels, parent};
use crate::presentation::txt;
use crate::tables::TTL;
use crate::world::Step;

/// What a computed zone holds.
pub(super) enum Domain {
    Ordinary(u64),
    /// A name on a hub, with its hub.
    Filler(u64, usize),
}

impl Generated {
    pub(super) fn resolve(&self, name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Step {
        if let Some(step) = self.reverse(name, qtype, out) {
            return step;
        }
        let Some(cut) = registrable(name) else {
            return self.top_level(name);
        };
        let (apex, prefix) = (&name[cut..], &name[..cut]);
        if self.tables.has(apex) {
            return self.written(apex, prefix, name, qtype, out);
        }
        match self.domain(apex) {
            Some(Domain::Ordinary(i)) if self.life(i).end.is_none() => {
                self.ordinary_zone(i, apex, prefix, name, qtype, out)
            }
            Some(Domain::Filler(_, hub)) => self.filler_zone(hub, apex, prefix, name, qtype, out),
            Some(Domain::Ordinary(_)) | None => self.no_such_domain(apex),
        }
    }

    /// Which computed domain an apex is.
    pub(super) fn domain(&self, apex: &[u8]) -> Option<Domain> {
        let index = self.lexicon.index(apex)?;
        if index < self.ordinary {
            return Some(Domain::Ordinary(index));
        }
        self.cast.hub_of(index).map(|(hub, _)| Domain::Filler(index, hub))
    }

    fn top_level(&self, name: &[u8]) -> Step {
        let known = super::TLDS.iter().any(|tld| Name::from_text(tld).is_some_and(|t| t.as_wire() == name));
        let rcode = if known || name == [0] { Rcode::NoError } else { Rcode::NxDomain };
        Step::negative(rcode, registry_soa(&[0]))
    }

    fn no_such_domain(&self, apex: &[u8]) -> Step {
        Step::negative(Rcode::NxDomain, registry_soa(parent(apex).unwrap_or(&[0])))
    }

    /// Zones from the tables, with the computed hosts that some of them have.
    fn written(&self, apex: &[u8], prefix: &[u8], name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Step {
        if let Some(label) = labels(prefix).next() {
            if let Some(step) = self.corner(apex, prefix, name, qtype, out) {
                return step;
            }
            if prefix.len() == label.len() + 1
                && !self.tables.has(name)
                && let Some(addr) = self.computed_host(apex, label)
            {
                return self.one_addr(apex, name, addr, qtype, out);
            }
        }
        self.tables.step(name, qtype, out).unwrap_or_else(|| self.no_such_domain(apex))
    }

    /// `host-192-0-2-1` under a hoster, `user17` under dynamic DNS, `d123` under a CDN.
    fn computed_host(&self, apex: &[u8], label: &[u8]) -> Option<Ipv4Addr> {
        let label = std::str::from_utf8(label).ok()?;
        if let Some(rest) = label.strip_prefix("host-") {
            let addr: Ipv4Addr = rest.replace('-', ".").parse().ok()?;
            let owner = self.generic_ptr(addr)?;
            return (parent(owner.as_wire()) == Some(apex)).then_some(addr);
        }
        if let Some(user) = label.strip_prefix("user") {
            let zone = self.cast.dyndns.iter().position(|d| is(apex, d))?;
            let user: u64 = user.parse().ok()?;
            return self.line_of(user).filter(|_| user as usize % 2 == zone);
        }
        let customer: u64 = label.strip_prefix('d')?.parse().ok().filter(|c| *c < self.ordinary)?;
        let cdn = self.cast.cdns.iter().position(|d| is(apex, d))?;
        match self.www(customer) {
            Www::Cdn(edge) if edge / CDN_EDGES == cdn => Some(self.cast.hubs[edge].addr),
            Www::Cdn(_) | Www::Apex | Www::Addr => None,
        }
    }

    fn one_addr(&self, apex: &[u8], name: &[u8], addr: Ipv4Addr, qtype: u16, out: &mut Vec<Record>) -> Step {
        if qtype == rtype::A {
            out.push(record(name, rtype::A, 300, RData::A(addr)));
            return Step::Found;
        }
        let mut zone = Vec::new();
        let _ = self.tables.step(apex, rtype::SOA, &mut zone);
        Step::End(Verdict { rcode: Rcode::NoError, authority: zone.pop() })
    }

    fn ordinary_zone(
        &self,
        i: u64,
        apex: &[u8],
        prefix: &[u8],
        name: &[u8],
        qtype: u16,
        out: &mut Vec<Record>,
    ) -> Step {
        let before = out.len();
        let ttl = [300, 3600, 14_400, 86_400][(self.roll(Tag::Ttl, i) % 4) as usize];
        let here = |rtype, rdata| record(name, rtype, ttl, rdata);
        match prefix {
            [] => self.apex_records(i, apex, qtype, ttl, out),
            b"\x03www" => match self.www(i) {
                Www::Addr => self.addr_records(i, name, qtype, ttl, out),
                Www::Apex => {
                    let target = Name::from_wire(apex.to_vec());
                    out.push(here(rtype::CNAME, RData::Host(target.clone())));
                    return Step::Alias(target);
                }
                Www::Cdn(edge) => {
                    let target = self.cdn_host(i, edge);
                    out.push(here(rtype::CNAME, RData::Host(target.clone())));
                    return Step::Alias(target);
                }
            },
            b"\x04mail" if matches!(self.mail(i), Mail::Own { .. }) => {
                self.addr_records(i, name, qtype, ttl, out);
            }
            b"\x03mx2" if self.mail(i) == (Mail::Own { second: true }) && qtype == rtype::A => {
                out.push(here(rtype::A, RData::A(self.current_addr(i))));
            }
            b"\x03mx2" if self.mail(i) == (Mail::Own { second: true }) => {}
            b"\x03ns1" | b"\x03ns2" if self.delegation(i) == (Delegation::Vanity { owner: i }) => {
                if qtype == rtype::A {
                    out.push(here(rtype::A, RData::A(self.current_addr(i))));
                }
            }
            b"\x06_dmarc" => {
                if qtype == rtype::TXT {
                    out.push(here(rtype::TXT, txt(b"v=DMARC1; p=none")));
                }
            }
            _ => return Step::negative(Rcode::NxDomain, self.zone_soa(i, apex)),
        }
        if out.len() > before {
            return Step::Found;
        }
        Step::negative(Rcode::NoError, self.zone_soa(i, apex))
    }

    fn addr_records(&self, i: u64, name: &[u8], qtype: u16, ttl: u32, out: &mut Vec<Record>) {
        match qtype {
            rtype::A => out.push(record(name, rtype::A, ttl, RData::A(self.current_addr(i)))),
            rtype::AAAA => {
                out.extend(self.v6(i).map(|addr| record(name, rtype::AAAA, ttl, RData::Aaaa(addr))));
            }
            _ => {}
        }
    }

    fn apex_records(&self, i: u64, apex: &[u8], qtype: u16, ttl: u32, out: &mut Vec<Record>) {
        match qtype {
            rtype::A | rtype::AAAA => self.addr_records(i, apex, qtype, ttl, out),
            rtype::NS => {
                let hosts = self.ns_hosts_of(i);
                out.extend(hosts.into_iter().map(|h| record(apex, rtype::NS, 86_400, RData::Host(h))));
            }
            rtype::MX => out.extend(
                self.mx_hosts_of(i, apex)
                    .into_iter()
                    .map(|(p, h)| record(apex, rtype::MX, ttl, RData::Mx(p, h))),
            ),
            rtype::TXT => {
                out.extend(self.txt_of(i).iter().map(|t| record(apex, rtype::TXT, ttl, txt(t.as_bytes()))))
            }
            rtype::SOA => out.push(self.zone_soa(i, apex)),
            _ => {}
        }
    }

    pub(super) fn ns_hosts_of(&self, i: u64) -> Vec<Name> {
        match self.delegation(i) {
            Delegation::Provider { number, pair } => self.cast.ns[number].groups[pair].clone(),
            Delegation::Vanity { owner } => {
                let owner = self.lexicon.name(owner);
                vec![owner.child(b"ns1"), owner.child(b"ns2")]
            }
        }
    }

    pub(super) fn mx_hosts_of(&self, i: u64, apex: &[u8]) -> Vec<(u16, Name)> {
        let own = |label: &[u8]| Name::from_wire(apex.to_vec()).child(label);
        match self.mail(i) {
            Mail::Provider(n) => {
                let hosts = &self.cast.mail[n].groups[0];
                hosts.iter().enumerate().map(|(p, h)| (10 * (p as u16 + 1), h.clone())).collect()
            }
            Mail::Own { second: false } => vec![(10, own(b"mail"))],
            Mail::Own { second: true } => vec![(10, own(b"mail")), (20, own(b"mx2"))],
            Mail::Null => vec![(0, Name::root())],
            Mail::None => Vec::new(),
        }
    }

    fn txt_of(&self, i: u64) -> Vec<String> {
        let draw = self.roll(Tag::Spf, i);
        let mut texts = Vec::new();
        match self.mail(i) {
            Mail::Provider(n) => texts.push(format!("v=spf1 include:_spf.{} ~all", self.cast.mail[n].domain)),
            Mail::Own { .. } if draw.is_multiple_of(3) => {
                texts.push(format!("v=spf1 mx ip4:{} -all", self.current_addr(i)));
            }
            Mail::Own { .. } => texts.push("v=spf1 a mx -all".to_owned()),
            Mail::Null => texts.push("v=spf1 -all".to_owned()),
            Mail::None => {}
        }
        if (draw >> 8).is_multiple_of(6) {
            texts.push(format!("site-verification={:016x}", draw.rotate_left(17)));
        }
        texts
    }

    fn zone_soa(&self, i: u64, apex: &[u8]) -> Record {
        let apex_name = Name::from_wire(apex.to_vec());
        let mname = self.ns_hosts_of(i).into_iter().next().unwrap_or_else(Name::root);
        let rname = match (self.roll(Tag::Mailbox, i) % 100, self.delegation(i)) {
            (0..8, Delegation::Provider { number, .. }) => self.cast.ns_domain(number).child(b"hostmaster"),
            (0..12, _) => apex_name.child(b"admin"),
            _ => apex_name.child(b"hostmaster"),
        };
        soa(apex_name, mname, rname, 2_026_000_000 + (self.roll(Tag::Mailbox, i) >> 40) as u32 % 53_199)
    }

    fn filler_zone(
        &self,
        hub: usize,
        apex: &[u8],
        prefix: &[u8],
        name: &[u8],
        qtype: u16,
        out: &mut Vec<Record>,
    ) -> Step {
        let hub = &self.cast.hubs[hub];
        let hosts = &self.cast.ns[hub.ns].groups[0];
        let apex_name = Name::from_wire(apex.to_vec());
        let authority = || {
            soa(
                apex_name.clone(),
                hosts[0].clone(),
                self.cast.ns_domain(hub.ns).child(b"hostmaster"),
                2_026_010_101,
            )
        };
        match (prefix, qtype) {
            ([] | b"\x03www", rtype::A) => out.push(record(name, rtype::A, 300, RData::A(hub.addr))),
            ([], rtype::NS) => {
                out.extend(hosts.iter().map(|h| record(name, rtype::NS, 86_400, RData::Host(h.clone()))));
            }
            ([], rtype::SOA) => out.push(authority()),
            ([], rtype::MX) if hub.kind == HubKind::Parking => {
                out.push(record(name, rtype::MX, 3600, RData::Mx(0, Name::root())));
            }
            ([] | b"\x03www", _) => return Step::negative(Rcode::NoError, authority()),
            _ if hub.kind == HubKind::Parking && qtype == rtype::A => {
                out.push(record(name, rtype::A, 300, RData::A(hub.addr)));
            }
            _ => return Step::negative(Rcode::NxDomain, authority()),
        }
        Step::Found
    }

    pub(super) fn cdn_host(&self, i: u64, edge: usize) -> Name {
        let zone = Name::from_text(&self.cast.cdns[edge / CDN_EDGES]).unwrap_or_else(Name::root);
        zone.child(format!("d{i}").as_bytes())
    }
}

impl super::cast::Cast {
    pub(super) fn ns_domain(&self, number: usize) -> Name {
        Name::from_text(&self.ns[number].domain).unwrap_or_else(Name::root)
    }
}

fn is(wire: &[u8], text: &str) -> bool {
    Name::from_text(text).is_some_and(|n| n.as_wire() == wire)
}

pub(super) fn record(name: &[u8], rtype: u16, ttl: u32, rdata: RData) -> Record {
    Record { name: Name::from_wire(name.to_vec()), rtype, ttl, rdata }
}

pub(super) fn soa(zone: Name, mname: Name, rname: Name, serial: u32) -> Record {
    let data = Soa { mname, rname, serial, minimum: 300 };
    Record { name: zone, rtype: rtype::SOA, ttl: TTL, rdata: RData::Soa(Box::new(data)) }
}

/// The SOA of a registry's zone.
fn registry_soa(zone: &[u8]) -> Record {
    let zone = Name::from_wire(zone.to_vec());
    let (mname, rname) = (zone.child(b"nic").child(b"a"), zone.child(b"nic").child(b"hostmaster"));
    let mut record = soa(zone, mname, rname, 2_026_060_100);
    record.ttl = 900;
    record
}
