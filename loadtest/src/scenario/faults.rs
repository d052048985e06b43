//! What breaks while a load goes on.

use serde::{Deserialize, Serialize};

/// What breaks while a load goes on, in turn.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// Seconds from one to the next.
    pub every_s: f64,
    /// What, one after another, from the beginning again.
    pub what: Vec<FaultKind>,
    /// Seconds that a line is cut or stalled, or a process frozen.
    #[serde(default = "five")]
    pub for_s: f64,
}

fn five() -> f64 {
    5.0
}

/// Something that breaks. Members are taken from the last on, and never the first one where
/// there is another: what grows shows in a process that lives through it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL, and a new start.
    KillWorker,
    /// SIGKILL, and a new start.
    KillCoordinator,
    /// SIGSTOP for a while.
    FreezeWorker,
    /// SIGSTOP for a while.
    FreezeCoordinator,
    /// SIGKILL, and a new start with nothing in it.
    RestartRedis,
    /// SIGKILL, and a new start.
    RestartRabbitmq,
    /// A worker's line to the broker is reset, and again, for a while.
    CutWorker,
    /// A coordinator's line to the broker is reset, and again, for a while.
    CutCoordinator,
    /// Nothing comes through between a worker and Redis for a while.
    StallRedis,
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KillWorker => "kill-worker",
            Self::KillCoordinator => "kill-coordinator",
            Self::FreezeWorker => "freeze-worker",
            Self::FreezeCoordinator => "freeze-coordinator",
            Self::RestartRedis => "restart-redis",
            Self::RestartRabbitmq => "restart-rabbitmq",
            Self::CutWorker => "cut-worker",
            Self::CutCoordinator => "cut-coordinator",
            Self::StallRedis => "stall-redis",
        })
    }
}

impl FaultKind {
    /// Whether it needs a relay to break.
    pub fn breaks_lines(self) -> bool {
        match self {
            Self::CutWorker | Self::CutCoordinator | Self::StallRedis => true,
            Self::KillWorker
            | Self::KillCoordinator
            | Self::FreezeWorker
            | Self::FreezeCoordinator
            | Self::RestartRedis
            | Self::RestartRabbitmq => false,
        }
    }
}
