//! Which addresses and URLs may be asked: hostile answers must not lead inside.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kudzu_shared::observable::special_ip;
use kudzu_shared::outcome::Verdict;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Who may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Addresses of the public Internet.
    Public,
    /// These, and private ones: an endpoint of one's own. Link-local addresses, cloud
    /// metadata and whatever is no host stay out.
    Private,
}

/// Whether an address may be connected to.
pub fn is_allowed_ip(ip: IpAddr, scope: Scope) -> bool {
    match special_ip(ip) {
        None => true,
        Some("private-use" | "loopback" | "unique-local" | "shared-address-space") => scope == Scope::Private,
        Some(_) => false,
    }
}

/// Whether a URL may be asked as far as it tells itself: scheme, literal addresses, ports of
/// other services, credentials.
pub fn is_allowed_url(url: &Url, scope: Scope) -> bool {
    // The parser has turned `0x7f.1` and `2130706433` into addresses by now.
    let host = match url.host() {
        Some(Host::Ipv4(ip)) => is_allowed_ip(ip.into(), scope),
        Some(Host::Ipv6(ip)) => is_allowed_ip(ip.into(), scope),
        Some(Host::Domain(name)) => !name.is_empty(),
        None => false,
    };
    let port = url.port_or_known_default().is_some_and(|p| p == 80 || p == 443 || p >= 1024);
    let bare = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https") && host && port && bare
}

/// A name leads to an address that must not be reached.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to an address that must not be reached")]
struct Refused;

/// A name leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct Nowhere;

/// Resolves with the system's resolver, and refuses a name of which any address is not
/// allowed. The connection goes to exactly these addresses, so there is nothing to rebind.
#[derive(Debug)]
pub(super) struct Checked(Scope);

impl Checked {
    pub(super) fn new(scope: Scope) -> Arc<Self> {
        Arc::new(Self(scope))
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let scope = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(Nowhere.into());
            }
            if !found.iter().all(|a| is_allowed_ip(a.ip(), scope)) {
                return Err(Refused.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What an error of the client means.
pub(super) fn verdict_of(error: &reqwest::Error) -> Verdict {
    let mut cause = error.source();
    while let Some(e) = cause {
        if e.is::<Refused>() {
            return Verdict::Denied;
        }
        cause = e.source();
    }
    if error.is_timeout() {
        Verdict::Timeout
    } else if error.is_decode() {
        Verdict::Malformed
    } else if error.is_builder() {
        Verdict::FormErr
    } else {
        // No connection, no TLS, or one that broke off.
        Verdict::Unreachable
    }
}
