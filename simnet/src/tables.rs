//! A world written down: zones, passive DNS, registrations, networks and certificates in tables.
//!
//! A loaded world is nothing else; a generated world keeps here what is too irregular to compute.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::model::{
    Autnum, Certificate, IpNetwork, PdnsRow, RData, Rcode, Record, Registrant, Registration, Verdict, rtype,
};
use crate::name::{self, Name};
use crate::world::{PdnsQuery, Step, alias_target};

/// TTL of an answer when nothing else is said.
pub(crate) const TTL: u32 = 3600;

/// What one name owns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) records: Vec<Record>,
    pub(crate) rcode: Option<Rcode>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    nodes: HashMap<Name, Node>,
    pub(crate) rows: RowTable,
    /// In order, so that the first of several with one handle is the same in every process.
    pub(crate) registrations: BTreeMap<String, Registration>,
    pub(crate) networks: Vec<IpNetwork>,
    pub(crate) autnums: BTreeMap<u32, Autnum>,
    certs: CertTable,
}

impl Tables {
    /// Adds a record; a second one that says the same is left out.
    pub(crate) fn add(&mut self, name: &Name, rtype: u16, ttl: u32, rdata: RData) {
        let node = self.nodes.entry(name.clone()).or_default();
        if !node.records.iter().any(|r| r.rtype == rtype && r.rdata == rdata) {
            node.records.push(Record { name: name.clone(), rtype, ttl, rdata });
        }
    }

    /// Makes every question below and at the name end with this code.
    pub(crate) fn set_rcode(&mut self, name: &Name, rcode: Rcode) {
        self.nodes.entry(name.clone()).or_default().rcode = Some(rcode);
    }

    /// Whether there is a node of exactly this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.nodes.contains_key(name)
    }

    /// Makes the names between each owner and its zone exist (empty non-terminals).
    pub(crate) fn close(&mut self) {
        let owners: Vec<Name> = self.nodes.keys().cloned().collect();
        for owner in owners {
            let mut between = Vec::new();
            let mut rest = name::parent(owner.as_wire());
            while let Some(wire) = rest {
                let up = Name::from_wire(wire.to_vec());
                if self.nodes.get(&up).is_some_and(|n| soa_of(n).is_some()) {
                    for name in between {
                        self.nodes.entry(name).or_default();
                    }
                    break;
                }
                rest = name::parent(wire);
                between.push(up);
            }
        }
    }

    /// Answers from the tables; `None` when no zone here is in charge of the name.
    pub(crate) fn step(&self, qname: &[u8], qtype: u16, out: &mut Vec<Record>) -> Option<Step> {
        let owner = Name::from_wire(qname.to_vec());
        let mut zone = None;
        let mut wildcard = None;
        let mut rest = Some(qname);
        let mut exists = None;
        while let Some(wire) = rest {
            if let Some(node) = self.nodes.get(wire) {
                if let Some(rcode) = node.rcode {
                    return Some(Step::End(Verdict::of(rcode)));
                }
                // Only the closest name that exists may hold the wildcard (RFC 4592).
                if exists.is_none() {
                    exists = Some(wire.len());
                    if wire.len() < qname.len() {
                        wildcard = self.nodes.get(&Name::from_wire(wire.to_vec()).child(b"*"));
                    }
                }
                if let Some(soa) = soa_of(node) {
                    zone = Some(soa);
                    break;
                }
            }
            rest = name::parent(wire);
        }
        match (self.nodes.get(&owner).or(wildcard), zone) {
            (Some(node), zone) => Some(answer(node, &owner, qtype, zone, out)),
            (None, Some(soa)) => Some(Step::negative(Rcode::NxDomain, soa.clone())),
            (None, None) => None,
        }
    }

    pub(crate) fn add_cert(&mut self, cert: Certificate) {
        self.certs.add(cert);
    }

    pub(crate) fn certs_by_name(&self, name: &str, subdomains: bool) -> Vec<Certificate> {
        self.certs.by_name(name, subdomains)
    }

    pub(crate) fn cert(&self, sha256: &str) -> Option<Certificate> {
        self.certs.all.iter().find(|c| c.sha256 == sha256).cloned()
    }

    /// The most specific network around the address.
    pub(crate) fn network(&self, addr: IpAddr) -> Option<IpNetwork> {
        self.networks.iter().filter(|n| n.contains(addr)).max_by_key(|n| n.prefix).cloned()
    }

    pub(crate) fn registered_by(&self, email: &str) -> Vec<String> {
        let shown =
            |r: &&Registration| !r.registrant.redacted && r.registrant.email.eq_ignore_ascii_case(email);
        let mut found: Vec<String> =
            self.registrations.values().filter(shown).map(|r| r.domain.clone()).collect();
        found.sort();
        found
    }

    pub(crate) fn entity(&self, handle: &str) -> Option<Registrant> {
        let registrants = self.registrations.values().map(|r| &r.registrant);
        let holders = self.networks.iter().map(|n| &n.holder);
        let autnums = self.autnums.values().map(|a| &a.holder);
        registrants.chain(holders).chain(autnums).find(|r| r.handle.eq_ignore_ascii_case(handle)).cloned()
    }
}

fn soa_of(node: &Node) -> Option<&Record> {
    node.records.iter().find(|r| r.rtype == rtype::SOA)
}

fn answer(node: &Node, owner: &Name, qtype: u16, zone: Option<&Record>, out: &mut Vec<Record>) -> Step {
    let before = out.len();
    let alias = node.records.iter().find_map(alias_target);
    for record in &node.records {
        let wanted = record.rtype == qtype || (record.rtype == rtype::CNAME && alias.is_some());
        if wanted {
            out.push(Record { name: owner.clone(), ..record.clone() });
        }
    }
    match alias {
        Some(target) => Step::Alias(target.clone()),
        None if out.len() > before => Step::Found,
        None => Step::End(Verdict { rcode: Rcode::NoError, authority: zone.cloned() }),
    }
}

/// Passive DNS rows, found by owner or by data.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowTable {
    rows: Vec<PdnsRow>,
    by_owner: HashMap<String, Vec<u32>>,
    by_rdata: HashMap<String, Vec<u32>>,
    pub(crate) totals: HashMap<PdnsQuery, u64>,
}

impl RowTable {
    pub(crate) fn add(&mut self, row: PdnsRow) {
        let index = self.rows.len() as u32;
        self.by_owner.entry(row.rrname.to_ascii_lowercase()).or_default().push(index);
        self.by_rdata.entry(rdata_key(&row)).or_default().push(index);
        self.rows.push(row);
    }

    pub(crate) fn of_owner(&self, owner: &str) -> Vec<PdnsRow> {
        self.get(self.by_owner.get(owner))
    }

    pub(crate) fn of_rdata(&self, rdata: &str) -> Vec<PdnsRow> {
        self.get(self.by_rdata.get(rdata))
    }

    fn get(&self, indexes: Option<&Vec<u32>>) -> Vec<PdnsRow> {
        indexes.into_iter().flatten().map(|i| self.rows[*i as usize].clone()).collect()
    }
}

/// By what a row's data is searched: the address, or the host without an MX preference.
fn rdata_key(row: &PdnsRow) -> String {
    let host = match row.rrtype.as_str() {
        "MX" => row.rdata.rsplit(' ').next().unwrap_or_default(),
        "SOA" => row.rdata.split(' ').next().unwrap_or_default(),
        _ => row.rdata.as_str(),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[derive(Clone, Debug, Default)]
struct CertTable {
    all: Vec<Certificate>,
    by_name: HashMap<String, Vec<u32>>,
}

impl CertTable {
    fn add(&mut self, cert: Certificate) {
        for name in &cert.names {
            self.by_name.entry(name.clone()).or_default().push(self.all.len() as u32);
        }
        self.all.push(cert);
    }

    fn by_name(&self, name: &str, subdomains: bool) -> Vec<Certificate> {
        if subdomains {
            let suffix = format!(".{name}");
            return self
                .all
                .iter()
                .filter(|c| c.names.iter().any(|n| n.ends_with(&suffix)))
                .cloned()
                .collect();
        }
        let indexes = self.by_name.get(name);
        indexes.into_iter().flatten().map(|i| self.all[*i as usize].clone()).collect()
    }
}
