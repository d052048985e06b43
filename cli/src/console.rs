//! Standard output for data, standard error for everything else.

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use kudzu_shared::config::{Process, Vars};
use kudzu_shared::{escape, telemetry};

use crate::args::Global;
use crate::exit::{self, Outcome};

/// Width of a terminal that does not tell it.
const WIDTH: usize = 100;
/// Widths of a terminal that lines are made for.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=400;
/// Where nobody looks at columns, nothing is cut.
const NO_LIMIT: usize = usize::MAX / 2;

/// Where messages go.
#[derive(Debug, Clone)]
pub struct Console {
    quiet: bool,
    note: Option<String>,
}

impl Console {
    /// Sets up messages and logs as asked; a service tells what it does without being asked.
    pub fn new(global: &Global, is_service: bool) -> Self {
        let filter = match (global.quiet, global.verbose.max(is_service.into())) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info,hyper=warn,reqwest=warn,hickory_resolver=warn",
            (false, 2) => "debug,hyper=info,reqwest=info",
            (false, _) => "trace",
        };
        let asked = Process.get("KUDZU_LOG").filter(|v| !v.is_empty());
        let started = telemetry::init(asked.as_deref().unwrap_or(filter), global.log_format.into());
        let note = started.err().map(|e| format!("kudzu: no logs: {e}"));
        Self { quiet: global.quiet, note }
    }

    /// Says how it ended, and gives the code.
    pub fn finish(&mut self, outcome: Outcome) -> ExitCode {
        let code = exit::code(&outcome);
        if let Some(note) = self.note.take() {
            tell(&note);
        }
        if let Err(failure) = &outcome
            && code != 0
        {
            for (at, line) in failure.text().lines().enumerate() {
                let before = if at == 0 { "kudzu: " } else { "       " };
                tell(&format!("{before}{}", escape::terminal(line)));
            }
        }
        ExitCode::from(code)
    }

    /// Whether only errors are shown.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// A line on standard error.
pub fn tell(line: &str) {
    // A closed standard error must not end the work.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Standard output in large pieces; flush it, for a drop tells no error.
pub fn stdout() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// How text for people may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are written.
    pub colour: bool,
    /// Columns a line may have.
    pub width: usize,
}

impl Style {
    /// As standard output allows: colours on a terminal only, and never under `NO_COLOR`.
    pub fn of_stdout() -> Self {
        Self::of(io::stdout().is_terminal(), &Process, || console::Term::stdout().size_checked())
    }

    /// The same for standard error.
    pub fn of_stderr() -> Self {
        Self::of(io::stderr().is_terminal(), &Process, || console::Term::stderr().size_checked())
    }

    fn of(terminal: bool, vars: &dyn Vars, size: impl FnOnce() -> Option<(u16, u16)>) -> Self {
        let set = |name| vars.get(name).is_some_and(|v| !v.is_empty());
        let dumb = vars.get("TERM").is_some_and(|t| t == "dumb");
        let columns = vars.get("COLUMNS").and_then(|c| c.parse().ok());
        let width = size().filter(|_| terminal).map(|(_, columns)| usize::from(columns)).or(columns);
        let width = match width {
            Some(width) => width.clamp(*WIDTHS.start(), *WIDTHS.end()),
            None if terminal => WIDTH,
            None => NO_LIMIT,
        };
        Self { colour: terminal && !set("NO_COLOR") && !dumb, width }
    }

    /// Text in a colour, where colours are written.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", paint.code()) } else { text.to_owned() }
    }
}

/// What a part of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// A heading.
    Head,
    /// Beside the point.
    Dim,
    /// Good, or certain.
    Good,
    /// To look at.
    Warn,
    /// Wrong.
    Bad,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Head => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn colours_need_a_terminal_and_no_refusal() {
        let size = || Some((50, 120));
        let none = HashMap::<String, String>::new();
        assert_eq!(Style::of(true, &none, size), Style { colour: true, width: 120 });
        assert_eq!(Style::of(false, &none, size), Style { colour: false, width: NO_LIMIT });
        let refused = HashMap::from([("NO_COLOR".to_owned(), "1".to_owned())]);
        assert!(!Style::of(true, &refused, size).colour);
        let dumb = HashMap::from([("TERM".to_owned(), "dumb".to_owned())]);
        assert!(!Style::of(true, &dumb, || None).colour);
    }

    #[test]
    fn paint_is_plain_without_colour() {
        let plain = Style { colour: false, width: 80 };
        assert_eq!(plain.paint(Paint::Bad, "x"), "x");
        assert_eq!(Style { colour: true, width: 80 }.paint(Paint::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
