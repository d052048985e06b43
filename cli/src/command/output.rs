//! A result in the form that was asked for: on standard output, and in a folder.

use std::io::{self, Write};

use kudzu_coordinator::model::{Coverage, JobResult, State};
use kudzu_coordinator::tree::write::Written;
use kudzu_shared::observable::Observable;

use crate::args::job::{OutputArgs, ResultFormat};
use crate::console::{self, Style, tell};
use crate::exit::{End, Failure, Outcome};
use crate::results::{Folder, Memory, Summary};
use crate::truth::Score;
use crate::view::coverage::{self, Known};
use crate::view::json::escaped;
use crate::view::page::{self, Look, Seen};
use crate::view::text::count;

/// A result and what belongs to it.
pub struct Finished {
    /// The result.
    pub result: JobResult,
    /// Memory before the submit and at the end.
    pub memory: [Memory; 2],
    /// What was found of what a simulated internet hides.
    pub truth: Option<Score>,
}

/// Checks what can be known to be wrong before the work starts, and opens the folder.
///
/// # Errors
/// When options contradict each other, or the folder cannot take a result.
pub fn prepare(args: &OutputArgs) -> Result<(Option<Folder>, Option<Observable>), Failure> {
    if args.defang && matches!(args.format, ResultFormat::Json | ResultFormat::Ndjson) {
        return Err(Failure::usage("--defang is for people: use it with --format tree or csv"));
    }
    if args.under.is_some() && args.format != ResultFormat::Tree {
        return Err(Failure::usage("--under is for people: use it with --format tree"));
    }
    let under = args.under.as_deref().map(Observable::parse).transpose();
    let under = under.map_err(|e| Failure::usage(format!("--under: {e}")))?;
    let folder = args.out.as_deref().map(|path| Folder::open(path, args.force)).transpose()?;
    Ok((folder, under))
}

/// Writes a result everywhere it belongs.
///
/// # Errors
/// When something cannot be written.
pub fn present(
    finished: &Finished,
    args: &OutputArgs,
    folder: Option<&Folder>,
    under: Option<&Observable>,
    quiet: bool,
) -> Outcome {
    let result = &finished.result;
    // First what is kept, then what is only shown.
    let kept = match folder {
        Some(folder) => {
            let written = folder.write_tree(result)?;
            folder.finish(result, &summary(finished, &written))?;
            Some(written)
        }
        None => None,
    };
    match show(finished, args, under, kept, quiet) {
        // Who reads has enough; how the job ended is true all the same.
        Err(failure) if failure.is_closed_pipe() => {}
        shown => shown?,
    }
    ended(result.state, &result.coverage)
}

/// What is to be said of how a job ended.
///
/// # Errors
/// When nothing is known at all.
pub fn ended(state: State, asked: &Coverage) -> Outcome {
    if state != State::Complete {
        return Ok(End::Partial);
    }
    match coverage::known(asked) {
        Known::Nothing(lookups) => Err(Failure::failed(format!(
            "nothing is known: all {} lookups failed, and the coverage says how",
            count(lookups)
        ))),
        Known::NotAsked => {
            tell("nothing was asked: policy, scope or settings rule out every source");
            Ok(End::Complete)
        }
        Known::Something => Ok(End::Complete),
    }
}

/// Writes a result to standard output, and its figures to standard error.
fn show(
    finished: &Finished,
    args: &OutputArgs,
    under: Option<&Observable>,
    kept: Option<Written>,
    quiet: bool,
) -> Result<(), Failure> {
    let result = &finished.result;
    let mut out = console::stdout();
    let written = match args.format {
        ResultFormat::Ndjson => result.tree.write_ndjson(&mut out, result.partial)?,
        ResultFormat::Json => json(&mut out, finished)?,
        ResultFormat::Csv | ResultFormat::Tree => match kept {
            Some(written) => written,
            None => result.tree.write_ndjson(&mut io::sink(), result.partial)?,
        },
    };
    let summary = summary(finished, &written);
    let (tree, stubs) = (&result.tree, written.stubs);
    let seen = Seen { tree, candidates: result.candidates(), summary: &summary, stubs };
    match args.format {
        ResultFormat::Tree => page::terminal(&mut out, &seen, look(args), under)?,
        ResultFormat::Csv => page::csv(&mut out, &seen, args.defang)?,
        ResultFormat::Json | ResultFormat::Ndjson => {}
    }
    out.flush()?;
    if !quiet {
        if args.format != ResultFormat::Tree {
            for line in page::closing(&summary, written.stubs) {
                tell(&line);
            }
        }
        if let Some(path) = &args.out {
            tell(&format!("result in {}", path.display()));
        }
    }
    Ok(())
}

/// How people see it on this terminal.
pub fn look(args: &OutputArgs) -> Look {
    Look { style: Style::of_stdout(), defang: args.defang, full: args.full, depth: args.show_depth }
}

fn summary<'a>(finished: &'a Finished, written: &Written) -> Summary<'a> {
    Summary::new(&finished.result, written, finished.memory, finished.truth.clone())
}

/// One document; the tree's lines are the elements of an array.
fn json(out: &mut dyn Write, finished: &Finished) -> io::Result<Written> {
    let result = &finished.result;
    page::document(
        out,
        |tree| result.tree.write_ndjson(tree, result.partial),
        |written| Ok([escaped(&result.candidates())?, escaped(&summary(finished, written))?]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defanged_json_is_refused_before_the_work() {
        let args = OutputArgs { defang: true, format: ResultFormat::Json, ..OutputArgs::default() };
        assert!(matches!(prepare(&args), Err(Failure::Usage(_))));
        let args = OutputArgs { under: Some("a..b".into()), ..OutputArgs::default() };
        assert!(prepare(&args).unwrap_err().text().starts_with("--under: `a..b`"));
    }
}
