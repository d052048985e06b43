//! HTTP JSON sources that the settings declare: a URL, a JSON pointer, a relation.

use async_trait::async_trait;
use kudzu_shared::config::DeclaredSource;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::{Class, Contact, SourceInfo};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::{Asked, Found, HttpSource, Source, Work, digest, json};
use crate::http::{Exchange, Missing, Request};

/// Values read of one answer.
const MAX_VALUES: usize = 100_000;
/// Values of a whole answer.
const MAX_NODES: usize = 500_000;

/// A source without code.
#[derive(Debug)]
pub struct Declared {
    info: SourceInfo,
    relation: Relation,
    /// Whose credential it has; sources with the same key share it.
    credential: Option<String>,
    settings: DeclaredSource,
}

impl Declared {
    /// As declared; what cannot be used is unavailable, with the reason.
    pub fn new(name: &str, settings: &DeclaredSource) -> Self {
        let relation = Relation::from_name(&settings.relation).unwrap_or(Relation::RelatedTo);
        // Host and path only: the template may hold a key.
        let shown = Url::parse(&settings.url).ok().and_then(|u| {
            let host = u.host_str()?;
            Some(format!("{}://{host}", u.scheme()))
        });
        let needs_key = std::iter::once(settings.url.as_str())
            .chain(settings.headers.values().map(kudzu_shared::config::Secret::expose))
            .any(|t| t.contains("{api_key}"));
        let unavailable = if needs_key && settings.api_key.is_none() {
            Some(format!("no key: set sources.{name}.api_key"))
        } else if shown.is_none() {
            Some(format!("sources.{name}.url is no URL"))
        } else {
            None
        };
        let info = SourceInfo {
            name: name.into(),
            doc: "declared in the settings".into(),
            class: Class::Http,
            takes: settings.takes.iter().filter_map(|k| Kind::from_name(k)).collect(),
            returns: vec![relation],
            contact: Contact::ThirdParty,
            max_tlp: settings.max_tlp,
            marking: settings.marking,
            types: Vec::new(),
            endpoint: shown,
            unavailable,
            credits: settings.credits,
            licensed: settings.licensed.unwrap_or(settings.api_key.is_some()),
            rate: settings.rate.is_finite().then_some(settings.rate),
            digest: digest([
                settings.url.as_str(),
                settings.value.as_str(),
                settings.relation.as_str(),
                if settings.not_found_is_empty { "404" } else { "" },
            ]),
        };
        let credential = settings.api_key.as_ref().map(|_| name.to_owned());
        Self { info, relation, credential, settings: settings.clone() }
    }

    /// The same with the credential of another source, which has the same key: the upstream
    /// counts them as one.
    pub(super) fn sharing(mut self, name: &str) -> Self {
        if let Some(credential) = &mut self.credential {
            name.clone_into(credential);
        }
        self
    }

    fn build(&self, key: &Observable) -> Option<Request> {
        let api_key = self.settings.api_key.as_ref().map_or("", |k| k.expose());
        let encoded = |text: &str| -> String { percent(text) };
        let url = self
            .settings
            .url
            .replace("{key}", &encoded(&key.to_string()))
            .replace("{api_key}", &encoded(api_key));
        let mut request =
            Request::new(Url::parse(&url).ok()?, self.settings.limit(), self.settings.timeout());
        let mut headers = HeaderMap::new();
        for (name, value) in &self.settings.headers {
            let mut value = HeaderValue::from_str(&value.expose().replace("{api_key}", api_key)).ok()?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        request.headers = headers;
        request.credential.clone_from(&self.credential);
        request.allow_private = self.settings.allow_private;
        if self.settings.not_found_is_empty {
            request.missing = Missing::Empty;
        }
        Some(request)
    }

    pub(super) fn parse(&self, key: &Observable, body: &[u8], found: &mut Found) -> Verdict {
        let answer = match json::value(body, MAX_NODES) {
            Ok(answer) => answer,
            Err(verdict) => return verdict,
        };
        // An answer of another form, an error among them, says nothing of the key.
        let Some(at) = answer.pointer(&self.settings.value) else { return Verdict::Malformed };
        let one = std::slice::from_ref(at);
        let values = at.as_array().map_or(one, Vec::as_slice);
        let mut bad = 0_usize;
        for value in values.iter().take(MAX_VALUES) {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(n) => format!("AS{n}"),
                Value::Null => continue,
                _ => String::new(),
            };
            match Observable::parse(&text) {
                Ok(value) => found.pair(key, self.relation, value),
                Err(_) => bad += 1,
            }
        }
        match (found.pairs.is_empty(), bad) {
            (false, _) => Verdict::Found,
            (true, 0) => Verdict::NoData,
            (true, _) => Verdict::Malformed,
        }
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986 section 2.3): a key must not
/// reach into another part of the URL.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

impl Source for Declared {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for Declared {
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict {
        let Some(request) = self.build(asked.key) else { return Verdict::FormErr };
        match exchange.get(&request).await {
            Ok(response) => self.parse(asked.key, &response.body, found),
            Err(verdict) => verdict,
        }
    }
}

#[cfg(test)]
#[path = "declared_tests.rs"]
mod tests;
