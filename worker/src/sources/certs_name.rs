//! `certs.name`: the certificates that name a name, and the names beside it.

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::SourceInfo;

use super::certs::{Certificate, Service};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Certificates by name.
#[derive(Debug)]
pub struct CertsName {
    info: SourceInfo,
    service: Arc<Service>,
}

impl CertsName {
    pub(super) fn new(service: Arc<Service>) -> Self {
        let doc = "certificates that name a name, their names, dates and issuer";
        Self { info: service.info("certs.name", doc, vec![Kind::DomainName]), service }
    }
}

impl Source for CertsName {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for CertsName {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        if asked.key.kind() != Kind::DomainName {
            return Verdict::FormErr;
        }
        match self.service.get(&asked.key.to_string(), exchange).await {
            Ok(all) => parse(asked.key, &all, asked.limit(), found),
            Err(verdict) => verdict,
        }
    }
}

/// All certificates are tied to the name; the newest of them are described.
pub(super) fn parse(key: &Observable, all: &[Certificate], limit: usize, found: &mut Found) -> Verdict {
    all.iter().for_each(|c| c.tie(key, found));
    all.iter().take(limit).for_each(|c| c.describe(found));
    if !found.is_empty() {
        return Verdict::Found;
    }
    // A certificate of this name alone relates it to nothing; one that does not name it, or
    // cannot be read, is no answer.
    let about = all.is_empty() || all.iter().any(|c| c.names.contains(key));
    if about { Verdict::NoData } else { Verdict::Malformed }
}

#[cfg(test)]
#[path = "certs_name_tests.rs"]
mod tests;
