//! The zones of the companies, written into the tables.

use std::net::Ipv4Addr;

use super::Generated;
use super::cast::{LINES_PER_NET, LISTED_DYNDNS, ORG_CDN, ORG_RESIDENTIAL, ORGS};
use super::ordinary::Stay;
use super::sheet::Sheet;
use crate::name::Name;
use crate::rng::mix;
use crate::time::DAY;

/// Zones in which any label has an address.
pub(super) const WILDCARDS: u64 = 20;
/// Number of the first of them among the written names.
pub(super) const FIRST_WILDCARD: u64 = 3_000;
/// Names of strangers below a dynamic DNS provider.
const FREE_NAMES: u64 = 40;
/// Number of the first company; they come last, because their number grows with the world.
const FIRST_COMPANY: u64 = 3_100;

impl Generated {
    pub(super) fn write_infra(&mut self) {
        for org in 0..ORGS {
            let domain = self.cast.orgs[org].domain.clone();
            let own = vec![format!("ns1.{domain}"), format!("ns2.{domain}")];
            self.write_company(&domain, org, own.clone(), &own, &[]);
        }
        for number in 0..self.cast.ns.len() {
            let provider = self.cast.ns[number].clone();
            let hosts: Vec<String> = provider.groups.iter().flatten().map(ToString::to_string).collect();
            self.write_company(&provider.domain, provider.org, hosts[..2].to_vec(), &hosts, &[]);
        }
        for number in 0..self.cast.mail.len() {
            let provider = self.cast.mail[number].clone();
            let hosts: Vec<String> = provider.groups[0].iter().map(ToString::to_string).collect();
            self.write_company(&provider.domain, provider.org, Vec::new(), &hosts, &hosts);
            self.write_spf(&provider.domain);
        }
        for (n, domain) in self.cast.cdns.clone().iter().enumerate() {
            self.write_company(domain, ORG_CDN + n, Vec::new(), &[], &[]);
        }
        for (n, domain) in self.cast.dyndns.clone().iter().enumerate() {
            self.write_company(domain, ORG_RESIDENTIAL + n, Vec::new(), &[], &[]);
        }
        self.write_company(LISTED_DYNDNS, ORG_RESIDENTIAL, Vec::new(), &[], &[]);
        self.write_free_names();
        for hub in 0..self.cast.hubs.len() {
            let (addr, org) = (self.cast.hubs[hub].addr, self.cast.hubs[hub].org);
            if let Some(name) = Name::from_text(&format!("edge{hub}.{}", self.cast.orgs[org].domain)) {
                self.write_ptr(addr, &name);
            }
        }
        self.write_wildcards();
    }

    /// A company's own zone; without servers of its own it uses a popular provider.
    fn write_company(&mut self, domain: &str, org: usize, ns: Vec<String>, hosts: &[String], mx: &[String]) {
        let index = self.next_number();
        let front = self.cast.next_addr(org, &self.space);
        let hosts: Vec<(String, Ipv4Addr)> =
            hosts.iter().map(|h| (h.clone(), self.cast.next_addr(org, &self.space))).collect();
        let popular = || {
            let provider = &self.cast.ns[index as usize % 10];
            provider.groups[0].iter().map(ToString::to_string).collect()
        };
        let registered = self.cast.orgs[org].since + 40 * DAY;
        let name = self.cast.orgs[org].name.clone();
        let sheet = Sheet {
            domain: domain.to_owned(),
            index,
            registrar: index % super::registry::REGISTRARS,
            registered,
            registrant: crate::model::Registrant {
                handle: format!("C{}-SIM", self.handle_number(index)),
                org: name,
                email: format!("domains@{domain}"),
                country: self.cast.orgs[org].country.to_owned(),
                ..Default::default()
            },
            ns: if ns.is_empty() { popular() } else { ns },
            mx: if mx.is_empty() { vec![format!("mail.{domain}")] } else { mx.to_vec() },
            txt: vec!["v=spf1 mx -all".to_owned()],
            stays: vec![Stay { addr: front, first: registered + DAY, last: self.now - 3600 }],
            current: Some(front),
            served: true,
            seen: self.now - 3600,
            hosts: hosts.clone().into_iter().chain([(format!("mail.{domain}"), front)]).collect(),
            ..Sheet::default()
        };
        self.write(&sheet);
        for (host, addr) in hosts.iter().chain([(domain.to_owned(), front)].iter()) {
            if let Some(name) = Name::from_text(host) {
                self.write_ptr(*addr, &name);
            }
        }
    }

    fn write_spf(&mut self, domain: &str) {
        if let Some(name) = Name::from_text(&format!("_spf.{domain}")) {
            let text = format!("v=spf1 include:_spf2.{domain} a:mx1.{domain} ~all");
            self.tables.add(&name, crate::model::rtype::TXT, 3600, crate::presentation::txt(text.as_bytes()));
        }
        if let Some(name) = Name::from_text(&format!("_spf2.{domain}")) {
            self.tables.add(
                &name,
                crate::model::rtype::TXT,
                3600,
                crate::presentation::txt(b"v=spf1 mx ~all"),
            );
        }
    }

    /// People at home who have a name below a provider of dynamic DNS.
    fn write_free_names(&mut self) {
        for n in 0..FREE_NAMES {
            let Some(addr) = self.line_of(mix(self.key ^ n ^ 0xf4ee) % LINES_PER_NET) else { continue };
            let first = self.now - (1 + mix(self.key ^ n) as i64 % 40).abs() * DAY;
            self.write(&Sheet {
                domain: format!("{}.{LISTED_DYNDNS}", self.lexicon.stem(n)),
                stays: vec![Stay { addr, first, last: self.now - 7200 }],
                current: Some(addr),
                dynamic: true,
                ..Sheet::default()
            });
        }
    }

    pub(super) fn wildcard_addr(&self, number: u64) -> Ipv4Addr {
        self.host_addr(mix(self.key ^ number ^ 0x71d) % self.layouts[0].hosts())
    }

    fn write_wildcards(&mut self) {
        for n in 0..WILDCARDS {
            let addr = self.wildcard_addr(n);
            let index = self.ordinary + FIRST_WILDCARD + n;
            let domain = self.lexicon.name(index).to_string();
            let since = self.now - (200 + 37 * n as i64) * DAY;
            let ns: Vec<String> =
                self.cast.ns[n as usize].groups[0].iter().map(ToString::to_string).collect();
            let registrar = n % super::registry::REGISTRARS;
            self.write(&Sheet {
                domain: domain.clone(),
                index,
                registrar,
                registered: since,
                registrant: self.privacy(registrar),
                ns,
                stays: vec![Stay { addr, first: since + DAY, last: self.now - 7200 }],
                current: Some(addr),
                served: true,
                seen: self.now - 7200,
                ..Sheet::default()
            });
            // Every third one answers only labels that begin with a certain letter (see the corners).
            if n % 3 != 0
                && let Some(any) = Name::from_text(&format!("*.{domain}"))
            {
                self.tables.add(&any, crate::model::rtype::A, 60, crate::model::RData::A(addr));
            }
            for k in 0..15 {
                let label = self.lexicon.stem(mix(self.key ^ (n << 8) ^ k) % self.ordinary);
                let first = since + (k as i64 + 2) * DAY;
                let row =
                    self.row(format!("v{label}.{domain}"), "A", addr.to_string(), first, first + 9 * DAY);
                self.tables.rows.add(row);
            }
        }
    }

    /// The next number for the handle of a written domain whose name was not taken from the lexicon.
    pub(super) fn next_number(&mut self) -> u64 {
        self.companies += 1;
        self.ordinary + FIRST_COMPANY + self.companies - 1
    }
}
