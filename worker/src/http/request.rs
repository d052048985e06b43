//! What is asked over HTTP, and what comes back.

use std::time::Duration;

use kudzu_shared::config::Secret;
use kudzu_shared::limits::Limit;
use reqwest::header::HeaderMap;
use url::Url;

/// Where redirects may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// To the same host and port only: whoever gets credentials.
    SameHost,
    /// To any host that is allowed: RDAP registries send on to registrars (RFC 7480
    /// section 5.2).
    Anywhere,
}

/// What a 404 says.
#[derive(Debug, Clone, Copy)]
pub enum Missing {
    /// That the URL is wrong.
    Error,
    /// That there is no such object.
    Empty,
    /// The same, where the body is one of those; else that the URL is wrong.
    EmptyIf(fn(&[u8]) -> bool),
}

/// A GET request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub url: Url,
    /// The media types taken.
    pub accept: &'static str,
    /// Further headers.
    pub headers: HeaderMap,
    /// User and password of HTTP basic authentication.
    pub basic: Option<(String, Secret)>,
    /// Whose credential it carries: an upstream limits each apart. No secret.
    pub credential: Option<String>,
    /// The limit of each upstream.
    pub limit: Limit,
    /// How long one exchange is waited for, its body included.
    pub timeout: Duration,
    /// Octets of its body, unpacked, where they are fewer than those of every body.
    pub max_body: Option<u64>,
    /// Whether its host may have a private address, and redirect over plain HTTP to the same host
    /// and port; whatever else redirects lead to may not.
    pub allow_private: bool,
    /// Where redirects may lead.
    pub follow: Follow,
    /// What a 404 says.
    pub missing: Missing,
}

impl Request {
    /// A request without credentials that follows redirects on its host.
    pub fn new(url: Url, limit: Limit, timeout: Duration) -> Self {
        Self {
            url,
            accept: "application/json",
            headers: HeaderMap::new(),
            basic: None,
            credential: None,
            limit,
            timeout,
            max_body: None,
            allow_private: false,
            follow: Follow::SameHost,
            missing: Missing::Error,
        }
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unpacked.
    pub body: Vec<u8>,
}
