//! The arguments of the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What the exit code says.
const EXITS: &str = "Exit codes: 0 everything holds, 1 it could not be done, 2 wrong arguments, \
                     3 a check is missed, or a job is lost or wrong.";

/// Runs whole clusters of real processes, loads them, breaks them, and measures what comes of it.
#[derive(Debug, Parser)]
#[command(version)]
#[command(after_help = EXITS)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a scenario on a fresh cluster, or on one that runs already
    Run(Box<Run>),
    /// Compare two runs, figure by figure
    Compare(Compare),
    /// Look up cold names, beside massdns and Celery
    Cold(Cold),
    /// Run jobs while everything around them is killed, frozen, cut off and restarted
    Chaos(Chaos),
    /// Show one promise on real servers
    Show(Show),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Name of a scenario, or a TOML file of one's own
    #[arg(required_unless_present = "list")]
    pub scenario: Option<String>,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// The program [default: kudzu beside this command]
    #[arg(long, value_name = "FILE")]
    pub kudzu: Option<PathBuf>,
    /// Form of the summary, or of the list
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Folder of the run, empty or not there yet [default: a new one in --runs, by day and scenario]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where runs are kept
    #[arg(long, value_name = "DIR", default_value = "loadtest/runs")]
    pub runs: PathBuf,
    /// Compare trees with each other only, not with those of one process
    #[arg(long)]
    pub no_references: bool,
    /// What arrivals with a rate derive from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub arrivals: u64,
    /// Another load, or a smaller one
    #[command(flatten)]
    pub smaller: Smaller,
    /// A cluster that runs already
    #[command(flatten)]
    pub remote: Remote,
}

/// What makes a scenario smaller, or its load another.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct Smaller {
    /// Multiply the size of the world by this
    #[arg(long, value_name = "X", value_parser = positive)]
    pub size: Option<f64>,
    /// How long loads with a rate go on
    #[arg(long, value_name = "N", value_parser = positive)]
    pub seconds: Option<f64>,
    /// Jobs at once, at most
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub jobs: Option<usize>,
    /// Jobs a second of loads with a rate; checks count all the same
    #[arg(long, value_name = "N", value_parser = positive)]
    pub rate: Option<f64>,
    /// Run this arm only (repeatable)
    #[arg(long, value_name = "NAME")]
    pub arm: Vec<String>,
}

/// The most of anything that is asked for: more is a slip of the finger, and fills memory.
const MOST: f64 = 1e6;

fn positive(text: &str) -> Result<f64, String> {
    let fits = |x: &f64| *x > 0.0 && *x <= MOST;
    text.parse().ok().filter(fits).ok_or_else(|| format!("give a number above 0, up to {MOST}"))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let fits = |n: &usize| (1..=MOST as usize).contains(n);
    text.parse().ok().filter(fits).ok_or_else(|| format!("give a whole number from 1 to {MOST}"))
}

/// A cluster that runs already.
#[derive(Debug, Args)]
#[command(next_help_heading = "A running cluster")]
pub struct Remote {
    /// A coordinator's API (repeatable); nothing is started then
    #[arg(long, value_name = "URL", requires = "seeds")]
    pub api: Vec<String>,
    /// Token of a tenant
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KUDZU_CLIENT__TOKEN",
        hide_env_values = true,
        default_value = ""
    )]
    pub token: String,
    /// File with indicators to start from, one a line
    #[arg(long, value_name = "FILE", requires = "api")]
    pub seeds: Option<PathBuf>,
    /// The present of its jobs [default: now]
    #[arg(long, value_name = "TIME", requires = "api")]
    pub at: Option<String>,
}

/// Form of what goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Tables
    #[default]
    Text,
    /// One document
    Json,
}

/// Options of `cold`.
#[derive(Debug, Args)]
pub struct Cold {
    /// The program [default: kudzu beside this command]
    #[arg(long, value_name = "FILE")]
    pub kudzu: Option<PathBuf>,
    /// The source of massdns; without it massdns is left out
    #[arg(long, value_name = "DIR")]
    pub massdns: Option<PathBuf>,
    /// Names
    #[arg(long, value_name = "N", default_value_t = 400_000)]
    pub names: usize,
    /// How many of them Celery looks up; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub celery_names: usize,
    /// Rounds, each with all of them in turn
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// What the names follow from
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub seed: u64,
    /// Folder of the run [default: by the day, in loadtest/runs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// Folder of a run
    pub before: PathBuf,
    /// Folder of another
    pub after: PathBuf,
    /// Form of the comparison
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Options of `chaos`.
#[derive(Debug, Args)]
pub struct Chaos {
    /// The program
    #[arg(long, default_value = "target/release/kudzu")]
    pub kudzu: PathBuf,
    /// What follows from chance
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Kills of processes, at least
    #[arg(long, default_value_t = 200)]
    pub kills: u32,
    /// Jobs at a time
    #[arg(long, default_value_t = 20)]
    pub jobs: usize,
    /// Size of the simulated internet
    #[arg(long, default_value_t = 0.1)]
    pub scale: f64,
    /// Milliseconds before each answer
    #[arg(long, default_value_t = 50)]
    pub latency: u64,
    /// Coordinators
    #[arg(long, default_value_t = 2)]
    pub coordinators: usize,
    /// Workers
    #[arg(long, default_value_t = 3)]
    pub workers: usize,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Which
    #[arg(value_enum)]
    pub promise: Promise,
    /// The program
    #[arg(long, default_value = "target/release/kudzu")]
    pub kudzu: PathBuf,
    /// Size of the simulated internet, where it matters
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Jobs, where they are counted
    #[arg(long, default_value_t = 100)]
    pub jobs: usize,
    /// Seconds, where it takes a time
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
}

/// What a cluster promises.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Promise {
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_running_cluster_needs_seeds() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["kudzu-loadtest", "run"], args].concat());
        assert!(parse(&["headline", "--api", "http://c:8080"]).is_err());
        assert!(parse(&["headline", "--api", "http://c:8080", "--seeds", "list.txt"]).is_ok());
        assert!(parse(&["--list"]).is_ok() && parse(&[]).is_err());
    }
}
