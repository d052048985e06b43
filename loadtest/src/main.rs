//! The command.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use kudzu_loadtest::args::Cli;
use kudzu_loadtest::commands;

/// Something did not hold.
const MISSED: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let logs = kudzu_shared::telemetry::init("info,hyper=warn,reqwest=warn", Default::default());
    let ran = logs.context("set up the logs").and_then(|()| commands::execute(cli));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSED),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kudzu-loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
