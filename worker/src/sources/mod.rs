//! Sources: one file each, listed in one place. Building a request and parsing an answer are
//! separate and pure; what waits is in [`crate::http`] and in the resolver.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kudzu_shared::config::Config;
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::SourceInfo;
use kudzu_shared::wire::Ask;

use crate::http::Exchange;

mod certs;
pub mod certs_fingerprint;
pub mod certs_name;
#[cfg(test)]
#[path = "corpus_tests.rs"]
mod corpus;
pub mod declared;
pub mod dns_addr;
pub mod dns_name;
pub mod dns_origin;
mod found;
mod json;
pub mod pairs;
pub mod parts;
mod pdns;
pub mod pdns_addr;
pub mod pdns_name;
pub mod pdns_rdata;
#[cfg(feature = "poison")]
pub mod poison;
mod rdap;
pub mod rdap_autnum;
pub mod rdap_domain;
pub mod rdap_entity;
pub mod rdap_ip;
mod spf;

pub use found::Found;

/// One source instance.
pub trait Source: Send + Sync {
    /// What it declares of itself.
    fn info(&self) -> &SourceInfo;

    /// How it is asked.
    fn work(&self) -> Work<'_>;
}

/// How a source is asked.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// Through the resolver.
    Dns(&'a dyn DnsSource),
    /// Over HTTP.
    Http(&'a dyn HttpSource),
    /// In the process.
    Local(&'a dyn LocalSource),
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Work::Dns(_) => "Dns",
            Work::Http(_) => "Http",
            Work::Local(_) => "Local",
        })
    }
}

/// One lookup, as a source sees it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is looked up.
    pub key: &'a Observable,
    /// Types and limit.
    pub ask: &'a Ask,
    /// Which of the ask's questions are wanted, bit by index.
    pub questions: u32,
}

impl Asked<'_> {
    /// The indices that are wanted; 0 where the ask has no types.
    pub fn indices(&self) -> impl Iterator<Item = u8> {
        let (bits, n) = (self.questions, self.ask.types.len().clamp(1, 32));
        (0..u8::try_from(n).unwrap_or(32)).filter(move |i| bits >> i & 1 == 1)
    }

    /// Rows or records wanted at most.
    pub fn limit(&self) -> usize {
        usize::try_from(self.ask.limit).unwrap_or(usize::MAX).max(1)
    }
}

/// A question for the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsQuestion {
    /// Which question of the lookup.
    pub index: u8,
    /// Wire form, letters in lower case.
    pub name: Box<[u8]>,
    /// Record type.
    pub qtype: kudzu_dns::RecordType,
}

/// A source that asks DNS.
pub trait DnsSource: Send + Sync {
    /// The questions of a lookup; none where the key is not of its kind.
    fn build(&self, asked: &Asked<'_>) -> Vec<DnsQuestion>;

    /// Adds what a reply to the question of this index says, and gives the verdict.
    fn parse(&self, asked: &Asked<'_>, index: u8, reply: &kudzu_dns::Reply, found: &mut Found) -> Verdict;
}

/// A source that asks HTTP services. Build and parse are functions of its own file.
#[async_trait]
pub trait HttpSource: Send + Sync {
    /// Asks, and adds what was found. Cancel safe: nothing is kept of a cancelled lookup.
    async fn look_up(&self, asked: Asked<'_>, exchange: &mut Exchange<'_>, found: &mut Found) -> Verdict;
}

/// A source that answers from what the process holds.
pub trait LocalSource: Send + Sync {
    /// Adds what it knows. It must not block.
    fn answer(&self, asked: &Asked<'_>, found: &mut Found) -> Verdict;
}

/// Why the sources cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pair set cannot be loaded.
    #[error("pair set {name:?}")]
    Pairs {
        /// Its name in the settings.
        name: String,
        /// What is wrong, with file and line.
        source: pairs::LoadError,
    },
}

/// Every source there is, in the order of their names.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn Source>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Registry {
    /// What each source declares, the unavailable ones with their reason.
    pub fn catalogue(&self) -> Vec<SourceInfo> {
        self.0.values().map(|s| s.info().clone()).collect()
    }

    /// A source by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Source>> {
        self.0.get(name)
    }

    /// Adds a source, or replaces the one of its name.
    pub fn insert(&mut self, source: Arc<dyn Source>) {
        self.0.insert(source.info().name.clone(), source);
    }
}

/// The sources that the settings give. This is the one list of them.
///
/// # Errors
/// When a pair set cannot be loaded.
pub fn registry(config: &Config) -> Result<Registry, Error> {
    let mut all = Registry::default();
    let rdap = Arc::new(rdap::Rdap::new(&config.rdap));
    let pdns = Arc::new(pdns::Service::new(&config.pdns));
    let certs = Arc::new(certs::Service::new(&config.certs));
    all.insert(Arc::new(dns_name::DnsName::new(&config.dns)));
    all.insert(Arc::new(dns_addr::DnsAddr::new(&config.dns)));
    all.insert(Arc::new(dns_origin::DnsOrigin::new(&config.dns)));
    all.insert(Arc::new(rdap_domain::RdapDomain::new(Arc::clone(&rdap))));
    all.insert(Arc::new(rdap_ip::RdapIp::new(Arc::clone(&rdap))));
    all.insert(Arc::new(rdap_autnum::RdapAutnum::new(Arc::clone(&rdap))));
    all.insert(Arc::new(rdap_entity::RdapEntity::new(rdap)));
    all.insert(Arc::new(pdns_name::PdnsName::new(Arc::clone(&pdns))));
    all.insert(Arc::new(pdns_addr::PdnsAddr::new(Arc::clone(&pdns))));
    all.insert(Arc::new(pdns_rdata::PdnsRdata::new(pdns)));
    all.insert(Arc::new(certs_name::CertsName::new(Arc::clone(&certs))));
    all.insert(Arc::new(certs_fingerprint::CertsFingerprint::new(certs)));
    all.insert(Arc::new(parts::Parts::new()));
    #[cfg(feature = "poison")]
    all.insert(Arc::new(poison::Poison::new()));
    for (name, file) in &config.pairs {
        let set =
            pairs::Pairs::load(name, file).map_err(|source| Error::Pairs { name: name.clone(), source })?;
        all.insert(Arc::new(set));
    }
    for (name, source) in &config.sources {
        let declared = declared::Declared::new(name, source);
        let first = config.sources.iter().find(|(_, other)| other.api_key == source.api_key);
        all.insert(Arc::new(declared.sharing(first.map_or(name, |(first, _)| first))));
    }
    Ok(all)
}

/// A stable digest of what answers depend on (FNV-1a, 64 bits); no secret goes in, only who
/// asks whom.
pub(crate) fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for b in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}
