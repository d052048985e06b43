//! Any program that ends with whoever started it.

use std::path::Path;
use std::process::Command;

use crate::ServerError;
use crate::child::Server;

/// A process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process(Server);

impl Process {
    /// Starts a program, its output in a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, set: impl FnOnce(&mut Command), log: &Path) -> Result<Self, ServerError> {
        let started = Server::start(&program.to_string_lossy(), set, log);
        let failed = |source| ServerError::Start { program: "a process of the cluster", source };
        started.map(Self).map_err(failed)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.ended()
    }
}
