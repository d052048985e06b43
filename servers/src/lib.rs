//! Private RabbitMQ, Redis, S3 and name servers on free ports of 127.0.0.1, as `scripts/setup.sh`
//! installs them. They keep their data in a folder of their own, and end with whoever started
//! them, however that ends. And what is told of the work, in the process itself: a collector of traces, and a page for log lines.

mod child;
mod collector;
mod nsd;
mod page;
mod process;
mod rabbitmq;
mod redis;
mod s3;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

pub use collector::{Collected, Collector};
pub use nsd::Nsd;
pub use page::Page;
pub use process::Process;
pub use rabbitmq::RabbitMq;
pub use redis::{Redis, RedisCluster, RedisSentinel};
pub use s3::S3;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not installed.
    #[error("{0} is missing: install the system package {1}")]
    Missing(&'static str, &'static str),
    /// The program is not installed, and is no package of the system.
    #[error("{0} is missing: `scripts/setup.sh test` installs it")]
    NotSetUp(&'static str),
    /// It does not start.
    #[error("start {program}")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended, or was not ready in time.
    #[error("{program} is not ready after {seconds} s; its log is {log}")]
    NotReady {
        /// Which.
        program: &'static str,
        /// How long was waited.
        seconds: u64,
        /// What it wrote.
        log: PathBuf,
    },
    /// A command to it failed.
    #[error("{command}: {said}")]
    Command {
        /// Which.
        command: String,
        /// What it said.
        said: String,
    },
}

/// A port that was free just now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
