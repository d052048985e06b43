//! What the passive DNS sources share: the service, and the Common Output Format
//! (draft-dulaunoy-dnsop-passive-dns-cof), one JSON object a line.

pub(super) mod rows;

use std::time::Duration;

use kudzu_shared::config::{self, Secret};
use kudzu_shared::limits::Limit;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{Total, Verdict};
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Class, Contact, SourceInfo};
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use self::rows::Rows;
use super::{Asked, Found, digest};
use crate::http::{Exchange, Request};

/// How many rows are wanted at most (CIRCL's pagination).
const COUNT: HeaderName = HeaderName::from_static("dribble-paginate-count");
/// How many rows there are.
const TOTAL: &str = "x-total-count";

/// Passive DNS as the settings have it.
#[derive(Debug)]
pub(super) struct Service {
    base: Option<Url>,
    basic: Option<(String, Secret)>,
    limit: Limit,
    timeout: Duration,
    rate: f64,
    credits: Option<u64>,
    licensed: bool,
    rows: usize,
    allow_private: bool,
    endpoint: Option<String>,
}

impl Service {
    pub(super) fn new(settings: &config::Pdns) -> Self {
        let url = settings.url.as_deref().map(|u| format!("{}/", u.trim_end_matches('/')));
        Self {
            base: url.as_deref().and_then(|u| Url::parse(u).ok()),
            basic: settings.user.clone().zip(settings.password.clone()),
            limit: settings.limit(),
            timeout: settings.timeout(),
            rate: settings.rate,
            credits: settings.credits,
            licensed: settings.licensed.unwrap_or(settings.user.is_some()),
            rows: usize::try_from(settings.rows).unwrap_or(usize::MAX).max(1),
            allow_private: settings.allow_private,
            endpoint: settings.url.clone(),
        }
    }

    pub(super) fn info(&self, name: &str, doc: &str, takes: Vec<Kind>, returns: Vec<Relation>) -> SourceInfo {
        let user = self.basic.as_ref().map_or("", |(user, _)| user.as_str());
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        let rows = self.rows.to_string();
        SourceInfo {
            name: name.into(),
            doc: doc.into(),
            class: Class::Http,
            takes,
            returns,
            contact: Contact::ThirdParty,
            max_tlp: Tlp::Amber,
            marking: Tlp::Clear,
            types: Vec::new(),
            endpoint: self.endpoint.clone(),
            unavailable: self.base.is_none().then(|| "no endpoint: set pdns.url".to_owned()),
            credits: self.credits,
            licensed: self.licensed,
            rate: self.rate.is_finite().then_some(self.rate),
            digest: digest([endpoint, user, rows.as_str()]),
        }
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
        let total = response.headers.get(TOTAL).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        rows::parse(&response.body, limit, total).ok_or(Verdict::Malformed)
    }

    pub(super) fn build(&self, path: &[&str], limit: usize) -> Option<Request> {
        let mut url = self.base.clone()?;
        // Each part is percent-encoded as one segment.
        url.path_segments_mut().ok()?.pop_if_empty().extend(path);
        let mut request = Request::new(url, self.limit, self.timeout);
        request.accept = "application/x-ndjson, application/json;q=0.8";
        request.headers.insert(COUNT, HeaderValue::from(limit));
        request.basic.clone_from(&self.basic);
        request.allow_private = self.allow_private;
        Some(request)
    }
}

/// The verdict on rows that were turned into pairs, and the true total where rows are
/// missing: it goes to the relation most rows have, less the rows of the others.
pub(super) fn settle(key: &Observable, rows: &Rows, found: &mut Found) -> Verdict {
    let of = |r: Relation| found.pairs.iter().filter(|p| p.key == *key && p.relation == r).count();
    let most = Relation::ALL.into_iter().map(|r| (of(r), std::cmp::Reverse(r))).max();
    if let (Some(total), Some((n, std::cmp::Reverse(relation)))) = (rows.total, most)
        && n > 0
    {
        let read = u64::try_from(rows.all.len() + rows.bad).unwrap_or(u64::MAX);
        if total > read {
            let missing = total - read;
            let n = u64::try_from(n).unwrap_or(u64::MAX);
            found.totals.push(Total { key: key.clone(), relation, total: n.saturating_add(missing) });
        }
    }
    match (found.pairs.is_empty(), rows.bad) {
        (false, _) => Verdict::Found,
        (true, 0) => Verdict::NoData,
        // Nothing could be read: that is not nothing there.
        (true, _) if rows.all.is_empty() => Verdict::Malformed,
        (true, _) => Verdict::NoData,
    }
}
