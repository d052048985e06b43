//! Ids: STIX 2.1 section 2.9 for what STIX defines, our own name space for the rest.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::{Kind, Observable, ObservableRef};

/// The name space of deterministic ids of cyber-observable objects (STIX 2.1 section 2.9).
const STIX: Uuid = Uuid::from_u128(0x00abedb4_aa42_466c_9c01_fed23315a9b7);

impl Observable {
    /// Its id, as [`ObservableRef::id`] says.
    pub fn id(&self) -> String {
        self.as_ref().id()
    }
}

impl ObservableRef<'_> {
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
        [self.kind.as_str(), "--", uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())].concat()
    }

    /// The id-contributing properties in RFC 8785 form; `None` where STIX has no such kind.
    fn stix_properties(&self) -> Option<String> {
        let mut json = String::with_capacity(96);
        // Writing to a String cannot fail.
        let _ = match self.kind {
            Kind::DomainName | Kind::Ipv4Addr | Kind::Ipv6Addr | Kind::EmailAddr | Kind::Url => {
                json.push_str("{\"value\":\"");
                let _ = write!(JsonText(&mut json), "{self}");
                json.write_str("\"}")
            }
            Kind::AutonomousSystem => {
                let number = u32::from_be_bytes(self.wire.try_into().ok()?);
                write!(json, "{{\"number\":{number}}}")
            }
            Kind::X509Certificate | Kind::File => {
                let name = hash_name(self.wire.len())?;
                write!(json, "{{\"hashes\":{{\"{name}\":\"{self}\"}}}}")
            }
            Kind::Netblock | Kind::Identity => return None,
        };
        Some(json)
    }

    fn hashed(&self) -> Uuid {
        let digest = Sha256::new().chain_update([self.kind as u8]).chain_update(self.wire).finalize();
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

/// Writes the inside of a JSON string as RFC 8785 section 3.2.2.2 wants it.
struct JsonText<'a>(&'a mut String);

impl fmt::Write for JsonText<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| matches!(c, '"' | '\\' | '\0'..='\x1f')) {
            let (plain, odd) = rest.split_at(at);
            self.0.push_str(plain);
            let mut chars = odd.chars();
            match chars.next() {
                Some('"') => self.0.push_str("\\\""),
                Some('\\') => self.0.push_str("\\\\"),
                Some('\u{8}') => self.0.push_str("\\b"),
                Some('\u{c}') => self.0.push_str("\\f"),
                Some('\n') => self.0.push_str("\\n"),
                Some('\r') => self.0.push_str("\\r"),
                Some('\t') => self.0.push_str("\\t"),
                c => write!(self.0, "\\u{:04x}", c.map_or(0, u32::from))?,
            }
            rest = chars.as_str();
        }
        self.0.push_str(rest);
        Ok(())
    }
}
