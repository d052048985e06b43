//! The commands, one file each.

mod completions;
mod config;
mod coordinator;
mod demo;
mod enrich;
mod explain;
mod fetch;
mod output;
mod pivot;
mod resolve;
mod simnet;
mod sources;
mod submit;
mod token;
mod up;
mod version;
mod worker;
mod worker_child;

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
        Command::Coordinator(args) => coordinator::run(&global, &args).await,
        Command::Worker(args) => worker::run(&global, &args).await,
        Command::WorkerChild(args) => worker_child::run(&global, &args).await,
        Command::Submit(args) => submit::submit(&global, &args).await,
        Command::Watch(args) => submit::watch(&global, &args).await,
        Command::Get(args) => submit::get(&global, &args).await,
        Command::List(args) => submit::list(&global, &args).await,
        Command::Cancel(args) => submit::act(&global, &args, "/cancel").await,
        Command::Replay(args) => submit::act(&global, &args, "/replay").await,
        Command::Up(args) => up::run(&global, &args).await,
        Command::Token(args) => token::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Config(args) => config::run(&global, &args),
        Command::Version(args) => version::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
