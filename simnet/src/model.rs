//! What the sources of a world answer with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// Record types that the simulated internet knows.
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Reverse name.
    pub const PTR: u16 = 12;
    /// Mail host.
    pub const MX: u16 = 15;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// EDNS pseudo record.
    pub const OPT: u16 = 41;

    /// The mnemonic of a type, or `TYPEn`.
    #[must_use]
    pub fn text(code: u16) -> String {
        match code {
            A => "A".into(),
            NS => "NS".into(),
            CNAME => "CNAME".into(),
            SOA => "SOA".into(),
            PTR => "PTR".into(),
            MX => "MX".into(),
            TXT => "TXT".into(),
            AAAA => "AAAA".into(),
            other => format!("TYPE{other}"),
        }
    }
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// NS, CNAME or PTR, told apart by the record's type.
    Host(Name),
    /// Preference and mail host.
    Mx(u16, Name),
    /// Character strings of up to 255 octets each.
    Txt(Vec<Box<[u8]>>),
    /// Start of authority.
    Soa(Box<Soa>),
    /// Octets as they are, with the length to claim for them (it may lie).
    Raw(Box<[u8]>, u16),
}

impl RData {
    /// The same with all names in lower case.
    pub(crate) fn lowercase(self) -> Self {
        match self {
            Self::Host(host) => Self::Host(host.lowercase()),
            Self::Mx(preference, host) => Self::Mx(preference, host.lowercase()),
            Self::Soa(soa) => Self::Soa(Box::new(Soa {
                mname: soa.mname.lowercase(),
                rname: soa.rname.lowercase(),
                ..*soa
            })),
            Self::A(_) | Self::Aaaa(_) | Self::Txt(_) | Self::Raw(..) => self,
        }
    }
}

/// The data of a SOA record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Primary name server.
    pub mname: Name,
    /// Mailbox of the zone's owner, as a name.
    pub rname: Name,
    /// Serial number.
    pub serial: u32,
    /// TTL of negative answers.
    pub minimum: u32,
}

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Owner.
    pub name: Name,
    /// Type.
    pub rtype: u16,
    /// Time to live in seconds.
    pub ttl: u32,
    /// Data.
    pub rdata: RData,
}

/// Response codes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rcode {
    /// Answered, perhaps with nothing.
    NoError,
    /// The query cannot be read.
    FormErr,
    /// The resolver failed.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// The server does not want to answer.
    Refused,
}

impl Rcode {
    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::Refused => 5,
        }
    }
}

/// How a question ended; the records stand in the caller's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Response code.
    pub rcode: Rcode,
    /// The SOA that goes with a negative answer.
    pub authority: Option<Record>,
}

impl Verdict {
    pub(crate) fn of(rcode: Rcode) -> Self {
        Self { rcode, authority: None }
    }
}

/// One row of passive DNS, in the Common Output Format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PdnsRow {
    /// Owner name.
    pub rrname: String,
    /// Type mnemonic.
    pub rrtype: String,
    /// Data in presentation form.
    pub rdata: String,
    /// First seen, unix seconds.
    pub time_first: i64,
    /// Last seen, unix seconds.
    pub time_last: i64,
    /// How often seen.
    #[serde(default = "once")]
    pub count: u64,
    /// Who observed it.
    #[serde(default)]
    pub origin: String,
}

fn once() -> u64 {
    1
}

/// An answer of passive DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdnsAnswer {
    /// The newest rows, up to the limit asked for.
    pub rows: Vec<PdnsRow>,
    /// How many rows there are in truth.
    pub total: u64,
}

/// Who stands behind a registration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registrant {
    /// Registry handle.
    #[serde(default)]
    pub handle: String,
    /// Name of the person; empty when not given.
    #[serde(default)]
    pub name: String,
    /// Name of the organisation; empty when not given.
    #[serde(default)]
    pub org: String,
    /// Mail address; empty when not given.
    #[serde(default)]
    pub email: String,
    /// Country code; empty when not given.
    #[serde(default)]
    pub country: String,
    /// Whether the registry withholds the person behind it (RFC 9537).
    #[serde(default)]
    pub redacted: bool,
}

/// A registrar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrar {
    /// Name.
    pub name: String,
    /// IANA registrar id.
    pub iana_id: u32,
    /// Where to report abuse.
    pub abuse_email: String,
}

/// A registered domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The domain, in lower case, without the final dot.
    pub domain: String,
    /// Registry handle.
    pub handle: String,
    /// Registrar.
    pub registrar: Registrar,
    /// Registrant.
    pub registrant: Registrant,
    /// Unix seconds.
    pub registered: i64,
    /// Unix seconds.
    pub changed: i64,
    /// Unix seconds.
    pub expires: i64,
    /// EPP status in RDAP words.
    pub status: Vec<String>,
    /// Delegation.
    pub nameservers: Vec<String>,
    /// Whether the registry redirects to the registrar's server.
    pub redirected: bool,
}

/// A registered address range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    /// Registry handle.
    pub handle: String,
    /// Network name.
    pub name: String,
    /// First address.
    pub start: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// Country code.
    pub country: String,
    /// Unix seconds.
    pub registered: i64,
    /// Origin AS.
    pub asn: u32,
    /// Holder.
    pub holder: Registrant,
    /// Where to report abuse.
    pub abuse_email: String,
}

impl IpNetwork {
    /// Whether the address lies in the range.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        mask(addr, self.prefix) == Some(self.start)
    }

    /// The range in CIDR notation.
    #[must_use]
    pub fn cidr(&self) -> String {
        format!("{}/{}", self.start, self.prefix)
    }

    /// The last address of the range.
    #[must_use]
    pub fn end(&self) -> IpAddr {
        match self.start {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() | host).into()
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() | host).into()
            }
        }
    }
}

/// The first address of the range of this length around an address; `None` when the length is too great.
pub(crate) fn mask(addr: IpAddr, prefix: u8) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(v4) if prefix <= 32 => {
            let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Some(Ipv4Addr::from_bits(v4.to_bits() & !host).into())
        }
        IpAddr::V6(v6) if prefix <= 128 => {
            let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            Some(Ipv6Addr::from_bits(v6.to_bits() & !host).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// An autonomous system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autnum {
    /// Number.
    pub number: u32,
    /// Short name.
    pub name: String,
    /// Country code.
    pub country: String,
    /// Unix seconds.
    pub registered: i64,
    /// Holder.
    pub holder: Registrant,
    /// Where to report abuse.
    pub abuse_email: String,
}

/// A certificate as a transparency log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Log id.
    pub id: u64,
    /// Fingerprint, 64 hexadecimal digits in lower case.
    pub sha256: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Subject alternative names.
    pub names: Vec<String>,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// Serial number in hexadecimal digits.
    pub serial: String,
}
