//! Redis, one node, in memory only.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
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

    /// Forgets everything.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn flush(&self) -> Result<(), ServerError> {
        let said = ask(self.port, b"FLUSHALL\r\n").unwrap_or_else(|e| e.to_string());
        let failed = |said| ServerError::Command { command: "FLUSHALL".into(), said };
        if said.starts_with("+OK") { Ok(()) } else { Err(failed(said)) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// How to connect.
    pub fn uri(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

fn is_ready(port: u16) -> bool {
    ask(port, b"PING\r\n").is_ok_and(|answer| answer == "+PONG\r\n")
}

/// Sends one command; gives the one line of its answer.
fn ask(port: u16, command: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(command)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}
