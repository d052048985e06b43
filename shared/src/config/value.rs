//! Values of settings that need a form of their own.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A setting that is shown in no output, log or dump.
#[derive(Clone)]
pub struct Secret(SecretString);

/// What stands for a secret in a dump.
pub const REDACTED: &str = "<redacted>";

impl Secret {
    /// The text itself: for the request it belongs to, and for nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // A type error would quote the value it found.
        let value = toml::Value::deserialize(d)?;
        match value {
            toml::Value::String(text) => Ok(text.into()),
            other => Err(serde::de::Error::custom(format!(
                "expected a text in quotes, found {}",
                other.type_str()
            ))),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(REDACTED)
    }
}

/// Secrets by name. As with a single one, an error quotes nothing of what it found.
pub(super) mod secrets {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer};

    use super::Secret;

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<BTreeMap<String, Secret>, D::Error> {
        let table = match toml::Value::deserialize(d)? {
            toml::Value::Table(table) => table,
            other => {
                let found = other.type_str();
                return Err(D::Error::custom(format!("expected a table of texts, found {found}")));
            }
        };
        let secret = |(name, value): (String, toml::Value)| match value {
            toml::Value::String(text) => Ok((name, text.into())),
            other => {
                let found = other.type_str();
                Err(D::Error::custom(format!("{name}: expected a text in quotes, found {found}")))
            }
        };
        table.into_iter().map(secret).collect()
    }
}

/// Addresses with port 53 where none is given.
pub(super) mod addrs {
    use std::net::{IpAddr, SocketAddr};

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Vec<SocketAddr>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        let bad: Vec<_> = texts.iter().filter(|t| parse(t).is_none()).map(|t| format!("{t:?}")).collect();
        if bad.is_empty() {
            return Ok(texts.iter().filter_map(|t| parse(t)).collect());
        }
        let bad = bad.join(", ");
        Err(serde::de::Error::custom(format!(
            "no address: {bad}; write \"192.0.2.53\" or \"[2001:db8::53]:53\""
        )))
    }

    pub(in super::super) fn serialize<S: Serializer>(addrs: &[SocketAddr], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(addrs.iter().map(ToString::to_string))
    }

    fn parse(text: &str) -> Option<SocketAddr> {
        let text = text.trim();
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        let ip = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        ip.or_else(|_| text.parse()).ok()
    }
}

/// Markings by their text form.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

    pub(in super::super) fn deserialize<'de, D, T>(d: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }

    pub(in super::super) fn serialize<S: Serializer, T: Serialize>(
        value: &T,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(s)
    }
}
