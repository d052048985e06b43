//! What one would build with Celery: a task a name, over a RabbitMQ and a Redis of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kudzu_servers::{Process, RabbitMq, Redis};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::names::{Names, Score};
use super::processor::{Sample, Used};
use super::run::run;

const FILES: [(&str, &str); 2] = [
    ("tasks.py", include_str!("../../celery/tasks.py")),
    ("drive.py", include_str!("../../celery/drive.py")),
];
const REQUIREMENTS: &str = include_str!("../../celery/requirements.txt");
const LIMIT: Duration = Duration::from_secs(1_800);
/// How long a worker may take to end.
const END: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// How its worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// `prefork` or `gevent`.
    pub kind: &'static str,
    /// Tasks at a time.
    pub tasks: usize,
    /// Tasks taken ahead, for each of those.
    pub prefetch: usize,
}

/// Those that are tried; one of them is its best.
pub const POOLS: [Pool; 3] = [
    Pool { kind: "prefork", tasks: 2, prefetch: 32 },
    Pool { kind: "prefork", tasks: 4, prefetch: 32 },
    Pool { kind: "gevent", tasks: 200, prefetch: 1 },
];

/// Celery, installed.
#[derive(Debug)]
pub struct Celery {
    programs: PathBuf,
    folder: PathBuf,
    server: String,
}

/// One run of it.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// How its worker ran.
    pub pool: Pool,
    /// Seconds from the first submit to the last result.
    pub seconds: f64,
    /// Until all were submitted.
    pub submit_seconds: f64,
    /// Tasks a second.
    pub rate: f64,
    /// Seconds of the processor, by what used them.
    pub processor: Used,
    /// What it answered.
    pub score: Score,
}

/// What the driver says.
#[derive(Debug, Deserialize)]
struct Said {
    seconds: f64,
    submit_seconds: f64,
    processor: f64,
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -c {}", self.kind, self.tasks)
    }
}

impl Celery {
    /// Installs it in the cache, unless it is there.
    ///
    /// # Errors
    /// When Python or the network is missing.
    pub async fn set_up(folder: &Path, server: &str) -> anyhow::Result<Self> {
        let folder = folder.join("celery");
        std::fs::create_dir_all(&folder).context("make a folder for Celery")?;
        for (name, text) in FILES {
            std::fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
        }
        let digest: String =
            Sha256::digest(REQUIREMENTS).iter().take(6).map(|b| format!("{b:02x}")).collect();
        let installed = cache().context("set HOME: Celery is kept below it")?;
        let installed = installed.join("kudzu-tools").join(format!("celery-{digest}"));
        // Written last: what is half installed is installed again.
        let done = installed.join("installed");
        let programs = installed.join("bin");
        if !done.is_file() {
            let list = folder.join("requirements.txt");
            std::fs::write(&list, REQUIREMENTS).context("write the requirements of Celery")?;
            tracing::info!("install Celery");
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv", "--clear"]).arg(&installed);
            run(&mut venv, LIMIT)
                .await
                .context("make a Python environment: install the system package python3-venv")?;
            let mut pip = Command::new(programs.join("pip"));
            pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list);
            run(&mut pip, LIMIT).await.context("install Celery")?;
            std::fs::write(&done, "").context("note that Celery is installed")?;
        }
        Ok(Self { programs, folder, server: server.to_owned() })
    }

    /// Looks all of them up.
    ///
    /// # Errors
    /// When it fails, or a result does not come.
    pub async fn run(&self, names: &Names, pool: Pool) -> anyhow::Result<Run> {
        let (rabbit, redis) = tokio::task::block_in_place(|| (RabbitMq::start_calm(), Redis::start()));
        let (rabbit, redis) = (rabbit.context("start RabbitMQ")?, redis.context("start Redis")?);
        let environment = [
            ("COLD_BROKER", rabbit.uri()),
            ("COLD_BACKEND", redis.uri()),
            ("COLD_DNS", self.server.clone()),
            ("COLD_PREFETCH", pool.prefetch.to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ];
        let log = self.folder.join("worker.log");
        let set = |command: &mut std::process::Command| {
            command.envs(environment.clone()).current_dir(&self.folder);
            // None of this is needed by one worker.
            command.args(["-A", "tasks", "worker", "--without-gossip", "--without-mingle"]);
            command.args(["--without-heartbeat", "-l", "WARNING", "-Q", "cold", "-P", pool.kind, "-c"]);
            command.arg(pool.tasks.to_string());
        };
        let worker = Process::start(&self.programs.join("celery"), set, &log).context("start Celery")?;
        let (list, out) = (self.folder.join("names"), self.folder.join("out"));
        names.write(&list).context("write the names")?;
        let mut drive = Command::new(self.programs.join("python"));
        drive.arg("drive.py").arg(&list).arg(&out).envs(environment.clone()).current_dir(&self.folder);
        let marker = self.folder.join("begun");
        // None is left of a run before.
        let _ = std::fs::remove_file(&marker);
        let ran = {
            let mut ran = std::pin::pin!(run(&mut drive, LIMIT));
            tokio::select! {
                ran = &mut ran => ran.map(|(_, said)| (said, Sample::default())),
                before = begun(&marker) => ran.await.map(|(_, said)| (said, before)),
            }
        };
        let after = Sample::take();
        let ended = end(worker).await;
        let (said, before) =
            ran.with_context(|| format!("Celery, {pool}; its worker said: {}", tail(&log)))?;
        ended?;
        let said: Said = serde_json::from_str(&said).context("read what the driver says")?;
        let mut processor = after.since(&before);
        processor.insert("driver".into(), said.processor);
        let answers = std::fs::read_to_string(&out).context("read what Celery answers")?;
        Ok(Run {
            pool,
            seconds: said.seconds,
            submit_seconds: said.submit_seconds,
            rate: names.count() as f64 / said.seconds,
            processor,
            score: names.score(answers.lines().flat_map(rows)),
        })
    }
}

/// Waits until the worker is up, and takes a sample: its start is not measured.
async fn begun(marker: &Path) -> Sample {
    while !marker.exists() {
        tokio::time::sleep(LOOK).await;
    }
    Sample::take()
}

/// Ends the worker, with the processes it has started.
async fn end(mut worker: Process) -> anyhow::Result<()> {
    let id = i32::try_from(worker.id()).ok().and_then(Pid::from_raw).context("the worker has no id")?;
    // It may have ended.
    let _ = kill_process(id, Signal::TERM);
    let until = Instant::now() + END;
    while worker.ended().is_none() {
        if Instant::now() > until {
            bail!("Celery's worker does not end");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A line has a name and its addresses; without any, the name is lost.
fn rows(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    words.map(move |address| (name, address))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// What this is, and on what it runs: the lines of the requirements that a reader knows.
pub fn versions() -> String {
    let known = ["celery==", "dnspython==", "gevent==", "redis==", "kombu=="];
    let lines = REQUIREMENTS.lines().filter(|l| known.iter().any(|k| l.starts_with(k)));
    lines.map(|l| l.replace("==", " ")).collect::<Vec<_>>().join(", ")
}

fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read() {
        let read = |line| rows(line).collect::<Vec<_>>();
        assert_eq!(read("a.test 10.0.0.1 10.0.0.2"), [("a.test", "10.0.0.1"), ("a.test", "10.0.0.2")]);
        assert_eq!(read("a.test"), []);
    }

    #[test]
    fn every_requirement_is_pinned() {
        let lines = REQUIREMENTS.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        assert!(lines.clone().all(|l| l.split_once("==").is_some_and(|(_, v)| !v.is_empty())));
        assert!(lines.count() > 10 && versions().starts_with("celery "), "{}", versions());
    }
}
