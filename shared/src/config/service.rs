//! The sections of a cluster's processes: how they reach each other, and who may ask them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, Secret};
use crate::marking::{Pap, Tlp};

/// RabbitMQ.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://`. `None` for no cluster.
    pub url: Option<Secret>,
}

/// Redis, for the cache and for limits over the whole cluster.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `redis://[USER:PASSWORD@]HOST:PORT[/DB]`,
    /// `redis-sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/MASTER[/DB][?sentinel_password=...]` or
    /// `redis-cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT`; for TLS `rediss`. `None` for a cache
    /// and limits in each process.
    pub url: Option<Secret>,
}

/// The API of a coordinator, or the health and metrics of a worker.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The URL under which other coordinators reach this one; `None` for where it listens.
    pub advertise: Option<String>,
    /// Whether a token is needed. Without, it may listen on a loopback address only.
    pub auth: Auth,
    /// Who may ask, by the token's name.
    pub tokens: BTreeMap<String, Token>,
    /// Octets of a request's body.
    pub max_body: u64,
    /// How long a request that is no stream may take.
    pub timeout_ms: u64,
    /// Connections at a time.
    pub connections: u32,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            advertise: None,
            auth: Auth::Tokens,
            tokens: BTreeMap::new(),
            max_body: 2 * 1024 * 1024,
            timeout_ms: 30_000,
            connections: 1024,
        }
    }
}

impl Api {
    /// How long a request that is no stream may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Whether the API asks who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// A bearer token.
    Tokens,
    /// Nobody is asked: whoever reaches it is the tenant `local`.
    Off,
}

/// A bearer token, by its digest.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose jobs it sees.
    pub tenant: String,
    /// SHA-256 of the token, in hex.
    pub sha256: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is none: a date, or a time in RFC 3339.
    #[serde(default)]
    pub expires: Option<String>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See jobs and their results.
    Read,
    /// Submit, cancel and replay jobs.
    Submit,
}

/// What a tenant's jobs may do where they do not say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Marking of the seeds.
    #[serde(with = "value::text")]
    pub tlp: Tlp,
    /// What may be contacted.
    #[serde(with = "value::text")]
    pub pap: Pap,
}

/// What a process tells of its work beside its logs and metrics.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// The URL of an OTLP server over HTTP (`http://HOST:4318`) that collects traces. `None` for
    /// no export.
    pub otlp: Option<String>,
}

/// The coordinator that the commands ask.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Its URL.
    pub url: String,
    /// The bearer token.
    pub token: Option<Secret>,
}

impl Default for Client {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:8080".into(), token: None }
    }
}

/// Whether a text can name a tenant: it is a part of keys, paths and metrics.
pub fn is_tenant(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}
