//! How the command ends: four codes, and a failure that says what to do.

use std::io;
use std::process::ExitCode;

/// How a command ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it.
    Complete,
    /// What there was until a deadline or an interrupt.
    Partial,
}

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    /// It was asked for something that makes no sense: exit code 2.
    Usage(anyhow::Error),
    /// It was asked well and could not: exit code 1.
    Failed(anyhow::Error),
}

impl Failure {
    /// A wrong argument, setting or input.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::Usage(anyhow::Error::msg(what.into()))
    }

    /// A failure of the work itself.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(anyhow::Error::msg(what.into()))
    }

    fn error(&self) -> &anyhow::Error {
        match self {
            Self::Usage(e) | Self::Failed(e) => e,
        }
    }

    /// Whether the reader of standard output is gone, which is its good right.
    pub fn is_closed_pipe(&self) -> bool {
        let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
        self.error().chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(broken))
    }

    /// What failed and why, in one line each.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (at, cause) in self.error().chain().enumerate() {
            let cause = cause.to_string();
            // Some errors repeat their source in their own text.
            if at > 0 && text.contains(&cause) {
                continue;
            }
            if at > 0 {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
        text
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(anyhow::Error::new(error).context("write the output"))
    }
}

/// What a command returns.
pub type Outcome = Result<End, Failure>;

/// The exit code of an outcome: 0 complete, 1 failed, 2 usage, 3 partial.
pub fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Ok(End::Complete) => 0,
        Ok(End::Partial) => 3,
        Err(Failure::Usage(_)) => 2,
        Err(failure) if failure.is_closed_pipe() => 0,
        Err(Failure::Failed(_)) => 1,
    }
}

/// Prints what clap says (help is no error) and gives its exit code.
pub fn of_clap(error: &clap::Error) -> ExitCode {
    // Where even this cannot be written there is nobody to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn each_end_has_its_code() {
        let pipe = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(code(&Ok(End::Complete)), 0);
        assert_eq!(code(&Err(full)), 1);
        assert_eq!(code(&Err(Failure::usage("x"))), 2);
        assert_eq!(code(&Ok(End::Partial)), 3);
        assert_eq!(code(&Err(pipe)), 0);
    }

    #[test]
    fn a_failure_names_each_cause_once() {
        let inner = io::Error::other("disk on fire");
        let error = Err::<(), _>(inner).context("write tree.ndjson: disk on fire").unwrap_err();
        assert_eq!(Failure::Failed(error.context("save")).text(), "save: write tree.ndjson: disk on fire");
    }
}
