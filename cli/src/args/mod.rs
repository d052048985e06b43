//! The command line, as clap reads it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kudzu_shared::telemetry;

pub mod cluster;
pub mod job;
pub mod resolve;
pub mod simnet;

use job::{Demo, Enrich, Pivot};
use resolve::Resolve;
use simnet::Simnet;

/// From one attacking address or domain to everything related to it, and to the domains
/// from which the next attack is likely to come.
#[derive(Debug, Parser)]
#[command(name = "kudzu", version = crate::VERSION, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 complete, 1 failed, 2 usage, 3 partial (deadline or interrupt).\n\
    Data goes to standard output, everything else to standard error.")]
pub struct Cli {
    /// Of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Settings file [default: ./kudzu.toml, then ~/.config/kudzu/kudzu.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, any that kudzu.toml has: --set dns.rate=50 --set
    /// pdns.rate=5 (repeatable; secrets belong in the environment:
    /// KUDZU_PDNS__PASSWORD)
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Show errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show logs (-vv more, -vvv everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines look [default: text on a terminal, JSON elsewhere]
    #[arg(long, global = true, value_enum, default_value_t, hide_default_value = true)]
    pub log_format: LogFormat,
}

impl Global {
    /// The same for another process of this program.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = Vec::new();
        if let Some(file) = &self.config {
            args.extend(["--config".into(), file.clone().into_os_string()]);
        }
        args.extend(self.settings.iter().map(|setting| format!("--set={setting}").into()));
        args.extend(self.quiet.then(|| "--quiet".into()));
        args.extend((0..self.verbose).map(|_| "--verbose".into()));
        args
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything offline: a simulated internet, and a pivot from an attack in it
    Demo(Box<Demo>),
    /// Find everything related to indicators, and rank where the next attack may come from
    Pivot(Box<Pivot>),
    /// Look up many indicators once each, one row an indicator
    Enrich(Box<Enrich>),
    /// Ask DNS about any number of names, streamed
    Resolve(Box<Resolve>),
    /// List the sources: what they take and return, whom they reach, and whether they work
    Sources(Sources),
    /// Serve the simulated internet, or print what it hides
    Simnet(Box<Simnet>),
    /// Coordinate a cluster: take jobs over the API, and run them
    Coordinator(cluster::Coordinator),
    /// Work in a cluster: take lookups, ask, answer
    Worker(cluster::Worker),
    /// Look up what a worker says on standard input; a worker starts it
    #[command(hide = true)]
    WorkerChild(cluster::WorkerChild),
    /// Submit a job to a cluster, and follow it
    Submit(Box<cluster::Submit>),
    /// Follow a job of a cluster to its end, and show its result
    Watch(cluster::Fetch),
    /// Show the result of a job of a cluster
    Get(cluster::Fetch),
    /// List the jobs of a cluster
    List(cluster::List),
    /// Ask a job of a cluster to end with what there is
    Cancel(cluster::OneJob),
    /// Ask again what failed or died in a job of a cluster: a new job that knows the rest
    Replay(cluster::OneJob),
    /// Start a whole cluster on this machine, with a simulated internet, to try it out
    Up(cluster::Up),
    /// Make a token for the API, and what the settings say of it
    Token(cluster::Token),
    /// Say why something is in a result: the ways from a seed to it
    Explain(Explain),
    /// Look at the settings in force
    Config(Config),
    /// Say which build this is
    Version(Version),
    /// Print completions for a shell
    Completions(Completions),
}

impl Command {
    /// Whether it runs until it is told to end.
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Coordinator(_) | Self::Worker(_))
    }

    /// Whether a signal ends it at once: a worker tells by that whether somebody ended its child.
    pub fn leaves_signals(&self) -> bool {
        matches!(self, Self::WorkerChild(_))
    }
}

/// Options of `kudzu sources`.
#[derive(Debug, Args)]
pub struct Sources {
    /// Form of the list
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
    /// A local pair set: a CSV file or passive DNS in the Common Output Format (repeatable)
    #[arg(long, value_name = "NAME=FILE")]
    pub pairs: Vec<String>,
}

/// Options of `kudzu explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The folder given with --out, or a tree.ndjson
    pub result: PathBuf,
    /// What to explain
    pub observable: String,
    /// Ways shown to each parent, the shortest first
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub ways: u16,
    /// Parents shown
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub parents: u16,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
    /// Write observables so that nobody clicks on them
    #[arg(long)]
    pub defang: bool,
}

/// Options of `kudzu config`.
#[derive(Debug, Args)]
pub struct Config {
    /// What to do
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What `kudzu config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Check all settings and name every error at once
    Check {
        /// Form of the answer
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
    /// Print the settings in force, secrets redacted
    Dump {
        /// Form: text is TOML
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
}

/// Options of `kudzu version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub format: ListFormat,
}

/// Options of `kudzu completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Form of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ListFormat {
    /// For people
    #[default]
    Text,
    /// For scripts
    Json,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// Text
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogFormat> for telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Auto => Self::Auto,
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_options_of_every_command_come_through() {
        let given = ["kudzu", "worker", "--config", "a b.toml", "--set", "dns.rate=5", "--set=x.y=-1", "-vv"];
        let given = Cli::try_parse_from(given).unwrap().global;
        let args = [OsString::from("kudzu"), "worker".into()].into_iter().chain(given.to_args());
        let again = Cli::try_parse_from(args).unwrap().global;
        assert_eq!((again.config, again.settings), (given.config, given.settings));
        assert_eq!((again.quiet, again.verbose), (false, 2));
    }

    #[test]
    fn every_command_and_option_is_explained() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
            }
            open.extend(command.get_subcommands().cloned());
        }
    }
}
