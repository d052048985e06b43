//! What the certificate sources share: crt.sh's JSON.
//!
//! A certificate and its precertificate are two rows of one serial; the later row stands
//! for both. A row without `sha256` (crt.sh itself sends none in this form) gives no
//! certificate node, since its log number is no fingerprint: the names on it are then
//! related to the name that was asked by `certificate-name`, which keeps the tie.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use kudzu_shared::config;
use kudzu_shared::fact::{FactName, FactValue};
use kudzu_shared::limits::Limit;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::{Class, Contact, SourceInfo};
use kudzu_shared::time::{UnixSeconds, parse_time};
use serde::Deserialize;
use url::Url;

use super::{Found, digest, json};
use crate::http::{Exchange, Request};

/// Names read of one certificate.
const MAX_NAMES: usize = 2000;
/// Rows of one answer, and names on all of them: more than a body of real ones has.
const MAX_ROWS: usize = 65_536;
const MAX_ALL_NAMES: usize = 500_000;

/// The service as the settings have it.
#[derive(Debug)]
pub(super) struct Service {
    base: Option<Url>,
    limit: Limit,
    timeout: Duration,
    rate: f64,
    credits: Option<u64>,
    allow_private: bool,
    max_tlp: Tlp,
    endpoint: Option<String>,
}

impl Service {
    pub(super) fn new(settings: &config::Certs) -> Self {
        Self {
            base: settings.url.as_deref().and_then(|u| Url::parse(u).ok()),
            limit: settings.limit(),
            timeout: settings.timeout(),
            rate: settings.rate,
            credits: settings.credits,
            allow_private: settings.allow_private,
            max_tlp: settings.max_tlp,
            endpoint: settings.url.clone(),
        }
    }

    pub(super) fn info(&self, name: &str, doc: &str, takes: Vec<Kind>) -> SourceInfo {
        SourceInfo {
            name: name.into(),
            doc: doc.into(),
            class: Class::Http,
            takes,
            returns: vec![Relation::NamedInCertificate, Relation::CertificateName],
            contact: Contact::ThirdParty,
            max_tlp: self.max_tlp,
            marking: Tlp::Clear,
            types: Vec::new(),
            endpoint: self.endpoint.clone(),
            unavailable: self.base.is_none().then(|| "no endpoint: set certs.url".to_owned()),
            credits: self.credits,
            licensed: false,
            rate: self.rate.is_finite().then_some(self.rate),
            digest: digest([self.endpoint.as_deref().unwrap_or_default()]),
        }
    }

    /// Whether it is crt.sh itself, which answers less in JSON than its web pages do.
    pub(super) fn is_crt_sh(&self) -> bool {
        let host = self.base.as_ref().and_then(Url::host_str);
        host.is_some_and(|h| h == "crt.sh" || h.ends_with(".crt.sh"))
    }

    pub(super) async fn get(
        &self,
        query: &str,
        exchange: &mut Exchange<'_>,
    ) -> Result<Vec<Certificate>, Verdict> {
        let request = self.build(query).ok_or(Verdict::FormErr)?;
        let response = exchange.get(&request).await?;
        parse(&response.body)
    }

    fn build(&self, query: &str) -> Option<Request> {
        let mut url = self.base.clone()?;
        url.query_pairs_mut().append_pair("q", query).append_pair("output", "json");
        let mut request = Request::new(url, self.limit, self.timeout);
        request.allow_private = self.allow_private;
        Some(request)
    }
}

/// A row.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    issuer_name: String,
    #[serde(default)]
    common_name: Option<String>,
    #[serde(default)]
    name_value: String,
    #[serde(default)]
    not_before: String,
    #[serde(default)]
    not_after: String,
    #[serde(default)]
    serial_number: String,
    #[serde(default)]
    sha256: Option<String>,
}

/// A certificate: the rows of one issuer and serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// By its SHA-256 fingerprint, where it is known.
    pub(super) node: Option<Observable>,
    /// Names in it; `*.` in front is left out.
    pub(super) names: Vec<Observable>,
    issuer: String,
    not_before: Option<UnixSeconds>,
    not_after: Option<UnixSeconds>,
    id: u64,
}

/// Reads an answer: certificates, newest first. A row that cannot be read is left out.
///
/// # Errors
/// Where the body is no list, none of its rows can be read, or there are too many of them.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Certificate>, Verdict> {
    let mut rows: Vec<Row> = Vec::new();
    let mut total = 0;
    let listed = json::each(body, |raw| {
        total += 1;
        if total <= MAX_ROWS {
            rows.extend(serde_json::from_str::<Row>(raw.get()));
        }
    });
    if listed.is_none() || (rows.is_empty() && total > 0) {
        return Err(Verdict::Malformed);
    }
    if total > MAX_ROWS {
        return Err(Verdict::Limit);
    }
    merge(rows)
}

fn merge(rows: Vec<Row>) -> Result<Vec<Certificate>, Verdict> {
    let mut merged: BTreeMap<(String, String), Certificate> = BTreeMap::new();
    let mut names_read = 0;
    for (number, row) in rows.into_iter().enumerate() {
        let mut cert = certificate(&row);
        names_read += cert.names.len();
        if names_read > MAX_ALL_NAMES {
            return Err(Verdict::Limit);
        }
        let entry = match merged.entry((row.issuer_name, serial(row.serial_number, row.id, number))) {
            Entry::Vacant(entry) => {
                entry.insert(cert);
                continue;
            }
            Entry::Occupied(entry) => entry.into_mut(),
        };
        // The certificate is logged after its precertificate.
        if (cert.node.is_some(), cert.id) > (entry.node.is_some(), entry.id) {
            std::mem::swap(entry, &mut cert);
        }
        entry.names.append(&mut cert.names);
    }
    let mut all: Vec<Certificate> = merged.into_values().collect();
    for cert in &mut all {
        cert.names.sort_unstable();
        cert.names.dedup();
        cert.names.truncate(MAX_NAMES);
    }
    all.sort_by_key(|c| Reverse((c.not_before, c.id)));
    Ok(all)
}

/// What tells a certificate of an issuer from its others: its serial, else its number in the
/// log; a row without either stands for itself.
fn serial(serial: String, id: u64, number: usize) -> String {
    match (serial.is_empty(), id) {
        (false, _) => serial,
        (true, 0) => format!("row {number}"),
        (true, id) => format!("id {id}"),
    }
}

fn certificate(row: &Row) -> Certificate {
    let texts = row.name_value.lines().chain(row.common_name.as_deref());
    let node = row.sha256.as_deref().and_then(|s| Observable::parse_as(Kind::X509Certificate, s).ok());
    // crt.sh leaves the zone out; it is UTC. Alone it would read as a date.
    let time = |text: &str| parse_time(&format!("{text}Z")).or_else(|| parse_time(text));
    Certificate {
        node: node.filter(|n| n.wire().len() == 32),
        names: texts.filter_map(name).take(MAX_NAMES).collect(),
        issuer: row.issuer_name.clone(),
        not_before: time(&row.not_before),
        not_after: time(&row.not_after),
        id: row.id,
    }
}

/// A name in a certificate; common names may be anything, and people's names have spaces.
fn name(text: &str) -> Option<Observable> {
    let text = text.trim();
    let text = text.strip_prefix("*.").unwrap_or(text);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let name = text.bytes().all(plain).then(|| Name::from_text(text)).flatten()?;
    let is_ip = text.parse::<std::net::IpAddr>().is_ok();
    (!is_ip && name.labels().count() > 1).then(|| Observable::from_name(&name))
}

impl Certificate {
    /// What it says: its names, and its facts.
    pub(super) fn describe(&self, found: &mut Found) {
        let Some(node) = &self.node else { return };
        for name in &self.names {
            found.pairs.push(self.timed(Pair::new(node.clone(), Relation::CertificateName, name.clone())));
        }
        let times = [(FactName::NotBefore, self.not_before), (FactName::NotAfter, self.not_after)];
        for (fact, at) in times.into_iter().filter_map(|(f, at)| Some((f, at?))) {
            found.fact(node, fact, FactValue::Time(at));
        }
        found.text(node, FactName::Issuer, &self.issuer);
    }

    /// Ties it to a name that was asked.
    pub(super) fn tie(&self, key: &Observable, found: &mut Found) {
        match &self.node {
            Some(node) => {
                found.pairs.push(self.timed(Pair::new(
                    key.clone(),
                    Relation::NamedInCertificate,
                    node.clone(),
                )));
            }
            None => {
                let others = self.names.iter().filter(|n| *n != key);
                let pair =
                    |n: &Observable| self.timed(Pair::new(key.clone(), Relation::CertificateName, n.clone()));
                found.pairs.extend(others.map(pair));
            }
        }
    }

    /// A certificate ties its names from when it begins to be valid.
    fn timed(&self, pair: Pair) -> Pair {
        pair.seen(self.not_before, self.not_after)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
