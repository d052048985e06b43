//! What the certificate sources share: crt.sh's JSON.
//!
//! A certificate and its precertificate are two rows of one serial; the later row stands
//! for both. A row without `sha256` (crt.sh itself sends none in this form) gives no
//! certificate node, since its log number is no fingerprint: the names on it are then
//! related to the name that was asked by `certificate-name`, which keeps the tie.

use std::cmp::Reverse;
use std::collections::BTreeMap;
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

use super::{Found, digest};
use crate::http::{Exchange, Request};

/// Names read of one certificate.
const MAX_NAMES: usize = 2000;

/// The service as the settings have it.
#[derive(Debug)]
pub(super) struct Service {
    base: Option<Url>,
    limit: Limit,
    timeout: Duration,
    rate: f64,
    credits: Option<u64>,
    allow_private: bool,
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
            max_tlp: Tlp::Amber,
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

    pub(super) async fn get(
        &self,
        query: &str,
        exchange: &mut Exchange<'_>,
    ) -> Result<Vec<Certificate>, Verdict> {
        let request = self.build(query).ok_or(Verdict::FormErr)?;
        let response = exchange.get(&request).await?;
        parse(&response.body).ok_or(Verdict::Malformed)
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

/// Reads an answer: certificates, newest first. A row that cannot be read is left out;
/// `None` where the body is no list.
pub(super) fn parse(body: &[u8]) -> Option<Vec<Certificate>> {
    let rows: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body).ok()?;
    let mut merged: BTreeMap<(String, String), Certificate> = BTreeMap::new();
    let total = rows.len();
    let read: Vec<Row> = rows.into_iter().filter_map(|r| serde_json::from_str(r.get()).ok()).collect();
    if read.is_empty() && total > 0 {
        return None;
    }
    for row in read {
        // Without a serial a row stands for itself.
        let serial =
            if row.serial_number.is_empty() { format!("#{}", row.id) } else { row.serial_number.clone() };
        let cert = certificate(&row);
        let entry = merged.entry((row.issuer_name, serial)).or_insert_with(|| cert.clone());
        let names = std::mem::take(&mut entry.names);
        // The certificate is logged after its precertificate.
        if (cert.node.is_some(), cert.id) > (entry.node.is_some(), entry.id) {
            *entry = cert.clone();
        }
        entry.names = names.into_iter().chain(cert.names).collect();
        entry.names.sort_unstable();
        entry.names.dedup();
    }
    let mut all: Vec<Certificate> = merged.into_values().collect();
    all.sort_by_key(|c| Reverse((c.not_before, c.id)));
    Some(all)
}

fn certificate(row: &Row) -> Certificate {
    let texts = row.name_value.lines().chain(row.common_name.as_deref());
    let node = row.sha256.as_deref().and_then(|s| Observable::parse_as(Kind::X509Certificate, s).ok());
    // crt.sh leaves the zone out; it is UTC. Alone it would read as a date.
    let time = |text: &str| parse_time(&format!("{text}Z")).or_else(|| parse_time(text));
    Certificate {
        node: node.filter(|n| n.wire().len() == 32),
        names: texts.take(MAX_NAMES).filter_map(name).collect(),
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
