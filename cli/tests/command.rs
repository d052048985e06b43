//! The binary as a person or a script meets it: codes, messages, and what goes where.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn kudzu(args: &[&str], stdin: &[u8]) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_kudzu")).args(args), stdin)
}

fn run(command: &mut Command, stdin: &[u8]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    // Settings of whoever runs the tests must not reach them.
    command.env_clear().env("HOME", folder.path()).current_dir(folder.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that refuses its arguments does not read.
        let _ = input.write_all(&bytes);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was killed by a signal")
}

fn stderr(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn it_says_which_build_it_is() {
    let output = kudzu(&["version", "--format", "json"], b"");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    let (commit, profile) = (said["commit"].as_str().unwrap(), said["profile"].as_str().unwrap());
    // The tests' own folder has the name of the profile as well.
    assert!(Path::new(env!("CARGO_BIN_EXE_kudzu")).parent().unwrap().ends_with(profile), "{profile}");
    for args in [&["version"][..], &["--version"], &["pivot", "--version"]] {
        let text = String::from_utf8(kudzu(args, b"").stdout).unwrap();
        assert!(text.starts_with("kudzu") && text.contains(commit) && text.contains(profile), "{text}");
    }
}

#[test]
fn bad_indicators_are_named_and_nothing_is_asked() {
    let long_name = "a.".repeat(150) + "com";
    let mut huge = vec![b'x'; 10_000_000];
    huge.push(b'\n');
    let table: [(&[u8], &str); 10] = [
        (b"", "the input is empty"),
        (b"\n", "the input is empty"),
        (&huge, "line 1: `xxx"),
        (b"evil\0.com\n", "line 1: `evil\\u{0}.com`: contains a NUL"),
        (b"\xff\xfe\n", "line 1: "),
        (b"999.1.1.1\n", "not an IPv4 address"),
        (b"a..b\n", "two dots"),
        (long_name.as_bytes(), "DNS allows 255"),
        (b"192.168.1.7\n", "special purpose (private-use)"),
        (b"# only a comment\nsingle\n", "line 2: `single`"),
    ];
    for (input, why) in table {
        let output = kudzu(&["pivot", "-"], input);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{said}");
        assert!(said.contains(why), "{why:?} is not in: {said}");
        assert!(said.len() < 2000, "{} octets of error", said.len());
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_empty_argument_is_named() {
    let output = kudzu(&["pivot", ""], b"");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("argument 1: empty"), "{}", stderr(&output));
}

#[test]
fn a_bad_indicator_does_not_cost_the_good_ones() {
    let output =
        kudzu(&["pivot", "-", "--dry-run", "--resolver", "192.0.2.53"], b"a..b\nhxxp://evil[.]com/x\n");
    let said = stderr(&output);
    assert_eq!(code(&output), 0, "{said}");
    assert!(said.contains("left out: line 1: `a..b`"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("kudzu pivot: 1 indicator, plan infra, TLP:CLEAR, PAP:GREEN"), "{text}");
    assert!(text.contains("dry run: nothing was asked"), "{text}");
}

#[test]
fn private_addresses_are_taken_when_allowed() {
    let args = ["pivot", "10.1.2.3", "--allow-private", "--dry-run", "--format", "json", "--pap", "amber"];
    let output = kudzu(&args, b"");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["pap"], "PAP:AMBER");
    let refused = plan["not_asked"].as_array().unwrap();
    assert!(refused.iter().any(|s| s["source"] == "dns.name"), "{refused:?}");
}

#[test]
fn wrong_use_has_code_2_and_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, "[dns]\nresolvers = [\"nowhere\"]\ntimeout_ms = \"soon\"\nodd = 1\n").unwrap();
    let broken = broken.to_str().unwrap();
    let syntax = folder.path().join("syntax.toml");
    fs::write(&syntax, "[dns\n").unwrap();
    let lists = folder.path().join("lists.toml");
    fs::write(&lists, "[policy]\nexclude = [\"a..b\"]\n").unwrap();
    let pairs = folder.path().join("pairs.toml");
    fs::write(&pairs, "[pairs]\nmine = \"/no/such.csv\"\n").unwrap();
    let table: [(&[&str], &[&str]); 15] = [
        (&["pivot", "evil.com", "--plan", "quick"], &["no plan \"quick\"", "fast, infra, deep"]),
        (&["pivot", "evil.com", "--plan", "no/plan.toml"], &["no/plan.toml"]),
        (&["pivot", "evil.com", "--config", broken], &["nowhere", "timeout_ms", "odd"]),
        (&["config", "check", "--config", syntax.to_str().unwrap()], &["syntax.toml:1"]),
        (&["config", "check", "--config", "/no/such.toml"], &["/no/such.toml"]),
        (&["pivot", "evil.com", "--source", "nobody"], &["no source nobody", "dns.name"]),
        (&["pivot", "evil.com", "--pairs", "mine"], &["NAME=FILE"]),
        (&["pivot", "evil.com", "--set", "dns.rate"], &["KEY=VALUE"]),
        (&["pivot", "evil.com", "--scope", "a..b"], &["--scope: `a..b`"]),
        (&["pivot", "evil.com", "--defang", "--format", "json"], &["--defang"]),
        (&["pivot"], &["INDICATOR"]),
        (&["enrich", "/no/such/list"], &["/no/such/list"]),
        (&["enrich", "-", "--depth", "3"], &["--depth", "kudzu pivot"]),
        (&["config", "check", "--config", lists.to_str().unwrap()], &["policy.exclude: `a..b`"]),
        (&["config", "check", "--config", pairs.to_str().unwrap()], &["/no/such.csv"]),
    ];
    for (args, wanted) in table {
        let output = kudzu(args, b"");
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        for part in wanted {
            assert!(said.contains(part), "{args:?}: {part:?} is not in: {said}");
        }
    }
}

#[test]
fn output_that_cannot_be_written_fails_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let below = file.join("below");
    let output = kudzu(&["demo", "--scale", "0.02", "--latency", "0", "--out", below.to_str().unwrap()], b"");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("make the folder"), "{}", stderr(&output));
    fs::write(folder.path().join("summary.json"), "{}").unwrap();
    let output = kudzu(&["demo", "--out", folder.path().to_str().unwrap()], b"");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
}

#[test]
fn a_full_disk_is_a_failure_and_a_closed_pipe_is_none() {
    for args in [["sources", "--format=json"], ["config", "dump"], ["completions", "bash"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kudzu"));
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command.args(args).env_clear().stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(code(&output), 1, "{args:?}");
        assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudzu"));
    let mut child = command
        .args(["completions", "zsh"])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn a_broken_pair_set_is_listed_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.csv");
    fs::write(&file, "a.com,no-relation,b.com\n").unwrap();
    let output = kudzu(&["sources", "--pairs", &format!("mine={}", file.display())], b"");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let line = text.lines().find(|l| l.starts_with("pairs.mine ")).unwrap();
    assert!(line.contains("off: ") && line.contains("line 1"), "{line}");
}

#[test]
fn a_list_of_which_nothing_is_known_does_not_end_well() {
    // Nobody listens there.
    let nobody = ["--resolver", "127.0.0.1:1", "--set", "dns.timeout_ms=20", "--set", "dns.attempts=1"];
    // What a name's own parts say is no answer either.
    for sources in [&["--source", "dns.name"][..], &["--source", "dns.name", "--source", "parts"]] {
        let mut args = vec!["enrich", "-", "--set", "coordinator.rounds=0"];
        args.extend(sources.iter().chain(&nobody));
        let output = kudzu(&args, b"www.a.com\nb.com");
        let said = stderr(&output);
        assert_eq!(code(&output), 1, "{said}");
        assert!(said.contains("nothing is known: all 2 lookups failed"), "{said}");
        assert!(said.contains("source") && said.contains("dns.name"), "no coverage in: {said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    }
}

#[test]
fn slow_input_has_its_rows_and_an_interrupt_does_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.csv");
    fs::write(&file, "a.com,name-server,ns.b.com\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudzu"));
    // Under PAP:RED nobody is asked, and so no resolver is needed.
    command.args(["enrich", "-", "--pap", "red", "--pairs", &format!("mine={}", file.display())]);
    command.env_clear().current_dir(folder.path());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a.com\n").unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap());
    let mut row = String::new();
    rows.read_line(&mut row).unwrap();
    assert!(row.contains("ns.b.com"), "{row}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("at least 1 indicator"), "{}", stderr(&output));
    drop(input);
}

#[test]
fn lists_are_for_people_and_for_scripts() {
    let output = kudzu(&["sources", "--format", "json"], b"");
    let sources: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = sources.as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    for name in ["dns.name", "dns.addr", "rdap.domain", "pdns.addr", "certs.name"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let output = kudzu(&["config", "dump"], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[coordinator]"), "{text}");
    assert!(String::from_utf8(kudzu(&["completions", "bash"], b"").stdout).unwrap().contains("kudzu"));
    let secret = kudzu(&["config", "dump", "--set", "pdns.user=me", "--set", "pdns.password=hunter2"], b"");
    let text = String::from_utf8(secret.stdout).unwrap();
    assert!(text.contains("<redacted>") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_damaged_result_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let none = kudzu(&["explain", path, "evil.com"], b"");
    assert_eq!(code(&none), 1);
    assert!(stderr(&none).contains("no tree.ndjson"), "{}", stderr(&none));
    fs::write(
        Path::new(path).join("tree.ndjson"),
        "{\"type\":\"job\",\"schema\":\"kudzu.tree/1\"}\nrubbish\n",
    )
    .unwrap();
    let damaged = kudzu(&["explain", path, "evil.com"], b"");
    assert_eq!(code(&damaged), 1);
    assert!(stderr(&damaged).contains("tree.ndjson: line 2"), "{}", stderr(&damaged));
}
