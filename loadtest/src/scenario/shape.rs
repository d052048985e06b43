//! The cluster of a scenario.

use std::path::Path;
use std::time::Duration;

use kudzu_simnet::{Faults, Service, Slow};
use serde::{Deserialize, Serialize};

use super::{FaultKind, FaultSpec};
use crate::cluster::Plan;

/// What a scenario or an arm says of its cluster.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSpec {
    /// Coordinators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coordinators: Option<usize>,
    /// Workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Tenants that share no cache; jobs are theirs in turn. 0 asks nobody who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<usize>,
    /// Seed of the simulated internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Milliseconds before each of its answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Up to so many more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u64>,
    /// Share of DNS questions without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// One of its services that is slower than the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowSpec>,
    /// Settings, as of `--set`, on top of [`crate::cluster::UNSPARED`]; those of an arm come on top.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// Whether idle RabbitMQ spins, as it does where nobody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spin: Option<bool>,
}

/// A service that is slower than the others.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SlowSpec {
    /// `rdap`, `pdns` or `certs`.
    pub service: Service,
    /// By so many milliseconds; without it, it never answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// The cluster of an arm.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Shape {
    /// Coordinators.
    pub coordinators: usize,
    /// Workers.
    pub workers: usize,
    /// Tenants.
    pub tenants: usize,
    /// Seed of the simulated internet.
    pub seed: u64,
    /// Its size.
    pub scale: f64,
    /// Milliseconds before each of its answers.
    pub latency_ms: u64,
    /// Up to so many more.
    pub jitter_ms: u64,
    /// Share of DNS questions without an answer.
    pub loss: f64,
    /// One of its services that is slower than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowSpec>,
    /// Settings.
    pub settings: Vec<String>,
    /// Whether idle RabbitMQ spins.
    pub spin: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            coordinators: 1,
            workers: 2,
            tenants: 0,
            seed: 1,
            scale: 1.0,
            latency_ms: 50,
            jitter_ms: 0,
            loss: 0.0,
            slow: None,
            settings: Vec::new(),
            spin: false,
        }
    }
}

impl Shape {
    /// What is said in place of what is there.
    pub(super) fn with(self, said: &ClusterSpec) -> Self {
        Self {
            coordinators: said.coordinators.unwrap_or(self.coordinators),
            workers: said.workers.unwrap_or(self.workers),
            tenants: said.tenants.unwrap_or(self.tenants),
            seed: said.seed.unwrap_or(self.seed),
            scale: said.scale.unwrap_or(self.scale),
            latency_ms: said.latency_ms.unwrap_or(self.latency_ms),
            jitter_ms: said.jitter_ms.unwrap_or(self.jitter_ms),
            loss: said.loss.unwrap_or(self.loss),
            slow: said.slow.or(self.slow),
            settings: [self.settings, said.settings.clone()].concat(),
            spin: said.spin.unwrap_or(self.spin),
        }
    }

    /// What of it no cluster can be.
    pub(super) fn wrong(&self) -> Vec<String> {
        let none = |what: &str, count: usize| (count == 0).then(|| format!("cluster: {what}: at least 1"));
        let scale = self.scale.is_finite() && self.scale > 0.0;
        let scale = (!scale).then(|| format!("cluster: scale = {}: a number above 0", self.scale));
        [none("coordinators", self.coordinators), none("workers", self.workers), scale]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The cluster to start.
    pub fn plan(&self, kudzu: &Path, faults: Option<&FaultSpec>) -> Plan {
        let by = |slow: SlowSpec| slow.ms.map_or(Duration::MAX, Duration::from_millis);
        Plan {
            kudzu: kudzu.into(),
            coordinators: self.coordinators,
            workers: self.workers,
            tenants: self.tenants,
            seed: self.seed,
            scale: self.scale,
            faults: Faults {
                seed: self.seed,
                latency: Duration::from_millis(self.latency_ms),
                jitter: Duration::from_millis(self.jitter_ms),
                loss: self.loss,
                slow: self.slow.map(|slow| Slow { service: slow.service, by: by(slow) }),
                ..Faults::default()
            },
            settings: self.settings.clone(),
            // They cost processor time, and are only there to be broken.
            relays: faults.is_some_and(|f| f.what.iter().copied().any(FaultKind::breaks_lines)),
            calm: !self.spin,
        }
    }
}
