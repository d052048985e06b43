//! Resolvers that are asked in secret, as they are written in settings.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::Transport;

/// RFC 7858 section 3.1.
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;
/// Where nearly all have it; RFC 8484 names no default.
const PATH: &str = "/dns-query";

/// A resolver over TLS or HTTPS: `tls://NAME@ADDRESS[:PORT]` or
/// `https://NAME@ADDRESS[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upstream {
    pub(crate) addr: SocketAddr,
    /// What its certificate must say.
    pub(crate) name: ServerName<'static>,
    /// Where it has DNS, over HTTPS.
    pub(crate) path: Option<Arc<str>>,
}

/// A text names no such resolver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "read {text:?} as an encrypted resolver: write tls://NAME@ADDRESS[:PORT] or https://NAME@ADDRESS[:PORT][/PATH], NAME as its certificate has it, ADDRESS an IP address (IPv6 in brackets)"
)]
pub struct UpstreamError {
    text: String,
}

impl Upstream {
    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What carries the questions.
    pub fn transport(&self) -> Transport {
        if self.path.is_some() { Transport::Https } else { Transport::Tls }
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        parse(text).ok_or_else(|| UpstreamError { text: text.to_owned() })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.to_str();
        match &self.path {
            Some(path) => write!(f, "https://{name}@{}{path}", self.addr),
            None => write!(f, "tls://{name}@{}", self.addr),
        }
    }
}

fn parse(text: &str) -> Option<Upstream> {
    let (scheme, rest) = text.split_once("://")?;
    let (name, rest) = rest.split_once('@')?;
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let name = ServerName::try_from(name.to_owned()).ok()?;
    let (port, path) = match scheme {
        "tls" if path.is_empty() => (TLS_PORT, None),
        // As a part of a URI it would need brackets, which certificates do not have.
        "https" if name.to_str().contains(':') => return None,
        "https" if path.is_empty() => (HTTPS_PORT, Some(PATH)),
        "https" if path.bytes().all(is_of_path) => (HTTPS_PORT, Some(path)),
        _ => return None,
    };
    let addr = address(place, port).filter(|addr| addr.port() != 0)?;
    Some(Upstream { addr, name, path: path.map(Arc::from) })
}

fn address(text: &str, port: u16) -> Option<SocketAddr> {
    let ip = || match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    text.parse().ok().or_else(|| Some(SocketAddr::new(ip()?, port)))
}

/// RFC 3986 sections 3.3 and 3.4.
fn is_of_path(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~/%!$&'()*+,;=:@?".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_usual() {
        for (text, whole) in [
            ("tls://dns.example@192.0.2.1", "tls://dns.example@192.0.2.1:853"),
            ("tls://dns.example@[2001:db8::1]:8853", "tls://dns.example@[2001:db8::1]:8853"),
            ("tls://192.0.2.1@192.0.2.1", "tls://192.0.2.1@192.0.2.1:853"),
            ("https://dns.example@[2001:db8::1]", "https://dns.example@[2001:db8::1]:443/dns-query"),
            ("https://dns.example@192.0.2.1:8443/a/b?c=d", "https://dns.example@192.0.2.1:8443/a/b?c=d"),
        ] {
            let upstream: Upstream = text.parse().unwrap();
            assert_eq!(upstream.to_string(), whole);
            assert_eq!(whole.parse(), Ok(upstream));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_right() {
        for text in [
            "",
            "192.0.2.1",
            "udp://dns.example@192.0.2.1",
            "tls://192.0.2.1",
            "tls://@192.0.2.1",
            "tls://a b@192.0.2.1",
            "tls://dns.example@dns.example",
            "tls://dns.example@192.0.2.1:0",
            "tls://dns.example@192.0.2.1:65536",
            "tls://dns.example@2001:db8::1",
            "tls://dns.example@[192.0.2.1]",
            "tls://dns.example@192.0.2.1/dns-query",
            "https://dns.example@192.0.2.1/a b",
            "https://dns.example@192.0.2.1/a#b",
            "https://2001:db8::1@[2001:db8::1]",
        ] {
            let error = text.parse::<Upstream>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("tls://NAME@"), "{error}");
        }
    }
}
