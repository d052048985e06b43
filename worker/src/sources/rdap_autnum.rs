//! `rdap.autnum`: who holds an AS number (RFC 9083 section 5.5).

use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;
use serde_json::Value;

use super::rdap::{Rdap, Wanted, keep, object};
use super::{Asked, Found, HttpSource, Source, Work};
use crate::http::Exchange;

/// Registrations of AS numbers.
#[derive(Debug)]
pub struct RdapAutnum {
    info: SourceInfo,
    rdap: Arc<Rdap>,
}

impl RdapAutnum {
    pub(super) fn new(rdap: Arc<Rdap>) -> Self {
        let doc = "holder, name, country and abuse contact of an AS";
        let returns = vec![Relation::RegisteredBy, Relation::ContactMailbox, Relation::AbuseMailbox];
        Self { info: rdap.info("rdap.autnum", doc, vec![Kind::AutonomousSystem], returns), rdap }
    }
}

impl Source for RdapAutnum {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for RdapAutnum {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        let Some(number) = number(asked.key) else { return Verdict::FormErr };
        keep(found);
        match self.rdap.get(Wanted::Asn(number), &build(number), exchange).await {
            Ok(object) => parse(asked.key, number, &object, found),
            Err(verdict) => verdict,
        }
    }
}

fn number(key: &Observable) -> Option<u32> {
    let wire = (key.kind() == Kind::AutonomousSystem).then(|| key.wire())?;
    Some(u32::from_be_bytes(wire.try_into().ok()?))
}

fn build(number: u32) -> String {
    format!("autnum/{number}")
}

pub(super) fn parse(key: &Observable, number: u32, object: &Value, found: &mut Found) -> Verdict {
    // An unreadable bound is none that holds the number.
    let bound = |field| object.get(field).map_or(Some(u64::from(number)), Value::as_u64);
    let range = bound("startAutnum").zip(bound("endAutnum"));
    let about = range.is_some_and(|(low, high)| (low..=high).contains(&u64::from(number)));
    if !object::is_class(object, "autnum") || !about {
        return Verdict::Malformed;
    }
    object::autnum(key, object, found);
    if found.is_empty() { Verdict::NoData } else { Verdict::Found }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_as_and_its_holder() {
        let key = Observable::from_asn(64500);
        let object = json!({
            "objectClassName": "autnum", "startAutnum": 64500, "endAutnum": 64500, "name": "EXAMPLE-AS",
            "country": "us", "events": [{"eventAction": "registration", "eventDate": "2001-02-03T00:00:00Z"}],
            "entities": [{"roles": ["registrant"], "vcardArray": ["vcard", [["fn", {}, "text", "Example Net"]]]}],
        });
        let mut found = Found::default();
        assert_eq!(parse(&key, 64500, &object, &mut found), Verdict::Found);
        assert_eq!(found.pairs[0].value.to_string(), "Example Net");
        assert!(found.pairs[0].personal);
        assert_eq!(found.facts.len(), 3);
        assert_eq!(build(64500), "autnum/64500");
    }

    #[test]
    fn another_number_or_class_is_no_answer() {
        let key = Observable::from_asn(1);
        for object in [
            json!({"objectClassName": "autnum", "startAutnum": 5, "endAutnum": 9}),
            json!({"objectClassName": "autnum", "startAutnum": "x"}),
            json!({"objectClassName": "domain"}),
            json!({"name": "EXAMPLE"}),
            json!({}),
            json!([]),
        ] {
            assert_eq!(parse(&key, 1, &object, &mut Found::default()), Verdict::Malformed, "{object}");
        }
        let bare = json!({"objectClassName": "autnum"});
        assert_eq!(parse(&key, 1, &bare, &mut Found::default()), Verdict::NoData);
    }
}
