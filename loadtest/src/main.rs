//! The command: what it measures goes to standard output as JSON.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kudzu_loadtest::chaos;

/// Runs whole clusters of real processes, breaks them, and measures what comes of it.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run jobs while everything around them is killed, frozen, cut off and restarted
    Chaos {
        /// The program
        #[arg(long, default_value = "target/release/kudzu")]
        kudzu: PathBuf,
        /// What follows from chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Kills of processes, at least
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// Jobs at a time
        #[arg(long, default_value_t = 20)]
        jobs: usize,
        /// Size of the simulated internet
        #[arg(long, default_value_t = 0.1)]
        scale: f64,
        /// Milliseconds before each answer
        #[arg(long, default_value_t = 50)]
        latency: u64,
        /// Coordinators
        #[arg(long, default_value_t = 2)]
        coordinators: usize,
        /// Workers
        #[arg(long, default_value_t = 3)]
        workers: usize,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let logs = kudzu_shared::telemetry::init("info,hyper=warn,reqwest=warn", Default::default());
    let ran = logs.context("set up the logs").and_then(|()| run(cli));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kudzu-loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
fn run(cli: Cli) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start")?;
    let Command::Chaos { kudzu, seed, kills, jobs, scale, latency, coordinators, workers } = cli.command;
    let kudzu = kudzu.canonicalize().with_context(|| format!("--kudzu {}", kudzu.display()))?;
    let latency = Duration::from_millis(latency);
    let options =
        chaos::Options { kudzu, seed, kills, jobs, scale, latency, members: [coordinators, workers] };
    let report = runtime.block_on(chaos::run(&options))?;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report).context("write the report")?;
    writeln!(out)?;
    Ok(report.holds())
}
