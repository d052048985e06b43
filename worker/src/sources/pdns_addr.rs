//! `pdns.addr`: which names were seen on an address, and when, by passive DNS.

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

/// Passive DNS by address.
#[derive(Debug)]
pub struct PdnsAddr {
    info: SourceInfo,
    service: Arc<Service>,
}

impl PdnsAddr {
    pub(super) fn new(service: Arc<Service>) -> Self {
        let doc = "names seen on an address, with times";
        let returns = vec![Relation::HostedName];
        Self { info: service.info("pdns.addr", doc, vec![Kind::Ipv4Addr, Kind::Ipv6Addr], returns), service }
    }
}

impl Source for PdnsAddr {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for PdnsAddr {
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

/// Rows of which the key is the data.
pub(super) fn parse(asked: &Asked<'_>, rows: &Rows, found: &mut Found) -> Verdict {
    rows.all.iter().for_each(|r| r.backward(asked.key, found));
    settle(asked.key, rows, found)
}

#[cfg(test)]
#[path = "pdns_addr_tests.rs"]
mod tests;
