//! What a cluster promises, one by one, measured on real servers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kudzu_simnet::Faults;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::api::{User, pivot};
use crate::cluster::{Cluster, Plan};

const HOUR: Duration = Duration::from_secs(3_600);
const LOOK: Duration = Duration::from_millis(20);

fn plan(kudzu: &Path, scale: f64, latency_ms: u64) -> Plan {
    let faults = Faults { latency: Duration::from_millis(latency_ms), ..Faults::default() };
    // Everything shares the processors: what waits for one is no failure.
    let settings = vec!["dns.timeout_ms=10000".into()];
    Plan { scale, faults, settings, ..Plan::small(PathBuf::from(kudzu)) }
}

fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 100.0).round() / 100.0
}

/// Waits until so many lookups of a job have ended.
async fn progressed(user: &User, id: &str, ended: u64) -> anyhow::Result<()> {
    let wait = async {
        loop {
            if user.job(id).await?["progress"]["ended"].as_u64().unwrap_or(0) >= ended {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(HOUR, wait).await.context("the job does not get so far")?
}

/// Each job is answered 202, and its coordinator is killed at once. All are done, none twice.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn accept(kudzu: &Path, jobs: usize) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(plan(kudzu, 0.005, 5)).await?;
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let mut ids = Vec::new();
    for n in 0..jobs {
        let at = n % cluster.coordinators.len();
        let user = User::new(vec![cluster.urls()[at].clone()], 0)?;
        ids.push(user.submit(&request, &format!("job {n}")).await?);
        cluster.restart_coordinator(at)?;
    }
    cluster.ready().await?;
    let user = User::new(cluster.urls(), 0)?;
    let (mut complete, mut trees, mut taken_over) = (0, BTreeSet::new(), 0);
    for id in &ids {
        let end = user.end(id, HOUR).await?;
        complete += usize::from(end.state == "complete");
        taken_over += end.job["epoch"].as_u64().unwrap_or(1) - 1;
        trees.extend(end.sha256);
    }
    let listed = user.ask(|at| user.call(Method::GET, at, "/v1/jobs?limit=1")).await?;
    let (accepted, different) = (ids.iter().collect::<BTreeSet<_>>().len(), trees.len());
    let holds = complete == jobs && accepted == jobs && different == 1 && listed["total"] == jobs;
    Ok(json!({ "holds": holds, "accepted": accepted, "complete": complete, "listed": listed["total"],
        "different_trees": different, "taken_over": taken_over }))
}

/// The job of the demo by two workers, and by one process that asks the same internet.
///
/// # Errors
/// When the cluster, or the one process, cannot be run.
pub async fn same(kudzu: &Path, scale: f64) -> anyhow::Result<Value> {
    let cluster = Cluster::start(plan(kudzu, scale, 50)).await?;
    let user = User::new(cluster.urls(), 0)?;
    let start = Instant::now();
    let id = user.submit(&pivot(&cluster.seeds, &cluster.at, 1), "same").await?;
    let end = user.end(&id, HOUR).await?;
    let took = seconds(start);
    let mut command = Command::new(kudzu);
    command.args(["pivot", "--quiet", "--format", "json", "--salt", "1", "--allow-private"]);
    command.args(["--deadline", "1h", "--at"]); // As `pivot` says.
    command.arg(&cluster.at).arg("--config").arg(cluster.settings()).args(&cluster.seeds);
    command.args(cluster.sets().iter().flat_map(|s| ["--set", s]));
    let output = command.kill_on_drop(true).output().await.context("run one process")?;
    ensure!(output.status.success(), "one process: {}", String::from_utf8_lossy(&output.stderr));
    let alone: Value = serde_json::from_slice(&output.stdout).context("read what one process says")?;
    let sha256 = end.sha256.as_deref();
    let holds = sha256.is_some() && sha256 == alone["summary"]["sha256"].as_str() && end.conserves();
    Ok(json!({ "holds": holds, "sha256": sha256, "alone_sha256": alone["summary"]["sha256"],
        "nodes": alone["summary"]["nodes"], "questions": end.job["progress"]["questions"],
        "seconds": took, "first_tree_ms": end.job["progress"]["first_tree_ms"] }))
}

/// A coordinator is killed half-way through a job, with Redis empty: how much is asked again.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn halfway(kudzu: &Path, scale: f64) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(plan(kudzu, scale, 50)).await?;
    let user = User::new(cluster.urls(), 0)?;
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let mut runs = Vec::new();
    for kill in [false, true] {
        tokio::task::block_in_place(|| cluster.redis.flush())?;
        let (before, start) = (cluster.asked().dns_udp, Instant::now());
        let id = user.submit(&request, &format!("kill {kill}")).await?;
        if kill {
            let half = runs.first().map_or(0, |(_, lookups, ..): &(u64, u64, f64, _)| lookups / 2);
            progressed(&user, &id, half).await?;
            // Nothing that was asked comes from the cache.
            tokio::task::block_in_place(|| cluster.redis.flush())?;
            for at in 0..cluster.coordinators.len() {
                cluster.restart_coordinator(at)?;
            }
        }
        let end = user.end(&id, HOUR).await?;
        let lookups = end.job["progress"]["registered"].as_u64().unwrap_or(0);
        runs.push((cluster.asked().dns_udp - before, lookups, seconds(start), end));
    }
    let [(plain, lookups, took, end), (killed, _, took_killed, end_killed)] = &runs[..] else {
        anyhow::bail!("two runs were made");
    };
    let again = killed.saturating_sub(*plain);
    let a_second = *plain as f64 / took;
    let same = end.sha256 == end_killed.sha256;
    Ok(json!({ "holds": same && again as f64 <= a_second, "same_tree": same, "lookups": lookups,
        "questions": plain, "questions_with_kill": killed, "asked_again": again,
        "questions_a_second": a_second.round(), "seconds": took, "seconds_with_kill": took_killed,
        "epoch": end_killed.job["epoch"] }))
}

/// The broker is short of memory for a while.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn alarm(kudzu: &Path, time: Duration) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(plan(kudzu, 0.3, 50)).await?;
    let user = User::new(cluster.urls(), 0)?;
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let id = user.submit(&request, "through the alarm").await?;
    progressed(&user, &id, 5_000).await?;
    let rate = |since: u64, time: f64, cluster: &Cluster| (cluster.asked().dns_udp - since) as f64 / time;
    let before = cluster.asked().dns_udp;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let full = rate(before, 3.0, &cluster);
    tokio::task::block_in_place(|| cluster.rabbit.ctl(&["set_vm_memory_high_watermark", "0"]))?;
    let start = Instant::now();
    let (mut tried, mut refused) = (0, 0);
    while start.elapsed() < time {
        tried += 1;
        let answer = user.posts(0, &request, "refused").send().await;
        let no = |a: &reqwest::Response| {
            a.status() == StatusCode::SERVICE_UNAVAILABLE && a.headers().contains_key("retry-after")
        };
        refused += usize::from(answer.as_ref().is_ok_and(no));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::task::block_in_place(|| cluster.rabbit.ctl(&["set_vm_memory_high_watermark", "0.6"]))?;
    let cleared = Instant::now();
    let mut recovered = None;
    while cleared.elapsed() < Duration::from_secs(30) && recovered.is_none() {
        let before = cluster.asked().dns_udp;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if rate(before, 0.5, &cluster) >= 0.8 * full {
            recovered = Some(seconds(cleared));
        }
    }
    let end = user.end(&id, HOUR).await?;
    let alive = cluster.coordinators.iter_mut().chain(&mut cluster.workers).all(|m| m.is_running());
    let holds =
        alive && refused * 10 >= tried * 9 && end.state == "complete" && recovered.is_some_and(|s| s <= 10.0);
    Ok(
        json!({ "holds": holds, "nothing_restarted": alive, "submits": tried, "refused_with_retry_after": refused,
        "questions_a_second_before": full.round(), "full_rate_again_after_s": recovered, "state": end.state }),
    )
}

/// Redis is away for a whole job: how much slower it is, cold, and against a warm cache.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn redis(kudzu: &Path, scale: f64) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(plan(kudzu, scale, 50)).await?;
    let user = User::new(cluster.urls(), 0)?;
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let mut times = Vec::new();
    for name in ["cold", "warm", "without"] {
        if name == "without" {
            tokio::task::block_in_place(|| cluster.redis.kill());
        }
        let start = Instant::now();
        let id = user.submit(&request, name).await?;
        let end = user.end(&id, HOUR).await?;
        times.push((seconds(start), end));
    }
    let same = times.iter().all(|(_, end)| end.sha256 == times[0].1.sha256 && end.state == "complete");
    Ok(json!({ "holds": same, "cold_s": times[0].0, "warm_s": times[1].0, "without_redis_s": times[2].0,
        "without_over_cold": (times[2].0 / times[0].0 * 100.0).round() / 100.0 }))
}

/// A cancel with many lookups registered.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn cancel(kudzu: &Path) -> anyhow::Result<Value> {
    let cluster = Cluster::start(plan(kudzu, 2.0, 50)).await?;
    let user = User::new(cluster.urls(), 0)?;
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let id = user.submit(&request, "cancelled").await?;
    let registered = async {
        loop {
            let registered = user.job(&id).await?["progress"]["registered"].as_u64().unwrap_or(0);
            if registered >= 100_000 {
                return anyhow::Ok(registered);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let registered = tokio::time::timeout(HOUR, registered).await.context("it does not get so far")??;
    let start = Instant::now();
    // The other coordinator is asked: it need not be the owner.
    let answer = user.call(Method::POST, 1, &format!("/v1/jobs/{id}/cancel")).send().await?;
    let took_ms = start.elapsed().as_millis();
    ensure!(answer.status() == StatusCode::ACCEPTED, "the cancel is answered {}", answer.status());
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(start.elapsed())).await;
    let asked = cluster.asked().dns_udp;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = cluster.asked().dns_udp - asked;
    let queues = tokio::task::block_in_place(|| cluster.rabbit.ctl(&["list_queues", "name", "messages"]))?;
    let left: u64 = queues
        .lines()
        .filter_map(|l| l.strip_prefix("kudzu.")?.split_once('\t')?.1.parse::<u64>().ok())
        .sum();
    let end = user.end(&id, HOUR).await?;
    let holds = took_ms <= 200 && after == 0 && left == 0 && end.state == "partial";
    Ok(json!({ "holds": holds, "registered": registered, "acknowledged_ms": took_ms,
        "asked_after_2_s": after, "messages_left": left, "state": end.state }))
}

/// Small jobs beside a giant one.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn fairness(kudzu: &Path) -> anyhow::Result<Value> {
    let cluster = Cluster::start(plan(kudzu, 4.3, 50)).await?;
    let user = User::new(cluster.urls(), 0)?;
    let giant = pivot(&cluster.seeds, &cluster.at, 1);
    let (mut p95, mut lookups) = (Vec::new(), json!(0));
    for beside in [false, true] {
        let id = if beside {
            tokio::task::block_in_place(|| cluster.redis.flush())?;
            let id = user.submit(&giant, "giant").await?;
            progressed(&user, &id, 20_000).await?;
            Some(id)
        } else {
            None
        };
        let mut times = Vec::new();
        for n in 0..50 {
            // About fifty lookups, none of them cached: the names are its own.
            let seeds: Vec<String> = (0..50).map(|s| format!("n{n}-{s}-{beside}.small.example")).collect();
            let small = json!({ "kind": "enrich", "seeds": seeds, "at": cluster.at, "allow_private": true,
                "sources": ["dns.name"], "salt": 1 });
            let start = Instant::now();
            let id = user.submit(&small, &format!("small {n} {beside}")).await?;
            user.end(&id, HOUR).await?;
            times.push(start.elapsed().as_millis());
        }
        times.sort_unstable();
        p95.push(times[times.len() * 95 / 100]);
        if let Some(id) = id {
            let job = user.job(&id).await?;
            let state = job["state"].clone();
            lookups = job["progress"]["registered"].clone();
            p95.push(u128::from(state == "running"));
            user.call(Method::POST, 0, &format!("/v1/jobs/{id}/cancel")).send().await?;
        }
    }
    let ratio = p95[1] as f64 / p95[0].max(1) as f64;
    Ok(
        json!({ "holds": ratio <= 2.0 && p95[2] == 1, "giant_lookups": lookups, "p95_idle_ms": p95[0], "p95_beside_ms": p95[1],
        "ratio": (ratio * 100.0).round() / 100.0, "giant_ran_all_the_time": p95[2] == 1 }),
    )
}

/// Many workers, one upstream with a rate.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn polite(kudzu: &Path) -> anyhow::Result<Value> {
    let faults = Faults { latency: Duration::from_millis(20), http_429: 0.02, ..Faults::default() };
    let settings =
        ["pdns.rate=100", "dns.rate=2000", "rdap.enabled=false", "certs.url="].map(String::from).to_vec();
    let plan = Plan { workers: 8, faults, settings, scale: 0.3, ..Plan::small(PathBuf::from(kudzu)) };
    let cluster = Cluster::start(plan).await?;
    let user = User::new(cluster.urls(), 0)?;
    let mut request = pivot(&cluster.seeds, &cluster.at, 1);
    request["sources"] = json!(["dns", "pdns", "parts"]);
    let start = Instant::now();
    let id = user.submit(&request, "polite").await?;
    let end = user.end(&id, HOUR).await?;
    let asked = cluster.asked();
    let kept = asked.http_max_rate <= 100 && asked.http_early == 0 && asked.dns_max_rate <= 2_100;
    let holds = kept && asked.http_429 > 0 && asked.pdns > 200 && asked.dns_udp > 20_000;
    Ok(json!({ "holds": holds, "pdns_requests": asked.pdns, "most_in_one_second": asked.http_max_rate,
        "dns_questions": asked.dns_udp, "most_dns_in_one_second": asked.dns_max_rate,
        "answered_429": asked.http_429, "before_retry_after": asked.http_early, "seconds": seconds(start), "state": end.state }))
}

/// A job that is passed on many times, and outlasts the broker's consumer timeout.
///
/// # Errors
/// When the cluster cannot be run.
pub async fn outlast(kudzu: &Path, time: Duration) -> anyhow::Result<Value> {
    // A slow source: it is asked somewhat more often than this, which takes the time.
    let rate = format!("pdns.rate={:.4}", 4_100.0 / time.as_secs_f64());
    let settings = vec!["coordinator.hold_ms=20000".into(), "worker.hold_ms=20000".into(), rate];
    let plan = Plan { settings, scale: 0.1, ..Plan::small(PathBuf::from(kudzu)) };
    let cluster = Cluster::start(plan).await?;
    // RabbitMQ looks once a minute whose deliveries are too old.
    let set = "application:set_env(rabbit, consumer_timeout, 60000).";
    tokio::task::block_in_place(|| cluster.rabbit.ctl(&["eval", set]))?;
    let user = User::new(cluster.urls(), 0)?;
    let mut request = pivot(&cluster.seeds, &cluster.at, 1);
    request["budgets"]["deadline_ms"] = json!(u64::try_from(time.as_millis())? * 2);
    let start = Instant::now();
    let id = user.submit(&request, "long").await?;
    let end = user.end(&id, HOUR * 2).await?;
    let listed = user.ask(|at| user.call(Method::GET, at, "/v1/jobs?limit=10")).await?;
    let holds = listed["total"] == 1 && end.state == "complete" && end.conserves();
    Ok(json!({ "holds": holds && start.elapsed() >= time, "seconds": seconds(start), "state": end.state,
        "reason": end.job["reason"], "epoch": end.job["epoch"], "jobs": listed["total"],
        "conserves": end.conserves() }))
}
