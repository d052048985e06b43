//! What the archive keeps of a job. Only put-if-absent is relied on (I8).

use bytes::Bytes;
use kudzu_shared::archive::{Archive, Put};
use kudzu_shared::job::{Budgets, JobId, JobSpec};
use kudzu_shared::time::rfc3339;
use serde_json::json;

use super::SubmitError;
use crate::model::JobResult;
use crate::plan::Plan;

/// Writes the record of a job that is taken.
pub async fn record(
    archive: &dyn Archive,
    spec: &JobSpec,
    plan: &Plan,
    budgets: &Budgets,
) -> Result<(), SubmitError> {
    let texts = |list: &[kudzu_shared::observable::Observable]| {
        list.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let record = json!({
        "schema": "kudzu.job/1",
        "id": spec.id.to_string(),
        "tenant": spec.tenant,
        "kind": spec.kind,
        "seeds": texts(&spec.seeds),
        "plan": { "name": plan.name, "text": plan.text },
        "budgets": budgets,
        "tlp": spec.policy.tlp,
        "pap": spec.policy.pap,
        "scope": texts(&spec.policy.scope),
        "exclude": texts(&spec.policy.exclude),
        "own_assets": texts(&spec.policy.own_assets),
        "allow_private": spec.policy.allow_private,
        "as_of": rfc3339(spec.as_of),
        "since": spec.since.map(rfc3339),
        "until": spec.until.map(rfc3339),
        "salt": spec.salt.to_string(),
    });
    let path = format!("jobs/{}/record", spec.id);
    match archive.create(&path, Bytes::from(record.to_string())).await {
        Ok(Put::Created) => Ok(()),
        Ok(Put::Exists) => Err(SubmitError::Exists(spec.id)),
        Err(error) => Err(SubmitError::Record(spec.id, error)),
    }
}

/// Writes how a job ended. A failure is said, not fatal: the result is in the caller's hands.
pub async fn end(archive: &dyn Archive, id: JobId, result: &JobResult) {
    let end = json!({
        "schema": "kudzu.end/1",
        "state": result.state,
        "partial": result.partial,
        "nodes": result.tree.len(),
        "coverage": result.coverage,
    });
    if let Err(error) = archive.create(&format!("jobs/{id}/end"), Bytes::from(end.to_string())).await {
        tracing::warn!(job = %id, %error, "the job's end is not archived");
    }
}
