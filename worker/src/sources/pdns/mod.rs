//! What the passive DNS sources share: the service, and the Common Output Format
//! (draft-dulaunoy-dnsop-passive-dns-cof), one JSON object a line.

pub(super) mod rows;

use std::collections::HashSet;
use std::time::Duration;

use kudzu_shared::config::{self, Secret};
use kudzu_shared::limits::Limit;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{Total, Verdict};
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Class, Contact, SourceInfo};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use self::rows::{Bearing, Rows, Told};
use super::{Asked, Found, digest};
use crate::http::{Exchange, Missing, Request};

/// How many rows are wanted at most (CIRCL's pagination).
const COUNT: HeaderName = HeaderName::from_static("dribble-paginate-count");
/// Asks that the service look at what it has and resolve nothing itself: the target would see
/// that (CIRCL's version 2 resolves unless told).
const PASSIVE: HeaderName = HeaderName::from_static("dribble-disable-active-query");
/// How many rows there are.
const TOTAL: &str = "x-total-count";
/// Where the next page begins.
const CURSOR: &str = "x-dribble-cursor";
/// What went wrong, as JSON; a count that was cut is among it.
const ERRORS: &str = "x-dribble-errors";

/// Passive DNS as the settings have it.
#[derive(Debug)]
pub(super) struct Service {
    base: Option<Url>,
    basic: Option<(String, Secret)>,
    /// A header that holds a key.
    api_key: Option<(HeaderName, Secret)>,
    rdata_path: Vec<String>,
    limit: Limit,
    timeout: Duration,
    rate: f64,
    credits: Option<u64>,
    licensed: bool,
    not_found_is_empty: bool,
    rows: usize,
    allow_private: bool,
    max_tlp: Tlp,
    marking: Tlp,
    endpoint: Option<String>,
}

impl Service {
    pub(super) fn new(settings: &config::Pdns) -> Self {
        let url = settings.url.as_deref().map(|u| format!("{}/", u.trim_end_matches('/')));
        Self {
            base: url.as_deref().and_then(|u| Url::parse(u).ok()),
            basic: settings.user.clone().zip(settings.password.clone()),
            api_key: HeaderName::from_bytes(settings.header.as_bytes()).ok().zip(settings.api_key.clone()),
            rdata_path: settings.rdata_path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect(),
            limit: settings.limit(),
            timeout: settings.timeout(),
            rate: settings.rate,
            credits: settings.credits,
            not_found_is_empty: settings.not_found_is_empty,
            licensed: settings.licensed.unwrap_or(settings.user.is_some() || settings.api_key.is_some()),
            rows: usize::try_from(settings.rows).unwrap_or(usize::MAX).max(1),
            allow_private: settings.allow_private,
            max_tlp: settings.max_tlp,
            marking: settings.marking,
            endpoint: settings.url.clone(),
        }
    }

    pub(super) fn info(&self, name: &str, doc: &str, takes: Vec<Kind>, returns: Vec<Relation>) -> SourceInfo {
        let user = self.credential().unwrap_or_default();
        let rdata_path = self.rdata_path.join("/");
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        let rows = self.rows.to_string();
        SourceInfo {
            name: name.into(),
            doc: doc.into(),
            class: Class::Http,
            takes,
            returns,
            contact: Contact::ThirdParty,
            max_tlp: self.max_tlp,
            marking: self.marking,
            types: Vec::new(),
            endpoint: self.endpoint.clone(),
            unavailable: self.base.is_none().then(|| "no endpoint: set pdns.url".to_owned()),
            credits: self.credits,
            licensed: self.licensed,
            rate: self.rate.is_finite().then_some(self.rate),
            digest: digest([endpoint, user, rows.as_str(), rdata_path.as_str()]),
        }
    }

    /// Who asks, as far as it is no secret.
    fn credential(&self) -> Option<&str> {
        let key = self.api_key.as_ref().map(|_| "api_key");
        self.basic.as_ref().map(|(user, _)| user.as_str()).or(key)
    }

    /// The path of a question for rows by their data.
    pub(super) fn rdata<'a>(&'a self, text: &'a str) -> Vec<&'a str> {
        self.rdata_path.iter().map(String::as_str).chain([text]).collect()
    }

    /// Asks for a path below the base; the rows in the service's order.
    pub(super) async fn get(
        &self,
        path: &[&str],
        asked: &Asked<'_>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Rows, Verdict> {
        let limit = self.rows.min(asked.limit());
        let request = self.build(path, limit).ok_or(Verdict::FormErr)?;
        let response = exchange.get(&request).await?;
        Ok(rows::parse(&response.body, limit, told(&response.headers)))
    }

    pub(super) fn build(&self, path: &[&str], limit: usize) -> Option<Request> {
        let mut url = self.base.clone()?;
        // Each part is percent-encoded as one segment.
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        let mut request = Request::new(url, self.limit, self.timeout);
        request.accept = "application/x-ndjson, application/json;q=0.8";
        request.headers.insert(COUNT, HeaderValue::from(limit));
        request.headers.insert(PASSIVE, HeaderValue::from_static("1"));
        if let Some((name, key)) = &self.api_key {
            let mut key = HeaderValue::from_str(key.expose()).ok()?;
            key.set_sensitive(true);
            request.headers.insert(name, key);
        }
        if self.not_found_is_empty {
            request.missing = Missing::Empty;
        }
        request.basic.clone_from(&self.basic);
        request.credential = self.credential().map(str::to_owned);
        request.allow_private = self.allow_private;
        Some(request)
    }
}

/// What the headers say of rows that were not sent.
fn told(headers: &HeaderMap) -> Told {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::trim);
    let counted = text(TOTAL).and_then(|t| t.parse().ok());
    let errors: Option<Value> = text(ERRORS).and_then(|t| serde_json::from_str(t).ok());
    let cut = errors.as_ref().and_then(total_value);
    Told { total: counted.max(cut), more: text(CURSOR).is_some_and(|c| !c.is_empty()) }
}

/// The largest `total_value` of an object, or of the objects of a list.
fn total_value(errors: &Value) -> Option<u64> {
    let of = |v: &Value| v.get("total_value").and_then(Value::as_u64);
    of(errors).max(errors.as_array().and_then(|all| all.iter().filter_map(of).max()))
}

/// The verdict on rows that were turned into pairs, and the true total where rows are
/// missing: it goes to the relation most rows have, less the rows of the others.
pub(super) fn settle(key: &Observable, rows: &Rows, found: &mut Found) -> Verdict {
    let of = |r: Relation| {
        let pairs = found.pairs.iter().filter(|p| p.key == *key && p.relation == r);
        pairs.map(|p| &p.value).collect::<HashSet<_>>().len()
    };
    let most = Relation::ALL.into_iter().map(|r| (of(r), std::cmp::Reverse(r))).max();
    if let Some((n, std::cmp::Reverse(relation))) = most
        && n > 0
    {
        if rows.missing > 0 {
            let n = u64::try_from(n).unwrap_or(u64::MAX);
            found.totals.push(Total { key: key.clone(), relation, total: n.saturating_add(rows.missing) });
        }
        return Verdict::Found;
    }
    nothing(key, rows)
}

/// The verdict on rows that brought nothing: only what was read and understood is nothing.
fn nothing(key: &Observable, rows: &Rows) -> Verdict {
    let has = |bearing| rows.all.iter().any(|r| r.bearing(key) == bearing);
    let foreign = has(Bearing::Foreign) && !has(Bearing::About);
    if rows.bad > 0 || foreign || has(Bearing::Unreadable) {
        Verdict::Malformed
    } else if rows.missing > 0 {
        // It may be in those that were not read.
        Verdict::Limit
    } else {
        Verdict::NoData
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_str(v).unwrap())).collect()
    }

    #[test]
    fn what_headers_tell() {
        let told = |all: &[(&'static str, &str)]| {
            let Told { total, more } = told(&headers(all));
            (total, more)
        };
        assert_eq!(told(&[]), (None, false));
        assert_eq!(told(&[(TOTAL, " 7 "), (CURSOR, "abc")]), (Some(7), true));
        let errors = r#"[{"type":"x"},{"total_value":90,"limit":10}]"#;
        assert_eq!(told(&[(TOTAL, "7"), (ERRORS, errors)]), (Some(90), false));
        assert_eq!(told(&[(TOTAL, "many"), (ERRORS, r#"{"total_value":5}"#)]), (Some(5), false));
        assert_eq!(told(&[(ERRORS, "quota"), (CURSOR, "")]), (None, false));
    }

    #[test]
    fn nothing_is_resolved_and_the_key_stays_hidden() {
        let settings = config::Pdns {
            url: Some("https://p.example/".into()),
            header: "X-Api-Key".into(),
            api_key: Some("s3cret".to_owned().into()),
            rdata_path: "by/data".into(),
            marking: Tlp::Green,
            ..config::Pdns::default()
        };
        let service = Service::new(&settings);
        let request = service.build(&service.rdata("ns.example"), 7).unwrap();
        assert_eq!(request.url.as_str(), "https://p.example/by/data/ns.example");
        assert_eq!(request.headers["dribble-disable-active-query"], "1");
        assert_eq!(request.headers["x-api-key"], "s3cret");
        assert!(!format!("{service:?} {request:?}").contains("s3cret"));
        let info = service.info("pdns.name", "", vec![], vec![]);
        assert!(info.licensed);
        assert_eq!((info.max_tlp, info.marking), (Tlp::Amber, Tlp::Green));
    }
}
