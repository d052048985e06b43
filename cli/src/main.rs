//! The binary `kudzu`; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use kudzu_cli::{Cli, allocator, console::Console, exit, files, interrupt};
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
        .on_thread_park(allocator::when_idle)
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

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    fn resident_kib() -> u64 {
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[test]
    fn what_is_freed_is_given_back() {
        let before = resident_kib();
        // As in a job: one thread makes it, another is the last to hold it, a third gives back.
        let held: Vec<Vec<u8>> = (0..100_000).map(|n| vec![n as u8; 1_000]).collect();
        assert!(resident_kib() > before + 90_000, "it is in use");
        thread::spawn(move || drop(held)).join().expect("it only frees");
        thread::spawn(allocator::give_back).join().expect("it only gives back");
        allocator::when_idle();
        assert!(resident_kib() < before + 20_000, "{} KiB, {before} before", resident_kib());
    }
}
