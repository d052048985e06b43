//! `kudzu resolve` against the simulated internet.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const WORLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/world.json");

fn kudzu(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudzu"));
    command.env_clear().env("HOME", "/nonexistent").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A simulated internet in a process of its own, which ends with it.
struct Simnet {
    child: Child,
    dns: String,
}

impl Simnet {
    fn start(args: &[&str]) -> Self {
        let mut command = kudzu(&["simnet", "--world", WORLD, "--latency", "1"]);
        let mut child = command.args(args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let dns = ready["dns"][0].as_str().unwrap().to_owned();
        Self { child, dns }
    }

    fn resolve(&self, args: &[&str], names: &str) -> Output {
        let mut child = kudzu(&["resolve", "--resolver", &self.dns]).args(args).spawn().unwrap();
        // Small enough for the pipe; a command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(names.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Simnet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stderr(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn rows(output: &Output) -> Vec<Value> {
    let lines = output.stdout.split(|o| *o == b'\n').filter(|l| !l.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn one_name() -> String {
    let world: Value = serde_json::from_str(&std::fs::read_to_string(WORLD).unwrap()).unwrap();
    let zones = world["zones"].as_object().unwrap();
    zones.iter().find(|(name, records)| records.get("A").is_some() && !name.contains('*')).unwrap().0.clone()
}

#[test]
fn each_question_has_one_row_and_bad_lines_are_counted() {
    let simnet = Simnet::start(&[]);
    let name = one_name();
    let names = format!("{name}\n# a comment\n\nGONE.{name}.invalid\na..b\n192.0.2.7\n\u{fc}nder.example\n");
    let output = simnet.resolve(&["-t", "A,TXT"], &names);
    let (said, rows) = (stderr(&output), rows(&output));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(rows.len(), 8, "{rows:?}");
    let of = |name: &str, rtype: &str| {
        let mut all = rows.iter().filter(|r| r["name"] == name && r["type"] == rtype);
        let row = all.next().unwrap().clone();
        assert!(all.next().is_none(), "{name} twice");
        row
    };
    let found = of(&name, "A");
    assert_eq!((&found["verdict"], &found["rcode"]), (&"found".into(), &"NOERROR".into()));
    assert_eq!(found["server"], simnet.dns.as_str());
    assert_eq!(of(&format!("gone.{name}.invalid"), "TXT")["verdict"], "nxdomain");
    assert_eq!(of("7.2.0.192.in-addr.arpa", "A")["address"], "192.0.2.7");
    of("xn--nder-zra.example", "A");
    assert!(said.contains("line 5: a..b"), "{said}");
    assert!(said.contains("left out: 1") && said.contains(", sound"), "{said}");
}

/// What encrypted resolvers had in hand at the end of the names once had no row.
#[test]
fn no_row_is_missing_where_nobody_answers_over_tls() {
    let names: String = (0..300).map(|i| format!("h{i}.example\n")).collect();
    let nobody = ["resolve", "--resolver", "tls://dns.example@127.0.0.1:1", "--quiet"];
    let mut child = kudzu(&nobody).spawn().unwrap();
    child.stdin.take().unwrap().write_all(names.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 300, "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

#[test]
fn what_is_meant_as_an_indicator_is_no_name() {
    let simnet = Simnet::start(&[]);
    let name = one_name();
    let lines = format!(
        "http://{name}/x\nu@{name}\n192.0.2.0/24\na.example,b.example\n{}\n",
        name.replace('.', "[.]")
    );
    let output = simnet.resolve(&["-t", "A,TYPE1,A"], &lines);
    let said = stderr(&output);
    let rows = rows(&output);
    assert!(rows.len() == 1 && rows[0]["name"] == name.as_str(), "{rows:?} {said}");
    assert!(said.contains("left out: 4"), "{said}");
}

/// An interrupt once ended the reading only: what was read was asked all the same, for hours.
#[test]
fn an_interrupt_ends_the_asking() {
    let simnet = Simnet::start(&["--stats"]);
    let folder = tempfile::tempdir().unwrap();
    let (names, summary) = (folder.path().join("names"), folder.path().join("summary"));
    std::fs::write(&names, (0..20_000).map(|i| format!("h{i}.example\n")).collect::<String>()).unwrap();
    let mut command =
        kudzu(&["resolve", "--resolver", &simnet.dns, "--no-check", "--rate", "20", "--summary"]);
    let mut child = command.args([&summary, &names]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let pid = child.id().to_string();
    let begin = std::time::Instant::now();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let rows = 1 + out.lines().count();
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < std::time::Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&std::fs::read(&summary).unwrap()).unwrap();
    assert_eq!((&summary["questions"], &summary["partial"]), (&rows.into(), &true.into()));
}

#[test]
fn a_summary_does_not_take_the_place_of_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let names = folder.path().join("names");
    std::fs::write(&names, "a.example\n").unwrap();
    for path in [names.to_str().unwrap(), "/nonexistent/summary"] {
        let output =
            kudzu(&["resolve", "--resolver", "127.0.0.1:1", "--summary", path]).arg(&names).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(&names).unwrap(), "a.example\n");
}

#[test]
fn an_address_is_asked_about_in_the_reverse_tree() {
    let simnet = Simnet::start(&[]);
    let output = simnet.resolve(&["--quiet"], &format!("192.0.2.7\n{}\n2001:db8::1\n", one_name()));
    let rows = rows(&output);
    let of = |key: &str, value: &str| rows.iter().find(|r| r[key] == value).unwrap()["type"].clone();
    assert_eq!(of("address", "192.0.2.7"), "PTR");
    assert_eq!(of("address", "2001:db8::1"), "PTR");
    assert_eq!(of("name", &one_name()), "A");
}

#[test]
fn the_simple_form_is_that_of_massdns() {
    let simnet = Simnet::start(&[]);
    let name = one_name();
    let output = simnet.resolve(&["--format", "simple", "--quiet"], &format!("{name}\nno.{name}.invalid\n"));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!text.is_empty() && text.lines().all(|l| l.starts_with(&format!("{name}. "))), "{text}");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn the_summary_counts_everything() {
    let (simnet, folder) = (Simnet::start(&["--truncate", "1"]), tempfile::tempdir().unwrap());
    let path = folder.path().join("summary.json");
    let name = one_name();
    let output = simnet.resolve(&["--summary", path.to_str().unwrap()], &format!("{name}\n{name}\nx y\n"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(rows(&output).iter().all(|r| r["transport"] == "tcp" && r["tries"] == 2));
    let summary: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!((&summary["names"], &summary["questions"]), (&2.into(), &2.into()));
    assert_eq!((&summary["invalid"], &summary["verdicts"]["found"]), (&1.into(), &2.into()));
    assert_eq!((&summary["datagrams"]["tcp"], &summary["partial"]), (&2.into(), &false.into()));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let simnet = Simnet::start(&[]);
    for (args, why) in [
        (&["-t", "AXFR"][..], "write a type"),
        (&["--rate", "0"], "above 0"),
        (&["--in-flight", "0"], "--in-flight"),
        (&["--attempts", "9"], "--attempts"),
        (&["--resolver", "dns.example"], "write an address"),
        (&["--resolver", "tls://dns.example"], "in the clear"),
        (&["--resolvers", "/nonexistent"], "/nonexistent"),
        (&["/nonexistent/names"], "/nonexistent/names"),
        (&["--format", "xml"], "xml"),
    ] {
        let output = simnet.resolve(args, "a.example\n");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(why) && output.stdout.is_empty(), "{args:?}: {said}");
    }
    let output = simnet.resolve(&[], "a..b\n\n");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn where_nothing_is_known_it_does_not_end_well() {
    let simnet = Simnet::start(&["--servfail", "1"]);
    let output = simnet.resolve(&["--timeout", "300ms"], "a.example\n");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(rows(&output)[0]["verdict"], "servfail");
    assert!(said.contains("nothing is known"), "{said}");
}

#[test]
fn slow_input_has_its_rows_and_an_interrupt_does_not_wait_for_it() {
    let simnet = Simnet::start(&[]);
    let mut child = kudzu(&["resolve", "--resolver", &simnet.dns]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 0..3 {
        writeln!(input, "n{n}.example").unwrap();
        let row: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(row["name"], format!("n{n}.example"));
    }
    // The input stays open.
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("PARTIAL"));
}
