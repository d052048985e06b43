//! One server, left alone for a while after it was not there.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError, RedisResult};
use tokio::time::Instant;

use super::{ANSWER, CONNECT, LEFT_ALONE};

/// Commands on their way over one connection.
const PIPELINED: usize = 1024;
/// Octets that are gathered before they are written.
const WRITES: usize = 128 << 10;

pub(super) struct Node {
    addr: ConnectionAddr,
    connection: ConnectionManager,
    begin: Instant,
    /// Milliseconds since the begin until which nothing is asked.
    alone_until: AtomicU64,
}

impl Node {
    /// Connects when it is first needed. To be called within a tokio runtime.
    pub(super) fn new(info: ConnectionInfo) -> RedisResult<Self> {
        let addr = info.addr().clone();
        let client = Client::open(without_delay(info))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(ANSWER))
            .set_connection_timeout(Some(CONNECT))
            .set_number_of_retries(1)
            .set_max_delay(LEFT_ALONE)
            .set_pipeline_buffer_size(PIPELINED)
            .set_write_backpressure_boundary(WRITES);
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        Ok(Self { addr, connection, begin: Instant::now(), alone_until: AtomicU64::new(0) })
    }

    pub(super) fn addr(&self) -> &ConnectionAddr {
        &self.addr
    }

    pub(super) fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// Whether it was there when it was last asked.
    pub(super) fn is_there(&self) -> bool {
        self.alone_until.load(Relaxed) == 0
    }

    pub(super) fn is_left_alone(&self) -> bool {
        let until = self.alone_until.load(Relaxed);
        until != 0 && self.now_ms() < until
    }

    pub(super) fn has_answered(&self) {
        self.alone_until.store(0, Relaxed);
    }

    /// Takes an error for what it says of the server; whether it is gone.
    pub(super) fn has_failed(&self, error: &RedisError) -> bool {
        // What it answers with an error, as one that is full, it may do otherwise with the next.
        let gone = error.is_timeout() || error.is_io_error() || error.is_connection_dropped();
        if !gone {
            tracing::debug!(%error, "Redis refuses");
            return false;
        }
        let until = self.now_ms() + LEFT_ALONE.as_millis() as u64;
        if self.alone_until.swap(until.max(1), Relaxed) == 0 {
            tracing::warn!(%error, at = %self.addr, "no Redis: going on without it");
        }
        true
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Small packets go at once.
pub(super) fn without_delay(info: ConnectionInfo) -> ConnectionInfo {
    info.set_tcp_settings(TcpSettings::default().set_nodelay(true))
}

/// As another server of the same installation, at its own address.
pub(super) fn elsewhere(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match info.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(addr)
}
