//! A job: seeds, plan, budgets, policy, and the time it looks at.

use serde::{Deserialize, Serialize};

use crate::marking::{Pap, Tlp};
use crate::observable::{Name, Observable};
use crate::time::UnixSeconds;

/// A job's id; UUIDv7, or derived from tenant and Idempotency-Key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct JobId(pub u128);

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        uuid::Uuid::from_u128(self.0).fmt(f)
    }
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job id is a UUID, as in 0192f0c1-7e1a-7000-8000-000000000001")]
pub struct NoJobId;

impl std::str::FromStr for JobId {
    type Err = NoJobId;

    /// Takes the hyphenated form alone: one id has one text.
    fn from_str(text: &str) -> Result<Self, NoJobId> {
        let id = uuid::Uuid::try_parse(text).map(|u| Self(u.as_u128())).map_err(|_| NoJobId)?;
        if id.to_string() == text { Ok(id) } else { Err(NoJobId) }
    }
}

/// Recursive, or one hop over many seeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Every value is the next key.
    Pivot,
    /// Each seed is looked up once; nothing follows.
    Enrich,
}

/// Limits of a job; what one leaves out is a stub with its count (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budgets {
    /// Hops from a seed. A node at this depth is not looked up.
    pub depth: u8,
    /// Nodes in the tree.
    pub nodes: u32,
    /// New nodes under one parent by one relation.
    pub fan_out: u32,
    /// Questions over all sources; `None` for no limit.
    pub questions: Option<u64>,
    /// Milliseconds from submit; what is open then ends as skipped(deadline).
    pub deadline_ms: Option<u64>,
}

/// What a job may touch and to whom it may be shown (I5).
#[derive(Debug, Clone)]
pub struct Policy {
    /// Marking of the seeds; only sources that may see it are asked.
    pub tlp: Tlp,
    /// What may be contacted.
    pub pap: Pap,
    /// If not empty, only names below these, or addresses in these, are asked about.
    pub scope: Vec<Observable>,
    /// Never asked about, never candidates; a name stands for all below it, a netblock for all in it.
    pub exclude: Vec<Observable>,
    /// The analyst's own assets: as `exclude`, and told apart in the result.
    pub own_assets: Vec<Observable>,
    /// Whether special-purpose addresses and names (RFC 6890, RFC 6761) are asked about.
    pub allow_private: bool,
}

/// A job as the coordinator runs it.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Its id.
    pub id: JobId,
    /// Whose it is; part of every key and message.
    pub tenant: String,
    /// Recursive or one hop.
    pub kind: JobKind,
    /// Where it starts; duplicates are merged and the order does not matter.
    pub seeds: Vec<Observable>,
    /// What it may do.
    pub policy: Policy,
    /// The instant it looks at: "now" for live answers and for ranking.
    pub as_of: UnixSeconds,
    /// Pairs seen only before this are left out.
    pub since: Option<UnixSeconds>,
    /// Pairs seen only after this are left out.
    pub until: Option<UnixSeconds>,
    /// Makes wildcard probe labels unguessable yet repeatable.
    pub salt: u64,
}

impl Policy {
    /// Whether an observable lies under one of the given ones (itself, a parent name, a block;
    /// a URL or mailbox also by its host). Of long lists make a [`crate::packs::Cover`].
    pub fn covers(list: &[Observable], item: &Observable) -> bool {
        let host = item.host();
        let by_host = |entry: &Observable| host.as_ref().is_some_and(|h| within(entry, h));
        list.iter().any(|entry| within(entry, item) || by_host(entry))
    }
}

fn within(entry: &Observable, item: &Observable) -> bool {
    use crate::observable::Kind;
    match (entry.kind(), item.kind()) {
        (Kind::DomainName, Kind::DomainName) => match (entry.name(), item.name()) {
            (Some(zone), Some(name)) => Name::is_within(&name, &zone),
            _ => false,
        },
        (Kind::Netblock, Kind::Ipv4Addr | Kind::Ipv6Addr | Kind::Netblock) => {
            let (Some((net, len)), Some(wire)) =
                (entry.wire().split_last().map(|(l, n)| (n, *l)), address(item))
            else {
                return false;
            };
            let own_len = item.wire().len() * 8;
            let narrower = item.kind() != Kind::Netblock || item.wire().last().is_some_and(|l| *l >= len);
            net.len() == wire.len() && narrower && own_len > 0 && same_bits(net, wire, len)
        }
        _ => entry == item,
    }
}

fn address(item: &Observable) -> Option<&[u8]> {
    match item.kind() {
        crate::observable::Kind::Netblock => item.wire().split_last().map(|(_, n)| n),
        _ => Some(item.wire()),
    }
}

fn same_bits(a: &[u8], b: &[u8], bits: u8) -> bool {
    let (whole, rest) = (usize::from(bits / 8), bits % 8);
    let mask = if rest == 0 { 0 } else { 0xffu8 << (8 - rest) };
    a[..whole] == b[..whole] && (rest == 0 || (a[whole] ^ b[whole]) & mask == 0)
}
