//! Redis, in memory only.

mod cluster;
mod sentinel;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::child::Node;
use crate::{ServerError, free_port};

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;

const PROGRAM: &str = "redis-server";

const LIMIT: Duration = Duration::from_secs(20);

/// A private Redis. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    node: Node,
    port: u16,
    args: Vec<String>,
    password: Option<&'static str>,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(&[])
    }

    /// Starts one with further arguments.
    fn start_with(args: &[&str]) -> Result<Self, ServerError> {
        let mut this = Self::new()?;
        let own = ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];
        this.args = own.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
        this.boot()?;
        Ok(this)
    }

    /// None runs yet.
    fn new() -> Result<Self, ServerError> {
        Ok(Self { node: Node::new(PROGRAM)?, port: port()?, args: Vec::new(), password: None })
    }

    /// Starts it again after [`Redis::kill`], empty.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn boot(&mut self) -> Result<(), ServerError> {
        let (port, folder, log) = (self.port, self.node.folder().to_owned(), self.node.log());
        let (args, password) = (&self.args, self.password);
        let set = |command: &mut Command| {
            // A file of settings must come first.
            command.args(args).args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
            command.current_dir(folder);
        };
        let is_ready = || ask(port, password, &["PING"]).is_ok_and(|answer| answer == "PONG");
        self.node.boot(PROGRAM, set, LIMIT, is_ready).map_err(|error| {
            // What `setpriv` says where it finds no such program.
            let said = std::fs::read_to_string(log).unwrap_or_default();
            if said.contains("No such file") { ServerError::Missing(PROGRAM, PROGRAM) } else { error }
        })
    }

    /// Ends it at once; it forgets everything.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.node.id()
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn flush(&self) -> Result<(), ServerError> {
        self.command(&["FLUSHALL"]).map(drop)
    }

    /// Runs a command; the parts of its answer are lines.
    ///
    /// # Errors
    /// When it answers with an error, or not.
    pub fn command(&self, words: &[&str]) -> Result<String, ServerError> {
        let failed = |e: io::Error| ServerError::Command { command: words.join(" "), said: e.to_string() };
        ask(self.port, self.password, words).map_err(failed)
    }

    /// Waits until a command has an answer with this in it.
    fn wait_for(&self, words: &[&str], answer: &str) -> Result<(), ServerError> {
        let said = || self.command(words).unwrap_or_else(|e| e.to_string());
        if crate::child::comes_true(LIMIT, || said().contains(answer)) {
            return Ok(());
        }
        Err(ServerError::Command { command: words.join(" "), said: said() })
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

fn port() -> Result<u16, ServerError> {
    free_port().map_err(|source| ServerError::Start { program: PROGRAM, source })
}

/// Sends one command.
fn ask(port: u16, password: Option<&str>, words: &[&str]) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for words in password.iter().map(|p| ["AUTH", p]).map(Vec::from).chain([words.to_vec()]) {
        let mut text = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        stream.write_all(text.as_bytes())?;
        let answer = read(&mut answers)?;
        if words[0] != "AUTH" {
            return Ok(answer);
        }
    }
    Err(io::Error::other("no command"))
}

fn read(from: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
    let length = || rest.parse::<usize>().unwrap_or(0);
    match kind {
        "-" => Err(io::Error::other(rest)),
        // Nothing has the length -1.
        "$" if rest.starts_with('-') => Ok(String::new()),
        "$" => {
            let mut text = vec![0; length() + 2];
            from.read_exact(&mut text)?;
            text.truncate(length());
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        "*" => (0..length()).map(|_| read(from)).collect::<io::Result<Vec<_>>>().map(|all| all.join("\n")),
        _ => Ok(rest.to_owned()),
    }
}
