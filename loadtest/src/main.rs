//! The command: what it measures goes to standard output as JSON.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use kudzu_loadtest::{chaos, cold, show};

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
    /// Look up cold names beside massdns and Celery
    Cold {
        /// The program
        #[arg(long, default_value = "target/release/kudzu")]
        kudzu: PathBuf,
        /// The source of massdns; without it massdns is left out
        #[arg(long)]
        massdns: Option<PathBuf>,
        /// Names
        #[arg(long, default_value_t = 400_000)]
        names: usize,
        /// How many of them Celery looks up; 0 leaves it out
        #[arg(long, default_value_t = 20_000)]
        celery_names: usize,
        /// Rounds, each with all of them in turn
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// What the names follow from
        #[arg(long, default_value_t = 5)]
        seed: u64,
        /// Where the report goes; by default to loadtest/runs, by the day
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Show one promise on real servers
    Show {
        /// Which
        #[arg(value_enum)]
        promise: Promise,
        /// The program
        #[arg(long, default_value = "target/release/kudzu")]
        kudzu: PathBuf,
        /// Size of the simulated internet, where it matters
        #[arg(long, default_value_t = 1.0)]
        scale: f64,
        /// Jobs, where they are counted
        #[arg(long, default_value_t = 100)]
        jobs: usize,
        /// Seconds, where it takes a time
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
}

/// What a cluster promises.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Promise {
    /// 202, then SIGKILL of who said so, a hundred times
    Accept,
    /// The same tree as of one process
    Same,
    /// A coordinator killed half-way with Redis empty: what is asked again
    Halfway,
    /// RabbitMQ short of memory for a minute
    Alarm,
    /// Redis away for a whole job
    Redis,
    /// A cancel with 100,000 lookups registered
    Cancel,
    /// Fifty small jobs beside a giant one
    Fairness,
    /// Eight workers and an upstream with a rate
    Polite,
    /// A job that outlasts RabbitMQ's consumer timeout
    Outlast,
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
    let program =
        |kudzu: PathBuf| kudzu.canonicalize().with_context(|| format!("--kudzu {}", kudzu.display()));
    let (holds, report) = match cli.command {
        Command::Chaos { kudzu, seed, kills, jobs, scale, latency, coordinators, workers } => {
            let (kudzu, latency) = (program(kudzu)?, Duration::from_millis(latency));
            let members = [coordinators, workers];
            let options = chaos::Options { kudzu, seed, kills, jobs, scale, latency, members };
            let report = runtime.block_on(chaos::run(&options))?;
            (report.holds(), serde_json::to_value(&report).context("write the report")?)
        }
        Command::Cold { kudzu, massdns, names, celery_names, rounds, seed, out } => {
            let kudzu = program(kudzu)?;
            let options = cold::Options { kudzu, massdns, names, celery_names, rounds, seed, out };
            let report = runtime.block_on(cold::run(&options))?;
            (report.holds(), serde_json::to_value(&report).context("write the report")?)
        }
        Command::Show { promise, kudzu, scale, jobs, seconds } => {
            let (kudzu, time) = (program(kudzu)?, Duration::from_secs(seconds));
            let report = runtime.block_on(async {
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
            })?;
            (report["holds"] == true, report)
        }
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report).context("write the report")?;
    writeln!(out)?;
    Ok(holds)
}
