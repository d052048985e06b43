//! `rdap.ip`: the block an address is in, and who holds it (RFC 9083 section 5.4).

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Observable, ObservableRef};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;
use serde_json::Value;

use super::rdap::{Rdap, Wanted, keep, object};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Registrations of address blocks.
#[derive(Debug)]
pub struct RdapIp {
    info: SourceInfo,
    rdap: Arc<Rdap>,
}

impl RdapIp {
    pub(super) fn new(rdap: Arc<Rdap>) -> Self {
        let doc = "block of an address, its holder, name, country, origin AS and abuse contact";
        let returns = vec![
            Relation::RegisteredBy,
            Relation::ContactMailbox,
            Relation::AbuseMailbox,
            Relation::WithinNetblock,
            Relation::AnnouncedBy,
        ];
        let takes = vec![Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::Netblock];
        Self { info: rdap.info("rdap.ip", doc, takes, returns), rdap }
    }
}

impl Source for RdapIp {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for RdapIp {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        let Some((wanted, path)) = build(asked.key) else { return Verdict::FormErr };
        keep(found);
        match self.rdap.get(wanted, &path, exchange).await {
            Ok(object) => parse(asked.key, &object, found),
            Err(verdict) => verdict,
        }
    }
}

fn build(key: &Observable) -> Option<(Wanted<'static>, String)> {
    let ip = match key.wire() {
        [net @ .., _] if key.kind() == Kind::Netblock => {
            let kind = if net.len() == 4 { Kind::Ipv4Addr } else { Kind::Ipv6Addr };
            ObservableRef { kind, wire: net }.ip()?
        }
        _ => key.ip()?,
    };
    // A block reads `192.0.2.0/24`, which is the path as well.
    Some((Wanted::Ip(ip), format!("ip/{key}")))
}

pub(super) fn parse(key: &Observable, object: &Value, found: &mut Found) -> Verdict {
    if !object::is_class(object, "ip network") || !object::network(key, object, found) {
        return Verdict::Malformed;
    }
    if found.is_empty() { Verdict::NoData } else { Verdict::Found }
}

#[cfg(test)]
#[path = "rdap_ip_tests.rs"]
mod tests;
