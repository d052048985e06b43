//! `rdap.entity`: which domains an e-mail address has registered: the reverse search of
//! RFC 9536, at the registry of the address's own top-level domain, since RDAP knows no
//! server for a person. Few registries offer it; the others say so, and the lookup fails.

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{Total, Verdict};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::SourceInfo;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rdap::{MAX_VALUES, Rdap, Wanted, keep, object};
use super::{Asked, Found, HttpSource, Source, Work, json};
use crate::http::{Exchange, Missing};

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
        // A registry that does not know the search may say so by a 404.
        let missing = Missing::EmptyIf(is_search);
        match self.rdap.search(Wanted::Tld(&tld), &build(asked.key), missing, exchange).await {
            Ok(body) => parse(asked.key, &body, found),
            Err(verdict) => verdict,
        }
    }
}

fn build(key: &Observable) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("email", &key.to_string()).append_pair("role", "registrant");
    format!("domains/reverse_search/entity?{}", query.finish())
}

/// What an answer says of itself, and the results as they stand.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default, rename = "rdapConformance")]
    conformance: Vec<String>,
    #[serde(borrow, default, rename = "domainSearchResults")]
    results: Option<&'a RawValue>,
}

/// Whether a server that answers so knows the search (RFC 9536 section 9).
fn is_search(body: &[u8]) -> bool {
    let answer: Option<Answer<'_>> = serde_json::from_slice(body).ok();
    answer.is_some_and(|a| a.conformance.iter().any(|c| c.starts_with("reverse_search")))
}

/// Each domain is related to the address, and comes with its own registration, so that it
/// need not be asked for again.
pub(super) fn parse(key: &Observable, body: &[u8], found: &mut Found) -> Verdict {
    let answer: Option<Answer<'_>> = serde_json::from_slice(body).ok();
    let Some(results) = answer.and_then(|a| a.results) else { return Verdict::Malformed };
    let mut total = 0_u64;
    let mut domains = 0;
    let listed = json::each(results.get().as_bytes(), |raw| {
        total += 1;
        if domains == MAX_DOMAINS {
            return;
        }
        let result = json::object(raw.get().as_bytes(), MAX_VALUES).ok();
        let result = result.filter(|r| object::is_class(r, "domain"));
        if let Some((domain, result)) = result.and_then(|r| Some((object::domain_name(&r)?, r))) {
            domains += 1;
            object::domain(&domain, &result, found);
            found.pairs.push(Pair::new(key.clone(), Relation::RegistrantOf, domain));
        }
    });
    match (listed, domains, total) {
        (Some(()), 0, 0) => Verdict::NoData,
        (None, ..) | (_, 0, _) => Verdict::Malformed,
        _ => {
            if domains == MAX_DOMAINS {
                found.totals.push(Total { key: key.clone(), relation: Relation::RegistrantOf, total });
            }
            Verdict::Found
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Observable {
        Observable::parse_as(Kind::EmailAddr, "a+b@evil.example").unwrap()
    }

    #[test]
    fn every_domain_with_its_registration() {
        let body = br#"{"domainSearchResults": [
            {"objectClassName": "domain", "ldhName": "One.example", "nameservers": [{"ldhName": "ns.one.example"}]},
            {"objectClassName": "entity", "ldhName": "two.example"},
            {"objectClassName": "domain", "ldhName": "bad..name"}, 7]}"#;
        let mut found = Found::default();
        assert_eq!(parse(&key(), body, &mut found), Verdict::Found);
        let text: Vec<String> =
            found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
        assert_eq!(
            text,
            ["one.example name-server ns.one.example", "a+b@evil.example registrant-of one.example"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing() {
        let verdict = |body: &str| parse(&key(), body.as_bytes(), &mut Found::default());
        assert_eq!(verdict(r#"{"domainSearchResults": []}"#), Verdict::NoData);
        for bad in [
            "",
            "{}",
            r#"{"errorCode": 501}"#,
            r#"{"domainSearchResults": {}}"#,
            r#"{"domainSearchResults": [7]}"#,
            r#"{"domainSearchResults": [{"ldhName": "one.example"}]}"#,
        ] {
            assert_eq!(verdict(bad), Verdict::Malformed, "{bad}");
        }
    }

    #[test]
    fn a_404_is_nothing_only_of_a_server_that_knows_the_search() {
        assert!(is_search(br#"{"rdapConformance": ["rdap_level_0", "reverse_search"], "errorCode": 404}"#));
        for body in
            [&br#"{"rdapConformance": ["rdap_level_0"], "errorCode": 404}"#[..], b"<html>", b"", b"{}"]
        {
            assert!(!is_search(body));
        }
    }

    #[test]
    fn the_address_is_escaped() {
        assert_eq!(build(&key()), "domains/reverse_search/entity?email=a%2Bb%40evil.example&role=registrant");
    }
}
