//! A job from its flags, and its run to the end: progress, interrupts, evidence.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::Instant;

use kudzu_coordinator::model::{EvidenceRow, JobResult};
use kudzu_coordinator::plan::Plan;
use kudzu_shared::config::Config;
use kudzu_shared::job::{JobId, JobKind, JobSpec, Policy};
use kudzu_shared::observable::Observable;
use kudzu_shared::source::SourceInfo;
use kudzu_shared::time::{Clock, SystemClock};
use tokio::sync::mpsc;

use crate::args::job::{PolicyArgs, TimeArgs};
use crate::embedded::Engine;
use crate::exit::Failure;
use crate::progress::Progress;
use crate::view::announce::refusal;
use crate::{indicators, interrupt};

/// What the flags and the settings allow.
///
/// # Errors
/// Names every entry of a list that is no observable.
pub fn policy(args: &PolicyArgs, config: &Config) -> Result<Policy, Failure> {
    let defaults = &config.policy;
    let texts =
        |list: &'static str, texts: &[String]| indicators::list(list, texts.iter().map(String::as_str));
    let mut exclude = texts("--exclude", &args.exclude)?;
    exclude.extend(texts("policy.exclude", &defaults.exclude)?);
    let mut own_assets = texts("policy.own_assets", &defaults.own_assets)?;
    if let Some(path) = &args.own_assets {
        own_assets.extend(indicators::file("--own-assets", path)?);
    }
    Ok(Policy {
        tlp: args.tlp.unwrap_or(defaults.tlp),
        pap: args.pap.unwrap_or(defaults.pap),
        scope: texts("--scope", &args.scope)?,
        exclude,
        own_assets,
        allow_private: args.allow_private,
    })
}

/// The sources that a plan names and that this policy lets be asked.
pub fn asked(plan: &Plan, policy: &Policy, catalogue: &[SourceInfo]) -> Vec<SourceInfo> {
    let wanted = |s: &&SourceInfo| plan.asks.iter().any(|a| a.source == s.name);
    catalogue.iter().filter(wanted).filter(|s| refusal(policy, s).is_none()).cloned().collect()
}

/// A job of this kind with a new id.
///
/// # Errors
/// When the window of time is empty.
pub fn spec(
    kind: JobKind,
    seeds: Vec<Observable>,
    policy: Policy,
    time: TimeArgs,
    salt: Option<u64>,
) -> Result<JobSpec, Failure> {
    if let (Some(since), Some(until)) = (time.since, time.until)
        && since > until
    {
        return Err(Failure::usage("--since lies after --until: nothing can have been seen then"));
    }
    Ok(JobSpec {
        id: JobId(uuid::Uuid::now_v7().as_u128()),
        tenant: "local".into(),
        kind,
        seeds,
        policy,
        as_of: time.at.unwrap_or_else(|| SystemClock.now_ms().div_euclid(1000)),
        since: time.since,
        until: time.until,
        salt: salt.unwrap_or_else(rand::random),
    })
}

/// A salt for a simulated world, the same at every run.
pub fn salt_of(seeds: &[Observable]) -> u64 {
    let mut hasher = DefaultHasher::new();
    seeds.hash(&mut hasher);
    hasher.finish()
}

/// Runs a job to its end. The first interrupt cancels it, and what there is comes back.
///
/// # Errors
/// When the job is refused, its evidence cannot be written, or the engine fails.
pub async fn run(
    engine: &Engine,
    spec: JobSpec,
    plan: Plan,
    evidence: Option<&Path>,
    progress: &mut Progress,
) -> Result<JobResult, Failure> {
    let budgets = plan.budgets;
    let (rows, mut writer) = match evidence {
        None => (None, None),
        Some(path) => {
            let (tx, rx) = mpsc::channel(64);
            let path = path.to_owned();
            (Some(tx), Some(tokio::task::spawn_blocking(move || write_evidence(&path, rx))))
        }
    };
    let coordinator = engine.coordinator(engine.catalogue().to_vec()).await?;
    let job = coordinator.submit(spec, plan, budgets, rows).map_err(|e| Failure::Usage(e.into()))?;
    let cancel = job.canceller();
    let mut seen = job.progress();
    let mut finish = std::pin::pin!(job.finish());
    let mut asked_to_end = false;
    let mut written = None;
    let ended = loop {
        let wrote = async {
            match writer.as_mut() {
                Some(task) if written.is_none() => task.await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = &mut finish => break ended,
            result = wrote => {
                // It ends before the job only when it cannot write.
                written = Some(result);
                cancel.cancel();
            }
            () = interrupt::requested(), if !asked_to_end => {
                asked_to_end = true;
                progress.say("interrupted: writing what there is; once more ends at once");
                cancel.cancel();
            }
            () = progress.tick() => progress.show(&seen.borrow_and_update()),
        }
    };
    progress.clear();
    if let Some(task) = writer {
        let result = match written {
            Some(result) => result,
            None => task.await,
        };
        result.map_err(|e| Failure::failed(format!("write the evidence: {e}")))??;
    }
    let mut result = ended.map_err(|e| Failure::Failed(e.into()))?;
    // Candidates are part of the answer, and of the time that it takes.
    let start = Instant::now();
    tokio::task::block_in_place(|| result.candidates().len());
    result.progress.elapsed_ms += u64::try_from(start.elapsed().as_millis()).unwrap_or(0);
    Ok(result)
}

fn write_evidence(path: &Path, mut rows: mpsc::Receiver<Vec<EvidenceRow>>) -> Result<(), Failure> {
    use anyhow::Context as _;
    use std::io::Write as _;
    let failed = || format!("write the evidence {}", path.display());
    let file = std::fs::File::create(path).with_context(failed)?;
    let mut out = std::io::BufWriter::with_capacity(1 << 18, file);
    while let Some(rows) = rows.blocking_recv() {
        for row in &rows {
            serde_json::to_writer(&mut out, row).with_context(failed)?;
            out.write_all(b"\n").with_context(failed)?;
        }
    }
    out.flush().with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_takes_flags_over_settings_and_joins_lists() {
        let mut config = Config::default();
        config.policy.exclude = vec!["bank.example".into()];
        let args = PolicyArgs {
            pap: Some(kudzu_shared::marking::Pap::Amber),
            exclude: vec!["10.0.0.0/8".into()],
            ..PolicyArgs::default()
        };
        let policy = policy(&args, &config).unwrap();
        assert_eq!(policy.pap, kudzu_shared::marking::Pap::Amber);
        assert_eq!(policy.tlp, config.policy.tlp);
        assert_eq!(policy.exclude.len(), 2);
    }

    #[test]
    fn an_empty_window_is_refused() {
        let time = TimeArgs { since: Some(10), until: Some(5), at: None };
        let policy = policy(&PolicyArgs::default(), &Config::default()).unwrap();
        let failed = spec(JobKind::Pivot, Vec::new(), policy, time, None).unwrap_err();
        assert!(failed.text().contains("--since"));
    }

    #[test]
    fn what_policy_forbids_is_not_among_what_is_asked() {
        let catalogue = crate::embedded::registry(&Config::default()).unwrap().catalogue();
        let plan = Plan::builtin("infra").unwrap();
        let mut policy = policy(&PolicyArgs::default(), &Config::default()).unwrap();
        policy.pap = kudzu_shared::marking::Pap::Red;
        let asked = asked(&plan, &policy, &catalogue);
        assert!(asked.iter().all(|s| s.contact == kudzu_shared::source::Contact::Nobody), "{asked:?}");
    }

    #[test]
    fn evidence_that_cannot_be_written_says_where() {
        let (tx, rx) = mpsc::channel(1);
        drop(tx);
        let failed = write_evidence(Path::new("/no/such/folder/evidence.ndjson"), rx).unwrap_err();
        assert!(failed.text().contains("/no/such/folder/evidence.ndjson"));
    }
}
