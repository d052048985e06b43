//! `rdap.domain`: who registered a domain, through whom and when (RFC 9083 section 5.3).

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Name, Observable, psl};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;
use serde_json::Value;

use super::rdap::{Rdap, Wanted, keep, object};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Domain registrations.
#[derive(Debug)]
pub struct RdapDomain {
    info: SourceInfo,
    rdap: Arc<Rdap>,
}

impl RdapDomain {
    pub(super) fn new(rdap: Arc<Rdap>) -> Self {
        let doc = "registrant, registrar, dates, status and name servers of a registered domain";
        let returns = vec![
            Relation::RegisteredBy,
            Relation::Registrar,
            Relation::ContactMailbox,
            Relation::AbuseMailbox,
            Relation::NameServer,
        ];
        Self { info: rdap.info("rdap.domain", doc, vec![Kind::DomainName], returns), rdap }
    }
}

impl Source for RdapDomain {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for RdapDomain {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        let Some(name) = asked.key.name() else { return Verdict::FormErr };
        // Asking for others would tell the registry what is looked at, for nothing. Not that
        // there is no registration: none of it was asked for.
        if !psl::is_registered(&name) {
            return Verdict::Scope;
        }
        let (Some(tld), Some(path)) = (object::tld(&name), build(&name)) else { return Verdict::FormErr };
        keep(found);
        match self.rdap.get(Wanted::Tld(&tld), &path, exchange).await {
            Ok(object) => parse(asked.key, &object, found),
            Err(verdict) => verdict,
        }
    }
}

/// The path of a name; `None` where RDAP cannot name it.
fn build(name: &Name) -> Option<String> {
    let text = name.to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.bytes().all(plain).then(|| format!("domain/{text}"))
}

pub(super) fn parse(key: &Observable, object: &Value, found: &mut Found) -> Verdict {
    // An answer about another domain is none, and one about nothing neither.
    if !object::is_class(object, "domain") || object::domain_name(object).as_ref() != Some(key) {
        return Verdict::Malformed;
    }
    object::domain(key, object, found);
    if found.is_empty() { Verdict::NoData } else { Verdict::Found }
}

#[cfg(test)]
#[path = "rdap_domain_tests.rs"]
mod tests;
