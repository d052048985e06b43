//! kudzu on the same names: a cluster of its own, with nothing in its cache.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kudzu_simnet::Faults;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::names::{Names, Score};
use super::processor::{Sample, Used};
use super::{events, tree};
use crate::api::User;
use crate::cluster::{Cluster, Plan};

/// Seeds of one job, as many as the API takes: a record has all of them, and is read whole.
const SEEDS: usize = 100_000;
const LIMIT: Duration = Duration::from_secs(1_800);
const FETCH: Duration = Duration::from_secs(120);
/// One question a name, as everybody else asks, and no probes.
const PLAN: &str =
    "name = \"a\"\nwildcard_after = 4294967295\n\n[[ask]]\nsource = \"dns.name\"\ntypes = [\"A\"]\n";

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Seconds from the first submit to the last end.
    pub seconds: f64,
    /// Until all jobs were accepted.
    pub submit_seconds: f64,
    /// Seconds of the processor in that time, by what used them.
    pub processor: Used,
    /// What the trees say.
    pub score: Score,
    /// What does not add up.
    pub faults: Vec<String>,
    /// The jobs at their ends.
    pub jobs: Vec<Value>,
    /// What was asked, by job.
    pub coverage: Vec<Value>,
}

fn plan(kudzu: &Path, server: &str) -> Plan {
    let settings = vec![format!("dns.resolvers=[\"{server}\"]"), "api.max_body=16777216".into()];
    Plan {
        coordinators: 1,
        workers: 2,
        // It has to be there, and nobody asks it.
        scale: 0.001,
        faults: Faults::default(),
        relays: false,
        calm: true,
        settings,
        ..Plan::small(PathBuf::from(kudzu))
    }
}

fn request(names: &[String]) -> Value {
    json!({
        "kind": "enrich", "seeds": names, "sources": [tree::SOURCE], "plan_text": PLAN, "salt": 1,
        "allow_private": true,
        "budgets": { "depth": 1, "nodes": 2 * SEEDS + 1_000, "deadline_ms": 3_600_000 },
    })
}

/// Looks all of them up.
///
/// # Errors
/// When the cluster cannot be run, not when it loses something: that is in what it gives.
pub async fn run(kudzu: &Path, server: &str, names: &Names) -> anyhow::Result<Run> {
    let cluster = Cluster::start(plan(kudzu, server)).await?;
    let ran = drive(&cluster, names).await;
    ran.with_context(|| format!("the logs: {}", cluster.logs()))
}

async fn drive(cluster: &Cluster, names: &Names) -> anyhow::Result<Run> {
    let user = User::new(cluster.urls(), 0)?;
    let bodies: Vec<Value> = names.all().chunks(SEEDS).map(request).collect();
    let (before, start) = (Sample::take(), Instant::now());
    let ids =
        futures::future::try_join_all(bodies.iter().enumerate().map(|(n, body)| submit(&user, n, body)));
    let ids = ids.await?;
    let submit_seconds = start.elapsed().as_secs_f64();
    let ends = futures::future::try_join_all(ids.iter().map(|id| events::end(&user, id, LIMIT))).await?;
    let processor = Sample::take().since(&before);
    let last = ends.iter().map(|(at, _)| *at).max().context("there are no jobs")?;
    let mut run = Run {
        seconds: last.duration_since(start).as_secs_f64(),
        submit_seconds,
        processor,
        score: Score::default(),
        faults: Vec::new(),
        jobs: Vec::new(),
        coverage: Vec::new(),
    };
    for (n, id) in ids.iter().enumerate() {
        let part = n * SEEDS..names.count().min((n + 1) * SEEDS);
        run.check(&user, id, names, part).await?;
    }
    Ok(run)
}

async fn submit(user: &User, n: usize, body: &Value) -> anyhow::Result<String> {
    let key = format!("cold {n}");
    let call = user.posts(0, body, &key).timeout(FETCH);
    let answer = call.send().await.context("submit")?;
    let (status, text) = (answer.status(), answer.text().await.context("submit")?);
    ensure!(status.is_success(), "the submit is answered {status}: {text:.500}");
    let job: Value = serde_json::from_str(&text).context("read the answer to the submit")?;
    Ok(job["id"].as_str().context("the job has no id")?.to_owned())
}

async fn get(user: &User, path: &str) -> anyhow::Result<String> {
    let call = user.call(Method::GET, 0, path).timeout(FETCH);
    let answer = call.send().await.with_context(|| format!("fetch {path}"))?.error_for_status()?;
    answer.text().await.with_context(|| format!("fetch {path}"))
}

impl Run {
    /// Takes in what a job says of its part of the names.
    async fn check(
        &mut self,
        user: &User,
        id: &str,
        names: &Names,
        part: Range<usize>,
    ) -> anyhow::Result<()> {
        let job: Value = serde_json::from_str(&get(user, &format!("/v1/jobs/{id}")).await?)?;
        let coverage: Value = serde_json::from_str(&get(user, &format!("/v1/jobs/{id}/coverage")).await?)?;
        let text = get(user, &format!("/v1/jobs/{id}/tree")).await?;
        let tree = tokio::task::block_in_place(|| tree::read(&text))?;
        let pairs = tree.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let score = names.score_part(part.clone(), pairs);
        self.score.right += score.right;
        self.score.lost += score.lost;
        self.score.wrong += score.wrong;
        self.faults.extend(faults(&job, &coverage, &tree, part.len()));
        self.jobs.push(job);
        self.coverage.push(coverage);
        Ok(())
    }
}

/// What does not add up in a job of so many names.
fn faults(job: &Value, coverage: &Value, tree: &tree::Read, names: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let mut same = |what: &str, seen: &Value, want: Value| {
        if *seen != want {
            faults.push(format!("{what} is {seen}, not {want}"));
        }
    };
    let (asked, progress) = (&coverage[tree::SOURCE], &job["progress"]);
    same("the state", &job["state"], json!("complete"));
    same("the state of the tree", &json!(tree.state), json!("complete"));
    same("the tree's SHA-256", &json!(tree.sha256), job["result"]["sha256"].clone());
    same("the number of seeds", &json!(tree.seeds), json!(names));
    same("the number of pairs", &json!(tree.pairs.len()), json!(names));
    same("what the tree left out", &json!(tree.left_out), json!([]));
    same("the lookups of the coverage", &asked["lookups"], json!(names));
    same("the questions of the coverage", &asked["questions"], json!(names));
    same("the ends of the coverage", &asked["ends"], json!({ "found": names }));
    same("the verdicts of the coverage", &asked["verdicts"], json!({ "found": names }));
    same("the lookups registered", &progress["registered"], json!(names));
    same("the lookups ended", &progress["ended"], json!(names));
    same("the lookups waiting", &progress["waiting"], json!(0));
    same("the lookups in flight", &progress["in_flight"], json!(0));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_add_up_is_told() {
        let job = |ended: u64| {
            json!({ "state": "complete", "result": { "sha256": "a" },
                "progress": { "registered": 2, "ended": ended, "waiting": 0, "in_flight": 0 } })
        };
        let coverage = json!({ "dns.name": { "lookups": 2, "questions": 2, "ends": { "found": 2 }, "verdicts": { "found": 2 } } });
        let tree = || tree::Read {
            pairs: vec![("a".into(), "b".into()), ("c".into(), "d".into())],
            seeds: 2,
            left_out: Vec::new(),
            state: "complete".into(),
            sha256: "a".into(),
        };
        assert_eq!(faults(&job(2), &coverage, &tree(), 2), Vec::<String>::new());
        assert_eq!(faults(&job(1), &coverage, &tree(), 2), ["the lookups ended is 1, not 2"]);
        assert_eq!(faults(&job(2), &json!({}), &tree(), 2).len(), 4);
        assert_eq!(
            faults(&job(2), &coverage, &tree::Read { left_out: vec!["hub".into()], ..tree() }, 2).len(),
            1
        );
    }

    #[test]
    fn a_request_has_all_that_it_needs() {
        let request = request(&["a.test".into()]);
        assert_eq!((&request["seeds"], &request["kind"]), (&json!(["a.test"]), &json!("enrich")));
    }
}
