//! The parts of a world file, and how each value of them is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::file::Written;
use crate::model::{
    Autnum, Certificate, IpNetwork, PdnsRow, Rcode, Registrant, Registrar, Registration, mask, rtype,
};
use crate::name::Name;
use crate::presentation;
use crate::rng::hash_bytes;
use crate::tables::{TTL, Tables};
use crate::time;
use crate::truth::Truth;
use crate::world::PdnsQuery;

/// 1970 to the end of 9998: what RFC 3339 can write with something added, and no milliseconds.
const TIMES: RangeInclusive<i64> = 0..=253_370_764_799;
/// Octets that the records of one type of one owner may take, so that they fit a message over TCP.
const ANSWER: usize = 65_000;

/// A value that cannot be used: where it stands, what it is, what it should be.
pub(crate) struct Bad {
    pub(crate) at: String,
    pub(crate) value: String,
    pub(crate) expected: &'static str,
}

fn bad(at: impl Into<String>, value: impl Into<String>, expected: &'static str) -> Bad {
    Bad { at: at.into(), value: value.into(), expected }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
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
            Self::Unix(seconds) => read_time(at, *seconds),
            Self::Text(text) => {
                let seconds = time::parse(text).filter(|s| TIMES.contains(s));
                seconds.ok_or_else(|| bad(at, text, "a time as RFC 3339 or unix seconds"))
            }
        }
    }
}

fn read_time(at: &str, seconds: i64) -> Result<i64, Bad> {
    let fits = TIMES.contains(&seconds);
    fits.then_some(seconds)
        .ok_or_else(|| bad(at, seconds.to_string(), "a time in unix seconds, 1970 to 9998"))
}

/// Octets outside ASCII stand as `\\DDD`: a U-label would never be asked for.
fn read_name(at: &str, text: &str) -> Result<Name, Bad> {
    let name = Name::from_text(text).filter(|_| text.is_ascii());
    name.map(|n| n.lowercase())
        .ok_or_else(|| bad(at, text, "a domain name (in ASCII: xn-- for other scripts)"))
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
    pub(crate) fn read(self) -> Result<Written, Bad> {
        let as_of = self.as_of.read("as_of")?;
        let mut tables = Tables::default();
        for (owner, node) in &self.zones {
            read_node(&mut tables, owner, node)?;
        }
        for (i, row) in self.pdns.into_iter().enumerate() {
            tables.rows.add(read_row(i, row)?);
        }
        for (key, total) in self.totals {
            let query = PdnsQuery::parse(&key).filter(|_| key.is_ascii());
            let expected = "an address, a domain name, or rdata/NAME";
            let query = query.ok_or_else(|| bad(format!("totals.{key:?}"), &key, expected))?;
            tables.rows.totals.insert(query, total);
        }
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
    let name = read_name(&format!("zones.{owner:?}"), owner)?;
    if let Some(rcode) = node.rcode {
        tables.set_rcode(&name, rcode);
    }
    for (mnemonic, values) in &node.records {
        let mut size = 0;
        for (i, value) in values.iter().enumerate() {
            let (rtype, rdata) = presentation::parse(mnemonic, value)
                .map_err(|expected| bad(format!("zones.{owner:?}.{mnemonic}[{i}]"), value, expected))?;
            size += 12 + presentation::size(&rdata);
            if size > ANSWER {
                return Err(bad(
                    format!("zones.{owner:?}.{mnemonic}"),
                    format!("{} records", values.len()),
                    "an answer of at most 65,000 octets, which is what fits a message",
                ));
            }
            tables.add(&name, rtype, node.ttl, rdata);
        }
    }
    Ok(())
}

fn read_names(at: &str, names: &[String]) -> Result<Vec<String>, Bad> {
    let read = |(i, name): (usize, &String)| Ok(read_name(&format!("{at}[{i}]"), name)?.to_string());
    names.iter().enumerate().map(read).collect()
}

/// Rows in the one spelling in which they are asked for.
fn read_row(i: usize, mut row: PdnsRow) -> Result<PdnsRow, Bad> {
    let at = |field: &str| format!("pdns[{i}].{field}");
    row.rrname = read_name(&at("rrname"), &row.rrname)?.to_string();
    row.rrtype = row.rrtype.to_ascii_uppercase();
    let (rtype, rdata) = match row.rrtype.as_str() {
        // The format does not say how texts are quoted.
        "TXT" => (rtype::TXT, presentation::txt(row.rdata.as_bytes())),
        other => presentation::parse(other, &row.rdata)
            .map_err(|expected| bad(at("rdata"), &row.rdata, expected))?,
    };
    match rtype {
        rtype::TXT => {}
        // Only the names of a SOA are kept by those who read zones.
        rtype::SOA => row.rdata = row.rdata.to_ascii_lowercase(),
        _ => row.rdata = presentation::text(&rdata.lowercase()),
    }
    let first = read_time(&at("time_first"), row.time_first)?;
    if read_time(&at("time_last"), row.time_last)? < first {
        return Err(bad(at("time_last"), row.time_last.to_string(), "a time at or after time_first"));
    }
    Ok(row)
}

fn read_registration(domain: &str, written: WrittenRegistration) -> Result<Registration, Bad> {
    let at = |field: &str| format!("registrations.{domain:?}.{field}");
    let name = read_name(&format!("registrations.{domain:?}"), domain)?;
    let registered = written.registered.read(&at("registered"))?;
    let status = if written.status.is_empty() { vec!["active".to_owned()] } else { written.status };
    Ok(Registration {
        domain: name.to_string(),
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
        nameservers: read_names(&at("nameservers"), &written.nameservers)?,
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
        names: read_names(&format!("certificates[{i}].names"), &written.names)?,
        not_before: written.not_before.read(&format!("certificates[{i}].not_before"))?,
        not_after: written.not_after.read(&format!("certificates[{i}].not_after"))?,
    })
}
