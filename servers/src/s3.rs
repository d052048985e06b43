//! S3 by versitygw, one process with one bucket in a folder.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::child::Node;
use crate::{ServerError, free_port};

const PROGRAM: &str = "versitygw";
/// What `scripts/setup.sh` installs.
const VERSION: &str = "1.8.0";
const LIMIT: Duration = Duration::from_secs(20);

/// A private S3 server. Dropped, it is killed.
#[derive(Debug)]
pub struct S3 {
    node: Node,
    port: u16,
}

impl S3 {
    /// The bucket that it has.
    pub const BUCKET: &'static str = "kudzu";
    /// The name of its only key.
    pub const ACCESS_KEY: &'static str = "kudzu-access";
    /// The secret of that key.
    pub const SECRET_KEY: &'static str = "kudzu-secret-of-tests";

    /// Starts one, empty.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        let failed = |source| ServerError::Start { program: PROGRAM, source };
        let mut this = Self { node: Node::new(PROGRAM)?, port: free_port().map_err(failed)? };
        for folder in [format!("objects/{}", Self::BUCKET), "attributes".to_owned()] {
            std::fs::create_dir_all(this.node.folder().join(folder)).map_err(failed)?;
        }
        this.boot()?;
        Ok(this)
    }

    /// Starts it again after [`S3::kill`], with what it had.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub fn boot(&mut self) -> Result<(), ServerError> {
        let program = program().ok_or(ServerError::NotSetUp(PROGRAM))?;
        let (port, folder) = (self.port, self.node.folder().to_owned());
        let set = |command: &mut Command| {
            command.env("ROOT_ACCESS_KEY", Self::ACCESS_KEY).env("ROOT_SECRET_KEY", Self::SECRET_KEY);
            command.args(["--quiet", "--port", &format!("127.0.0.1:{port}"), "posix"]);
            // Not every file system has attributes of its own.
            command.arg("--sidecar").arg(folder.join("attributes")).arg(folder.join("objects"));
            command.current_dir(folder);
        };
        self.node.boot(&program.to_string_lossy(), set, LIMIT, || is_ready(port))
    }

    /// Ends it at once; what it has on disk stays.
    pub fn kill(&mut self) {
        self.node.kill();
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Where it is: as set up, or else on the path.
fn program() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v: &OsString| !v.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
    let set_up = cache.map(|c| c.join("kudzu-tools").join(format!("{PROGRAM}-{VERSION}")));
    let path = set("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM));
    set_up.into_iter().chain(on_path).find(|file| file.is_file())
}

/// Whoever asks without a key is refused, which is an answer.
fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).ok()?;
        Some(answer)
    };
    ask().is_some_and(|answer| answer == *b"HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_set_up() {
        assert!(include_str!("../../scripts/setup.sh").contains(&format!("versitygw {VERSION}")));
    }
}
