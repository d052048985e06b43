//! `pdns.name`: what a name resolved to, and when, by passive DNS.

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

/// Passive DNS by name.
#[derive(Debug)]
pub struct PdnsName {
    info: SourceInfo,
    service: Arc<Service>,
}

impl PdnsName {
    pub(super) fn new(service: Arc<Service>) -> Self {
        let doc = "addresses, hosts and aliases that a name had, with times";
        let returns = vec![
            Relation::SeenOn,
            Relation::AliasOf,
            Relation::NameServer,
            Relation::MailExchange,
            Relation::PrimaryServer,
            Relation::ResponsibleMailbox,
        ];
        Self { info: service.info("pdns.name", doc, vec![Kind::DomainName], returns), service }
    }
}

impl Source for PdnsName {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for PdnsName {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        if !self.info.takes.contains(&asked.key.kind()) {
            return Verdict::FormErr;
        }
        let text = asked.key.to_string();
        match self.service.get(&[&text], &asked, exchange).await {
            Ok(rows) => parse(&asked, &rows, found),
            Err(verdict) => verdict,
        }
    }
}

/// Rows of which the key is the owner; services that match both sides send others too.
pub(super) fn parse(asked: &Asked<'_>, rows: &Rows, found: &mut Found) -> Verdict {
    for row in rows.all.iter().filter(|r| r.owner.wire() == asked.key.wire()) {
        row.forward(found);
    }
    settle(asked.key, rows, found)
}

#[cfg(test)]
#[path = "pdns_name_tests.rs"]
mod tests;
