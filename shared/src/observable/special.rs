//! Special-purpose addresses (RFC 6890 and the IANA registries) and names (RFC 6761).

use std::net::{IpAddr, Ipv6Addr};

use super::name::Labels;
use super::{Kind, Observable, ObservableRef};

/// Blocks of IPv4, the narrower before the wider: network, length, name.
const V4: [([u8; 4], u8, &str); 21] = [
    ([169, 254, 169, 254], 32, "cloud-metadata"),
    ([169, 254, 170, 2], 32, "cloud-metadata"),
    ([100, 100, 100, 200], 32, "cloud-metadata"),
    ([192, 0, 0, 192], 32, "cloud-metadata"),
    // Azure's platform address, public by its number.
    ([168, 63, 129, 16], 32, "cloud-metadata"),
    ([255, 255, 255, 255], 32, "limited-broadcast"),
    ([0, 0, 0, 0], 8, "this-network"),
    ([10, 0, 0, 0], 8, "private-use"),
    ([100, 64, 0, 0], 10, "shared-address-space"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private-use"),
    ([192, 0, 0, 0], 24, "ietf-protocol-assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "6to4-relay-anycast"),
    ([192, 168, 0, 0], 16, "private-use"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// Blocks of IPv6, the narrower before the wider. IPv4-mapped addresses are IPv4 by now.
const V6: [([u16; 8], u8, &str); 20] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32, "cloud-metadata"),
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, "cloud-metadata"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "ipv4-mapped"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "ipv4-compatible"),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "ipv4-translation"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "ipv4-translation"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "teredo"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "ietf-protocol-assignments"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment-routing"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique-local"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// Special-use names, labels from the top; everything below them counts too.
const NAMES: [(&[&[u8]], &str); 9] = [
    (&[b"localhost"], "localhost"),
    (&[b"local"], "multicast-dns"),
    (&[b"test"], "testing"),
    (&[b"invalid"], "invalid"),
    (&[b"example"], "documentation"),
    (&[b"onion"], "onion"),
    (&[b"internal"], "private-use"),
    (&[b"alt"], "not-dns"),
    (&[b"arpa", b"home"], "home-network"),
];

impl Observable {
    /// The name of the special purpose that an address, a block that lies in one, or a name
    /// has ("private-use", "loopback", …); of a URL or an e-mail address, that of its host.
    ///
    /// Looking such a thing up is useless or reaches into the own network: refuse it unless
    /// it was allowed.
    pub fn special_purpose(&self) -> Option<&'static str> {
        self.as_ref().special_purpose()
    }
}

impl ObservableRef<'_> {
    /// As [`Observable::special_purpose`].
    pub fn special_purpose(self) -> Option<&'static str> {
        match self.kind {
            Kind::Ipv4Addr | Kind::Ipv6Addr => special_ip(self.ip()?),
            Kind::Netblock => match *self.wire {
                [a, b, c, d, len] => v4(u32::from_be_bytes([a, b, c, d]), len),
                [ref net @ .., len] => v6(u128::from_be_bytes(net.try_into().ok()?), len),
                [] => None,
            },
            Kind::DomainName => special_name(self.wire),
            Kind::Url | Kind::EmailAddr => self.to_owned().host()?.special_purpose(),
            _ => None,
        }
    }
}

/// The special purpose of an address, mapped IPv4 as IPv4; what a client of hostile
/// redirects must refuse to reach.
pub fn special_ip(ip: IpAddr) -> Option<&'static str> {
    match ip.to_canonical() {
        IpAddr::V4(a) => v4(a.to_bits(), 32),
        IpAddr::V6(a) => v6(a.to_bits(), 128),
    }
}

fn v4(net: u32, len: u8) -> Option<&'static str> {
    let within = |base: [u8; 4], bits: u8| {
        bits <= len && (net ^ u32::from_be_bytes(base)).checked_shr(32 - u32::from(bits)).unwrap_or(0) == 0
    };
    V4.iter().find(|(base, bits, _)| within(*base, *bits)).map(|(_, _, name)| *name)
}

fn v6(net: u128, len: u8) -> Option<&'static str> {
    let within = |base: [u16; 8], bits: u8| {
        let base = Ipv6Addr::from(base).to_bits();
        bits <= len && (net ^ base).checked_shr(128 - u32::from(bits)).unwrap_or(0) == 0
    };
    V6.iter().find(|(base, bits, _)| within(*base, *bits)).map(|(_, _, name)| *name)
}

fn special_name(wire: &[u8]) -> Option<&'static str> {
    let (mut top, mut second): (&[u8], &[u8]) = (b"", b"");
    for label in Labels::of(wire) {
        (second, top) = (top, label);
    }
    let matches = |labels: &[&[u8]]| match labels {
        [one] => *one == top,
        [one, two] => *one == top && *two == second,
        _ => false,
    };
    NAMES.iter().find(|(labels, _)| matches(labels)).map(|(_, name)| *name)
}
