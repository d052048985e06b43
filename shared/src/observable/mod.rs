//! Observables: the normalised things that are looked up and found.
//!
//! An [`Observable`] is a kind and its canonical wire bytes; two observables are the
//! same thing exactly when both are equal. Text is made on the way out only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bincode::{Decode, Encode};

pub mod defang;
pub mod name;
pub mod parse;
pub mod psl;
mod special;
mod stix;

pub use name::Name;
pub use parse::{ParseError, Reason};
pub use special::special_ip;

/// What an observable is, by its STIX 2.1 name where STIX has one.
///
/// The numbers are part of the wire format and of the canonical order; never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(u8)]
pub enum Kind {
    /// A DNS name. Wire: RFC 1035 section 3.1 form, ASCII letters in lower case.
    DomainName = 1,
    /// An IPv4 address. Wire: 4 octets.
    Ipv4Addr = 2,
    /// An IPv6 address. Wire: 16 octets.
    Ipv6Addr = 3,
    /// An autonomous system. Wire: the number, 4 octets, big endian.
    AutonomousSystem = 4,
    /// An e-mail address. Wire: UTF-8, the domain as lower-case A-labels.
    EmailAddr = 5,
    /// A URL. Wire: its WHATWG serialisation.
    Url = 6,
    /// An X.509 certificate. Wire: its SHA-256 (32 octets), else SHA-1 (20) fingerprint.
    X509Certificate = 7,
    /// A file by hash. Wire: MD5 (16), SHA-1 (20), SHA-256 (32) or SHA-512 (64 octets).
    File = 8,
    /// An address block. Wire: 4 or 16 octets of network address, 1 octet prefix length.
    Netblock = 9,
    /// A person or organisation in a registration. Wire: UTF-8, white space folded.
    Identity = 10,
}

impl Kind {
    /// Every kind, in canonical order.
    pub const ALL: [Kind; 10] = [
        Kind::DomainName,
        Kind::Ipv4Addr,
        Kind::Ipv6Addr,
        Kind::AutonomousSystem,
        Kind::EmailAddr,
        Kind::Url,
        Kind::X509Certificate,
        Kind::File,
        Kind::Netblock,
        Kind::Identity,
    ];

    /// The name in the API, in plans and in exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::DomainName => "domain-name",
            Kind::Ipv4Addr => "ipv4-addr",
            Kind::Ipv6Addr => "ipv6-addr",
            Kind::AutonomousSystem => "autonomous-system",
            Kind::EmailAddr => "email-addr",
            Kind::Url => "url",
            Kind::X509Certificate => "x509-certificate",
            Kind::File => "file",
            Kind::Netblock => "netblock",
            Kind::Identity => "identity",
        }
    }

    /// The kind with this number on the wire.
    pub fn from_u8(n: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| *k as u8 == n)
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A normalised thing. Ordered by kind, then wire bytes: the canonical order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Observable {
    kind: Kind,
    wire: Box<[u8]>,
}

impl Observable {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its canonical bytes; [`Kind`] tells the form.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// A borrowed view.
    pub fn as_ref(&self) -> ObservableRef<'_> {
        ObservableRef { kind: self.kind, wire: &self.wire }
    }

    /// A domain name.
    pub fn from_name(name: &Name) -> Self {
        Self { kind: Kind::DomainName, wire: name.wire().into() }
    }

    /// An address; an IPv4-mapped IPv6 address is the IPv4 address it maps (RFC 4291, 2.5.5.2).
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(a) => Self { kind: Kind::Ipv4Addr, wire: a.octets().into() },
            IpAddr::V6(a) => Self { kind: Kind::Ipv6Addr, wire: a.octets().into() },
        }
    }

    /// An autonomous system by number.
    pub fn from_asn(asn: u32) -> Self {
        Self { kind: Kind::AutonomousSystem, wire: asn.to_be_bytes().into() }
    }

    /// From parts that are canonical already, as the interner and the decoder have them.
    ///
    /// Returns `None` where the bytes cannot be of that kind.
    pub fn from_wire(kind: Kind, wire: &[u8]) -> Option<Self> {
        let ok = match kind {
            Kind::DomainName => Name::from_wire(wire).is_some_and(|n| n.wire() == wire),
            Kind::Ipv4Addr | Kind::AutonomousSystem => wire.len() == 4,
            Kind::Ipv6Addr => wire.len() == 16,
            Kind::X509Certificate => matches!(wire.len(), 20 | 32),
            Kind::File => matches!(wire.len(), 16 | 20 | 32 | 64),
            Kind::Netblock => match wire {
                [_, _, _, _, len] => *len <= 32,
                [rest @ .., len] => rest.len() == 16 && *len <= 128,
                [] => false,
            },
            Kind::EmailAddr | Kind::Url | Kind::Identity => {
                !wire.is_empty() && std::str::from_utf8(wire).is_ok()
            }
        };
        ok.then(|| Self { kind, wire: wire.into() })
    }

    /// The address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.as_ref().ip()
    }

    /// The name, where it is one.
    pub fn name(&self) -> Option<Name> {
        (self.kind == Kind::DomainName).then(|| Name::from_wire(&self.wire)).flatten()
    }
}

impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// A borrowed [`Observable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObservableRef<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its canonical bytes.
    pub wire: &'a [u8],
}

impl ObservableRef<'_> {
    /// An owned copy.
    pub fn to_owned(self) -> Observable {
        Observable { kind: self.kind, wire: self.wire.into() }
    }

    /// The address, where it is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self.kind {
            Kind::Ipv4Addr => {
                let octets: [u8; 4] = self.wire.try_into().ok()?;
                Some(Ipv4Addr::from(octets).into())
            }
            Kind::Ipv6Addr => {
                let octets: [u8; 16] = self.wire.try_into().ok()?;
                Some(Ipv6Addr::from(octets).into())
            }
            _ => None,
        }
    }
}

impl fmt::Display for ObservableRef<'_> {
    /// Text in its canonical form: RFC 5952 addresses, A-labels with octets outside
    /// printable ASCII as `\DDD`, RFC 5396 `asplain` numbers with `AS` before them,
    /// hashes and fingerprints in lower-case hex. Free text is written as it is: escape
    /// it for where it goes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::DomainName => name::fmt_wire(self.wire, f),
            Kind::Ipv4Addr | Kind::Ipv6Addr => match self.ip() {
                Some(ip) => ip.fmt(f),
                None => hex(self.wire, f),
            },
            Kind::AutonomousSystem => match <[u8; 4]>::try_from(self.wire) {
                Ok(b) => write!(f, "AS{}", u32::from_be_bytes(b)),
                Err(_) => hex(self.wire, f),
            },
            Kind::Netblock => match self.wire {
                [a, b, c, d, len] => write!(f, "{}/{len}", Ipv4Addr::new(*a, *b, *c, *d)),
                [net @ .., len] => match <[u8; 16]>::try_from(net) {
                    Ok(b) => write!(f, "{}/{len}", Ipv6Addr::from(b)),
                    Err(_) => hex(self.wire, f),
                },
                [] => Ok(()),
            },
            Kind::X509Certificate | Kind::File => hex(self.wire, f),
            Kind::EmailAddr | Kind::Url | Kind::Identity => f.write_str(&String::from_utf8_lossy(self.wire)),
        }
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}
