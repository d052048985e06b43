//! `pdns.rdata`: which names use a host as name server, mail host or alias target, by passive DNS.

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::Kind;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;

use super::pdns::rows::Rows;
use super::pdns::{Service, settle};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Passive DNS by data.
#[derive(Debug)]
pub struct PdnsRdata {
    info: SourceInfo,
    service: Arc<Service>,
}

impl PdnsRdata {
    pub(super) fn new(service: Arc<Service>) -> Self {
        let doc = "names that use a name server, mail host or alias target, with times";
        let returns = vec![Relation::NameServerOf, Relation::MailExchangeOf, Relation::AliasFrom];
        Self { info: service.info("pdns.rdata", doc, vec![Kind::DomainName], returns), service }
    }
}

impl Source for PdnsRdata {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for PdnsRdata {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        if !self.info.takes.contains(&asked.key.kind()) {
            return Verdict::FormErr;
        }
        let text = asked.key.to_string();
        match self.service.get(&self.service.rdata(&text), &asked, exchange).await {
            Ok(rows) => parse(&asked, &rows, found),
            Err(verdict) => verdict,
        }
    }
}

/// Rows of which the key is the data.
pub(super) fn parse(asked: &Asked<'_>, rows: &Rows, found: &mut Found) -> Verdict {
    rows.all.iter().for_each(|r| r.backward(asked.key, found));
    settle(asked.key, rows, found)
}

#[cfg(test)]
#[path = "pdns_rdata_tests.rs"]
mod tests;
