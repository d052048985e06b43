//! Everything in one process against a small simulated internet.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const SMALL: [&str; 6] = ["--seed", "5", "--scale", "0.02", "--latency", "0"];

fn kudzu() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudzu"));
    command.env_clear().current_dir(std::env::temp_dir());
    command
}

fn finish(command: &mut Command, wanted: i32) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(wanted), "{err}");
    (out, err)
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

#[test]
fn the_demo_finds_the_campaign_and_the_same_tree_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let (text, said) = finish(kudzu().arg("demo").args(SMALL).arg("--out").arg(&one), 0);
    assert!(said.contains("PAP:GREEN"), "{said}");
    for part in ["Candidates: ", "Coverage: ", "truth: ", "SHA-256 of the tree "] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.contains('\u{1b}'), "colours without a terminal");
    let summary = json(&one, "summary.json");
    assert_eq!(summary["state"], "complete");
    let truth = &summary["truth"];
    let number = |name: &str| truth[name].as_u64().unwrap();
    assert!(number("planned") > 0 && number("reachable") > 0, "{truth}");
    assert!(number("found_in_2n") * 2 >= number("reachable"), "{truth}");
    assert!(number("decoys_in_2n") * 2 <= number("reachable"), "{truth}");

    // Other workers, window and jitter: the same bytes.
    let other = ["--workers", "3", "--window", "500", "--jitter", "3"];
    finish(kudzu().arg("demo").args(SMALL).args(other).arg("--out").arg(&two).arg("-q"), 0);
    assert_eq!(fs::read(one.join("tree.ndjson")).unwrap(), fs::read(two.join("tree.ndjson")).unwrap());
    assert_eq!(summary["sha256"], json(&two, "summary.json")["sha256"]);

    the_files_agree(&one, &summary);
    explain_shows_the_way(&one);
}

fn the_files_agree(folder: &Path, summary: &Value) {
    let count = |what: &str| {
        let lines = BufReader::new(fs::File::open(folder.join("tree.ndjson")).unwrap()).lines();
        let rows = lines.map(|l| serde_json::from_str::<Value>(&l.unwrap()).unwrap());
        rows.filter(|r| r["type"] == what).count() as u64
    };
    assert_eq!(summary["nodes"].as_u64(), Some(count("node")));
    assert_eq!(summary["edges"].as_u64(), Some(count("edge")));
    let evidence = fs::read_to_string(folder.join("evidence.ndjson")).unwrap();
    assert!(evidence.lines().count() > 100);
    let wanted: HashSet<&str> = [
        "state",
        "sha256",
        "nodes",
        "edges",
        "lookups",
        "questions",
        "elapsed_ms",
        "tree_ms",
        "first_tree_ms",
        "serial_ms",
        "cached",
        "asked_ahead_unused",
        "duplicates",
        "peak_rss_bytes",
        "bytes_per_node",
        "process_bytes_per_node",
        "coverage",
        "truth",
    ]
    .into();
    let there: HashSet<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(there, wanted);
}

fn explain_shows_the_way(folder: &Path) {
    let candidates = json(folder, "candidates.json");
    let best = candidates[0]["value"].as_str().unwrap();
    let (text, _) = finish(kudzu().arg("explain").arg(folder).arg(best), 0);
    assert!(text.contains(best) && text.contains("(seed)") && text.contains("candidate 1: "), "{text}");
    let (_, said) = finish(kudzu().arg("explain").arg(folder).arg("not-in-there.com"), 1);
    assert!(said.contains("not in this result"), "{said}");
}

#[test]
fn every_form_is_well_formed() {
    let form = |name: &str| {
        finish(kudzu().arg("demo").args(SMALL).args(["--depth", "2", "-q", "--format", name]), 0).0
    };
    let lines = form("ndjson");
    assert!(lines.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()));
    let document: Value = serde_json::from_str(&form("json")).unwrap();
    assert_eq!(document["tree"].as_array().unwrap().len(), lines.lines().count());
    let nodes = document["summary"]["nodes"].as_u64().unwrap() as usize;
    let csv = form("csv");
    assert_eq!(csv.lines().count(), nodes + 1);
    assert!(csv.starts_with("n,depth,kind,value,parent"));
}

#[test]
fn a_deadline_gives_a_partial_result() {
    let args = ["--latency", "200", "--deadline", "300ms", "--scale", "0.02", "--format", "json"];
    let (text, said) = finish(kudzu().arg("demo").args(args), 3);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["summary"]["state"], "partial");
    assert!(said.contains("PARTIAL (deadline)"), "{said}");
}

#[test]
fn a_reader_that_goes_away_does_not_make_a_result_whole() {
    let mut command = kudzu();
    command.arg("demo").args([
        "--latency",
        "200",
        "--deadline",
        "300ms",
        "--scale",
        "0.02",
        "--format",
        "json",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// `kudzu simnet` in a process of its own; it ends with the test.
struct Simnet(Child, Value);

impl Simnet {
    fn start(config: &Path) -> Self {
        let mut command = kudzu();
        command.arg("simnet").args(SMALL).arg("--config-out").arg(config).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Simnet {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_simulated_internet_serves_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("kudzu.toml");
    let net = Simnet::start(&config);
    let seed = net.1["seeds"][0].as_str().unwrap();
    let at = net.1["as_of"].as_str().unwrap();
    let mut pivot = kudzu();
    pivot.arg("--config").arg(&config).args(["pivot", seed, "--at", at, "--plan", "fast", "--format", "csv"]);
    let (csv, said) = finish(&mut pivot, 0);
    assert!(csv.lines().count() > 10, "{csv}");
    assert!(said.contains("SHA-256 of the tree"), "{said}");

    // In bulk: each line of the list has its row, in order, bad ones too.
    let list = folder.path().join("list");
    let some: Vec<&str> = csv.lines().skip(1).filter_map(|l| l.split(',').nth(3)).take(50).collect();
    fs::write(&list, format!("# names\na..b\n{}\n", some.join("\n"))).unwrap();
    let mut enrich = kudzu();
    enrich.arg("--config").arg(&config).arg("enrich").arg(&list).args(["--chunk", "7"]);
    let (rows, said) = finish(&mut enrich, 0);
    let rows: Vec<Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 51, "{said}");
    let numbers: Vec<u64> = rows.iter().map(|r| r["line"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted());
    assert!(rows[0]["error"].as_str().unwrap().contains("two dots"));
    assert!(rows[1..].iter().any(|r| r["found"].as_array().is_some_and(|f| !f.is_empty())));
    assert!(said.contains("51 indicators") && said.contains("dns.name"), "{said}");
    let (csv, _) = finish(&mut enrich_again(&config, &list, &["--format", "csv"]), 0);
    assert!(csv.lines().next().unwrap().contains(",not_asked,left_out,"), "{csv}");
    assert!(fs::read_to_string(&config).unwrap().contains("pivot with --at 2026-06-01\n"));

    // The budget is that of the list, however it is cut.
    let budget = ["--chunk", "7", "--source", "dns.name", "--questions", "60"];
    let (rows, said) = finish(&mut enrich_again(&config, &list, &budget), 0);
    let ends = rows.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["lookups"]["dns.name"].clone());
    let ends: Vec<String> = ends.filter_map(|e| e.as_str().map(str::to_owned)).collect();
    let refused = ends.iter().filter(|e| e.contains("budget")).count();
    let types = 4; // of the plan `fast`
    assert!(refused > 0 && ends.len() - refused <= 60 / types, "{refused} of {}: {said}", ends.len());
}

fn enrich_again(config: &Path, list: &Path, args: &[&str]) -> Command {
    let mut enrich = kudzu();
    enrich.arg("--config").arg(config).arg("enrich").arg(list).args(args);
    enrich
}
