//! `kudzu completions`

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::console;
use crate::exit::{End, Outcome};

pub fn run(args: &Completions) -> Outcome {
    // It panics on a closed pipe, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kudzu", &mut script);
    let mut out = console::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(End::Complete)
}
