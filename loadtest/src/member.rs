//! A process of kudzu in a cluster.

use std::net::SocketAddr;

use anyhow::Context as _;
use kudzu_servers::Process;
use rustix::process::{Pid, Signal, kill_process};

use crate::proxy::Proxy;

/// A process of kudzu.
#[derive(Debug)]
pub struct Member {
    /// `coordinator-1`, `worker-2`.
    pub name: String,
    pub(crate) process: Option<Process>,
    pub(crate) args: Vec<String>,
    pub(crate) ways: Ways,
    /// Where its API is.
    pub url: Option<String>,
}

/// How it reaches the broker and Redis.
#[derive(Debug)]
pub(crate) enum Ways {
    Straight { broker: SocketAddr, redis: SocketAddr },
    Relayed { broker: Proxy, redis: Proxy },
}

impl Ways {
    /// Those of a new member.
    pub(crate) async fn open(broker: SocketAddr, redis: SocketAddr, relays: bool) -> anyhow::Result<Self> {
        if !relays {
            return Ok(Self::Straight { broker, redis });
        }
        let broker = Proxy::start(broker).await.context("start a relay")?;
        let redis = Proxy::start(redis).await.context("start a relay")?;
        Ok(Self::Relayed { broker, redis })
    }

    pub(crate) fn broker(&self) -> SocketAddr {
        match self {
            Self::Straight { broker, .. } => *broker,
            Self::Relayed { broker, .. } => broker.addr(),
        }
    }

    pub(crate) fn redis(&self) -> SocketAddr {
        match self {
            Self::Straight { redis, .. } => *redis,
            Self::Relayed { redis, .. } => redis.addr(),
        }
    }
}

impl Member {
    /// Its relay to the broker, where the cluster has relays.
    pub fn broker(&self) -> Option<&Proxy> {
        match &self.ways {
            Ways::Straight { .. } => None,
            Ways::Relayed { broker, .. } => Some(broker),
        }
    }

    /// Its relay to Redis, where the cluster has relays.
    pub fn redis(&self) -> Option<&Proxy> {
        match &self.ways {
            Ways::Straight { .. } => None,
            Ways::Relayed { redis, .. } => Some(redis),
        }
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.context("it does not run")?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Its memory now, in octets.
    pub fn resident(&self) -> Option<u64> {
        let id = self.id()?;
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Whether it was started and has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.ended().is_some())
    }

    /// Whether it runs, as far as one can tell.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.ended().is_none())
    }
}
