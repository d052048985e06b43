//! Ranking: from which domains and addresses the next attack may come, and why.
//!
//! Domains are tied by the infrastructure they share: what few others use, at the same
//! time, weighs; what many use does not. Belief flows from the seeds along the strongest
//! ties (`belief.rs`), independent kinds of tie add up, and each score carries the ties
//! that made it (`explain.rs`). Nothing looks at the text of a name, so that renaming
//! every item leaves the scores as they are.

mod assets;
mod belief;
mod bursts;
mod channel;
mod closeness;
mod describe;
mod domains;
mod explain;
mod graph;
mod interval;
mod uses;

use std::borrow::Cow;

use kudzu_shared::observable::Kind;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::tree::Tree;
use assets::Assets;
use belief::Beliefs;
use graph::Graph;

/// Candidates that are kept at most, of domains and of addresses each.
const KEPT: usize = 1_000;
/// Scores below this are not worth a line.
const FLOOR: f64 = 0.05;
/// Nor are those below this part of the best one: belief gets thin over a large campaign, and
/// everywhere a long tail of neighbours by chance follows what is looked for.
const TAIL: f64 = 0.18;

/// A domain or address ranked as next attack source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    /// 1 is the best; domains and addresses are ranked apart, domains come first.
    pub rank: usize,
    /// Its text.
    pub value: String,
    /// `domain-name`, `ipv4-addr` or `ipv6-addr`.
    #[serde(deserialize_with = "kind")]
    pub kind: KindName,
    /// 0 to 1; comparable within one result only.
    pub score: f64,
    /// How sure that is.
    pub band: Band,
    /// Whether one kind of tie alone makes the score.
    pub single_tie: bool,
    /// The ties, strongest first.
    pub reasons: Vec<Reason>,
    /// When it was registered (RFC 3339), where a registration says so.
    pub registered: Option<String>,
    /// Whether its name resolves now; `None` where it was not asked.
    pub resolves: Option<bool>,
    /// Whether a list or its name servers say that it is parked.
    pub parked: bool,
    /// Whether a list says that it points to a sinkhole.
    pub sinkholed: bool,
    /// Where it lives, newest first.
    pub addresses: Vec<String>,
    /// Who announces these.
    pub autonomous_systems: Vec<String>,
}

/// A name that [`Kind::as_str`] gives; written out, it would have to be borrowed from what is read.
pub type KindName = &'static str;

fn kind<'de, D: Deserializer<'de>>(d: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(d)?;
    let kind =
        Kind::from_name(&name).ok_or_else(|| D::Error::custom(format!("there is no kind {name:?}")))?;
    Ok(kind.as_str())
}

/// How sure a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Band {
    /// Several independent ties, within a group that looks like one hand.
    Likely,
    /// A strong tie, or several weak ones.
    Possible,
    /// Something is there.
    Weak,
}

/// Why a candidate is one: a tie to something believed already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reason {
    /// Kind of tie: `address`, `name-server`, `registrant`, `certificate`, `mail-host`, ...
    pub channel: Cow<'static, str>,
    /// What it adds, 0 to 1.
    pub strength: f64,
    /// In words.
    pub text: String,
    /// From a seed to the candidate, thing by thing.
    pub path: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// What stands here.
    pub value: String,
    /// How the last step leads here; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Cow<'static, str>>,
}

/// What candidates and their reasons are read from.
struct Believed<'g> {
    graph: &'g Graph<'g>,
    assets: Assets<'g>,
    beliefs: Beliefs,
}

/// Ranks the domains and addresses of a tree: domains first, best first, then addresses.
pub fn rank(tree: &Tree) -> Vec<Candidate> {
    let graph = &Graph::of(tree);
    let mut assets = Assets::new(graph);
    let beliefs = Beliefs::of(graph, &mut assets);
    let mut all = Believed { graph, assets, beliefs };
    let name = |d: u32| graph.domains.name(tree, d);
    // Own, excluded, or listed as everybody's.
    let is_barred = |d: u32| tree.rules().suppression(name(d), false).is_some();
    let scores = all.beliefs.scores().filter(|(d, _)| !graph.domains.is_seed(*d) && !is_barred(*d));
    let mut domains: Vec<(u32, f64)> = scores.map(|(d, score)| (d, round(score))).collect();
    let best = domains.iter().map(|(_, score)| *score).fold(0.0, f64::max);
    let floor = (best * TAIL).max(FLOOR);
    domains.retain(|(_, score)| *score >= floor);
    // Scores never depend on names; only the order among equal ones does.
    domains.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| name(a.0).cmp(&name(b.0))));
    domains.truncate(KEPT);
    let hand = all.beliefs.one_hand(graph);
    let described = domains.iter().enumerate();
    let mut out: Vec<Candidate> =
        described.map(|(at, (d, score))| describe::domain(&all, *d, *score, at + 1, hand)).collect();
    out.extend(describe::addresses(&mut all, KEPT, floor));
    out
}

/// To six places: what lies beyond is the order of additions.
fn round(score: f64) -> f64 {
    (score * 1e6).round() / 1e6
}
