//! Addresses (RFC 4291, RFC 5952), address blocks (RFC 4632) and AS numbers (RFC 5396).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reason;
use super::strip_prefix_ignore_case;
use crate::observable::{Kind, Observable};

/// An address, a block or a bare number, where the text looks like one.
pub(super) fn detect(text: &str) -> Option<Result<Observable, Reason>> {
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if digits(text) {
        return Some(Err(Reason::Number(crate::escape::shorten(text, 20).into_owned())));
    }
    if let Some((head, tail)) = text.split_once('/') {
        let looks = dotted(head) || head.contains(':');
        // `0/25.2.0.192.in-addr.arpa` is a name, `1.2.3.4/path` wants a scheme.
        let number = tail.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-' || b == b':');
        return (looks && number && !digits(head)).then(|| netblock(text));
    }
    if dotted(text) {
        return Some(ipv4(text));
    }
    if let Some((host, port)) = text.split_once(':')
        && !port.contains(':')
        && !host.starts_with('[')
    {
        // One colon: a port, or no IPv6 address anyhow.
        return Some(Err(if digits(port) { Reason::Port } else { Reason::Ipv6 }));
    }
    (text.contains(':') || text.starts_with('[')).then(|| ipv6(text))
}

fn dotted(text: &str) -> bool {
    let number = text.starts_with(|c: char| c.is_ascii_digit());
    number && text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

pub(super) fn ipv4(text: &str) -> Result<Observable, Reason> {
    text.parse::<Ipv4Addr>().map(|ip| Observable::from_ip(ip.into())).map_err(|_| Reason::Ipv4)
}

/// An IPv6 address, with or without brackets; a mapped IPv4 address becomes that one.
pub(super) fn ipv6(text: &str) -> Result<Observable, Reason> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inner, "")) => inner,
            Some((_, tail)) if tail.starts_with(':') => return Err(Reason::Port),
            _ => return Err(Reason::Ipv6),
        },
        None => text,
    };
    if inner.contains('%') {
        return Err(Reason::Zone);
    }
    inner.parse::<Ipv6Addr>().map(|ip| Observable::from_ip(ip.into())).map_err(|_| Reason::Ipv6)
}

/// A block; host bits are cleared.
pub(super) fn netblock(text: &str) -> Result<Observable, Reason> {
    let (head, tail) = text.split_once('/').ok_or(Reason::Netblock)?;
    if head.contains('%') {
        return Err(Reason::Zone);
    }
    let ip: IpAddr = if head.contains(':') {
        head.parse::<Ipv6Addr>().map_err(|_| Reason::Ipv6)?.into()
    } else {
        head.parse::<Ipv4Addr>().map_err(|_| Reason::Ipv4)?.into()
    };
    let max = if ip.is_ipv4() { 32 } else { 128 };
    let plain = !tail.is_empty() && tail.len() <= 3 && tail.bytes().all(|b| b.is_ascii_digit());
    let len = plain.then(|| tail.parse::<u8>().ok()).flatten().ok_or(Reason::Prefix(max))?;
    Observable::from_netblock(ip, len).ok_or(Reason::Prefix(max))
}

impl Observable {
    /// A block by an address in it and a prefix length; host bits are cleared. A block of
    /// mapped IPv4 addresses is the IPv4 block. `None` where the length is too long.
    pub fn from_netblock(ip: IpAddr, len: u8) -> Option<Self> {
        let (ip, len) = match ip {
            IpAddr::V6(a) if len >= 96 => match a.to_ipv4_mapped() {
                Some(v4) => (IpAddr::V4(v4), len - 96),
                None => (ip, len),
            },
            _ => (ip, len),
        };
        let net = ipnet::IpNet::new(ip, len).ok()?.trunc();
        let mut wire = match net.addr() {
            IpAddr::V4(a) => a.octets().to_vec(),
            IpAddr::V6(a) => a.octets().to_vec(),
        };
        wire.push(len);
        Self::from_wire(Kind::Netblock, &wire)
    }
}

/// An AS number, where the text starts with `AS` and goes on in digits.
pub(super) fn detect_asn(text: &str) -> Option<Result<Observable, Reason>> {
    let rest = after_as(text)?;
    let digits = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.then(|| asn(text))
}

fn after_as(text: &str) -> Option<&str> {
    let rest = strip_prefix_ignore_case(text, "asn").or_else(|| strip_prefix_ignore_case(text, "as"))?;
    Some(rest.trim_start())
}

/// `AS64500`, `as 64500`, asdot `AS1.10`; the prefix may be missing where the kind is known.
pub(super) fn asn(text: &str) -> Result<Observable, Reason> {
    let digits = after_as(text).unwrap_or(text);
    let number = match digits.split_once('.') {
        None => decimal::<u32>(digits),
        Some((high, low)) => match (decimal::<u16>(high), decimal::<u16>(low)) {
            (Some(high), Some(low)) => Some(u32::from(high) << 16 | u32::from(low)),
            _ => None,
        },
    };
    number.map(Observable::from_asn).ok_or(Reason::Asn)
}

/// Digits only: `parse` alone would take a plus sign.
fn decimal<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
