//! Whole clusters of real processes on a real RabbitMQ and Redis.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "clusters/cold.rs"]
mod cold;
#[path = "clusters/load.rs"]
mod load;
#[path = "clusters/up.rs"]
mod up;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use kudzu_loadtest::api::{User, pivot};
use kudzu_loadtest::chaos;
use kudzu_loadtest::cluster::{Cluster, Plan};
use reqwest::{Method, StatusCode};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(180);

fn kudzu() -> PathBuf {
    env!("CARGO_BIN_EXE_kudzu").into()
}

/// The same job in one process, asking the same simulated internet.
fn embedded(cluster: &Cluster) -> Value {
    let mut command = Command::new(kudzu());
    command.args([
        "pivot",
        "--quiet",
        "--format",
        "json",
        "--salt",
        "1",
        "--allow-private",
        "--deadline",
        "1h", // As `pivot` says.
        "--at",
        &cluster.at,
    ]);
    command.arg("--config").arg(cluster.settings()).args(&cluster.seeds);
    // Everything shares the processors: what waits for one is no failure, here as there.
    command.args(cluster.sets().iter().flat_map(|s| ["--set", s]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["summary"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the machine for itself: make cluster"]
async fn a_cluster_does_what_one_process_does() {
    let mut cluster = Cluster::start(Plan::small(kudzu())).await.unwrap();
    let user = User::new(cluster.urls(), 0).unwrap();
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let end = user.end(&user.submit(&request, "first").await.unwrap(), SOON).await.unwrap();
    let alone = tokio::task::block_in_place(|| embedded(&cluster));
    let differs = || format!("{alone}\n{}\n{}", end.job, cluster.logs());
    assert_eq!(end.sha256.as_deref(), alone["sha256"].as_str(), "{}", differs());
    assert!(end.conserves(), "{}", end.job);

    the_commands_show_it(&cluster, &end.id, alone["sha256"].as_str().unwrap());
    the_api_has_every_form(&cluster, &user, &end.id).await;
    a_hundred_equal_submits_are_one_job(&user, &request).await;
    a_cancel_is_prompt(&cluster, &user).await;
    load::a_running_cluster_is_driven(cluster.urls(), &cluster.seeds[0], &cluster.at).await;
    what_was_accepted_survives(&mut cluster, &request).await;
}

/// The result by the commands is that of the API.
fn the_commands_show_it(cluster: &Cluster, id: &str, sha256: &str) {
    let run = |args: &[&str]| {
        let mut command = Command::new(kudzu());
        command.args(args).env("KUDZU_CLIENT__URL", &cluster.urls()[1]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let json: Value = serde_json::from_str(&run(&["get", id, "--format", "json"])).unwrap();
    assert_eq!(json["summary"]["sha256"], sha256);
    let tree = run(&["get", id]);
    assert!(tree.contains("seed") && tree.contains(sha256), "{tree}");
    assert!(run(&["get", id, "--format", "csv"]).lines().count() > 100);
    assert!(run(&["watch", id, "--format", "ndjson"]).lines().last().unwrap().contains("\"end\""));
    assert!(run(&["list"]).contains(id));
}

/// What the API writes is what the command writes.
async fn the_api_has_every_form(cluster: &Cluster, user: &User, id: &str) {
    let get = |path: String| async move {
        let answer = user.call(Method::GET, 1, &path).timeout(SOON).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    };
    for (form, format) in [("csv", "csv"), ("json", "json"), ("ndjson", "ndjson"), ("text", "tree")] {
        let mut command = Command::new(kudzu());
        command.args(["get", id, "--format", format]).env("KUDZU_CLIENT__URL", &cluster.urls()[0]);
        let shown = command.env("COLUMNS", "160").output().unwrap();
        assert!(shown.status.success());
        let given = get(format!("/v1/jobs/{id}/tree?format={form}")).await;
        assert!(given.as_bytes() == shown.stdout, "{form} differs:\n{given:.2000}");
    }
    let best: Value = serde_json::from_str(&get(format!("/v1/jobs/{id}/candidates")).await).unwrap();
    let best = best[0]["value"].as_str().unwrap();
    let why: Value = serde_json::from_str(&get(format!("/v1/jobs/{id}/explain?value={best}")).await).unwrap();
    assert!(why["candidate"]["rank"] == 1 && why["parents"][0]["ways"][0].is_array(), "{why}");
    let branch: Value =
        serde_json::from_str(&get(format!("/v1/jobs/{id}/tree/children?limit=1")).await).unwrap();
    assert_eq!(branch["children"][0]["depth"], 0, "{branch}");
}

async fn a_hundred_equal_submits_are_one_job(user: &User, request: &Value) {
    let submits = (0..100).map(|n| async move { user.posts(n, request, "the same").send().await.unwrap() });
    let mut ids = BTreeSet::new();
    for answer in futures::future::join_all(submits).await {
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let job: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        ids.insert(job["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);
    let end = user.end(ids.first().unwrap(), SOON).await.unwrap();
    assert_eq!((end.state.as_str(), end.job["epoch"].as_u64()), ("complete", Some(1)));
}

/// Acknowledged at once; two seconds later nobody asks any more, and the queues are empty.
async fn a_cancel_is_prompt(cluster: &Cluster, user: &User) {
    tokio::task::block_in_place(|| cluster.redis.flush()).unwrap();
    let request = pivot(&cluster.seeds, &cluster.at, 2);
    let id = user.submit(&request, "to be cancelled").await.unwrap();
    let running = async {
        while user.job(&id).await.unwrap()["progress"]["ended"].as_u64().unwrap_or(0) < 500 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, running).await.unwrap();
    let start = Instant::now();
    let call = user.call(Method::POST, 1, &format!("/v1/jobs/{id}/cancel"));
    assert_eq!(call.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let took = start.elapsed();
    let end = user.end(&id, SOON).await.unwrap();
    assert_eq!((end.state.as_str(), end.job["reason"].as_str()), ("partial", Some("cancelled")));
    tokio::time::sleep(Duration::from_secs(2).saturating_sub(start.elapsed())).await;
    let asked = cluster.asked().dns_udp;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.asked().dns_udp, asked, "asked after the cancel");
    // RabbitMQ counts the messages of a quorum queue every five seconds.
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let queues =
            tokio::task::block_in_place(|| cluster.rabbit.ctl(&["list_queues", "name", "messages"])).unwrap();
        let is_left = |l: &&str| l.starts_with("kudzu.") && !l.ends_with("\t0");
        let left: Vec<&str> = queues.lines().filter(is_left).collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "{left:?}");
    }
    // On a busy machine the answer itself may wait; the bound is that of the measured run.
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Answered 202, and the coordinator that said so is killed at once.
async fn what_was_accepted_survives(cluster: &mut Cluster, request: &Value) {
    let mut ids = Vec::new();
    for n in 0..6 {
        let at = n % 2;
        let user = User::new(vec![cluster.urls()[at].clone()], 0).unwrap();
        ids.push(user.submit(request, &format!("killed {n}")).await.unwrap());
        cluster.restart_coordinator(at).unwrap();
    }
    cluster.ready().await.unwrap();
    let user = User::new(cluster.urls(), 0).unwrap();
    let mut trees = BTreeSet::new();
    for id in ids {
        let end = user.end(&id, SOON).await.unwrap();
        assert_eq!(end.state, "complete", "{}{}", end.job, cluster.logs());
        trees.insert(end.sha256);
    }
    assert_eq!(trees.len(), 1);
}

/// While the broker is short of memory nothing is accepted, nothing restarts, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the machine for itself: make cluster"]
async fn servers_may_fail_and_jobs_end() {
    let mut cluster = Cluster::start(Plan::small(kudzu())).await.unwrap();
    let user = User::new(cluster.urls(), 0).unwrap();
    let request = pivot(&cluster.seeds, &cluster.at, 1);
    let whole = user.end(&user.submit(&request, "whole").await.unwrap(), SOON).await.unwrap();

    tokio::task::block_in_place(|| cluster.redis.kill());
    let without = user.submit(&request, "without Redis").await.unwrap();
    let without = user.end(&without, SOON).await.unwrap();
    assert_eq!((&without.state, &without.sha256), (&whole.state, &whole.sha256));

    let id = user.submit(&request, "starved").await.unwrap();
    tokio::task::block_in_place(|| cluster.rabbit.ctl(&["set_vm_memory_high_watermark", "0"])).unwrap();
    let refused = async {
        loop {
            // The first ones may wait for the broker until they are given up.
            if let Ok(answer) = user.posts(0, &request, "refused").send().await
                && answer.status() == StatusCode::SERVICE_UNAVAILABLE
            {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let refused = tokio::time::timeout(SOON, refused).await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    tokio::task::block_in_place(|| cluster.rabbit.ctl(&["set_vm_memory_high_watermark", "0.6"])).unwrap();
    let end = user.end(&id, SOON).await.unwrap();
    assert_eq!((end.state, end.sha256), (whole.state, whole.sha256.clone()));
    for member in cluster.coordinators.iter_mut().chain(&mut cluster.workers) {
        assert!(member.is_running(), "{} has ended", member.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the machine for itself: make cluster"]
async fn chaos_changes_nothing() {
    let options = chaos::Options {
        kudzu: kudzu(),
        seed: 7,
        kills: 15,
        jobs: 3,
        scale: 0.02,
        latency: Duration::from_millis(20),
        members: [2, 3],
    };
    let report = chaos::run(&options).await.unwrap();
    let shown = serde_json::to_string_pretty(&report).unwrap();
    assert!(report.holds(), "{shown}");
    assert!(report.kills >= 15, "{shown}");
}
