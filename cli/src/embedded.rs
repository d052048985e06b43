//! The whole engine in one process: memory broker, memory cache, workers, coordinator.
//! Wiring only; every part is the one that a cluster runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kudzu_coordinator::{Coordinator, Handle, StartOptions};
use kudzu_dns::{Instant, Reply, Resolver, Udp, Verdict};
use kudzu_shared::archive::Store;
use kudzu_shared::config::Config;
use kudzu_shared::packs::Packs;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::task::{self, Shutdown, Task};
use kudzu_shared::time::{Clock, SystemClock};
use kudzu_shared::{broker, cache, limits};
use kudzu_worker::{Registry, Worker, WorkerConfig};

use crate::exit::Failure;

/// Messages that one queue holds.
const QUEUE: usize = 4096;
/// How long workers may take to end once nobody needs them.
const DRAIN: Duration = Duration::from_millis(500);

/// A running engine.
pub struct Engine {
    /// Takes jobs.
    pub handle: Handle,
    workers: Vec<Task<Result<(), kudzu_worker::Error>>>,
    shutdown: Shutdown,
}

/// The sources that the settings give.
///
/// # Errors
/// When a pair set cannot be read.
pub fn registry(config: &Config) -> Result<Registry, Failure> {
    kudzu_worker::registry(config).map_err(|e| Failure::Usage(e.into()))
}

impl Engine {
    /// Starts so many workers and a coordinator. `asked` are the sources that jobs may ask:
    /// without a DNS source among them no resolver is needed.
    ///
    /// # Errors
    /// When there is no resolver, or a part cannot start.
    pub async fn start(
        config: &Config,
        registry: Registry,
        asked: &[SourceInfo],
        workers: u16,
    ) -> Result<Self, Failure> {
        let shutdown = Shutdown::new(DRAIN);
        let broker = Arc::new(broker::Memory::new(QUEUE));
        let cache = Arc::new(cache::Memory::new(config.worker.cache_bytes));
        let limiter = Arc::new(limits::Memory::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let needs_dns = asked.iter().any(|s| s.class == Class::Dns && s.unavailable.is_none());
        let resolver = if needs_dns { resolver(config)? } else { nobody() };
        let options = StartOptions {
            config: config.coordinator.clone(),
            broker: broker.clone(),
            cache: cache.clone(),
            archive: Arc::new(Store::memory()),
            catalogue: registry.catalogue(),
            packs: Arc::new(Packs::builtin().clone()),
            clock: Arc::clone(&clock),
        };
        let handle = Coordinator::start(options, shutdown.child()).await.context("start the coordinator")?;
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
        Ok(Self { handle, workers, shutdown })
    }

    /// Ends the workers, then the coordinator.
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

fn resolver(config: &Config) -> Result<Arc<dyn Resolver>, Failure> {
    let settings = kudzu_worker::udp_config(&config.dns).context("set up the resolver")?;
    Ok(Arc::new(Udp::start(&settings).context("bind the resolver's sockets")?))
}

/// Stands where nobody asks.
fn nobody() -> Arc<dyn Resolver> {
    Arc::new(Instant::new(|question| Reply::failed(question.token, Verdict::Unreachable)))
}
