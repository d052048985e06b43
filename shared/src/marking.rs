//! Markings and permissions: Traffic Light Protocol 2.0 (FIRST) and the Permissible
//! Actions Protocol (MISP taxonomy, version 3).

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// With whom it may be shared (TLP 2.0). Ordered from open to closed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Tlp {
    /// No limit.
    #[serde(rename = "TLP:CLEAR")]
    Clear = 0,
    /// The community.
    #[serde(rename = "TLP:GREEN")]
    Green = 1,
    /// The organisation and its clients.
    #[serde(rename = "TLP:AMBER")]
    Amber = 2,
    /// The organisation only.
    #[serde(rename = "TLP:AMBER+STRICT")]
    AmberStrict = 3,
    /// The named recipients only.
    #[serde(rename = "TLP:RED")]
    Red = 4,
}

/// What may be done with it (PAP). Ordered from free to forbidden.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Pap {
    /// Anything.
    #[serde(rename = "PAP:CLEAR")]
    Clear = 0,
    /// Active contact with the target's systems is allowed (live DNS reaches its servers).
    #[serde(rename = "PAP:GREEN")]
    Green = 1,
    /// Passive: third parties that do not tell the target.
    #[serde(rename = "PAP:AMBER")]
    Amber = 2,
    /// Nothing that leaves this machine.
    #[serde(rename = "PAP:RED")]
    Red = 3,
}

impl Tlp {
    /// Every marking, from open to closed.
    pub const ALL: [Tlp; 5] = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];

    /// The text form, `TLP:` before it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tlp::Clear => "TLP:CLEAR",
            Tlp::Green => "TLP:GREEN",
            Tlp::Amber => "TLP:AMBER",
            Tlp::AmberStrict => "TLP:AMBER+STRICT",
            Tlp::Red => "TLP:RED",
        }
    }

    /// The marking with this number on the wire.
    pub fn from_u8(n: u8) -> Option<Tlp> {
        Tlp::ALL.into_iter().find(|t| *t as u8 == n)
    }
}

impl Pap {
    /// Every level, from free to forbidden.
    pub const ALL: [Pap; 4] = [Pap::Clear, Pap::Green, Pap::Amber, Pap::Red];

    /// The text form, `PAP:` before it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Pap::Clear => "PAP:CLEAR",
            Pap::Green => "PAP:GREEN",
            Pap::Amber => "PAP:AMBER",
            Pap::Red => "PAP:RED",
        }
    }
}

/// No such marking or permission; its text lists those there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not known: use one of {allowed}")]
pub struct UnknownMarking {
    what: &'static str,
    given: String,
    allowed: &'static str,
}

impl std::str::FromStr for Tlp {
    type Err = UnknownMarking;

    /// Any case, with or without `TLP:`; TLP 1.0's WHITE is read as CLEAR.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let upper = s.to_ascii_uppercase();
        match upper.strip_prefix("TLP:").unwrap_or(&upper) {
            "CLEAR" | "WHITE" => Ok(Tlp::Clear),
            "GREEN" => Ok(Tlp::Green),
            "AMBER" => Ok(Tlp::Amber),
            "AMBER+STRICT" => Ok(Tlp::AmberStrict),
            "RED" => Ok(Tlp::Red),
            _ => Err(UnknownMarking {
                what: "TLP",
                given: s.into(),
                allowed: "clear, green, amber, amber+strict, red",
            }),
        }
    }
}

impl std::str::FromStr for Pap {
    type Err = UnknownMarking;

    /// Any case, with or without `PAP:`; WHITE is read as CLEAR.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let upper = s.to_ascii_uppercase();
        match upper.strip_prefix("PAP:").unwrap_or(&upper) {
            "CLEAR" | "WHITE" => Ok(Pap::Clear),
            "GREEN" => Ok(Pap::Green),
            "AMBER" => Ok(Pap::Amber),
            "RED" => Ok(Pap::Red),
            _ => Err(UnknownMarking { what: "PAP", given: s.into(), allowed: "clear, green, amber, red" }),
        }
    }
}
