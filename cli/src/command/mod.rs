//! The commands, one file each.

mod completions;
mod config;
mod demo;
mod enrich;
mod explain;
mod output;
mod pivot;
mod resolve;
mod simnet;
mod sources;

use crate::args::{Cli, Command};
use crate::exit::Outcome;

/// Runs the command that was given.
///
/// # Errors
/// When it cannot do its work.
pub async fn run(cli: Cli) -> Outcome {
    let Cli { global, command } = cli;
    match command {
        Command::Demo(args) => demo::run(&global, &args).await,
        Command::Pivot(args) => pivot::run(&global, &args).await,
        Command::Enrich(args) => enrich::run(&global, &args).await,
        Command::Resolve(args) => resolve::run(&global, &args).await,
        Command::Sources(args) => sources::run(&global, &args),
        Command::Simnet(args) => simnet::run(&global, &args).await,
        Command::Explain(args) => explain::run(&args),
        Command::Config(args) => config::run(&global, &args),
        Command::Completions(args) => completions::run(&args),
    }
}
