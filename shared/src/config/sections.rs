//! The sections of `kudzu.toml`, one struct per concern, and their defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::Archive;
use super::service::{Api, Broker, Client, Redis, Telemetry, Tenant};
use super::value::{self, Secret};
use crate::limits::Limit;
use crate::marking::{Pap, Tlp};

/// All settings. What a file leaves out has its default.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bulk DNS and the origin zones.
    pub dns: Dns,
    /// Registrations.
    pub rdap: Rdap,
    /// Passive DNS.
    pub pdns: Pdns,
    /// Certificate logs.
    pub certs: Certs,
    /// Local pair sets: name and file.
    pub pairs: BTreeMap<String, PathBuf>,
    /// Lists of one's own.
    pub packs: PackFiles,
    /// What every HTTP source keeps to.
    pub http: HttpLimits,
    /// The worker.
    pub worker: Worker,
    /// The coordinator.
    pub coordinator: Coordinator,
    /// The archive.
    pub archive: Archive,
    /// RabbitMQ.
    pub broker: Broker,
    /// Redis.
    pub redis: Redis,
    /// The API of a coordinator.
    pub api: Api,
    /// Tenants, by name.
    pub tenants: BTreeMap<String, Tenant>,
    /// The coordinator that the commands ask.
    pub client: Client,
    /// Traces.
    pub telemetry: Telemetry,
    /// What a job may do where it does not say.
    pub policy: PolicyDefaults,
    /// HTTP JSON sources declared without code, by name.
    pub sources: BTreeMap<String, DeclaredSource>,
}

/// Bulk DNS and the origin zones.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// `ip` or `ip:port`; empty for the system's.
    #[serde(with = "value::addrs")]
    pub resolvers: Vec<SocketAddr>,
    /// Resolvers over TLS or HTTPS, in place of these: `tls://NAME@ADDRESS[:PORT]`,
    /// `https://NAME@ADDRESS[:PORT][/PATH]`.
    pub encrypted: Vec<String>,
    /// Whether resolvers are checked before they are asked; those that lie are left out.
    pub check: bool,
    /// Whether they are one's own: no rate, and more in flight, unless these are set.
    pub own: bool,
    /// Questions a second to each resolver; `None` for no limit.
    pub rate: Option<f64>,
    /// Questions open at a time at each resolver.
    pub in_flight: u32,
    /// How long one answer is waited for.
    pub timeout_ms: u64,
    /// How often a question is sent.
    pub attempts: u32,
    /// Lookups that one job may ask of each DNS source; `None` for no limit.
    pub credits: Option<u64>,
    /// The most closed marking they may see.
    #[serde(with = "value::text")]
    pub max_tlp: Tlp,
    /// Zone that tells an IPv4 address's origin AS and prefix.
    pub origin_zone: String,
    /// The same for IPv6.
    pub origin6_zone: String,
    /// Zone that tells an AS's name.
    pub as_zone: String,
}

impl Dns {
    /// Questions open at a time at a resolver of one's own.
    pub const OWN_IN_FLIGHT: u32 = 20_000;

    /// The limit of each resolver.
    pub fn limit(&self) -> Limit {
        Limit::new(self.rate, Some(self.in_flight))
    }

    /// With resolvers of one's own.
    pub fn own(resolvers: Vec<SocketAddr>) -> Self {
        Self { resolvers, own: true, rate: None, in_flight: Self::OWN_IN_FLIGHT, ..Self::default() }
    }

    /// How long one answer is waited for.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            encrypted: Vec::new(),
            check: true,
            own: false,
            rate: Some(1000.0),
            in_flight: 200,
            timeout_ms: 2000,
            attempts: 5,
            credits: None,
            max_tlp: Tlp::Amber,
            origin_zone: "origin.asn.cymru.com".into(),
            origin6_zone: "origin6.asn.cymru.com".into(),
            as_zone: "asn.cymru.com".into(),
        }
    }
}

/// Registrations (RDAP).
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rdap {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Where the IANA registries (RFC 9224) are.
    pub bootstrap: String,
    /// Questions a second to each server.
    pub rate: f64,
    /// Questions open at a time at each server.
    pub in_flight: u32,
    /// How long one answer is waited for.
    pub timeout_ms: u64,
    /// Lookups that one job may ask of each RDAP source; `None` for no limit.
    pub credits: Option<u64>,
    /// Whether servers at private addresses may be asked.
    pub allow_private: bool,
    /// The most closed marking they may see.
    #[serde(with = "value::text")]
    pub max_tlp: Tlp,
}

impl Default for Rdap {
    fn default() -> Self {
        Self {
            enabled: true,
            bootstrap: "https://data.iana.org/rdap/".into(),
            rate: 5.0,
            in_flight: 4,
            timeout_ms: 10_000,
            credits: None,
            allow_private: false,
            max_tlp: Tlp::Amber,
        }
    }
}

/// Passive DNS in the Common Output Format over HTTP.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pdns {
    /// Base URL; the question follows it. `None` for no passive DNS.
    pub url: Option<String>,
    /// User name of HTTP basic authentication.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// The header that holds the key.
    pub header: String,
    /// The key of a service that wants one.
    pub api_key: Option<Secret>,
    /// Path between the URL and a question for rows by their data; empty where the service
    /// matches both sides.
    pub rdata_path: String,
    /// Questions a second.
    pub rate: f64,
    /// Questions open at a time.
    pub in_flight: u32,
    /// How long one answer is waited for.
    pub timeout_ms: u64,
    /// Rows read at most from one answer.
    pub rows: u32,
    /// Lookups that one job may ask of each passive DNS source; `None` for no limit.
    pub credits: Option<u64>,
    /// Whether a 404 says that there are no rows; else it is an error, as a mistyped URL gives.
    pub not_found_is_empty: bool,
    /// Whether answers are licensed to the tenant, and cached for it alone; `None` where a
    /// user and password, or a key, make them so.
    pub licensed: Option<bool>,
    /// Whether a server at a private address may be asked.
    pub allow_private: bool,
    /// The most closed marking they may see.
    #[serde(with = "value::text")]
    pub max_tlp: Tlp,
    /// Marking of what they return.
    #[serde(with = "value::text")]
    pub marking: Tlp,
}

impl Default for Pdns {
    fn default() -> Self {
        Self {
            url: None,
            user: None,
            password: None,
            header: "X-Api-Key".into(),
            api_key: None,
            rdata_path: String::new(),
            rate: 10.0,
            in_flight: 4,
            timeout_ms: 15_000,
            rows: 2000,
            credits: None,
            not_found_is_empty: false,
            licensed: None,
            allow_private: false,
            max_tlp: Tlp::Amber,
            marking: Tlp::Clear,
        }
    }
}

/// Certificate logs (crt.sh).
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Certs {
    /// Base URL; empty or `None` for no certificate search.
    pub url: Option<String>,
    /// Questions a second.
    pub rate: f64,
    /// Questions open at a time.
    pub in_flight: u32,
    /// How long one answer is waited for.
    pub timeout_ms: u64,
    /// Lookups that one job may ask of each certificate source; `None` for no limit.
    pub credits: Option<u64>,
    /// Whether a server at a private address may be asked.
    pub allow_private: bool,
    /// The most closed marking they may see.
    #[serde(with = "value::text")]
    pub max_tlp: Tlp,
}

impl Default for Certs {
    fn default() -> Self {
        Self {
            url: Some("https://crt.sh/".into()),
            rate: 1.0,
            in_flight: 2,
            timeout_ms: 30_000,
            credits: None,
            allow_private: false,
            max_tlp: Tlp::Amber,
        }
    }
}

macro_rules! http_source {
    ($($section:ty),*) => {$(
        impl $section {
            /// The limit of each server.
            pub fn limit(&self) -> Limit {
                Limit::new(Some(self.rate), Some(self.in_flight))
            }

            /// How long one answer is waited for.
            pub fn timeout(&self) -> Duration {
                Duration::from_millis(self.timeout_ms)
            }
        }
    )*};
}
http_source!(Rdap, Pdns, Certs, DeclaredSource);

/// Lists of one's own, beside the built-in ones.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackFiles {
    /// JSON files in the MISP warninglist schema with a `class`.
    pub files: Vec<PathBuf>,
}

/// What every HTTP source keeps to.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Octets read at most of a body, unpacked.
    pub max_body: u64,
    /// Redirects followed at most.
    pub max_redirects: u32,
    /// How long an upstream fails before it is spared, in milliseconds.
    pub breaker_after_ms: u64,
    /// How kudzu names itself.
    pub user_agent: String,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_body: 8 * 1024 * 1024,
            max_redirects: 3,
            breaker_after_ms: 5_000,
            user_agent: concat!("kudzu/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// The worker.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// DNS lookups in flight.
    pub lookups: u32,
    /// HTTP lookups in flight; half of them with one upstream at most.
    pub http_lookups: u32,
    /// Octets of the cache in memory.
    pub cache_bytes: u64,
    /// How long a worker holds a task before what is left of it goes back to the queue: below
    /// RabbitMQ's consumer timeout.
    pub hold_ms: u64,
}

impl Default for Worker {
    fn default() -> Self {
        Self { lookups: 4096, http_lookups: 64, cache_bytes: 256 * 1024 * 1024, hold_ms: 600_000 }
    }
}

/// The coordinator.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coordinator {
    /// Questions outstanding of one job.
    pub window: u32,
    /// Questions in one task.
    pub task_questions: u32,
    /// How long a task waits to become full.
    pub task_delay_ms: u64,
    /// Later rounds for transient failures.
    pub rounds: u32,
    /// How long a task may stay unanswered before it is sent again.
    pub redispatch_ms: u64,
    /// Jobs that one coordinator runs at a time.
    pub jobs: u16,
    /// Jobs without an end in the whole cluster; more are refused.
    pub open: u32,
    /// How long a coordinator holds the message of a job before it passes it on, to itself or
    /// to another; RabbitMQ's consumer timeout must be longer.
    pub hold_ms: u64,
    /// How often a coordinator looks for jobs that nobody has in hand.
    pub sweep_ms: u64,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self {
            window: 16_384,
            task_questions: 256,
            task_delay_ms: 5,
            rounds: 2,
            redispatch_ms: 60_000,
            jobs: 64,
            open: 10_000,
            hold_ms: 600_000,
            sweep_ms: 5_000,
        }
    }
}

/// What a job may do where it does not say.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyDefaults {
    /// Marking of the seeds.
    #[serde(with = "value::text")]
    pub tlp: Tlp,
    /// What may be contacted.
    #[serde(with = "value::text")]
    pub pap: Pap,
    /// The analyst's own names, addresses and blocks.
    pub own_assets: Vec<String>,
    /// Names, addresses and blocks that are never asked about.
    pub exclude: Vec<String>,
}

impl Default for PolicyDefaults {
    fn default() -> Self {
        Self { tlp: Tlp::Clear, pap: Pap::Green, own_assets: Vec::new(), exclude: Vec::new() }
    }
}

/// An HTTP JSON source declared without code.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredSource {
    /// URL with `{key}` where the observable goes, and `{api_key}` where that belongs there.
    pub url: String,
    /// Kinds it takes, by name.
    pub takes: Vec<String>,
    /// Relation of what it returns, by name.
    #[serde(default = "related_to")]
    pub relation: String,
    /// JSON pointer (RFC 6901) to a value, or to a list of values.
    pub value: String,
    /// Whether a 404 says that there is nothing, not that the URL is wrong.
    #[serde(default)]
    pub not_found_is_empty: bool,
    /// Headers sent; `{api_key}` is replaced there too.
    #[serde(default, deserialize_with = "value::secrets::deserialize")]
    pub headers: BTreeMap<String, Secret>,
    /// The credential.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// Questions a second.
    #[serde(default = "one")]
    pub rate: f64,
    /// Questions open at a time.
    #[serde(default = "two")]
    pub in_flight: u32,
    /// How long one answer is waited for.
    #[serde(default = "fifteen_seconds")]
    pub timeout_ms: u64,
    /// Lookups that one job may ask of it; `None` for no limit.
    #[serde(default)]
    pub credits: Option<u64>,
    /// Whether answers are licensed to the tenant, and cached for it alone; `None` where a
    /// credential makes them so.
    #[serde(default)]
    pub licensed: Option<bool>,
    /// Whether a server at a private address may be asked.
    #[serde(default)]
    pub allow_private: bool,
    /// The most closed marking it may see.
    #[serde(default = "clear", with = "value::text")]
    pub max_tlp: Tlp,
    /// Marking of what it returns.
    #[serde(default = "clear", with = "value::text")]
    pub marking: Tlp,
}

fn related_to() -> String {
    "related-to".into()
}

fn one() -> f64 {
    1.0
}

fn two() -> u32 {
    2
}

fn fifteen_seconds() -> u64 {
    15_000
}

fn clear() -> Tlp {
    Tlp::Clear
}
