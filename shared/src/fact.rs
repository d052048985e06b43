//! Facts: what a source says of one observable that is no further key.

use bincode::{Decode, Encode};

use crate::observable::Observable;
use crate::time::UnixSeconds;

/// What is said. The numbers are part of the wire format; never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(u8)]
pub enum FactName {
    /// When a domain, block or number was registered.
    Registered = 1,
    /// When a registration ends.
    Expires = 2,
    /// When a registration changed last.
    Changed = 3,
    /// A registration status (RFC 8056).
    Status = 4,
    /// The registration hides its registrant (RFC 9537).
    Redacted = 5,
    /// The name of an AS or block.
    Label = 6,
    /// The country of an AS or block (ISO 3166-1 alpha-2).
    Country = 7,
    /// When a certificate begins to be valid.
    NotBefore = 8,
    /// When a certificate ends to be valid.
    NotAfter = 9,
    /// Who issued a certificate.
    Issuer = 10,
    /// A text record (TXT), shortened to 255 octets.
    Text = 11,
    /// A name does not exist (NXDOMAIN), asked live.
    NameAbsent = 12,
}

impl FactName {
    /// Every fact, in canonical order.
    pub const ALL: [FactName; 12] = [
        FactName::Registered,
        FactName::Expires,
        FactName::Changed,
        FactName::Status,
        FactName::Redacted,
        FactName::Label,
        FactName::Country,
        FactName::NotBefore,
        FactName::NotAfter,
        FactName::Issuer,
        FactName::Text,
        FactName::NameAbsent,
    ];

    /// The name in the API and in exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            FactName::Registered => "registered",
            FactName::Expires => "expires",
            FactName::Changed => "changed",
            FactName::Status => "status",
            FactName::Redacted => "redacted",
            FactName::Label => "label",
            FactName::Country => "country",
            FactName::NotBefore => "not-before",
            FactName::NotAfter => "not-after",
            FactName::Issuer => "issuer",
            FactName::Text => "text",
            FactName::NameAbsent => "name-absent",
        }
    }
}

/// The value of a fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum FactValue {
    /// It is so.
    Yes,
    /// A point in time.
    Time(UnixSeconds),
    /// Raw upstream text; hostile, escape it for where it goes.
    Text(String),
}

/// One statement about one observable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Fact {
    /// Of what.
    pub subject: Observable,
    /// What is said.
    pub name: FactName,
    /// The value.
    pub value: FactValue,
    /// Whether the value names a person.
    pub personal: bool,
}
