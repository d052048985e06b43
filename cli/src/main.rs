//! The binary `kudzu`; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use kudzu_cli::{Cli, console::Console, exit, files, interrupt};
use kudzu_shared::telemetry::otlp;

/// Millions of small pieces pass between tasks: a quarter of the time went into the system's
/// allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_clap(&error),
    };
    let mut console = Console::new(&cli.global, cli.command.is_service());
    files::raise_limit();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| exit::Failure::failed(format!("start the runtime: {e}")))
        .and_then(|runtime| {
            let outcome = match cli.command.leaves_signals() {
                true => runtime.block_on(kudzu_cli::run(cli)),
                false => runtime.block_on(interrupt::guarded(kudzu_cli::run(cli))),
            };
            otlp::stop();
            // What still runs must not keep an interrupted command alive.
            runtime.shutdown_background();
            outcome
        });
    console.finish(outcome)
}
