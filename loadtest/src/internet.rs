//! The simulated internet of a cluster, on threads of its own: what it costs can be told from
//! what its host does besides.

use std::sync::Arc;

use anyhow::Context as _;
use kudzu_simnet::{Addrs, Faults, ListenConfig, Server, Stats, Truth, World, WorldSpec};
use tokio::runtime::{Builder, Runtime};

/// What the names of all its threads begin with.
pub const THREADS: &str = "simnet-";
/// Threads for HTTP and DNS over TCP; DNS over UDP has its own.
const HTTP_THREADS: usize = 2;

/// A simulated internet. Dropped, it ends.
#[derive(Debug)]
pub struct Internet {
    server: Arc<Server>,
    _threads: Threads,
    truth: Truth,
}

/// A runtime that may be dropped where nobody may wait.
#[derive(Debug)]
struct Threads(Option<Runtime>);

/// Counts what it is asked, from anywhere.
#[derive(Debug, Clone)]
pub struct Counter(Arc<Server>);

impl Counter {
    /// What it was asked so far.
    pub fn asked(&self) -> Stats {
        self.0.stats()
    }
}

impl Internet {
    /// Makes a world, and answers for it.
    ///
    /// # Errors
    /// When a socket or a thread cannot be had.
    pub async fn start(spec: WorldSpec, faults: Faults) -> anyhow::Result<Self> {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(HTTP_THREADS).thread_name(format!("{THREADS}http")).enable_all();
        let runtime = runtime.build().context("start the threads of the simulated internet")?;
        let handle = runtime.handle().clone();
        let threads = Threads(Some(runtime));
        let started = tokio::task::spawn_blocking(move || {
            let world = World::generate(&spec);
            let truth = world.truth();
            let server = handle.block_on(Server::start(world, faults, ListenConfig::default()));
            server.map(|server| (server, truth))
        });
        let started = started.await.context("start the simulated internet")?;
        let (server, truth) = started.context("start the simulated internet")?;
        Ok(Self { server: Arc::new(server), _threads: threads, truth })
    }

    /// Where it listens.
    pub fn addrs(&self) -> &Addrs {
        self.server.addrs()
    }

    /// What it hides.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// What counts what it is asked.
    pub fn counter(&self) -> Counter {
        Counter(Arc::clone(&self.server))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_start_may_be_given_up() {
        let spec = WorldSpec { seed: 1, scale: 0.05, campaign: true };
        let mut start = Box::pin(Internet::start(spec, Faults::default()));
        assert!(futures::poll!(&mut start).is_pending(), "a world takes a while");
        drop(start);
    }
}
