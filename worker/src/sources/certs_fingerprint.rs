//! `certs.fingerprint`: the names in a certificate, by its SHA-256 fingerprint.

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::SourceInfo;

use super::certs::{Certificate, Service};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Certificates by fingerprint.
#[derive(Debug)]
pub struct CertsFingerprint {
    info: SourceInfo,
    service: Arc<Service>,
}

impl CertsFingerprint {
    pub(super) fn new(service: Arc<Service>) -> Self {
        let doc = "names, dates and issuer of a certificate (crt.sh itself cannot say so in JSON)";
        let mut info = service.info("certs.fingerprint", doc, vec![Kind::X509Certificate]);
        // Its search by fingerprint answers "Unsupported output type".
        if service.is_crt_sh() {
            let reason = "crt.sh has no JSON by fingerprint: set certs.url to a service that has";
            info.unavailable.get_or_insert_with(|| reason.to_owned());
        }
        Self { info, service }
    }
}

impl Source for CertsFingerprint {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for CertsFingerprint {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        if asked.key.kind() != Kind::X509Certificate {
            return Verdict::FormErr;
        }
        match self.service.get(&asked.key.to_string(), exchange).await {
            Ok(all) => parse(asked.key, all, found),
            Err(verdict) => verdict,
        }
    }
}

/// The service found it by the fingerprint, so a row that does not repeat it is it too; one
/// of another fingerprint is not, and is no answer.
pub(super) fn parse(key: &Observable, all: Vec<Certificate>, found: &mut Found) -> Verdict {
    if all.is_empty() {
        return Verdict::NoData;
    }
    for mut cert in all {
        if cert.node.get_or_insert_with(|| key.clone()) == key {
            cert.describe(found);
        }
    }
    if found.is_empty() { Verdict::Malformed } else { Verdict::Found }
}

#[cfg(test)]
#[path = "certs_fingerprint_tests.rs"]
mod tests;
