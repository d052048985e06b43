//! The whole engine in one process: memory broker, memory cache, workers, coordinator.
//! Wiring only; every part is the one that a cluster runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kudzu_coordinator::{Coordinator, Handle, StartOptions};
use kudzu_dns::{Instant, Reply, Resolver, Verdict, system_servers};
use kudzu_shared::config::Config;
use kudzu_shared::packs::Packs;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::task::{self, Shutdown, Task};
use kudzu_shared::telemetry::otlp;
use kudzu_shared::time::{Clock, SystemClock};
use kudzu_shared::{broker, cache, limits};
use kudzu_worker::sources::Error as SourcesError;
use kudzu_worker::{Registry, Worker, WorkerConfig};

use crate::cluster;
use crate::exit::Failure;
use crate::off::Off;

/// Messages that one queue holds.
const QUEUE: usize = 4096;
/// Why DNS is off where nobody can be asked.
const NO_RESOLVER: &str =
    "no resolver is set, and the system names none: give --resolver, or set dns.resolvers";
/// How long workers may take to end once nobody needs them.
const DRAIN: Duration = Duration::from_millis(500);

/// A running engine.
pub struct Engine {
    options: StartOptions,
    workers: Vec<Task<Result<(), kudzu_worker::Error>>>,
    shutdown: Shutdown,
}

/// The sources that the settings give. Without any resolver those of DNS are off.
///
/// # Errors
/// When a pair set cannot be read.
pub fn registry(config: &Config) -> Result<Registry, Failure> {
    let (registry, mut broken) = registry_with_broken(config);
    broken.pop().map_or(Ok(registry), |(_, why)| Err(why))
}

/// The same where a pair set that cannot be read is off, beside what is wrong with each.
pub fn registry_with_broken(config: &Config) -> (Registry, Vec<(String, Failure)>) {
    let (mut config, mut broken) = (config.clone(), Vec::new());
    let mut registry = loop {
        match kudzu_worker::registry(&config) {
            Ok(registry) => break registry,
            Err(SourcesError::Pairs { name, source }) => {
                config.pairs.remove(&name);
                let error = SourcesError::Pairs { name: name.clone(), source };
                broken.push((name, Failure::Usage(error.into())));
            }
        }
    };
    let dns = &config.dns;
    if dns.resolvers.is_empty() && dns.encrypted.is_empty() && system_servers().is_err() {
        dns_off(&mut registry);
    }
    for (name, why) in &broken {
        registry.insert(Arc::new(Off::pairs(name, &why.text())));
    }
    (registry, broken)
}

fn dns_off(registry: &mut Registry) {
    let dns = registry.catalogue().into_iter().filter(|s| s.class == Class::Dns);
    dns.for_each(|s| registry.insert(Arc::new(Off::new(s, NO_RESOLVER))));
}

impl Engine {
    /// Starts so many workers. `asked` are the sources that jobs may ask: without a DNS source
    /// among them no resolver is needed.
    ///
    /// # Errors
    /// When a list cannot be read, there is no resolver, its sockets cannot be bound, or traces
    /// cannot be exported.
    pub async fn start(
        config: &Config,
        registry: Registry,
        asked: &[SourceInfo],
        workers: u16,
    ) -> Result<Self, Failure> {
        let packs = Packs::load(&config.packs.files).map_err(|e| Failure::Usage(e.into()))?;
        otlp::start(&config.telemetry, "kudzu", &cluster::name()).context("telemetry.otlp")?;
        let shutdown = Shutdown::new(DRAIN);
        let broker = Arc::new(broker::Memory::new(QUEUE));
        let cache = Arc::new(cache::Memory::new(config.worker.cache_bytes));
        let limiter = Arc::new(limits::Memory::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let needs_dns = asked.iter().any(|s| s.class == Class::Dns);
        let resolver = match needs_dns {
            true => {
                // One resolver for all workers keeps its rates itself.
                kudzu_worker::start_resolver(&config.dns, None).await.context("start the resolver")?
            }
            false => nobody(),
        };
        let options = StartOptions {
            config: config.coordinator.clone(),
            broker: broker.clone(),
            cache: cache.clone(),
            catalogue: registry.catalogue(),
            packs: Arc::new(packs),
            clock: Arc::clone(&clock),
        };
        let workers = (1..=workers.max(1))
            .map(|n| {
                let worker = Worker::new(
                    WorkerConfig::new(format!("local-{n}"), config),
                    broker.clone(),
                    cache.clone(),
                    limiter.clone(),
                    registry.clone(),
                    Arc::clone(&resolver),
                    Arc::clone(&clock),
                );
                task::spawn("worker", worker.run(shutdown.child()))
            })
            .collect();
        Ok(Self { options, workers, shutdown })
    }

    /// A coordinator of these sources.
    ///
    /// # Errors
    /// When its queues cannot be had.
    pub async fn coordinator(&self, catalogue: Vec<SourceInfo>) -> Result<Handle, Failure> {
        let shared = &self.options;
        let options = StartOptions {
            config: shared.config.clone(),
            broker: Arc::clone(&shared.broker),
            cache: Arc::clone(&shared.cache),
            catalogue,
            packs: Arc::clone(&shared.packs),
            clock: Arc::clone(&shared.clock),
        };
        let started = Coordinator::start(options, self.shutdown.child()).await;
        Ok(started.context("start the coordinator")?)
    }

    /// Every source, as [`Engine::start`] was given it.
    pub fn catalogue(&self) -> &[SourceInfo] {
        &self.options.catalogue
    }

    /// Ends the workers, then the coordinators.
    pub async fn stop(self) {
        self.shutdown.begin();
        for worker in self.workers {
            match worker.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a worker ended badly"),
                Err(error) => tracing::warn!(%error, "a worker ended badly"),
            }
        }
    }
}

/// Stands where nobody asks.
pub fn nobody() -> Arc<dyn Resolver> {
    Arc::new(Instant::new(|question| Reply::failed(question.token, Verdict::Unreachable)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_resolver_dns_is_off_and_says_so() {
        let mut registry = kudzu_worker::registry(&Config::default()).unwrap();
        dns_off(&mut registry);
        let catalogue = registry.catalogue();
        let dns: Vec<_> = catalogue.iter().filter(|s| s.name.starts_with("dns.")).collect();
        assert!(dns.len() >= 3);
        assert!(dns.iter().all(|s| s.unavailable.as_deref().is_some_and(|w| w.starts_with("no resolver"))));
        // What it takes is known all the same: a plan that names it can be used.
        kudzu_coordinator::plan::Plan::builtin("deep").unwrap().check(&catalogue).unwrap();
    }

    #[test]
    fn a_broken_pair_set_is_off_and_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good.csv"), folder.path().join("bad.csv"));
        std::fs::write(&good, "a.com,resolves-to,192.0.2.1\n").unwrap();
        std::fs::write(&bad, "a.com,no-such-relation,192.0.2.1\n").unwrap();
        let mut config = Config::default();
        config.pairs.extend([("good".to_owned(), good), ("bad".to_owned(), bad)]);
        let (registry, broken) = registry_with_broken(&config);
        let why = |name: &str| registry.get(name).unwrap().info().unavailable.clone();
        assert!(why("pairs.bad").unwrap().contains("bad.csv"), "{:?}", why("pairs.bad"));
        assert_eq!(why("pairs.good"), None);
        assert_eq!(broken.len(), 1);
        assert!(super::registry(&config).unwrap_err().text().contains("line 1"));
    }
}
