//! A scenario of the load harness, from its file to its folder.

use std::fs;

use kudzu_loadtest::compare::{self, Comparison};
use kudzu_loadtest::run::{self, Options, Remote};
use kudzu_loadtest::scenario::Scenario;

use super::kudzu;

const SMALL: &str = r#"
about = "A small one"
[cluster]
coordinators = 2
scale = 0.02
latency_ms = 10
tenants = 2
settings = ["dns.timeout_ms=10000"]
[[load]]
name = "pivot"
jobs = 1
[[load]]
name = "open"
rate = 4
seconds = 4
fresh = true
[[load.mix]]
name = "list"
kind = "enrich"
seeds = 10
variants = 2
[[load.mix]]
name = "look"
seeds = 1
variants = 2
depth = 1
[faults]
every_s = 2
for_s = 1
what = ["kill-worker", "cut-worker"]
[[check]]
figure = "pivot.complete_s.max"
at_most = 120
[[check]]
figure = "pivot.questions"
at_least = 1_000_000_000
"#;

fn options(scenario: Scenario, folder: &std::path::Path) -> Options {
    Options {
        kudzu: kudzu(),
        scenario,
        whole: false,
        references: true,
        seed: 1,
        remote: None,
        root: folder.into(),
        out: None,
        command: "kudzu-loadtest run small".into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants the machine for itself: make cluster"]
async fn a_scenario_is_run_measured_verified_and_told() {
    let runs = tempfile::tempdir().unwrap();
    let options = options(Scenario::parse("small", SMALL).unwrap(), runs.path());
    let (summary, folder) = run::run(&options).await.unwrap();
    let arm = &summary.arms[0];
    let told = || format!("{:?}\n{:?}\n{:?}", summary.problems, summary.notes, arm.figures);
    assert!(summary.holds, "a check that a smaller run misses does not count: {}", told());
    assert_eq!(
        summary.checks.iter().map(|c| (c.met, c.counts)).collect::<Vec<_>>(),
        [(true, false), (false, false)]
    );
    assert!(arm.verdict.jobs > 5 && arm.verdict.compared == arm.verdict.jobs, "{}", told());
    assert!(!arm.faults.is_empty(), "{}", told());
    for figure in [
        "pivot.complete_s.max",
        "pivot.first_tree_s.p95",
        "pivot.cpu_us_a_question.worker",
        "pivot.cpu_us_a_question.simnet",
        "pivot.bytes_a_node",
        "open.list.complete_s.p50",
        "open.asked",
        "memory_mib.rabbitmq",
    ] {
        assert!(arm.figures.get(figure).is_some_and(|value| *value > 0.0), "{figure}: {}", told());
    }
    for file in ["README.md", "scenario.toml", "samples.csv", "jobs.ndjson", "throughput.svg", "cpu.svg"] {
        assert!(fs::metadata(folder.join(file)).is_ok_and(|m| m.len() > 100), "{file}");
    }
    let again = compare::open(&folder).unwrap();
    let both = Comparison::of(&again, &summary);
    assert!(both.figures.values().all(|pair| pair.ratio.is_none_or(|r| (r - 1.0).abs() < 1e-9)));
}

/// Whoever runs a cluster drives it with indicators of their own.
pub async fn a_running_cluster_is_driven(urls: Vec<String>, seed: &str, at: &str) {
    let runs = tempfile::tempdir().unwrap();
    let text = "about = \"x\"\n[[load]]\nname = \"look\"\njobs = 3\n[[load.mix]]\nname = \"a\"\nseeds = 1\ndepth = 1\n";
    let remote = Remote { urls, token: String::new(), seeds: vec![seed.to_owned()], at: Some(at.to_owned()) };
    let options =
        Options { remote: Some(remote), ..options(Scenario::parse("theirs", text).unwrap(), runs.path()) };
    let (summary, folder) = run::run(&options).await.unwrap();
    assert!(summary.holds, "{:?}", summary.problems);
    let verdict = summary.arms[0].verdict;
    assert_eq!((verdict.jobs, verdict.compared, verdict.wrong_sha256), (3, 0, 0));
    assert!(summary.notes[0].contains("compared with each other only"));
    assert!(folder.join("latency.svg").exists() && !folder.join("throughput.svg").exists());
}
