//! Redis, one node, in memory only.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::child::Node;
use crate::{ServerError, free_port};

const PROGRAM: &str = "redis-server";

const LIMIT: Duration = Duration::from_secs(20);

/// A private Redis. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    node: Node,
    port: u16,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        let port = free_port().map_err(|source| ServerError::Start { program: PROGRAM, source })?;
        let mut this = Self { node: Node::new(PROGRAM)?, port };
        this.boot()?;
        Ok(this)
    }

    /// Starts it again after [`Redis::kill`], empty.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn boot(&mut self) -> Result<(), ServerError> {
        let (port, folder, log) = (self.port, self.node.folder().to_owned(), self.node.log());
        let set = |command: &mut Command| {
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--save", "", "--appendonly", "no"]).current_dir(folder);
        };
        self.node.boot(PROGRAM, set, LIMIT, || is_ready(port)).map_err(|error| {
            // What `setpriv` says where it finds no such program.
            let said = std::fs::read_to_string(log).unwrap_or_default();
            if said.contains("No such file") { ServerError::Missing(PROGRAM, PROGRAM) } else { error }
        })
    }

    /// Ends it at once; it forgets everything.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// How to connect.
    pub fn uri(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
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
