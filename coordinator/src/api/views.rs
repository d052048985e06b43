//! What the API says of jobs.

use kudzu_shared::time::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::cluster::record::{Item, Record};
use crate::cluster::shelf::{EndState, Ended, ResultRecord};

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Accepted; nobody has taken it yet.
    Queued,
    /// Somebody runs it, or will go on with it.
    Running,
    /// It was told to end, and has not ended yet.
    Cancelling,
    /// Every lookup that its tree demands has ended by itself.
    Complete,
    /// Some were ended by the deadline or by a cancel.
    Partial,
    /// It cannot be run.
    Dead,
}

impl State {
    /// Whether it will never change.
    pub fn is_final(self) -> bool {
        matches!(self, State::Complete | State::Partial | State::Dead)
    }
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id, a UUID.
    pub id: String,
    /// What its submitter calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where it is.
    pub state: State,
    /// Why it is partial or dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `pivot` or `enrich`.
    pub kind: String,
    /// The first of its seeds.
    pub seeds: Vec<String>,
    /// How many there are.
    pub seeds_total: usize,
    /// Its plan's name.
    pub plan: String,
    /// Marking of the seeds.
    pub tlp: String,
    /// What may be contacted.
    pub pap: String,
    /// The token that submitted it.
    pub by: String,
    /// When, RFC 3339.
    pub submitted_at: String,
    /// How long it waited for a coordinator, or waits, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_wait_ms: Option<i64>,
    /// The job whose failed and dead lookups it asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// Which take-over of it runs, or counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub progress: Option<Value>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
}

/// What came of a job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// SHA-256 of the canonical tree.
    pub sha256: String,
    /// Nodes in the tree.
    pub nodes: u64,
    /// Pairs in the tree.
    pub edges: u64,
    /// Stubs in the tree.
    pub stubs: u64,
    /// Figures about the run.
    #[schema(value_type = Object)]
    pub figures: Value,
}

/// A page of jobs, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Jobs {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// How many the tenant has in all.
    pub total: usize,
    /// Where the next page starts; none where this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Seeds that are shown of a job.
const SEEDS: usize = 10;

impl Job {
    /// Without what came from a cache: another tenant's job may have filled it.
    pub fn of_many_tenants(mut self) -> Self {
        if let Some(figures) = self.result.as_mut().and_then(|r| r.figures.as_object_mut()) {
            figures.remove("cached");
        }
        self
    }

    /// One of which nothing can be read.
    pub fn unknown() -> Self {
        Self {
            id: String::new(),
            label: None,
            state: State::Dead,
            reason: None,
            kind: String::new(),
            seeds: Vec::new(),
            seeds_total: 0,
            plan: String::new(),
            tlp: String::new(),
            pap: String::new(),
            by: String::new(),
            submitted_at: String::new(),
            queue_wait_ms: None,
            replay_of: None,
            epoch: None,
            ended_at: None,
            progress: None,
            result: None,
        }
    }

    /// Of a record, of what is known of its end, and of where it is.
    pub fn new(record: &Record, state: State, end: Option<&Ended>) -> Self {
        let value = |v: &dyn std::fmt::Display| v.to_string();
        let outcome = |r: &ResultRecord| Outcome {
            sha256: r.sha256.clone(),
            nodes: r.nodes,
            edges: r.edges,
            stubs: r.stubs,
            figures: r.figures.clone(),
        };
        Self {
            id: record.id.clone(),
            label: record.label.clone(),
            state,
            reason: end.and_then(|e| e.reason.clone()),
            kind: if record.kind == kudzu_shared::job::JobKind::Pivot { "pivot" } else { "enrich" }.into(),
            seeds: record.seeds.iter().take(SEEDS).map(Item::value).map(String::from).collect(),
            seeds_total: record.seeds.len(),
            plan: record.plan.name().into(),
            tlp: value(&record.tlp.as_str()),
            pap: value(&record.pap.as_str()),
            by: record.by.clone(),
            submitted_at: rfc3339(record.submitted_ms.div_euclid(1000)),
            queue_wait_ms: None,
            replay_of: record.replay_of.clone(),
            epoch: end.map(|e| e.epoch).filter(|e| *e > 0),
            ended_at: end.map(|e| rfc3339(e.ended_ms.div_euclid(1000))),
            progress: end.and_then(|e| Some(e.result.as_ref()?.progress.clone())),
            result: end.and_then(|e| e.result.as_ref()).map(outcome),
        }
    }
}

impl From<EndState> for State {
    fn from(end: EndState) -> Self {
        match end {
            EndState::Complete => State::Complete,
            EndState::Partial => State::Partial,
            EndState::Dead => State::Dead,
        }
    }
}
