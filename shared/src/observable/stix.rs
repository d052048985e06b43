//! Ids: STIX 2.1 section 2.9 for what STIX defines, our own name space for the rest.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::{Kind, Observable};

/// The name space of deterministic ids of cyber-observable objects (STIX 2.1 section 2.9).
const STIX: Uuid = Uuid::from_u128(0x00abedb4_aa42_466c_9c01_fed23315a9b7);

impl Observable {
    /// Its id: `<type>--<uuid>`.
    ///
    /// For a kind of STIX 2.1 the UUIDv5 over the RFC 8785 JSON of its id-contributing
    /// properties: `value`, `number`, or the one hash there is. For a netblock or an
    /// identity a UUIDv8 of the SHA-256 of kind and wire bytes.
    pub fn id(&self) -> String {
        let uuid = match self.stix_properties() {
            Some(json) => Uuid::new_v5(&STIX, json.as_bytes()),
            None => self.hashed(),
        };
        format!("{}--{uuid}", self.kind())
    }

    /// The id-contributing properties in RFC 8785 form; `None` where STIX has no such kind.
    fn stix_properties(&self) -> Option<String> {
        let hashes = |name: &str| format!("{{\"hashes\":{{\"{name}\":\"{self}\"}}}}");
        match self.kind() {
            Kind::DomainName | Kind::Ipv4Addr | Kind::Ipv6Addr | Kind::EmailAddr | Kind::Url => {
                Some(format!("{{\"value\":{}}}", json_string(&self.to_string())))
            }
            Kind::AutonomousSystem => {
                let number = u32::from_be_bytes(self.wire().try_into().ok()?);
                Some(format!("{{\"number\":{number}}}"))
            }
            Kind::X509Certificate | Kind::File => Some(hashes(hash_name(self.wire().len())?)),
            Kind::Netblock | Kind::Identity => None,
        }
    }

    fn hashed(&self) -> Uuid {
        let digest = Sha256::new().chain_update([self.kind() as u8]).chain_update(self.wire()).finalize();
        let mut octets = [0; 16];
        octets.copy_from_slice(&digest[..16]);
        Builder::from_custom_bytes(octets).into_uuid()
    }
}

/// The name of a hash by its length in octets (STIX 2.1, hash-algorithm-ov).
pub(super) fn hash_name(octets: usize) -> Option<&'static str> {
    match octets {
        16 => Some("MD5"),
        20 => Some("SHA-1"),
        32 => Some("SHA-256"),
        64 => Some("SHA-512"),
        _ => None,
    }
}

/// A JSON string as RFC 8785 section 3.2.2.2 wants it.
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
