//! Redis, one node, in memory only.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::child::Server;
use crate::{ServerError, free_port};

const LIMIT: Duration = Duration::from_secs(20);

/// A private Redis. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    server: Option<Server>,
    folder: TempDir,
    port: u16,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        let failed = |source| ServerError::Start { program: "redis-server", source };
        let folder = tempfile::Builder::new().prefix("kudzu-redis-").tempdir().map_err(failed)?;
        let mut this = Self { server: None, folder, port: free_port().map_err(failed)? };
        this.boot()?;
        Ok(this)
    }

    /// Starts it again after [`Redis::kill`], empty.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn boot(&mut self) -> Result<(), ServerError> {
        let (log, port, folder) = (self.log(), self.port, self.folder.path());
        let set = |command: &mut Command| {
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--save", "", "--appendonly", "no"]).current_dir(folder);
        };
        let failed = |source| ServerError::Start { program: "redis-server", source };
        let mut server = Server::start("redis-server", set, &log).map_err(failed)?;
        server.wait_until("redis-server", LIMIT, &log, || is_ready(port)).map_err(|error| {
            // What `setpriv` says where it finds no such program.
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let missing = said.contains("No such file");
            if missing { ServerError::Missing("redis-server", "redis-server") } else { error }
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Ends it at once; it forgets everything.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::id)
    }

    /// How to connect.
    pub fn uri(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }
}

fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(b"PING\r\n").ok()?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).ok()?;
        Some(answer)
    };
    ask().is_some_and(|answer| answer == *b"+PONG\r\n")
}
