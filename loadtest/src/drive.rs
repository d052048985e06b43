//! Submits jobs when they are due, whether or not earlier ones have ended, and follows each to
//! its end. Every time counts from when the job was due: a cluster that cannot take a job in
//! time does not look quicker for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt as _};
use kudzu_shared::task::{self, Task};
use serde::Serialize;
use serde_json::Value;

use crate::api::User;
use crate::arrivals::Arrival;
use crate::requests::Request;
use crate::sample::Live;

/// How long a job may take.
const HOUR: Duration = Duration::from_secs(3_600);

/// What a load is driven with.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Whose jobs they are, in turn.
    pub users: Vec<User>,
    /// What times count from.
    pub start: Instant,
    /// What the keys of its jobs begin with: another one in each run, or a cluster that runs
    /// already would answer with the jobs of an earlier one.
    pub key: String,
    /// Who wants to know what goes on.
    pub live: Arc<Live>,
}

/// A job as it went.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Job {
    /// Which load it belongs to.
    pub load: String,
    /// Which kind of job of the load.
    pub size: String,
    /// Number of its request in the load.
    pub request: usize,
    /// Number of its tenant.
    pub tenant: usize,
    /// Its id, once it is accepted.
    pub id: String,
    /// When it was due, in seconds from the start; further times count from then.
    pub due_s: f64,
    /// When it was sent: how late whoever drives it was.
    pub late_s: f64,
    /// When it was accepted.
    pub accepted_s: f64,
    /// When its user first saw that there is a tree with a found pair.
    pub first_tree_s: Option<f64>,
    /// When its user heard of its end.
    pub complete_s: Option<f64>,
    /// How it ended.
    pub state: String,
    /// SHA-256 of its tree.
    pub sha256: String,
    /// What became of it is not as it should be, and how.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Lookups without an answer.
    pub unanswered: u64,
    /// Counts of its progress and result, as the API has them.
    pub counts: Counts,
    /// The whole answer of the API at its end.
    #[serde(skip)]
    pub answer: Value,
}

/// Figures of a job that the API tells at its end.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// Questions answered, failed or skipped.
    pub questions: u64,
    /// Lookups.
    pub registered: u64,
    /// Nodes in the tree.
    pub nodes: u64,
    /// Questions that the cache answered; of a cluster of several tenants the API does not tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Results for lookups that had ended.
    pub duplicates: u64,
    /// Octets of the coordinator's structures, by their own count.
    pub heap_bytes: u64,
    /// Milliseconds until a coordinator took it.
    pub queue_wait_ms: u64,
    /// Milliseconds from its start to the first tree, by the coordinator's clock.
    pub first_tree_ms: u64,
    /// Milliseconds from its start to the complete tree, before it was ranked.
    pub tree_ms: u64,
    /// Take-overs.
    pub taken_over: u64,
}

impl Counts {
    fn of(job: &Value) -> Self {
        let at = |path: &str| job.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        Self {
            questions: at("/progress/questions"),
            registered: at("/progress/registered"),
            nodes: at("/result/nodes"),
            cached: job.pointer("/result/figures/cached").and_then(Value::as_u64),
            duplicates: at("/result/figures/duplicates"),
            heap_bytes: at("/result/figures/heap_bytes"),
            queue_wait_ms: at("/queue_wait_ms"),
            first_tree_ms: at("/progress/first_tree_ms"),
            tree_ms: at("/result/figures/tree_ms"),
            taken_over: at("/epoch").saturating_sub(1),
        }
    }
}

/// What one job has outstanding, in the sum of all.
struct Outstanding<'a> {
    live: &'a Live,
    own: i64,
}

impl Outstanding<'_> {
    fn set(&mut self, questions: i64) {
        self.live.outstanding.fetch_add(questions - self.own, Relaxed);
        self.own = questions;
    }
}

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        self.set(0);
        self.live.jobs.fetch_sub(1, Relaxed);
    }
}

impl Driver {
    /// Drives one load to the end of its last job.
    pub async fn drive(&self, load: &str, arrivals: &[Arrival], requests: &Arc<Vec<Request>>) -> Vec<Job> {
        let begin = Instant::now();
        let mut open: FuturesUnordered<Task<Job>> = FuturesUnordered::new();
        let mut jobs = Vec::with_capacity(arrivals.len());
        for (n, arrival) in arrivals.iter().enumerate() {
            let due = begin + arrival.at;
            let mut sleep = std::pin::pin!(tokio::time::sleep_until(due.into()));
            loop {
                tokio::select! {
                    biased;
                    () = &mut sleep => break,
                    Some(ended) = open.next() => jobs.extend(ended),
                }
            }
            let (driver, requests, load) = (self.clone(), Arc::clone(requests), load.to_owned());
            let request = arrival.request;
            open.push(task::spawn("job", async move { driver.job(&load, n, due, &requests, request).await }));
        }
        while let Some(ended) = open.next().await {
            jobs.extend(ended);
        }
        jobs
    }

    async fn job(&self, load: &str, n: usize, due: Instant, requests: &[Request], request: usize) -> Job {
        self.live.jobs.fetch_add(1, Relaxed);
        let mut outstanding = Outstanding { live: &self.live, own: 0 };
        let tenant = n % self.users.len();
        let (user, asked) = (&self.users[tenant], &requests[request]);
        let since = || due.elapsed().as_secs_f64();
        let mut job = Job {
            load: load.to_owned(),
            size: asked.size.clone(),
            request,
            tenant,
            due_s: due.saturating_duration_since(self.start).as_secs_f64(),
            late_s: since(),
            ..Job::default()
        };
        job.id = match user.submit(&asked.body, &format!("{} {load} {n}", self.key)).await {
            Ok(id) => id,
            Err(error) => {
                job.problems.push(format!("not accepted: {error:#}"));
                return job;
            }
        };
        job.accepted_s = since();
        let mut first = None;
        let seen = |progress: &Value| {
            outstanding.set(progress["outstanding"].as_i64().unwrap_or(0));
            if first.is_none() && !progress["first_tree_ms"].is_null() {
                first = Some(since());
            }
        };
        match user.follow(&job.id, HOUR, seen).await {
            Ok(answer) => {
                job.complete_s = Some(since());
                let came = !answer["progress"]["first_tree_ms"].is_null();
                job.first_tree_s = first.or(job.complete_s.filter(|_| came));
                answer["state"].as_str().unwrap_or_default().clone_into(&mut job.state);
                answer["result"]["sha256"].as_str().unwrap_or_default().clone_into(&mut job.sha256);
                job.counts = Counts::of(&answer);
                job.answer = answer;
            }
            Err(error) => job.problems.push(format!("{error:#}")),
        }
        job
    }
}
