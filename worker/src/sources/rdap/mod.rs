//! What the RDAP sources share: whom to ask, how, and how to read what comes back
//! (RFC 9082, RFC 9083).

mod bootstrap;
pub(super) mod contact;
pub(super) mod object;

use std::time::Duration;

use kudzu_shared::config;
use kudzu_shared::limits::Limit;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::Kind;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Class, Contact, SourceInfo};
use serde_json::Value;
use url::Url;

use self::bootstrap::Bootstrap;
use super::{digest, json};
use crate::http::{Exchange, Follow, Missing, Request};

pub(super) use self::bootstrap::Wanted;

/// How long an RDAP answer is kept: registrations change rarely.
const KEEP: u32 = 3600;
/// Octets of one object.
const MAX_OBJECT: u64 = 1024 * 1024;
/// Values of one object.
pub(super) const MAX_VALUES: usize = 65_536;

/// RDAP as the settings have it; one for all RDAP sources, so that the registries' lists
/// are fetched once.
#[derive(Debug)]
pub(super) struct Rdap {
    base: Option<Url>,
    bootstrap: Bootstrap,
    limit: Limit,
    timeout: Duration,
    rate: f64,
    credits: Option<u64>,
    allow_private: bool,
    max_tlp: Tlp,
    unavailable: Option<String>,
    endpoint: String,
}

impl Rdap {
    pub(super) fn new(settings: &config::Rdap) -> Self {
        let base = Url::parse(&format!("{}/", settings.bootstrap.trim_end_matches('/'))).ok();
        let unavailable = if !settings.enabled {
            Some("switched off: set rdap.enabled = true")
        } else if base.is_none() {
            Some("rdap.bootstrap is no URL")
        } else {
            None
        };
        Self {
            base,
            bootstrap: Bootstrap::default(),
            limit: settings.limit(),
            timeout: settings.timeout(),
            rate: settings.rate,
            credits: settings.credits,
            allow_private: settings.allow_private,
            max_tlp: settings.max_tlp,
            unavailable: unavailable.map(str::to_owned),
            endpoint: settings.bootstrap.clone(),
        }
    }

    pub(super) fn info(&self, name: &str, doc: &str, takes: Vec<Kind>, returns: Vec<Relation>) -> SourceInfo {
        SourceInfo {
            name: name.into(),
            doc: doc.into(),
            class: Class::Http,
            takes,
            returns,
            // Registries, not the target; a registrar may be of the target's choice.
            contact: Contact::ThirdParty,
            max_tlp: self.max_tlp,
            marking: Tlp::Clear,
            types: Vec::new(),
            endpoint: Some(self.endpoint.clone()),
            unavailable: self.unavailable.clone(),
            credits: self.credits,
            licensed: false,
            rate: self.rate.is_finite().then_some(self.rate),
            digest: digest([self.endpoint.as_str()]),
        }
    }

    fn request(&self, url: Url) -> Request {
        Request {
            accept: "application/rdap+json, application/json;q=0.8",
            allow_private: self.allow_private,
            follow: Follow::Anywhere,
            ..Request::new(url, self.limit, self.timeout)
        }
    }

    /// Asks the server in charge for an object by its path (relative, percent-encoded where
    /// needed). A 404 says that there is none (RFC 7480 section 5.3).
    pub(super) async fn get(
        &self,
        wanted: Wanted<'_>,
        path: &str,
        exchange: &mut Exchange<'_>,
    ) -> Result<Value, Verdict> {
        let body = self.ask(wanted, path, Missing::Empty, Some(MAX_OBJECT), exchange).await?;
        json::object(&body, MAX_VALUES)
    }

    /// The body of the answer to a search.
    pub(super) async fn search(
        &self,
        wanted: Wanted<'_>,
        path: &str,
        missing: Missing,
        exchange: &mut Exchange<'_>,
    ) -> Result<Vec<u8>, Verdict> {
        self.ask(wanted, path, missing, None, exchange).await
    }

    async fn ask(
        &self,
        wanted: Wanted<'_>,
        path: &str,
        missing: Missing,
        max_body: Option<u64>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Vec<u8>, Verdict> {
        let base = self.base.as_ref().ok_or(Verdict::Unconfigured)?;
        let fetch = |url| self.request(url);
        let server = self.bootstrap.server(base, wanted, exchange, fetch).await?;
        let url = server.join(path).map_err(|_| Verdict::FormErr)?;
        let request = Request { missing, max_body, ..self.request(url) };
        Ok(exchange.get(&request).await?.body)
    }
}

/// Notes how long an RDAP answer is kept.
pub(super) fn keep(found: &mut super::Found) {
    found.keep(Some(KEEP));
}
