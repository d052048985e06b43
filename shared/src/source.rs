//! What a source declares of itself, for the plan, the policy and `kudzu sources`.

use bincode::{Decode, Encode};
use serde::Serialize;

use crate::marking::{Pap, Tlp};
use crate::observable::Kind;
use crate::pair::Relation;

/// Which queue its tasks travel on: slow classes never hold the slots of quick ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Bulk DNS.
    Dns,
    /// HTTP services.
    Http,
    /// Answered in the process, without any network.
    Local,
}

impl Class {
    /// All of them, by number.
    pub const ALL: [Class; 3] = [Class::Dns, Class::Http, Class::Local];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Dns => "dns",
            Class::Http => "http",
            Class::Local => "local",
        }
    }
}

/// Whom a lookup reaches (the opsec question).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contact {
    /// The target's own systems may see it (live DNS reaches the owner's servers).
    Target,
    /// Only a third party sees it.
    ThirdParty,
    /// Nobody sees it.
    Nobody,
}

impl Contact {
    /// The strictest PAP under which this contact is allowed.
    pub const fn strictest_pap(self) -> Pap {
        match self {
            Contact::Target => Pap::Green,
            Contact::ThirdParty => Pap::Amber,
            Contact::Nobody => Pap::Red,
        }
    }
}

/// One source instance as the coordinator and the user know it.
#[derive(Debug, Clone, Serialize)]
pub struct SourceInfo {
    /// Instance name: `dns.name`, `rdap.domain`, `pairs.mine`.
    pub name: String,
    /// One line for people.
    pub doc: String,
    /// Which queue.
    pub class: Class,
    /// Kinds it takes.
    #[serde(serialize_with = "kind_names")]
    pub takes: Vec<Kind>,
    /// Relations it returns.
    #[serde(serialize_with = "relation_names")]
    pub returns: Vec<Relation>,
    /// Whom it reaches.
    pub contact: Contact,
    /// The most closed marking it may see.
    pub max_tlp: Tlp,
    /// Marking of what it returns.
    pub marking: Tlp,
    /// Names of its question types (DNS record types); empty where a lookup is one question.
    pub types: Vec<String>,
    /// Whom it asks, as configured.
    pub endpoint: Option<String>,
    /// Why it cannot be asked (no endpoint, no key); `None` where it can.
    pub unavailable: Option<String>,
    /// Lookups it may spend a job; `None` where it has no budget of its own.
    pub credits: Option<u64>,
    /// Whether its answers belong to the tenant alone: no other one finds them in the cache.
    pub licensed: bool,
    /// Questions a second over all its upstreams at the limits in force; `None` where uncapped.
    pub rate: Option<f64>,
    /// Digest of endpoint and credentials' id: part of the cache key.
    pub digest: u64,
}

impl SourceInfo {
    /// A source that answers in the process: nobody sees a lookup, so it may see everything.
    pub fn local(name: String, doc: String, takes: Vec<Kind>, returns: Vec<Relation>) -> Self {
        Self {
            name,
            doc,
            class: Class::Local,
            takes,
            returns,
            contact: Contact::Nobody,
            max_tlp: Tlp::Red,
            marking: Tlp::Clear,
            types: Vec::new(),
            endpoint: None,
            unavailable: None,
            credits: None,
            licensed: false,
            rate: None,
            digest: 0,
        }
    }
}

fn kind_names<S: serde::Serializer>(kinds: &[Kind], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(kinds.iter().map(|k| k.as_str()))
}

fn relation_names<S: serde::Serializer>(relations: &[Relation], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(relations.iter().map(|r| r.as_str()))
}
