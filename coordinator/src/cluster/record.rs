//! The record of a job: all that its tree depends on but the outcomes, as the archive keeps it.

use kudzu_shared::job::{Budgets, JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::time::UnixSeconds;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex;
use crate::plan::{Plan, PlanAsk, PlanError, When};

/// The form of a record; a reader refuses another.
pub const SCHEMA: &str = "kudzu.job/1";

/// A job as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// Its id, a UUID.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What its submitter calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The token that submitted it.
    pub by: String,
    /// When, milliseconds since 1970.
    pub submitted_ms: i64,
    /// The job whose failed and dead lookups this one asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// Pivot or enrich.
    pub kind: JobKind,
    /// Where it starts.
    pub seeds: Vec<Item>,
    /// Its plan.
    pub plan: PlanRecord,
    /// Its limits.
    pub budgets: Budgets,
    /// Marking of the seeds.
    pub tlp: Tlp,
    /// What may be contacted.
    pub pap: Pap,
    /// What alone is asked about.
    pub scope: Vec<Item>,
    /// What is never asked about.
    pub exclude: Vec<Item>,
    /// The analyst's own.
    pub own_assets: Vec<Item>,
    /// Whether special-purpose addresses are asked about.
    pub allow_private: bool,
    /// The instant it looks at.
    pub as_of: UnixSeconds,
    /// The start of its window of time.
    pub since: Option<UnixSeconds>,
    /// The end of its window of time.
    pub until: Option<UnixSeconds>,
    /// What wildcard probes derive from.
    pub salt: u64,
    /// The program that accepted it.
    pub engine: String,
    /// SHA-256 of the request, for whoever sends it again under the same key.
    pub request: String,
    /// The trace it belongs to, as a W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// An observable, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    kind: String,
    /// Its wire bytes in hex.
    wire: String,
    /// For whoever reads the record.
    value: String,
}

/// A plan with what the request changed of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    name: String,
    text: String,
    asks: Vec<AskRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AskRecord {
    source: String,
    types: Vec<String>,
    depth: (u8, u8),
    kinds: Vec<String>,
    limit: u32,
    when: When,
    per_level: Option<u32>,
    questions: Option<u64>,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON, or not a record's fields.
    #[error("read the record of job {0}")]
    Syntax(JobId, #[source] serde_json::Error),
    /// A value that makes no sense, or that this program does not know.
    #[error("the record of job {0} has a {1} that this program does not know")]
    Value(JobId, &'static str),
    /// Its plan.
    #[error("the record of job {0}")]
    Plan(JobId, #[source] PlanError),
}

/// What one who submits says of a job beside the job itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// What it is called.
    pub label: Option<String>,
    /// The token.
    pub by: String,
    /// When, milliseconds since 1970.
    pub submitted_ms: i64,
    /// The job it asks again.
    pub replay_of: Option<JobId>,
    /// SHA-256 of the request, in hex.
    pub request: String,
    /// A W3C `traceparent`.
    pub trace: Option<String>,
}

impl Record {
    /// Of a job.
    pub fn new(spec: &JobSpec, plan: &Plan, budgets: &Budgets, about: About) -> Self {
        let items = |list: &[Observable]| list.iter().map(Item::of).collect();
        Self {
            schema: SCHEMA.into(),
            id: spec.id.to_string(),
            tenant: spec.tenant.clone(),
            label: about.label,
            by: about.by,
            submitted_ms: about.submitted_ms,
            replay_of: about.replay_of.map(|id| id.to_string()),
            kind: spec.kind,
            seeds: items(&spec.seeds),
            plan: PlanRecord::of(plan),
            budgets: *budgets,
            tlp: spec.policy.tlp,
            pap: spec.policy.pap,
            scope: items(&spec.policy.scope),
            exclude: items(&spec.policy.exclude),
            own_assets: items(&spec.policy.own_assets),
            allow_private: spec.policy.allow_private,
            as_of: spec.as_of,
            since: spec.since,
            until: spec.until,
            salt: spec.salt,
            engine: env!("CARGO_PKG_VERSION").into(),
            request: about.request,
            trace: about.trace,
        }
    }

    /// As the archive keeps it.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads the record of a job.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn decode(id: JobId, bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(bytes).map_err(|e| RecordError::Syntax(id, e))?;
        if record.schema != SCHEMA {
            return Err(RecordError::Value(id, "schema"));
        }
        if record.id != id.to_string() {
            return Err(RecordError::Value(id, "job id"));
        }
        Ok(record)
    }

    /// The job, its plan and its limits.
    ///
    /// # Errors
    /// When a value is not known.
    pub fn job(&self) -> Result<(JobSpec, Plan, Budgets), RecordError> {
        let id = self.id().ok_or(RecordError::Value(JobId(0), "job id"))?;
        let items = |list: &[Item], what| {
            list.iter().map(|i| i.read().ok_or(RecordError::Value(id, what))).collect::<Result<Vec<_>, _>>()
        };
        let policy = Policy {
            tlp: self.tlp,
            pap: self.pap,
            scope: items(&self.scope, "scope")?,
            exclude: items(&self.exclude, "exclusion")?,
            own_assets: items(&self.own_assets, "own asset")?,
            allow_private: self.allow_private,
        };
        let spec = JobSpec {
            id,
            tenant: self.tenant.clone(),
            kind: self.kind,
            seeds: items(&self.seeds, "seed")?,
            policy,
            as_of: self.as_of,
            since: self.since,
            until: self.until,
            salt: self.salt,
        };
        Ok((spec, self.plan.read(id)?, self.budgets))
    }

    /// Observables in it.
    pub fn observables(&self) -> usize {
        [&self.seeds, &self.scope, &self.exclude, &self.own_assets].map(Vec::len).iter().sum()
    }

    /// Its id.
    pub fn id(&self) -> Option<JobId> {
        self.id.parse().ok()
    }

    /// The job that it asks again.
    pub fn replays(&self) -> Option<JobId> {
        self.replay_of.as_deref()?.parse().ok()
    }
}

impl Item {
    fn of(item: &Observable) -> Self {
        Self { kind: item.kind().as_str().into(), wire: hex::encode(item.wire()), value: item.to_string() }
    }

    fn read(&self) -> Option<Observable> {
        Observable::from_wire(Kind::from_name(&self.kind)?, &hex::decode(&self.wire)?)
    }

    /// Its text.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl PlanRecord {
    fn of(plan: &Plan) -> Self {
        let ask = |a: &PlanAsk| AskRecord {
            source: a.source.clone(),
            types: a.types.clone(),
            depth: a.depth,
            kinds: a.kinds.iter().map(|k| k.as_str().into()).collect(),
            limit: a.limit,
            when: a.when,
            per_level: a.per_level,
            questions: a.questions,
        };
        Self { name: plan.name.clone(), text: plan.text.clone(), asks: plan.asks.iter().map(ask).collect() }
    }

    fn read(&self, id: JobId) -> Result<Plan, RecordError> {
        let ask = |a: &AskRecord| {
            let kinds = a.kinds.iter().map(|k| Kind::from_name(k)).collect::<Option<_>>()?;
            Some(PlanAsk {
                source: a.source.clone(),
                types: a.types.clone(),
                depth: a.depth,
                kinds,
                limit: a.limit,
                when: a.when,
                per_level: a.per_level,
                questions: a.questions,
            })
        };
        let plan = Plan::parse(&self.text, &self.name).map_err(|e| RecordError::Plan(id, e))?;
        let asks = self.asks.iter().map(ask).collect::<Option<_>>();
        let asks = asks.ok_or(RecordError::Value(id, "kind in its plan"))?;
        Ok(Plan { name: self.name.clone(), asks, ..plan })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The id of a job that its submitter gave a key: the same key of the same tenant gives the
/// same id, and nobody else's does.
pub fn keyed_id(tenant: &str, key: &str) -> JobId {
    let mut hash = Sha256::new();
    hash.update(b"kudzu job\0");
    hash.update((tenant.len() as u64).to_le_bytes());
    hash.update(tenant.as_bytes());
    hash.update(key.as_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // UUID version 8, its variant in RFC 9562.
    JobId(uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> JobSpec {
        let list = |texts: &[&str]| texts.iter().map(|t| Observable::parse(t).unwrap()).collect::<Vec<_>>();
        JobSpec {
            id: keyed_id("a", "k"),
            tenant: "a".into(),
            kind: JobKind::Pivot,
            seeds: list(&["evil.example", "192.0.2.1", "AS64496", "https://a.example/x?<y>"]),
            policy: Policy {
                tlp: Tlp::Amber,
                pap: Pap::Green,
                scope: list(&["192.0.2.0/24"]),
                exclude: list(&["bank.example"]),
                own_assets: Vec::new(),
                allow_private: true,
            },
            as_of: 1_700_000_000,
            since: None,
            until: Some(1_700_000_001),
            salt: u64::MAX,
        }
    }

    #[test]
    fn a_record_gives_the_job_back() {
        let mut plan = Plan::builtin("infra").unwrap();
        plan.retain_sources(|s| s.starts_with("dns."));
        let budgets = Budgets { questions: Some(7), ..plan.budgets };
        let about = About { label: Some("case 7".into()), by: "t1".into(), ..About::default() };
        let record = Record::new(&spec(), &plan, &budgets, about);
        let read = Record::decode(spec().id, &record.encode().unwrap()).unwrap();
        assert_eq!(read, record);
        let (job, read_plan, read_budgets) = read.job().unwrap();
        assert_eq!(format!("{job:?}"), format!("{:?}", spec()));
        assert_eq!(format!("{read_plan:?}"), format!("{plan:?}"));
        assert_eq!(read_budgets, budgets);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let plan = Plan::builtin("fast").unwrap();
        let record = Record::new(&spec(), &plan, &plan.budgets, About::default());
        let id = spec().id;
        assert!(matches!(Record::decode(id, b"{}"), Err(RecordError::Syntax(..))));
        let other = Record { schema: "kudzu.job/9".into(), ..record.clone() }.encode().unwrap();
        assert!(matches!(Record::decode(id, &other), Err(RecordError::Value(_, "schema"))));
        let foreign = record.encode().unwrap();
        assert!(matches!(Record::decode(JobId(1), &foreign), Err(RecordError::Value(_, "job id"))));
        let mut odd = record;
        odd.seeds[0].wire = "zz".into();
        assert!(matches!(odd.job(), Err(RecordError::Value(_, "seed"))));
    }

    #[test]
    fn the_same_key_of_another_tenant_is_another_job() {
        assert_eq!(keyed_id("a", "k"), keyed_id("a", "k"));
        assert_ne!(keyed_id("a", "k"), keyed_id("b", "k"));
        assert_ne!(keyed_id("a", "bk"), keyed_id("ab", "k"));
        let id = keyed_id("a", "k");
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
    }
}
