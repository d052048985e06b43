//! A connection to Redis that nothing waits for: what it cannot answer now is unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError, RedisResult,
    ScriptInvocation, Value,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

/// How long one answer is waited for: longer, and asking the source is quicker.
const ANSWER: Duration = Duration::from_secs(1);
/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How long Redis is left alone after it was not there.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// Commands on their way over one connection.
const PIPELINED: usize = 1024;
/// Octets that are gathered before they are written.
const WRITES: usize = 128 << 10;

/// A URI that names no Redis.
#[derive(Debug, thiserror::Error)]
#[error("write redis://USER:PASSWORD@HOST:PORT/DB, or rediss://")]
pub struct UriError(#[source] RedisError);

/// Redis, shared by all who need it. Clones share its connection.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    connection: ConnectionManager,
    begin: Instant,
    /// Milliseconds since the begin until which nothing is asked.
    alone_until: AtomicU64,
    errors: AtomicU64,
}

impl Redis {
    /// Connects when it is first needed. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the URI is none.
    pub fn new(uri: &SecretString) -> Result<Self, UriError> {
        let info = uri.expose_secret().into_connection_info().map_err(UriError)?;
        let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)));
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(ANSWER))
            .set_connection_timeout(Some(CONNECT))
            .set_number_of_retries(1)
            .set_max_delay(LEFT_ALONE)
            .set_pipeline_buffer_size(PIPELINED)
            .set_write_backpressure_boundary(WRITES);
        let connection =
            ConnectionManager::new_lazy_with_config(client.map_err(UriError)?, config).map_err(UriError)?;
        let (begin, none) = (Instant::now(), AtomicU64::default);
        Ok(Self(Arc::new(Inner { connection, begin, alone_until: none(), errors: none() })))
    }

    /// Answers that were errors so far.
    pub fn errors(&self) -> u64 {
        self.0.errors.load(Relaxed)
    }

    /// Whether it was there when it was last asked.
    pub fn is_there(&self) -> bool {
        self.0.alone_until.load(Relaxed) == 0
    }

    /// Runs a command; `None` where it fails. Cancel safe: the command may run all the same.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        if self.is_left_alone() {
            return None;
        }
        let mut connection = self.0.connection.clone();
        self.take(command.query_async(&mut connection).await)
    }

    /// Runs commands together: an answer to each, errors among them; `None` where all fail.
    pub async fn ask_all(&self, commands: &Pipeline) -> Option<Vec<Value>> {
        if self.is_left_alone() {
            return None;
        }
        let mut connection = self.0.connection.clone();
        let answers: Vec<Value> = self.take(commands.query_async(&mut connection).await)?;
        let failed = answers.iter().filter(|a| matches!(a, Value::ServerError(_))).count();
        self.0.errors.fetch_add(failed as u64, Relaxed);
        Some(answers)
    }

    /// Runs a script; `None` where it fails. Cancel safe: it may run all the same.
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        if self.is_left_alone() {
            return None;
        }
        let mut connection = self.0.connection.clone();
        self.take(script.invoke_async(&mut connection).await)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_left_alone(&self) -> bool {
        let until = self.0.alone_until.load(Relaxed);
        until != 0 && self.now_ms() < until
    }

    fn take<T>(&self, answer: RedisResult<T>) -> Option<T> {
        match answer {
            Ok(answer) => {
                self.0.alone_until.store(0, Relaxed);
                Some(answer)
            }
            Err(error) => {
                self.0.errors.fetch_add(1, Relaxed);
                // What it answers with an error, as one that is full, it may do otherwise
                // with the next.
                if error.is_timeout() || error.is_io_error() || error.is_connection_dropped() {
                    let until = self.now_ms() + LEFT_ALONE.as_millis() as u64;
                    if self.0.alone_until.swap(until.max(1), Relaxed) == 0 {
                        tracing::warn!(%error, "no Redis: going on without it");
                    }
                } else {
                    tracing::debug!(%error, "Redis refuses");
                }
                None
            }
        }
    }
}
