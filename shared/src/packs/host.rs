//! The host of a URL or e-mail address without an allocation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::observable::name::{MAX_LABEL, MAX_NAME};
use crate::observable::{Kind, ObservableRef};

#[expect(clippy::large_enum_variant, reason = "lives on the stack for one look-up")]
pub(super) enum Host {
    Ip(IpAddr),
    Name(Wire),
}

/// A name in wire form on the stack.
pub(super) struct Wire {
    octets: [u8; MAX_NAME],
    len: usize,
}

impl Wire {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// From a canonical text without `\DDD`, which no host and no list has.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut wire = Self { octets: [0; MAX_NAME], len: 0 };
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return None;
            }
            wire.push(&[u8::try_from(label.len()).ok()?])?;
            wire.push(label.as_bytes())?;
        }
        wire.push(&[0])?;
        wire.octets[..wire.len].make_ascii_lowercase();
        Some(wire)
    }

    fn push(&mut self, octets: &[u8]) -> Option<()> {
        self.octets.get_mut(self.len..self.len + octets.len())?.copy_from_slice(octets);
        self.len += octets.len();
        Some(())
    }
}

/// Relies on the canonical form: a serialised URL, a mailbox with its domain in A-labels.
pub(super) fn of(observable: ObservableRef<'_>) -> Option<Host> {
    let text = std::str::from_utf8(observable.wire).ok()?;
    if observable.kind == Kind::EmailAddr {
        return Wire::of(text.rsplit_once('@')?.1).map(Host::Name);
    }
    let rest = text.split_once("://")?.1;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(inner) = host.strip_prefix('[') {
        let ip: Ipv6Addr = inner.split_once(']')?.0.parse().ok()?;
        return Some(Host::Ip(IpAddr::V6(ip).to_canonical()));
    }
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    match host.parse::<Ipv4Addr>() {
        Ok(ip) => Some(Host::Ip(ip.into())),
        Err(_) => Wire::of(host).map(Host::Name),
    }
}
