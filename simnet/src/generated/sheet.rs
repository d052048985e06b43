//! Writes a domain into the tables: zone, passive DNS, registration and certificate from one sheet, so that
//! the sources agree with each other.

use std::net::Ipv4Addr;

use super::Generated;
use super::ordinary::Stay;
use super::zones::soa;
use crate::model::{RData, Registrant, Registration, rtype};
use crate::name::Name;
use crate::presentation::txt;
use crate::tables::TTL;
use crate::time::DAY;

/// Everything that the sources show of a written domain.
#[derive(Clone, Debug, Default)]
pub(super) struct Sheet {
    pub(super) domain: String,
    /// Number that the handle is made from.
    pub(super) index: u64,
    pub(super) registrar: u64,
    pub(super) registered: i64,
    /// Since when the present owner has it, where that is not the registration.
    pub(super) taken: Option<i64>,
    /// `None`: a year at a time until the present is passed.
    pub(super) expires: Option<i64>,
    pub(super) registrant: Registrant,
    pub(super) ns: Vec<String>,
    pub(super) mx: Vec<String>,
    pub(super) txt: Vec<String>,
    /// Oldest first.
    pub(super) stays: Vec<Stay>,
    /// Where it points now.
    pub(super) current: Option<Ipv4Addr>,
    /// Whether the zone is served.
    pub(super) served: bool,
    /// Last time that passive DNS saw the zone.
    pub(super) seen: i64,
    /// Mailbox of the zone; empty for `hostmaster.<domain>`.
    pub(super) mailbox: String,
    /// Whether it is a name below a dynamic DNS provider: an address, and nothing else.
    pub(super) dynamic: bool,
    /// Hosts below the domain.
    pub(super) hosts: Vec<(String, Ipv4Addr)>,
}

impl Sheet {
    /// Since when the present owner has the domain.
    pub(super) fn held(&self) -> i64 {
        self.taken.unwrap_or(self.registered)
    }
}

impl Generated {
    pub(super) fn write(&mut self, sheet: &Sheet) {
        let Some(apex) = Name::from_text(&sheet.domain) else { return };
        if sheet.dynamic {
            if let Some(addr) = sheet.current {
                self.tables.add(&apex, rtype::A, 60, RData::A(addr));
            }
            self.write_rows(sheet);
            return;
        }
        self.write_registration(sheet);
        if sheet.served {
            self.write_zone(sheet, &apex);
        }
        self.write_rows(sheet);
    }

    fn write_registration(&mut self, sheet: &Sheet) {
        let year = 365 * DAY;
        let expires =
            sheet.expires.unwrap_or(sheet.registered + ((self.now - sheet.registered) / year + 1) * year);
        let registration = Registration {
            domain: sheet.domain.clone(),
            handle: format!("D{}-SIM", self.handle_number(sheet.index)),
            registrar: self.registrar(sheet.registrar),
            registrant: sheet.registrant.clone(),
            registered: sheet.registered,
            changed: sheet.held(),
            expires,
            status: vec!["client transfer prohibited".to_owned()],
            nameservers: sheet.ns.clone(),
            redirected: sheet.index.is_multiple_of(10),
        };
        self.tables.registrations.insert(sheet.domain.clone(), registration);
    }

    fn write_zone(&mut self, sheet: &Sheet, apex: &Name) {
        let read = |text: &String| Name::from_text(text);
        let mname = sheet.ns.first().and_then(read).unwrap_or_else(Name::root);
        let rname = read(&sheet.mailbox).unwrap_or_else(|| apex.child(b"hostmaster"));
        let soa = soa(apex.clone(), mname, rname, 2_026_050_101 + (sheet.index % 300) as u32);
        self.tables.add(apex, rtype::SOA, TTL, soa.rdata);
        for host in sheet.ns.iter().filter_map(read) {
            self.tables.add(apex, rtype::NS, 86_400, RData::Host(host));
        }
        for (place, host) in sheet.mx.iter().filter_map(read).enumerate() {
            self.tables.add(apex, rtype::MX, TTL, RData::Mx(10 * (place as u16 + 1), host));
        }
        for text in &sheet.txt {
            self.tables.add(apex, rtype::TXT, TTL, txt(text.as_bytes()));
        }
        if let Some(addr) = sheet.current {
            self.tables.add(apex, rtype::A, 300, RData::A(addr));
            self.tables.add(&apex.child(b"www"), rtype::CNAME, 300, RData::Host(apex.clone()));
        }
        for (host, addr) in &sheet.hosts {
            if let Some(name) = Name::from_text(host) {
                self.tables.add(&name, rtype::A, TTL, RData::A(*addr));
            }
        }
    }

    fn write_rows(&mut self, sheet: &Sheet) {
        let mut rows = Vec::new();
        for stay in &sheet.stays {
            rows.push(self.row(sheet.domain.clone(), "A", stay.addr.to_string(), stay.first, stay.last));
        }
        // Servers that the present owner chose were not there before the owner was.
        let first = sheet.stays.first().map_or(sheet.registered + 3600, |s| s.first);
        let first = first.max(sheet.held()).min(sheet.seen);
        for host in &sheet.ns {
            rows.push(self.row(sheet.domain.clone(), "NS", host.clone(), first, sheet.seen));
        }
        for (place, host) in sheet.mx.iter().enumerate() {
            let data = format!("{} {host}", 10 * (place + 1));
            rows.push(self.row(sheet.domain.clone(), "MX", data, first, sheet.seen));
        }
        for (host, addr) in &sheet.hosts {
            rows.push(self.row(host.clone(), "A", addr.to_string(), first, sheet.seen));
        }
        for row in rows {
            self.tables.rows.add(row);
        }
    }

    /// Gives an address a reverse name.
    pub(super) fn write_ptr(&mut self, addr: Ipv4Addr, host: &Name) {
        if let Some(name) = reverse_name(addr) {
            self.tables.add(&name, rtype::PTR, 14_400, RData::Host(host.clone()));
        }
    }
}

/// `4.3.2.1.in-addr.arpa`
pub(super) fn reverse_name(addr: Ipv4Addr) -> Option<Name> {
    let [a, b, c, d] = addr.octets();
    Name::from_text(&format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
}
