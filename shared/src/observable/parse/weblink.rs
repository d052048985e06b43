//! URLs, as the WHATWG standard reads and writes them.

use url::{Host, Url};

use super::{Reason, name};
use crate::observable::{Kind, Name, Observable};

const SCHEMES: [&str; 5] = ["http", "https", "ftp", "ws", "wss"];

/// Reads a refanged URL. Its host must be an address or a full name.
pub(super) fn parse(text: &str) -> Result<Observable, Reason> {
    if text.contains(char::is_whitespace) {
        return Err(Reason::Space);
    }
    let mut url = Url::parse(text).map_err(|e| Reason::Url(format!("{e}: check it")))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(Reason::Scheme(crate::escape::shorten(url.scheme(), 20).into_owned()));
    }
    if let Some(Host::Domain(domain)) = url.host() {
        // The dot at the end is left out, as in names; the parser has done UTS 46 already.
        let plain = name::parse(domain.strip_suffix('.').unwrap_or(domain))?.to_string();
        if plain != domain {
            url.set_host(Some(&plain)).map_err(|e| Reason::Url(format!("{e}: check its host")))?;
        }
    }
    let serialised = url.as_str();
    if serialised.len() > super::MAX_TEXT {
        return Err(Reason::TooLong(serialised.len()));
    }
    Observable::from_wire(Kind::Url, serialised.as_bytes()).ok_or(Reason::Empty)
}

/// The host of a serialised URL.
pub(super) fn host(text: &str) -> Option<Observable> {
    match Url::parse(text).ok()?.host()? {
        Host::Domain(domain) => Name::from_text(domain).map(|n| Observable::from_name(&n)),
        Host::Ipv4(ip) => Some(Observable::from_ip(ip.into())),
        Host::Ipv6(ip) => Some(Observable::from_ip(ip.into())),
    }
}
