//! What the command does: data goes to standard output, the rest to standard error.

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use kudzu_shared::task;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::args::{Chaos, Cli, Cold, Command, Compare, Format, Promise, Run, Show};
use crate::scenario::{self, Scenario, Smaller};
use crate::{chaos, cold, compare, report, run, show};

/// Problems that are told on the terminal; the page has more.
const PROBLEMS: usize = 3;
/// Exit code of a program that a signal ended.
const KILLED: i32 = 130;

/// Does it; says whether everything held.
///
/// # Errors
/// When it cannot be done.
pub fn execute(cli: Cli) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start")?;
    match cli.command {
        Command::Run(args) if args.list => {
            list(args.format)?;
            Ok(true)
        }
        Command::Run(args) => {
            let format = args.format;
            let options = options(*args)?;
            let (summary, folder) = runtime.block_on(unless_stopped(run::run(&options)))?;
            match format {
                Format::Text => say(&report::text(&summary))?,
                Format::Json => print(&summary)?,
            }
            let verdict = if summary.holds { "holds" } else { "does not hold" };
            tell(&format!("{} {verdict}; all of it is in {}", summary.scenario, folder.display()));
            for missed in summary.checks.iter().filter(|c| !c.met && c.counts) {
                tell(&format!("missed: {}", missed.what));
            }
            for problem in summary.problems.iter().take(PROBLEMS) {
                tell(problem);
            }
            Ok(summary.holds)
        }
        Command::Compare(Compare { before, after, format }) => {
            let both = compare::Comparison::of(&compare::open(&before)?, &compare::open(&after)?);
            match format {
                Format::Text => say(&both.text())?,
                Format::Json => print(&both)?,
            }
            Ok(true)
        }
        Command::Cold(args) => {
            let report = runtime.block_on(unless_stopped(cold::run(&cold_options(args)?)))?;
            print(&report)?;
            Ok(report.holds())
        }
        Command::Chaos(args) => {
            let report = runtime.block_on(unless_stopped(chaos::run(&chaos_options(args)?)))?;
            print(&report)?;
            Ok(report.holds())
        }
        Command::Show(args) => {
            let report = runtime.block_on(unless_stopped(promise(args)))?;
            print(&report)?;
            Ok(report["holds"] == true)
        }
    }
}

/// What is done, unless a signal ends it before: then all that it started ends with it. A second
/// one ends the program where it stands, also where the first is not noticed yet.
async fn unless_stopped<T>(done: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let (stop, stopped) = oneshot::channel();
    let _listens = task::spawn("signals", async move {
        let mut stop = Some(stop);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match stop.take() {
                // What was to be stopped may be over.
                Some(stop) => drop(stop.send(())),
                None => end_at_once(),
            }
        }
    });
    tokio::select! {
        done = done => done,
        Ok(()) = stopped => anyhow::bail!("stopped by a signal before there was anything to write"),
    }
}

#[expect(clippy::disallowed_methods, reason = "who asks twice does not want to wait for anything")]
fn end_at_once() -> ! {
    std::process::exit(KILLED)
}

/// The scenarios.
fn list(format: Format) -> anyhow::Result<()> {
    let about = scenario::about();
    if format == Format::Json {
        let all = about.into_iter().map(|(name, about)| json!({ "name": name, "about": about }));
        return print(&all.collect::<Vec<_>>());
    }
    let width = about.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = about.into_iter().map(|(name, about)| format!("{name:width$}  {about}\n"));
    say(&lines.collect::<String>())
}

fn program(kudzu: &Path) -> anyhow::Result<PathBuf> {
    kudzu.canonicalize().with_context(|| format!("--kudzu {}: build it with `make build`", kudzu.display()))
}

fn options(args: Run) -> anyhow::Result<run::Options> {
    let scenario = Scenario::open(args.scenario.as_deref().unwrap_or_default())?;
    let smaller = Smaller {
        size: args.smaller.size,
        seconds: args.smaller.seconds,
        jobs: args.smaller.jobs,
        rate: args.smaller.rate,
        arms: args.smaller.arm,
    };
    let unknown = smaller.arms.iter().find(|name| scenario.arms.iter().all(|arm| arm.name != **name));
    if let Some(name) = unknown {
        anyhow::bail!("--arm {name}: scenario {} has no such arm", scenario.name);
    }
    let remote = match (args.remote.api, args.remote.seeds) {
        (urls, Some(file)) if !urls.is_empty() => {
            let list =
                std::fs::read_to_string(&file).with_context(|| format!("--seeds {}", file.display()))?;
            let seeds: Vec<String> =
                list.lines().map(str::trim).filter(|l| !l.is_empty()).map(Into::into).collect();
            anyhow::ensure!(!seeds.is_empty(), "--seeds {}: there are none in it", file.display());
            let urls = urls.iter().map(|url| http_url(url)).collect::<anyhow::Result<_>>()?;
            Some(run::Remote { urls, token: args.remote.token, seeds, at: args.remote.at })
        }
        _ => None,
    };
    let kudzu = match (args.kudzu, &remote) {
        (Some(kudzu), _) => program(&kudzu)?,
        (None, None) => program(&run::beside("kudzu"))?,
        (None, Some(_)) => PathBuf::new(),
    };
    Ok(run::Options {
        kudzu,
        whole: smaller.is_whole(),
        scenario: scenario.smaller(&smaller),
        references: !args.no_references,
        seed: args.arrivals,
        remote,
        root: args.runs,
        out: args.out,
        command: typed(std::env::args().skip(1)),
    })
}

/// The URL of an API, without a slash at its end.
fn http_url(text: &str) -> anyhow::Result<String> {
    let url: Option<reqwest::Url> = text.parse().ok();
    let known = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    anyhow::ensure!(known, "--api: write http://HOST:PORT, or https");
    Ok(text.trim_end_matches('/').to_owned())
}

/// What is no part of a report: a secret, and where things are on this machine.
const LEFT_OUT: [&str; 4] = ["--token", "--kudzu", "--out", "--runs"];

/// What was typed, without that.
fn typed(words: impl Iterator<Item = String>) -> String {
    let (mut typed, mut left_out) = (vec!["kudzu-loadtest".to_owned()], false);
    for word in words {
        let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
        let is_one = LEFT_OUT.contains(&name);
        if !std::mem::replace(&mut left_out, is_one && name == word) && !is_one {
            typed.push(word);
        }
    }
    typed.join(" ")
}

fn cold_options(args: Cold) -> anyhow::Result<cold::Options> {
    let Cold { kudzu, massdns, names, celery_names, rounds, seed, out } = args;
    let kudzu = program(&kudzu.unwrap_or_else(|| run::beside("kudzu")))?;
    Ok(cold::Options { kudzu, massdns, names, celery_names, rounds, seed, out })
}

fn chaos_options(args: Chaos) -> anyhow::Result<chaos::Options> {
    let Chaos { kudzu, seed, kills, jobs, scale, latency, coordinators, workers } = args;
    let (kudzu, latency) = (program(&kudzu)?, Duration::from_millis(latency));
    Ok(chaos::Options { kudzu, seed, kills, jobs, scale, latency, members: [coordinators, workers] })
}

async fn promise(args: Show) -> anyhow::Result<Value> {
    let Show { promise, kudzu, scale, jobs, seconds } = args;
    let (kudzu, time) = (program(&kudzu)?, Duration::from_secs(seconds));
    match promise {
        Promise::Accept => show::accept(&kudzu, jobs).await,
        Promise::Same => show::same(&kudzu, scale).await,
        Promise::Halfway => show::halfway(&kudzu, scale).await,
        Promise::Alarm => show::alarm(&kudzu, time).await,
        Promise::Redis => show::redis(&kudzu, scale).await,
        Promise::Cancel => show::cancel(&kudzu).await,
        Promise::Fairness => show::fairness(&kudzu).await,
        Promise::Polite => show::polite(&kudzu).await,
        Promise::Outlast => show::outlast(&kudzu, time).await,
    }
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    say(&(serde_json::to_string_pretty(value).context("write the report")? + "\n"))
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

/// Whoever listens no more misses nothing that is not in the folder.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_is_spoken_to_over_http() {
        assert_eq!(http_url("http://c:8080/").unwrap(), "http://c:8080");
        for wrong in ["c:8080", "ftp://c", "notaurl", "http://", ""] {
            assert!(http_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_secret_and_no_place_is_part_of_a_report() {
        let words = [
            "run",
            "steady",
            "--token",
            "s3cret",
            "--rate",
            "2",
            "--out=/here",
            "--kudzu",
            "/there",
            "--jobs=3",
        ];
        let typed = typed(words.into_iter().map(str::to_owned));
        assert_eq!(typed, "kudzu-loadtest run steady --rate 2 --jobs=3");
    }
}
