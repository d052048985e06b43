//! Whether what came of jobs is right: nothing lost, no lookup astray, coverage that adds up,
//! and the tree that the same request has in one process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::stream::{self, StreamExt as _};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::api::{User, conserves};
use crate::cluster::Cluster;
use crate::drive::Job;
use crate::requests::Request;
use crate::scenario::{Kind, Load, Verify};

/// Coverages that are fetched at a time.
const AT_A_TIME: usize = 8;
/// How long a tree alone may take.
const HOUR: Duration = Duration::from_secs(3_600);
/// Octets of the end of a tree that hold its coverage.
const TAIL: usize = 64 << 10;
/// How lookups end that brought no answer.
const UNANSWERED: [&str; 3] = ["failed", "throttled", "dead"];
/// How lookups end.
const ENDS: [&str; 6] = ["found", "empty", "failed", "throttled", "skipped", "dead"];

/// What came of all jobs of an arm.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// Jobs that were due.
    pub jobs: usize,
    /// Loads of which no job was due: nothing is known of them.
    #[serde(default)]
    pub idle: usize,
    /// Not accepted, or without an end, or dead.
    pub lost: usize,
    /// Ended before their lookups had.
    pub incomplete: usize,
    /// With another tree than the reference, or than an equal job.
    pub wrong_sha256: usize,
    /// With a lookup astray (I1).
    pub astray: usize,
    /// Whose coverage does not add up.
    pub bad_coverage: usize,
    /// Whose tree was compared with a reference.
    pub compared: usize,
    /// Complete jobs that should have been compared, and whose reference could not be found, or
    /// is worse: more of its lookups failed.
    #[serde(default)]
    pub uncompared: usize,
    /// Distinct requests that have a reference.
    pub references: usize,
}

/// A tree that is known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    /// Of all of it.
    whole: String,
    /// Of all but its first line, which names the tenant.
    body: String,
    /// Lookups without an answer.
    unanswered: u64,
}

/// Who answers what a request comes to without a cluster under load.
#[derive(Debug)]
pub struct Oracle<'a> {
    cluster: &'a Cluster,
    kudzu: PathBuf,
    known: BTreeMap<String, Option<Reference>>,
}

/// Hashes of a tree that comes in pieces.
#[derive(Debug, Default)]
struct Hashes {
    whole: Sha256,
    body: Sha256,
    in_body: bool,
    tail: Vec<u8>,
}

impl Hashes {
    fn add(&mut self, octets: &[u8]) {
        self.whole.update(octets);
        self.tail.extend_from_slice(octets);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        if self.in_body {
            self.body.update(octets);
        } else if let Some(end) = octets.iter().position(|b| *b == b'\n') {
            self.in_body = true;
            self.body.update(&octets[end + 1..]);
        }
    }

    fn end(self) -> Reference {
        let hex = |hash: Sha256| hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let lines = self.tail.split(|b| *b == b'\n').filter_map(|l| serde_json::from_slice::<Value>(l).ok());
        let unanswered = lines.filter(|l| l["type"] == "coverage").map(|l| unanswered(&l)).sum();
        Reference { whole: hex(self.whole), body: hex(self.body), unanswered }
    }
}

impl<'a> Oracle<'a> {
    /// Beside a cluster: it asks the same simulated internet.
    pub fn new(cluster: &'a Cluster, kudzu: &Path) -> Self {
        Self { cluster, kudzu: kudzu.into(), known: BTreeMap::new() }
    }

    /// What the request comes to; none where that cannot be found out, for a reason that is
    /// noted once.
    async fn reference(
        &mut self,
        request: &Request,
        user: &User,
        notes: &mut Vec<String>,
    ) -> Option<Reference> {
        let key = request.body.to_string();
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let found = match request.kind {
            Kind::Pivot => self.in_one_process(request).await,
            Kind::Enrich => self.alone(request, user).await,
        };
        if let Err(error) = &found {
            notes.push(format!("no reference for a job {}: {error:#}", request.size));
        }
        self.known.insert(key.clone(), found.ok());
        self.known[&key].clone()
    }

    /// By `kudzu pivot`, which has its own coordinator, worker and cache.
    async fn in_one_process(&self, request: &Request) -> anyhow::Result<Reference> {
        let mut command = Command::new(&self.kudzu);
        command.args(["pivot", "--quiet", "--format", "ndjson", "--config"]).arg(self.cluster.settings());
        command.args(self.cluster.sets().iter().flat_map(|s| ["--set", s]));
        if self.cluster.tenants() > 0 {
            command.args(["--tlp", "amber", "--pap", "green"]); // As its tenants have it.
        }
        if let Some(text) = &request.plan_text {
            let file = self.cluster.folder().join("plan.toml");
            tokio::fs::write(&file, text).await.context("write the plan")?;
            command.arg("--plan").arg(file);
        }
        command.args(&request.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().context("run one process")?;
        let mut out = child.stdout.take().context("read what one process says")?;
        let (mut hashes, mut buffer) = (Hashes::default(), vec![0; 1 << 16]);
        loop {
            let n = out.read(&mut buffer).await.context("read what one process says")?;
            if n == 0 {
                break;
            }
            hashes.add(&buffer[..n]);
        }
        let status = child.wait().await.context("wait for one process")?;
        ensure!(status.success(), "one process ended with {status}");
        Ok(hashes.end())
    }

    /// By the cluster itself, alone and with nothing cached: `kudzu enrich` writes no tree.
    async fn alone(&self, request: &Request, user: &User) -> anyhow::Result<Reference> {
        tokio::task::block_in_place(|| self.cluster.redis.flush())?;
        let id = user.submit(&request.body, &format!("alone {}", self.known.len())).await?;
        let job = user.follow(&id, HOUR, |_| {}).await?;
        ensure!(job["state"] == "complete", "alone it ended as {}", job["state"]);
        tree(user, &id).await
    }
}

async fn tree(user: &User, id: &str) -> anyhow::Result<Reference> {
    let mut hashes = Hashes::default();
    hashes.add(user.tree(id).await?.as_bytes());
    Ok(hashes.end())
}

/// Lookups of a source that brought no answer.
fn unanswered(source: &Value) -> u64 {
    UNANSWERED.iter().map(|end| source["ends"][end].as_u64().unwrap_or(0)).sum()
}

/// Whether the lookups of each source are those of its ends.
pub fn adds_up(coverage: &Value) -> bool {
    let sum = |source: &Value| ENDS.iter().map(|end| source["ends"][end].as_u64().unwrap_or(0)).sum::<u64>();
    coverage
        .as_object()
        .is_some_and(|sources| sources.values().all(|source| source["lookups"].as_u64() == Some(sum(source))))
}

/// Whether something is said of a job that had lookups.
fn is_told(coverage: &Value, lookups: u64) -> bool {
    lookups == 0 || coverage.as_object().is_some_and(|sources| !sources.is_empty())
}

/// Looks at every job of a load; what is wrong with one is noted with it.
pub async fn jobs(
    load: &Load,
    requests: &[Request],
    jobs: &mut [Job],
    users: &[User],
    mut oracle: Option<&mut Oracle<'_>>,
    notes: &mut Vec<String>,
) -> Verdict {
    let idle = usize::from(jobs.is_empty());
    let mut verdict = Verdict { jobs: jobs.len(), idle, ..Verdict::default() };
    let full = load.verify == Verify::Full;
    for job in jobs.iter_mut() {
        ended(job, full, &mut verdict);
    }
    coverage(jobs, users, &mut verdict).await;
    if !full {
        return verdict;
    }
    let mut groups: BTreeMap<(usize, usize), Vec<&mut Job>> = BTreeMap::new();
    for job in jobs.iter_mut().filter(|j| j.state == "complete") {
        groups.entry((job.request, job.tenant)).or_default().push(job);
    }
    let mut referenced = BTreeMap::new();
    for ((request, tenant), mut equal) in groups {
        let reference = match &mut oracle {
            Some(oracle) => oracle.reference(&requests[request], &users[0], notes).await,
            None => None,
        };
        let Some(first) = equal.first() else { continue };
        let (id, sha256, failed) = (first.id.clone(), first.sha256.clone(), first.unanswered);
        let right = match &reference {
            None => true,
            Some(reference) if reference.whole == sha256 => true,
            // Of a tenant: the first line names it.
            Some(reference) => tree(&users[tenant], &id)
                .await
                .is_ok_and(|tree| tree.whole == sha256 && tree.body == reference.body),
        };
        // What one process could not find out says nothing of what the cluster did.
        let worse = reference.clone().filter(|r| !right && r.unanswered > failed);
        if let Some(worse) = &worse {
            let n = worse.unanswered;
            notes.push(format!("the reference of job {id} has {n} lookups without an answer, not {failed}"));
        }
        let (reference, right) = (reference.filter(|_| worse.is_none()), right || worse.is_some());
        referenced.insert(request, reference.is_some());
        match &reference {
            Some(_) => verdict.compared += equal.len(),
            None if oracle.is_some() => verdict.uncompared += equal.len(),
            None => {}
        }
        for job in &mut equal {
            if !right || job.sha256 != sha256 || sha256.is_empty() {
                verdict.wrong_sha256 += 1;
                job.problems.push(format!("its tree is {}, and should not be", job.sha256));
            }
        }
    }
    verdict.references = referenced.values().filter(|known| **known).count();
    verdict
}

/// How it ended, and whether a lookup is astray.
fn ended(job: &mut Job, full: bool, verdict: &mut Verdict) {
    if job.complete_s.is_none() || job.state == "dead" {
        verdict.lost += 1;
        if job.problems.is_empty() {
            job.problems.push(format!("dead: {}", job.answer["reason"]));
        }
        return;
    }
    if full && job.state != "complete" {
        verdict.incomplete += 1;
        job.problems.push(format!("{}: {}", job.state, job.answer["reason"]));
    }
    if !conserves(&job.answer) {
        verdict.astray += 1;
        job.problems.push(format!("a lookup is astray: {}", job.answer["progress"]));
    }
}

async fn coverage(jobs: &mut [Job], users: &[User], verdict: &mut Verdict) {
    let ended: Vec<(usize, usize, String)> = (jobs.iter().enumerate())
        .filter(|(_, job)| !job.answer["result"].is_null())
        .map(|(at, job)| (at, job.tenant, job.id.clone()))
        .collect();
    let fetched = stream::iter(ended).map(|(at, tenant, id)| async move {
        let user = &users[tenant];
        (at, user.ask(|n| user.call(Method::GET, n, &format!("/v1/jobs/{id}/coverage"))).await)
    });
    let mut fetched = fetched.buffer_unordered(AT_A_TIME);
    while let Some((at, coverage)) = fetched.next().await {
        let problem = match coverage {
            Ok(coverage) if adds_up(&coverage) && is_told(&coverage, jobs[at].counts.registered) => {
                let sources = coverage.as_object().into_iter().flat_map(|sources| sources.values());
                jobs[at].unanswered = sources.map(unanswered).sum();
                continue;
            }
            Ok(coverage) => format!("its coverage does not add up: {coverage}"),
            Err(error) => format!("its coverage cannot be had: {error:#}"),
        };
        verdict.bad_coverage += 1;
        jobs[at].problems.push(problem);
    }
}

impl Verdict {
    /// With those of another load.
    pub fn plus(self, other: Self) -> Self {
        Self {
            jobs: self.jobs + other.jobs,
            idle: self.idle + other.idle,
            lost: self.lost + other.lost,
            incomplete: self.incomplete + other.incomplete,
            wrong_sha256: self.wrong_sha256 + other.wrong_sha256,
            astray: self.astray + other.astray,
            bad_coverage: self.bad_coverage + other.bad_coverage,
            compared: self.compared + other.compared,
            uncompared: self.uncompared + other.uncompared,
            references: self.references + other.references,
        }
    }

    /// What may not be: by name.
    pub fn wrongs(self) -> [(&'static str, usize); 7] {
        [
            ("idle", self.idle),
            ("lost", self.lost),
            ("incomplete", self.incomplete),
            ("wrong_sha256", self.wrong_sha256),
            ("astray", self.astray),
            ("bad_coverage", self.bad_coverage),
            ("uncompared", self.uncompared),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn coverage_adds_up_by_source() {
        let source =
            |lookups: u64| json!({ "lookups": lookups, "ends": { "found": 2, "empty": 1, "failed": 4 } });
        assert!(adds_up(&json!({ "dns.name": source(7), "parts": source(7) })));
        assert!(!adds_up(&json!({ "dns.name": source(7), "parts": source(8) })));
        assert!(adds_up(&json!({})) && !adds_up(&json!(null)));
        assert!(!adds_up(&json!({ "dns.name": { "ends": {} } })));
        assert!(is_told(&json!({}), 0) && !is_told(&json!({}), 1) && is_told(&json!({ "parts": {} }), 1));
    }

    #[test]
    fn a_tree_is_hashed_with_and_without_its_first_line() {
        let text = b"head\none\ntwo\n";
        let hex = |t: &[u8]| Sha256::digest(t).iter().map(|b| format!("{b:02x}")).collect::<String>();
        for size in [1, 4, 5, text.len()] {
            let mut hashes = Hashes::default();
            text.chunks(size).for_each(|c| hashes.add(c));
            let want = Reference { whole: hex(text), body: hex(b"one\ntwo\n"), unanswered: 0 };
            assert_eq!(hashes.end(), want, "{size}");
        }
    }

    #[test]
    fn lookups_without_an_answer_are_counted_at_the_end_of_a_tree() {
        let source = json!({ "type": "coverage", "ends": { "found": 9, "failed": 2, "dead": 1 } });
        let mut hashes = Hashes::default();
        for _ in 0..1_000 {
            hashes.add(&[&[b'x'; 999][..], b"\n"].concat());
        }
        hashes.add(format!("{source}\n{source}\n{}\n", json!({ "type": "end" })).as_bytes());
        assert!(hashes.tail.len() <= 2 * TAIL);
        assert_eq!(hashes.end().unanswered, 6);
    }

    #[test]
    fn a_job_without_an_end_is_lost_and_a_partial_one_incomplete() {
        let progress = json!({ "registered": 3, "ended": 3, "waiting": 0, "in_flight": 0 });
        let ended_as = |state: &str| Job {
            state: state.into(),
            complete_s: Some(1.0),
            answer: json!({ "progress": progress }),
            ..Job::default()
        };
        let mut verdict = Verdict::default();
        let mut jobs = [Job::default(), ended_as("dead"), ended_as("partial"), ended_as("complete")];
        jobs.iter_mut().for_each(|job| ended(job, true, &mut verdict));
        assert_eq!((verdict.lost, verdict.incomplete, verdict.astray), (2, 1, 0));
        assert!(jobs[3].problems.is_empty());
    }
}
