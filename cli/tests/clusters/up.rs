//! `kudzu up` as a person has it: it says how it is used, a job runs on it, and with an
//! interrupt all of it is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{SOON, kudzu};

const SMALL: [&str; 6] = ["--seed", "5", "--scale", "0.02", "--latency", "0"];

/// Killed with the test, and what it started with it.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process, and what tells it from a later one with its number.
type Process = (u32, String);

/// Every process: its parent, and when it started. Not those that nobody has waited for yet.
fn processes() -> BTreeMap<Process, u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let read = |id: u32| {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name may have spaces and brackets.
        let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        (words[0] != "Z").then(|| ((id, words[19].to_owned()), words[1].parse().unwrap()))
    };
    all.filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// What a process has started, and what these have.
fn below(root: u32) -> Vec<Process> {
    let all = processes();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (process, _) in all.iter().filter(|(_, of)| **of == parent) {
            parents.push(process.0);
            found.push(process.clone());
        }
    }
    found
}

fn until(what: &str, limit: Duration, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is() {
        assert!(Instant::now() < end, "not within {} s: {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(kudzu());
    command.env("TMPDIR", folder).current_dir(folder);
    command
}

/// What follows these words at the start of a line of the help.
fn shown<'a>(help: &'a str, start: &str) -> &'a str {
    let line = help.lines().find_map(|l| l.trim().strip_prefix(start));
    line.unwrap_or_else(|| panic!("{start:?} is not in: {help}"))
}

/// Runs a job as the help says; gives its tree's digest.
fn a_job_runs(folder: &Path, help: &str) -> Value {
    let (name, url) = shown(help, "export ").split_once('=').unwrap();
    let run = |args: &mut dyn Iterator<Item = &str>| {
        let output = command(folder).args(args).env(name, url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let submit = shown(help, "kudzu submit ").split_whitespace();
    let result = run(&mut ["submit", "--quiet", "--format", "json"].into_iter().chain(submit));
    let result: Value = serde_json::from_slice(&result).unwrap();
    assert_eq!(result["summary"]["state"], "complete", "{}", result["summary"]);
    assert_eq!(shown(help, "kudzu list"), "");
    let list = run(&mut ["list"].into_iter());
    assert!(String::from_utf8(list).unwrap().contains("complete"));
    result["summary"]["sha256"].clone()
}

#[test]
#[ignore = "wants the machine for itself: make cluster"]
fn what_is_up_runs_jobs_and_goes_down_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut up = command(folder);
    up.arg("up").args(SMALL).args(["--workers", "2", "--coordinators", "2"]);
    let said = fs::File::create(folder.join("said")).unwrap();
    let mut up = Up(up.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said).spawn().unwrap());
    let said = || fs::read_to_string(folder.join("said")).unwrap();
    let mut out = BufReader::new(up.0.stdout.take().unwrap());
    let mut ready = String::new();
    out.read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|e| panic!("{e}: {ready}{}", said()));
    until("it says how it is used", SOON, || said().contains("ctrl-C"));

    let told: Vec<u32> = ready["processes"].as_object().unwrap().values().map(id).collect();
    let started = below(up.0.id());
    assert_eq!(told.len(), 4, "{ready}");
    assert!(told.iter().all(|id| started.iter().any(|(of, _)| of == id)), "{ready} {started:?}");
    // RabbitMQ and Redis, too.
    assert!(started.len() >= 6, "{started:?}");

    let sha256 = a_job_runs(folder, &said());
    let demo = command(folder).arg("demo").args(SMALL).args(["--format", "json", "-q"]).output().unwrap();
    let demo: Value = serde_json::from_slice(&demo.stdout).unwrap();
    assert_eq!(demo["summary"]["sha256"], sha256, "the demo has the same job");

    // Some may have come meanwhile.
    let started: Vec<Process> = started.into_iter().chain(below(up.0.id())).collect();
    let pid = Pid::from_raw(up.0.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    until("it ends", SOON, || up.0.try_wait().unwrap().is_some());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((up.0.wait().unwrap().code(), rest.as_str()), (Some(0), ""), "{}", said());
    assert!(said().contains("taking all of it down"), "{}", said());
    // What RabbitMQ has started sees by itself that it is gone.
    until("no process is left", Duration::from_secs(20), || {
        let left = processes();
        started.iter().all(|process| !left.contains_key(process))
    });
    let left: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["said"], "files are left");
}

fn id(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}
