//! Jobs run while everything around them is killed, frozen, cut off and restarted. Every job
//! that was accepted must end, with the tree that it has without any of this.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kudzu_shared::task;
use kudzu_simnet::Faults;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::Signal;
use serde::Serialize;

use crate::api::{Ended, User, pivot};
use crate::cluster::{Cluster, Plan};
use crate::proxy::Line;

/// How long a job may take after the last fault.
const AFTER: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);

/// What is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program.
    pub kudzu: PathBuf,
    /// What follows from chance.
    pub seed: u64,
    /// Kills of processes, at least.
    pub kills: u32,
    /// Jobs at a time, each of a tenant of its own.
    pub jobs: usize,
    /// Size of the simulated internet: 0.1 is 20,000 lookups a job.
    pub scale: f64,
    /// Time before each answer.
    pub latency: Duration,
    /// Coordinators and workers.
    pub members: [usize; 2],
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it follows from.
    pub seed: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u32>,
    /// Processes killed.
    pub kills: u32,
    /// Jobs accepted while there were faults.
    pub accepted: usize,
    /// Those that ended complete.
    pub complete: usize,
    /// Those with another tree than without faults.
    pub other_bytes: usize,
    /// Those in which a lookup is astray (I1).
    pub astray: usize,
    /// Those that did not end, or did not end complete, and why.
    pub lost: Vec<String>,
    /// The first lines that differ, of those.
    pub differences: Vec<String>,
    /// Lookups of one job.
    pub lookups: u64,
    /// Results that came for lookups that had ended.
    pub duplicates: u64,
    /// Take-overs of jobs.
    pub taken_over: u64,
    /// DNS questions a job without faults, and with them.
    pub questions_a_job: [u64; 2],
    /// Seconds a wave of jobs takes without faults.
    pub without_faults_s: f64,
    /// Seconds with faults, from the first submit to the last end.
    pub with_faults_s: f64,
}

impl Report {
    /// Whether nothing was lost.
    pub fn holds(&self) -> bool {
        self.lost.is_empty() && self.other_bytes == 0 && self.astray == 0 && self.complete == self.accepted
    }
}

fn plan(options: &Options) -> Plan {
    Plan {
        kudzu: options.kudzu.clone(),
        coordinators: options.members[0],
        workers: options.members[1],
        tenants: options.jobs,
        seed: 1,
        scale: options.scale,
        faults: Faults { latency: options.latency, ..Faults::default() },
        settings: Vec::new(),
        relays: true,
        calm: false,
    }
}

/// Submits jobs, one of each user at a time, for as long as the storm goes on; gives whose
/// they are, and which.
async fn rage(
    options: &Options,
    users: &[User],
    request: &serde_json::Value,
    storm: &mut Storm,
    cluster: &mut Cluster,
) -> anyhow::Result<Vec<(usize, String)>> {
    let mut accepted: Vec<(usize, String)> = Vec::new();
    let mut number = 0;
    while storm.kills < options.kills {
        // Nothing comes from the cache that an earlier wave has left.
        flush(cluster, storm).await;
        let ids = wave(users, request, &format!("wave {number}"), storm, cluster).await?;
        number += 1;
        accepted.extend(ids.iter().cloned().enumerate());
        let (owners, waited) = (users.to_vec(), ids.clone());
        let wave = task::spawn("wave", async move { ends(&owners, &waited, HOUR).await.len() });
        while !wave.is_finished() && storm.kills < options.kills {
            storm.second(cluster).await?;
            tracing::info!(kills = storm.kills, accepted = accepted.len(), "chaos");
        }
    }
    Ok(accepted)
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be run, not when it loses something: that is in the report.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let mut cluster = Cluster::start(plan(options)).await?;
    let users = (0..options.jobs).map(|n| User::new(cluster.urls(), n)).collect::<Result<Vec<_>, _>>()?;
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let (before, start) = (cluster.asked().dns_udp, Instant::now());
    let plain = submit(&users, &request, "plain").await?;
    let plain = ends(&users, &plain, AFTER).await;
    let without_faults_s = start.elapsed().as_secs_f64();
    let plain: Vec<Ended> = plain.into_iter().collect::<Result<_, _>>().context("without any fault")?;
    let questions = |since: u64, jobs: usize, cluster: &Cluster| {
        (cluster.asked().dns_udp - since) / u64::try_from(jobs.max(1)).unwrap_or(1)
    };
    let plain_questions = questions(before, plain.len(), &cluster);
    let lookups = plain.first().map_or(0, |e| e.job["progress"]["registered"].as_u64().unwrap_or(0));
    tracing::info!(lookups, seconds = without_faults_s, "without faults");

    let (before, start) = (cluster.asked().dns_udp, Instant::now());
    let mut storm = Storm::new(options.seed);
    let accepted = rage(options, &users, &request, &mut storm, &mut cluster).await?;
    storm.calm(&mut cluster).await?;
    let ids: Vec<String> = accepted.iter().map(|(_, id)| id.clone()).collect();
    let owners: Vec<User> = accepted.iter().map(|(n, _)| users[*n].clone()).collect();
    let came = ends(&owners, &ids, AFTER).await;
    let with_faults_s = start.elapsed().as_secs_f64();
    let mut report = Report {
        seed: options.seed,
        faults: storm.faults,
        kills: storm.kills,
        accepted: accepted.len(),
        complete: 0,
        other_bytes: 0,
        astray: 0,
        lost: Vec::new(),
        differences: Vec::new(),
        lookups,
        duplicates: 0,
        taken_over: 0,
        questions_a_job: [plain_questions, questions(before, accepted.len(), &cluster)],
        without_faults_s,
        with_faults_s,
    };
    for ((n, _), came) in accepted.iter().zip(came) {
        match came {
            Ok(end) => {
                report.note(&end, &plain[*n]);
                if end.sha256.is_some() && end.sha256 != plain[*n].sha256 {
                    report.differences.extend(difference(&users[*n], &plain[*n].id, &end.id).await);
                }
            }
            Err(error) => report.lost.push(format!("{error:#}")),
        }
    }
    if !report.holds() {
        let logs = cluster.logs();
        tracing::error!(folder = %cluster.keep().display(), "something was lost: {logs}");
    }
    Ok(report)
}

impl Report {
    fn note(&mut self, end: &Ended, plain: &Ended) {
        if end.state == "complete" {
            self.complete += 1;
        } else {
            self.lost.push(format!("job {} is {}: {}", end.id, end.state, end.job["reason"]));
        }
        self.other_bytes += usize::from(end.sha256 != plain.sha256);
        self.astray += usize::from(!end.conserves());
        self.duplicates += end.figure("duplicates");
        self.taken_over += end.job["epoch"].as_u64().unwrap_or(1) - 1;
    }
}

/// The first lines of two trees that are not the same.
async fn difference(user: &User, plain: &str, other: &str) -> Vec<String> {
    let (Ok(plain), Ok(other)) = (user.tree(plain).await, user.tree(other).await) else {
        return vec!["a tree cannot be fetched".into()];
    };
    let pairs = plain.lines().zip(other.lines()).filter(|(a, b)| a != b);
    pairs.take(4).map(|(a, b)| format!("{a:.300} | {b:.300}")).collect()
}

/// A job of each user.
async fn submit(users: &[User], request: &serde_json::Value, name: &str) -> anyhow::Result<Vec<String>> {
    let submits = users.iter().map(|user| user.submit(request, name));
    futures::future::try_join_all(submits).await
}

/// The same while the storm goes on.
async fn wave(
    users: &[User],
    request: &serde_json::Value,
    name: &str,
    storm: &mut Storm,
    cluster: &mut Cluster,
) -> anyhow::Result<Vec<String>> {
    let mut submits = std::pin::pin!(submit(users, request, name));
    loop {
        tokio::select! {
            ids = &mut submits => return ids,
            second = storm.second(cluster) => second?,
        }
    }
}

async fn ends(users: &[User], ids: &[String], within: Duration) -> Vec<anyhow::Result<Ended>> {
    let ends = users.iter().zip(ids).map(|(user, id)| user.end(id, within));
    futures::future::join_all(ends).await
}

async fn flush(cluster: &Cluster, storm: &mut Storm) {
    let flushed = tokio::task::block_in_place(|| cluster.redis.flush());
    *storm.faults.entry("redis flushed").or_default() += u32::from(flushed.is_ok());
}

/// What breaks things, by chance, a second at a time.
struct Storm {
    rng: StdRng,
    faults: BTreeMap<&'static str, u32>,
    kills: u32,
    second: u32,
    /// Who is frozen, and until which second: coordinators are true.
    frozen: Vec<(bool, usize, u32)>,
    /// Whose line is broken (`true` is that to the broker), and until which second.
    lines: Vec<(bool, usize, bool, u32)>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            faults: BTreeMap::new(),
            kills: 0,
            second: 0,
            frozen: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// What happens in one second.
    async fn second(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.second += 1;
        self.mend(cluster, self.second)?;
        let worker = self.rng.random_range(0..cluster.workers.len());
        if !self.is_frozen(false, worker) {
            cluster.restart_worker(worker)?;
            self.killed("worker killed");
        }
        if self.second.is_multiple_of(5) {
            let coordinator = self.rng.random_range(0..cluster.coordinators.len());
            if !self.is_frozen(true, coordinator) {
                cluster.restart_coordinator(coordinator)?;
                self.killed("coordinator killed");
            }
        }
        if self.second.is_multiple_of(7) {
            self.freeze(cluster)?;
        }
        if self.second.is_multiple_of(3) {
            self.break_line(cluster);
        }
        if self.second.is_multiple_of(40) {
            tokio::task::block_in_place(|| cluster.restart_rabbit())?;
            self.killed("RabbitMQ killed");
        }
        if self.second.is_multiple_of(25) {
            tokio::task::block_in_place(|| cluster.restart_redis())?;
            self.killed("Redis killed");
        }
        Ok(())
    }

    fn killed(&mut self, what: &'static str) {
        self.kills += 1;
        *self.faults.entry(what).or_default() += 1;
    }

    fn is_frozen(&self, coordinator: bool, at: usize) -> bool {
        self.frozen.iter().any(|f| (f.0, f.1) == (coordinator, at))
    }

    /// Stops a process for some seconds; some for longer than the broker waits for it.
    fn freeze(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let coordinator = self.rng.random_bool(0.5);
        let members = if coordinator { &cluster.coordinators } else { &cluster.workers };
        let at = self.rng.random_range(0..members.len());
        if !self.is_frozen(coordinator, at) {
            members[at].signal(Signal::STOP)?;
            let until = self.second + *[2, 5, 30].choose(&mut self.rng).unwrap_or(&2);
            self.frozen.push((coordinator, at, until));
            *self
                .faults
                .entry(if coordinator { "coordinator frozen" } else { "worker frozen" })
                .or_default() += 1;
        }
        Ok(())
    }

    /// Breaks a line between a member and the broker or Redis: a coordinator that is cut off
    /// from the broker still reaches the archive.
    fn break_line(&mut self, cluster: &Cluster) {
        let (coordinator, broker) = (self.rng.random_bool(0.5), self.rng.random_bool(0.7));
        let members = if coordinator { &cluster.coordinators } else { &cluster.workers };
        let at = self.rng.random_range(0..members.len());
        let line = *[Line::Cut, Line::Stalled, Line::HalfOpen].choose(&mut self.rng).unwrap_or(&Line::Cut);
        let proxy = if broker { members[at].broker() } else { members[at].redis() };
        proxy.into_iter().for_each(|proxy| proxy.set(line));
        let until = self.second + self.rng.random_range(1..12);
        self.lines.push((coordinator, at, broker, until));
        let what = match line {
            Line::Cut => "line cut",
            Line::Stalled => "line stalled",
            _ => "line half open",
        };
        *self.faults.entry(what).or_default() += 1;
    }

    /// Ends faults whose time is over.
    fn mend(&mut self, cluster: &Cluster, second: u32) -> anyhow::Result<()> {
        for (coordinator, at, _) in self.frozen.extract_if(.., |f| f.2 <= second) {
            let members = if coordinator { &cluster.coordinators } else { &cluster.workers };
            members[at].signal(Signal::CONT)?;
        }
        for (coordinator, at, broker, _) in self.lines.extract_if(.., |l| l.3 <= second) {
            let members = if coordinator { &cluster.coordinators } else { &cluster.workers };
            let proxy = if broker { members[at].broker() } else { members[at].redis() };
            proxy.into_iter().for_each(|proxy| proxy.set(Line::Whole));
        }
        Ok(())
    }

    /// Ends all faults.
    async fn calm(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        self.mend(cluster, u32::MAX)?;
        cluster.ready().await
    }
}
