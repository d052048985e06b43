//! Pairs: `key --relation--> value`, the unit of what is known.

use std::fmt;

use bincode::{Decode, Encode};

use crate::marking::Tlp;
use crate::observable::Observable;
use crate::time::UnixSeconds;

/// Why a value follows from a key.
///
/// The numbers are part of the wire format and of the canonical order; never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(u8)]
pub enum Relation {
    /// A name's address, asked live (A, AAAA).
    ResolvesTo = 1,
    /// A name's canonical name (CNAME).
    AliasOf = 2,
    /// A name that had this name as its CNAME target.
    AliasFrom = 3,
    /// An address's name in the reverse tree (PTR).
    ReverseName = 4,
    /// A name's name server (NS, RDAP).
    NameServer = 5,
    /// A name that uses this name server.
    NameServerOf = 6,
    /// A name's mail host (MX).
    MailExchange = 7,
    /// A name that uses this mail host.
    MailExchangeOf = 8,
    /// An address a name was seen on (passive DNS).
    SeenOn = 9,
    /// A name seen on this address (passive DNS).
    HostedName = 10,
    /// A name that a name's SPF record includes (RFC 7208).
    SpfInclude = 11,
    /// An address or block that a name's SPF record allows.
    SpfAddress = 12,
    /// The primary name server in a zone's SOA.
    PrimaryServer = 13,
    /// The mailbox of the person responsible in a zone's SOA (RFC 1035 section 8).
    ResponsibleMailbox = 14,
    /// The registrable domain of a name (public suffix list).
    RegistrableDomain = 15,
    /// The host part of a URL or e-mail address.
    Host = 16,
    /// Who registered a domain or holds a block or number (RDAP).
    RegisteredBy = 17,
    /// The registrar of a domain (RDAP).
    Registrar = 18,
    /// The registrant's or holder's e-mail address (RDAP).
    ContactMailbox = 19,
    /// Where abuse is reported (RDAP).
    AbuseMailbox = 20,
    /// The block an address is in (RDAP, origin zones).
    WithinNetblock = 21,
    /// The AS that announces an address or block.
    AnnouncedBy = 22,
    /// A certificate that names this name.
    NamedInCertificate = 23,
    /// A name in this certificate.
    CertificateName = 24,
    /// Related as a pair set or declared source says.
    RelatedTo = 25,
    /// A domain that this person or mailbox registered (RDAP reverse search, RFC 9536).
    RegistrantOf = 26,
}

impl Relation {
    /// Every relation, in canonical order.
    pub const ALL: [Relation; 26] = [
        Relation::ResolvesTo,
        Relation::AliasOf,
        Relation::AliasFrom,
        Relation::ReverseName,
        Relation::NameServer,
        Relation::NameServerOf,
        Relation::MailExchange,
        Relation::MailExchangeOf,
        Relation::SeenOn,
        Relation::HostedName,
        Relation::SpfInclude,
        Relation::SpfAddress,
        Relation::PrimaryServer,
        Relation::ResponsibleMailbox,
        Relation::RegistrableDomain,
        Relation::Host,
        Relation::RegisteredBy,
        Relation::Registrar,
        Relation::ContactMailbox,
        Relation::AbuseMailbox,
        Relation::WithinNetblock,
        Relation::AnnouncedBy,
        Relation::NamedInCertificate,
        Relation::CertificateName,
        Relation::RelatedTo,
        Relation::RegistrantOf,
    ];

    /// The name in the API and in exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Relation::ResolvesTo => "resolves-to",
            Relation::AliasOf => "alias-of",
            Relation::AliasFrom => "alias-from",
            Relation::ReverseName => "reverse-name",
            Relation::NameServer => "name-server",
            Relation::NameServerOf => "name-server-of",
            Relation::MailExchange => "mail-exchange",
            Relation::MailExchangeOf => "mail-exchange-of",
            Relation::SeenOn => "seen-on",
            Relation::HostedName => "hosted-name",
            Relation::SpfInclude => "spf-include",
            Relation::SpfAddress => "spf-address",
            Relation::PrimaryServer => "primary-server",
            Relation::ResponsibleMailbox => "responsible-mailbox",
            Relation::RegistrableDomain => "registrable-domain",
            Relation::Host => "host",
            Relation::RegisteredBy => "registered-by",
            Relation::Registrar => "registrar",
            Relation::ContactMailbox => "contact-mailbox",
            Relation::AbuseMailbox => "abuse-mailbox",
            Relation::WithinNetblock => "within-netblock",
            Relation::AnnouncedBy => "announced-by",
            Relation::NamedInCertificate => "named-in-certificate",
            Relation::CertificateName => "certificate-name",
            Relation::RelatedTo => "related-to",
            Relation::RegistrantOf => "registrant-of",
        }
    }

    /// The relation with this number on the wire.
    pub fn from_u8(n: u8) -> Option<Relation> {
        Relation::ALL.into_iter().find(|r| *r as u8 == n)
    }

    /// The relation with this name.
    pub fn from_name(name: &str) -> Option<Relation> {
        Relation::ALL.into_iter().find(|r| r.as_str() == name)
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One key, one value, and why. The source is that of the lookup it came with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Pair {
    /// What was looked up, or what an answer's record belongs to (a link of a CNAME chain).
    pub key: Observable,
    /// Why the value follows.
    pub relation: Relation,
    /// The next key.
    pub value: Observable,
    /// When the source first saw it, as it reports.
    pub first_seen: Option<UnixSeconds>,
    /// When the source last saw it, as it reports.
    pub last_seen: Option<UnixSeconds>,
    /// With whom it may be shared: the source's marking or the job's, whichever is stricter.
    pub marking: Tlp,
    /// Whether the value names a person; redaction, retention and purge follow it.
    pub personal: bool,
}

/// The last second of the year 9999, the last that RFC 3339 can write.
const LATEST: UnixSeconds = 253_402_300_799;

impl Pair {
    /// A pair without times, open, not personal.
    pub fn new(key: Observable, relation: Relation, value: Observable) -> Self {
        Self { key, relation, value, first_seen: None, last_seen: None, marking: Tlp::Clear, personal: false }
    }

    /// The same with the times that the source reports. Times before 1970 or after 9999, and a
    /// last one before the first, are not known: they say more of the source than of the pair.
    pub fn seen(mut self, first: Option<UnixSeconds>, last: Option<UnixSeconds>) -> Self {
        let sane = |t: &UnixSeconds| (0..=LATEST).contains(t);
        let (first, last) = (first.filter(sane), last.filter(sane));
        let upside_down = first.zip(last).is_some_and(|(f, l)| f > l);
        (self.first_seen, self.last_seen) = if upside_down { (None, None) } else { (first, last) };
        self
    }

    /// The same, marked as naming a person.
    pub fn personal(mut self) -> Self {
        self.personal = true;
        self
    }
}
