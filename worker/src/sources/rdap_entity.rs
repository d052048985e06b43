//! `rdap.entity`: which domains an e-mail address has registered: the reverse search of
//! RFC 9536, at the registry of the address's own top-level domain, since RDAP knows no
//! server for a person. Few registries offer it; the others say so, and the lookup fails.

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::SourceInfo;
use serde_json::Value;

use super::rdap::{Rdap, Wanted, keep, object};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Domains read of one answer.
const MAX_DOMAINS: usize = 10_000;

/// Registrations by a holder's e-mail address.
#[derive(Debug)]
pub struct RdapEntity {
    info: SourceInfo,
    rdap: Arc<Rdap>,
}

impl RdapEntity {
    pub(super) fn new(rdap: Arc<Rdap>) -> Self {
        let doc = "domains registered with an e-mail address";
        let returns = vec![
            Relation::RegisteredBy,
            Relation::Registrar,
            Relation::ContactMailbox,
            Relation::AbuseMailbox,
            Relation::NameServer,
            Relation::RegistrantOf,
        ];
        Self { info: rdap.info("rdap.entity", doc, vec![Kind::EmailAddr], returns), rdap }
    }
}

impl Source for RdapEntity {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for RdapEntity {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        let tld = object::mail_domain(asked.key).and_then(|n| object::tld(&n));
        let Some(tld) = tld else { return Verdict::FormErr };
        keep(found);
        match self.rdap.get(Wanted::Tld(&tld), &build(asked.key), exchange).await {
            Ok(object) => parse(asked.key, &object, found),
            Err(verdict) => verdict,
        }
    }
}

fn build(key: &Observable) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("email", &key.to_string()).append_pair("role", "registrant");
    format!("domains/reverse_search/entity?{}", query.finish())
}

/// Each domain is related to the address, and comes with its own registration, so that it
/// need not be asked for again.
fn parse(key: &Observable, object: &Value, found: &mut Found) -> Verdict {
    let Some(results) = object.get("domainSearchResults").and_then(Value::as_array) else {
        return Verdict::Malformed;
    };
    for result in results.iter().take(MAX_DOMAINS).filter(|r| object::is_class(r, "domain")) {
        if let Some(domain) = object::domain_name(result) {
            object::domain(&domain, result, found);
            found.pairs.push(Pair::new(key.clone(), Relation::RegistrantOf, domain));
        }
    }
    if found.is_empty() { Verdict::NoData } else { Verdict::Found }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key() -> Observable {
        Observable::parse_as(Kind::EmailAddr, "a+b@evil.example").unwrap()
    }

    #[test]
    fn every_domain_with_its_registration() {
        let object = json!({"domainSearchResults": [
            {"objectClassName": "domain", "ldhName": "One.example", "nameservers": [{"ldhName": "ns.one.example"}]},
            {"objectClassName": "entity", "ldhName": "two.example"},
            {"ldhName": "bad..name"}, 7]});
        let mut found = Found::default();
        assert_eq!(parse(&key(), &object, &mut found), Verdict::Found);
        let text: Vec<String> =
            found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
        assert_eq!(
            text,
            ["one.example name-server ns.one.example", "a+b@evil.example registrant-of one.example"]
        );
        assert_eq!(
            parse(&key(), &json!({"domainSearchResults": []}), &mut Found::default()),
            Verdict::NoData
        );
        assert_eq!(parse(&key(), &json!({"errorCode": 501}), &mut Found::default()), Verdict::Malformed);
    }

    #[test]
    fn the_address_is_escaped() {
        assert_eq!(build(&key()), "domains/reverse_search/entity?email=a%2Bb%40evil.example&role=registrant");
    }
}
