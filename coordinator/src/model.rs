//! What a job shows to the outside: progress, coverage, candidates, and the result.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::time::UnixSeconds;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::core::backlog::Open;
use crate::rank::{self, Candidate};
use crate::tree::Tree;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every lookup that the tree demands has ended by itself.
    Complete,
    /// Some were ended by the deadline or by a cancel; the tree says so.
    Partial,
}

/// Where a running job stands; cheap to copy about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Milliseconds since submit.
    pub elapsed_ms: u64,
    /// Observables known so far (in the tree, or asked ahead of it).
    pub nodes: u64,
    /// Levels of the tree that are closed.
    pub levels: u8,
    /// Lookups: registered = waiting + in flight + ended (I1).
    pub registered: u64,
    /// Not yet sent.
    pub waiting: u64,
    /// Sent, no outcome yet.
    pub in_flight: u64,
    /// Ended.
    pub ended: u64,
    /// Questions answered, failed or skipped so far.
    pub questions: u64,
    /// Questions in flight.
    pub outstanding: u64,
    /// By source: (ended, failed or throttled, in flight).
    pub sources: BTreeMap<String, [u64; 3]>,
    /// When the first tree with a found pair could be shown.
    pub first_tree_ms: Option<u64>,
    /// By source: lookups that have not ended. For who scales workers.
    #[serde(skip)]
    pub open: BTreeMap<String, Open>,
}

/// What was asked of one source, and what came of it; only what the tree demanded counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCoverage {
    /// Lookups.
    pub lookups: u64,
    /// Questions of these lookups.
    pub questions: u64,
    /// Lookups by end (`found`, `empty`, `failed`, `throttled`, `skipped`, `dead`).
    #[serde(deserialize_with = "ends")]
    pub ends: BTreeMap<&'static str, u64>,
    /// Questions by verdict.
    #[serde(serialize_with = "by_name", deserialize_with = "verdicts")]
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Why the source could not be asked at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// Coverage by source instance.
pub type Coverage = BTreeMap<String, SourceCoverage>;

fn by_name<S: serde::Serializer>(map: &BTreeMap<Verdict, u64>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_map(map.iter().map(|(v, n)| (v.as_str(), n)))
}

fn ends<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<&'static str, u64>, D::Error> {
    let read = BTreeMap::<String, u64>::deserialize(d)?;
    let known = |(name, n)| {
        let end = End::ALL.into_iter().find(|e| e.as_str() == name);
        end.map(|e| (e.as_str(), n)).ok_or_else(|| D::Error::custom(format!("there is no end {name:?}")))
    };
    read.into_iter().map(known).collect()
}

fn verdicts<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Verdict, u64>, D::Error> {
    let read = BTreeMap::<String, u64>::deserialize(d)?;
    let known = |(name, n)| {
        let verdict = Verdict::ALL.into_iter().find(|v| v.as_str() == name);
        verdict.map(|v| (v, n)).ok_or_else(|| D::Error::custom(format!("there is no verdict {name:?}")))
    };
    read.into_iter().map(known).collect()
}

/// What an ended job leaves.
#[derive(Debug)]
pub struct JobResult {
    /// How it ended.
    pub state: State,
    /// Why it is partial (`deadline`, `cancelled`).
    pub partial: Option<&'static str>,
    /// The tree `T(job, outcomes)`.
    pub tree: Tree,
    /// See [`JobResult::candidates`].
    pub(crate) ranked: OnceLock<Vec<Candidate>>,
    /// What was asked and what came of it.
    pub coverage: Coverage,
    /// The last progress.
    pub progress: Progress,
    /// Figures outside the canonical bytes.
    pub figures: Figures,
}

impl JobResult {
    /// Domains and addresses ranked as next attack sources, best first. The first call ranks
    /// them, which takes a second for some 400,000 nodes.
    pub fn candidates(&self) -> &[Candidate] {
        self.ranked.get_or_init(|| rank::rank(&self.tree))
    }
}

/// Figures about the run: evidence, outside the canonical bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Questions that were served from the cache; none where others fill it, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Lookups that were asked ahead and that the tree then did not demand.
    pub asked_ahead_unused: u64,
    /// Results that came for a lookup that had ended already.
    pub duplicates: u64,
    /// From submit to the complete tree, before it was ranked.
    pub tree_ms: u64,
    /// What the questions that were sent would take one after another, each at the tenth
    /// percentile of its source's answer times: the job's own load does not count.
    pub serial_ms: u64,
    /// Octets that the job's structures hold.
    pub heap_bytes: u64,
}

/// One accepted result, for the evidence file.
#[derive(Debug, Clone, Serialize)]
pub struct EvidenceRow {
    /// Source instance.
    pub source: String,
    /// What was looked up.
    pub kind: &'static str,
    /// Its text.
    pub key: String,
    /// Which round (0 is the first).
    pub round: u8,
    /// When the answer was observed, RFC 3339.
    pub observed_at: String,
    /// Whether it comes from the cache.
    pub cached: bool,
    /// Who looked up.
    pub worker: String,
    /// Its questions: type, verdict, tries, round-trip time, who answered.
    pub questions: Vec<EvidenceQuestion>,
    /// How many pairs it brought.
    pub pairs: usize,
}

/// One question of an evidence row.
#[derive(Debug, Clone, Serialize)]
pub struct EvidenceQuestion {
    /// DNS record type, where there is one.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub rtype: Option<String>,
    /// What it came to.
    pub verdict: &'static str,
    /// How often it was sent.
    pub tries: u8,
    /// First send to answer, microseconds.
    pub rtt_us: u32,
    /// Who answered, or was asked last.
    pub upstream: String,
}

/// Whether a thing was seen at a time window; used by views.
pub fn overlaps(
    first: Option<UnixSeconds>,
    last: Option<UnixSeconds>,
    since: Option<UnixSeconds>,
    until: Option<UnixSeconds>,
) -> bool {
    let after = since.is_none_or(|s| last.or(first).is_none_or(|l| l >= s));
    let before = until.is_none_or(|u| first.or(last).is_none_or(|f| f <= u));
    after && before
}

/// A thing that the analyst's lists or policy took out, with the reason.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// What.
    #[serde(serialize_with = "as_text")]
    pub observable: Observable,
    /// Why.
    pub reason: &'static str,
}

fn as_text<S: serde::Serializer>(o: &Observable, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(o)
}
