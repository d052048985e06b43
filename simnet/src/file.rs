//! World files: somebody else's world as JSON (docs/WORLDS.md).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use crate::model::{
    Autnum, Certificate, IpNetwork, PdnsRow, Rcode, Record, Registrant, Registrar, Registration, Verdict,
    mask,
};
use crate::name::Name;
use crate::pdns::Rows;
use crate::presentation;
use crate::rng::hash_bytes;
use crate::tables::{TTL, Tables};
use crate::time;
use crate::truth::Truth;
use crate::world::{Internet, PdnsQuery, Step};

/// Why a world file cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read world file {}; check the path and the permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not the JSON that a world file is.
    #[error("world file {} is not well formed at line {line}, column {column}; compare docs/WORLDS.md", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line of the fault.
        line: usize,
        /// Column of the fault.
        column: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A value has the wrong form.
    #[error("world file {}: {at}: {value:?} is not {expected}; correct the value", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Where in the document.
        at: String,
        /// What stands there.
        value: String,
        /// What should stand there.
        expected: &'static str,
    },
}

pub(crate) fn load(path: &Path) -> Result<Written, LoadError> {
    let text = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let document: Document = serde_json::from_slice(&text).map_err(|source| LoadError::Parse {
        path: path.to_owned(),
        line: source.line(),
        column: source.column(),
        source,
    })?;
    document.read().map_err(|bad| LoadError::Value {
        path: path.to_owned(),
        at: bad.at,
        value: bad.value,
        expected: bad.expected,
    })
}

/// A world that somebody wrote down.
#[derive(Debug)]
pub(crate) struct Written {
    tables: Tables,
    as_of: i64,
    truth: Truth,
}

struct Bad {
    at: String,
    value: String,
    expected: &'static str,
}

fn bad(at: impl Into<String>, value: impl Into<String>, expected: &'static str) -> Bad {
    Bad { at: at.into(), value: value.into(), expected }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    as_of: Moment,
    #[serde(default)]
    zones: BTreeMap<String, ZoneNode>,
    #[serde(default)]
    pdns: Vec<PdnsRow>,
    #[serde(default)]
    totals: BTreeMap<String, u64>,
    #[serde(default)]
    registrations: BTreeMap<String, WrittenRegistration>,
    #[serde(default)]
    networks: Vec<WrittenNetwork>,
    #[serde(default)]
    certificates: Vec<WrittenCertificate>,
    #[serde(default)]
    truth: Truth,
}

/// Unix seconds or RFC 3339.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Moment {
    Unix(i64),
    Text(String),
}

impl Moment {
    fn read(&self, at: &str) -> Result<i64, Bad> {
        match self {
            Self::Unix(seconds) => Ok(*seconds),
            Self::Text(text) => {
                time::parse(text).ok_or_else(|| bad(at, text, "a time as RFC 3339 or unix seconds"))
            }
        }
    }
}

#[derive(Deserialize)]
struct ZoneNode {
    #[serde(default)]
    rcode: Option<Rcode>,
    #[serde(default = "default_ttl")]
    ttl: u32,
    #[serde(flatten)]
    records: BTreeMap<String, Vec<String>>,
}

fn default_ttl() -> u32 {
    TTL
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRegistration {
    registrar: String,
    #[serde(default)]
    registrar_id: u32,
    #[serde(default)]
    abuse_email: String,
    registered: Moment,
    expires: Moment,
    #[serde(default)]
    changed: Option<Moment>,
    #[serde(default)]
    registrant: Registrant,
    #[serde(default)]
    status: Vec<String>,
    #[serde(default)]
    nameservers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNetwork {
    cidr: String,
    name: String,
    #[serde(default)]
    country: String,
    asn: u32,
    #[serde(default)]
    holder: Registrant,
    #[serde(default)]
    abuse_email: String,
    registered: Moment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCertificate {
    sha256: String,
    names: Vec<String>,
    not_before: Moment,
    not_after: Moment,
    #[serde(default)]
    issuer: String,
}

impl Document {
    fn read(self) -> Result<Written, Bad> {
        let as_of = self.as_of.read("as_of")?;
        let mut tables = Tables::default();
        for (owner, node) in &self.zones {
            read_node(&mut tables, owner, node)?;
        }
        for (i, mut row) in self.pdns.into_iter().enumerate() {
            let owner = Name::from_text(&row.rrname)
                .ok_or_else(|| bad(format!("pdns[{i}].rrname"), &row.rrname, "a domain name"))?;
            row.rrname = owner.lowercase().to_string();
            tables.rows.add(row);
        }
        tables.rows.totals = self.totals.into_iter().collect();
        for (domain, written) in self.registrations {
            let read = read_registration(&domain, written)?;
            tables.registrations.insert(read.domain.clone(), read);
        }
        for (i, written) in self.networks.into_iter().enumerate() {
            let network = read_network(i, written)?;
            tables.autnums.entry(network.asn).or_insert_with(|| autnum_of(&network));
            tables.networks.push(network);
        }
        for (i, written) in self.certificates.into_iter().enumerate() {
            tables.add_cert(read_certificate(i, written)?);
        }
        tables.close();
        let truth = Truth { as_of: time::rfc3339(as_of), ..self.truth };
        Ok(Written { tables, as_of, truth })
    }
}

fn read_node(tables: &mut Tables, owner: &str, node: &ZoneNode) -> Result<(), Bad> {
    let name = Name::from_text(owner)
        .ok_or_else(|| bad(format!("zones.{owner:?}"), owner, "a domain name"))?
        .lowercase();
    if let Some(rcode) = node.rcode {
        tables.set_rcode(&name, rcode);
    }
    for (mnemonic, values) in &node.records {
        for (i, value) in values.iter().enumerate() {
            let (rtype, rdata) = presentation::parse(mnemonic, value)
                .map_err(|expected| bad(format!("zones.{owner:?}.{mnemonic}[{i}]"), value, expected))?;
            tables.add(&name, rtype, node.ttl, rdata);
        }
    }
    Ok(())
}

fn read_registration(domain: &str, written: WrittenRegistration) -> Result<Registration, Bad> {
    let at = |field: &str| format!("registrations.{domain:?}.{field}");
    let name = Name::from_text(domain)
        .ok_or_else(|| bad(format!("registrations.{domain:?}"), domain, "a domain name"))?;
    let registered = written.registered.read(&at("registered"))?;
    let status = if written.status.is_empty() { vec!["active".to_owned()] } else { written.status };
    Ok(Registration {
        domain: name.lowercase().to_string(),
        handle: format!("D{:08X}", hash_bytes(0, domain.as_bytes()) as u32),
        registrar: Registrar {
            name: written.registrar,
            iana_id: written.registrar_id,
            abuse_email: written.abuse_email,
        },
        registrant: written.registrant,
        registered,
        changed: written.changed.map_or(Ok(registered), |m| m.read(&at("changed")))?,
        expires: written.expires.read(&at("expires"))?,
        status,
        nameservers: written.nameservers,
        redirected: false,
    })
}

fn read_network(i: usize, written: WrittenNetwork) -> Result<IpNetwork, Bad> {
    let at = format!("networks[{i}].cidr");
    let wrong = || bad(&at, &written.cidr, "a range such as 203.0.113.0/24 with no host bits");
    let (start, prefix) = written.cidr.split_once('/').ok_or_else(wrong)?;
    let start: IpAddr = start.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    if mask(start, prefix) != Some(start) {
        return Err(wrong());
    }
    Ok(IpNetwork {
        handle: format!("NET-{}", written.cidr.replace(['.', ':', '/'], "-")),
        name: written.name,
        start,
        prefix,
        country: written.country,
        registered: written.registered.read(&format!("networks[{i}].registered"))?,
        asn: written.asn,
        holder: written.holder,
        abuse_email: written.abuse_email,
    })
}

fn autnum_of(network: &IpNetwork) -> Autnum {
    Autnum {
        number: network.asn,
        name: network.name.clone(),
        country: network.country.clone(),
        registered: network.registered,
        holder: network.holder.clone(),
        abuse_email: network.abuse_email.clone(),
    }
}

fn read_certificate(i: usize, written: WrittenCertificate) -> Result<Certificate, Bad> {
    let sha256 = written.sha256.to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(bad(format!("certificates[{i}].sha256"), sha256, "64 hexadecimal digits"));
    }
    Ok(Certificate {
        id: i as u64 + 1,
        serial: sha256[..32].to_owned(),
        sha256,
        issuer: written.issuer,
        names: written.names.iter().map(|n| n.trim_end_matches('.').to_ascii_lowercase()).collect(),
        not_before: written.not_before.read(&format!("certificates[{i}].not_before"))?,
        not_after: written.not_after.read(&format!("certificates[{i}].not_after"))?,
    })
}

impl Internet for Written {
    fn as_of(&self) -> i64 {
        self.as_of
    }

    fn truth(&self) -> Truth {
        self.truth.clone()
    }

    fn step(&self, name: &[u8], qtype: u16, out: &mut Vec<Record>) -> Step {
        self.tables.step(name, qtype, out).unwrap_or_else(|| Step::End(Verdict::of(Rcode::NxDomain)))
    }

    fn pdns(self: Arc<Self>, query: &PdnsQuery) -> Rows {
        let (key, rows) = match query {
            PdnsQuery::Name(name) => {
                let key = name.to_string();
                let rows = self.tables.rows.of_owner(&key);
                (key, rows)
            }
            PdnsQuery::Addr(addr) => {
                let key = addr.to_string();
                let rows = self.tables.rows.of_rdata(&key);
                (key, rows)
            }
            PdnsQuery::Rdata(name) => {
                let key = name.to_string();
                let rows = self.tables.rows.of_rdata(&key);
                (format!("rdata/{key}"), rows)
            }
        };
        let total = self.tables.rows.totals.get(&key).copied();
        Rows::new(rows, Vec::new()).with_total(total)
    }

    fn registration(&self, domain: &str) -> Option<Registration> {
        self.tables.registrations.get(domain).cloned()
    }

    fn registered_by(&self, email: &str) -> Vec<String> {
        self.tables.registered_by(email)
    }

    fn network(&self, addr: IpAddr) -> Option<IpNetwork> {
        self.tables.network(addr)
    }

    fn autnum(&self, number: u32) -> Option<Autnum> {
        self.tables.autnums.get(&number).cloned()
    }

    fn entity(&self, handle: &str) -> Option<Registrant> {
        self.tables.entity(handle)
    }

    fn certs_by_name(&self, name: &str, subdomains: bool) -> Vec<Certificate> {
        self.tables.certs_by_name(name, subdomains)
    }

    fn cert(&self, sha256: &str) -> Option<Certificate> {
        self.tables.cert(sha256)
    }
}
