//! The run loop: one lane a source class, so that a slow class never holds the slots of a
//! quick one; results and cache entries leave through one task each.

mod cacher;
mod child;
mod dns;
mod encode;
mod flight;
mod gate;
mod local;
mod over;
mod reporter;
mod resolver;
mod settle;
mod stats;
mod task;
mod upstreams;
mod web;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kudzu_shared::broker::{self, Broker, Consumer, Durability};
use kudzu_shared::cache::Cache;
use kudzu_shared::config::{Config, HttpLimits};
use kudzu_shared::limits::Limiter;
use kudzu_shared::source::Class;
use kudzu_shared::task::{Shutdown, Task, spawn};
use kudzu_shared::time::Clock;
use kudzu_shared::wire::Over;
use tokio::sync::{Semaphore, mpsc};

use crate::http::{self, Http};
use crate::sources::Registry;

pub use child::{ChildCommand, ChildError, ChildWorker, tie};
pub use resolver::{ResolverError, start as start_resolver, upstreams};
pub use stats::Stats;

/// Reports that may wait for their task.
const BACKLOG: usize = 1024;
/// Local lookups between two turns of others.
const TURN: usize = 64;
/// How long results and cache entries are flushed after the lanes have ended.
const FLUSH: Duration = Duration::from_secs(5);

/// Every class of sources.
const CLASSES: [Class; 3] = [Class::Dns, Class::Http, Class::Local];

/// The queue that tasks of a class travel on.
pub const fn queue(class: Class) -> &'static str {
    match class {
        Class::Dns => "kudzu.tasks.dns",
        Class::Http => "kudzu.tasks.http",
        Class::Local => "kudzu.tasks.local",
    }
}

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// What it calls itself in results.
    pub name: String,
    /// Classes of sources it works for.
    pub classes: Vec<Class>,
    /// DNS lookups in flight.
    pub lookups: usize,
    /// HTTP exchanges in flight.
    pub http_lookups: usize,
    /// Tasks taken at a time from the queue of DNS, of HTTP, and of local sources.
    pub prefetch: [u16; 3],
    /// How long a task is held before what is left of it goes back to the queue.
    pub hold: Duration,
    /// How long a result waits for others before it is sent.
    pub linger: Duration,
    /// What every HTTP source keeps to.
    pub http: HttpLimits,
    /// The program that looks up tasks which come again, since one of their lookups may have
    /// killed the worker before; `None`: this process does.
    pub child: Option<ChildCommand>,
}

impl WorkerConfig {
    /// As the settings say.
    pub fn new(name: impl Into<String>, config: &Config) -> Self {
        let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            name: name.into(),
            classes: CLASSES.to_vec(),
            lookups: size(config.worker.lookups),
            http_lookups: size(config.worker.http_lookups),
            // Tasks may be small: enough of them to fill the slots all the same. HTTP tasks
            // mostly wait for their upstreams' limits.
            prefetch: [512, 256, 16],
            hold: Duration::from_millis(config.worker.hold_ms),
            linger: Duration::from_millis(10),
            http: config.http.clone(),
            child: None,
        }
    }
}

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// A queue cannot be consumed from.
    #[error("consume from {queue:?}")]
    Consume {
        /// Which.
        queue: &'static str,
        /// Why.
        source: broker::Error,
    },
}

/// Takes tasks, looks up, caches, answers.
pub struct Worker {
    config: WorkerConfig,
    broker: Arc<dyn Broker>,
    cache: Arc<dyn Cache>,
    limiter: Arc<dyn Limiter>,
    registry: Registry,
    resolver: Arc<dyn kudzu_dns::Resolver>,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What all lookups of a worker share.
struct Context {
    cache: Arc<dyn Cache>,
    registry: Registry,
    resolver: Arc<dyn kudzu_dns::Resolver>,
    clock: Arc<dyn Clock>,
    http: Http,
    stats: Arc<Stats>,
    jobs: Arc<over::Jobs>,
    upstreams: Arc<upstreams::Upstreams>,
    reports: mpsc::Sender<reporter::Report>,
    entries: mpsc::Sender<cacher::Entry>,
    given_back: Arc<cacher::GivenBack>,
    /// DNS lookups in flight.
    slots: Arc<Semaphore>,
    most: usize,
    /// Local lookups between two turns of others.
    turn: usize,
    children: Option<Arc<child::Children>>,
    /// Where tasks come from and results go to; a child has none.
    broker: Option<Arc<dyn Broker>>,
    hold: Duration,
}

/// What a context is made of.
struct Parts {
    cache: Arc<dyn Cache>,
    limiter: Arc<dyn Limiter>,
    registry: Registry,
    resolver: Arc<dyn kudzu_dns::Resolver>,
    clock: Arc<dyn Clock>,
    turn: usize,
    children: Option<Arc<child::Children>>,
    broker: Option<Arc<dyn Broker>>,
}

/// A context, and what its lookups send.
type Made = (Context, mpsc::Receiver<reporter::Report>, mpsc::Receiver<cacher::Entry>);

impl Context {
    fn new(config: &WorkerConfig, parts: Parts, stats: Arc<Stats>) -> Result<Made, http::Error> {
        let Parts { cache, limiter, registry, resolver, clock, turn, children, broker } = parts;
        let http = Http::new(config.http.clone(), config.http_lookups, limiter, Arc::clone(&clock))?;
        let (reports, reports_in) = mpsc::channel(BACKLOG);
        let (entries, entries_in) = mpsc::channel(cacher::BACKLOG);
        let most = config.lookups.clamp(1, Semaphore::MAX_PERMITS);
        let context = Self {
            cache,
            registry,
            resolver,
            clock,
            http,
            stats,
            jobs: Arc::default(),
            upstreams: Arc::default(),
            reports,
            entries,
            given_back: Arc::default(),
            slots: Arc::new(Semaphore::new(most)),
            most,
            turn,
            children,
            broker,
            hold: config.hold,
        };
        Ok((context, reports_in, entries_in))
    }
}

impl Worker {
    /// A worker over the given back ends; it does nothing before [`Worker::run`].
    pub fn new(
        config: WorkerConfig,
        broker: Arc<dyn Broker>,
        cache: Arc<dyn Cache>,
        limiter: Arc<dyn Limiter>,
        registry: Registry,
        resolver: Arc<dyn kudzu_dns::Resolver>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { config, broker, cache, limiter, registry, resolver, clock, stats: Arc::default() }
    }

    /// What it has done so far; goes on counting while it runs.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Runs until the shutdown has drained it: it takes no more tasks, finishes or gives
    /// back what it has, sends results, writes the cache. Bounded by the shutdown's drain
    /// time and a few seconds to flush. Not cancel safe: tasks in hand are delivered again.
    ///
    /// # Errors
    /// When it cannot start. A broker that closes later ends it as a shutdown does.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self { config, broker, cache, limiter, registry, resolver, clock, stats } = self;
        let children = config.child.clone().map(|command| Arc::new(child::Children::new(command)));
        let parts = Parts {
            cache: Arc::clone(&cache),
            limiter,
            registry,
            resolver,
            clock,
            turn: TURN,
            children,
            broker: Some(Arc::clone(&broker)),
        };
        let (context, reports_in, entries_in) = Context::new(&config, parts, Arc::clone(&stats))?;
        let reporter = reporter::Reporter {
            worker: config.name,
            broker: Arc::clone(&broker),
            upstreams: Arc::clone(&context.upstreams),
            linger: config.linger,
            stats,
            sendings: AtomicU64::new(rand::random()),
        };
        let (jobs, given_back) = (Arc::clone(&context.jobs), Arc::clone(&context.given_back));
        let context = Arc::new(context);
        // A broker that is not there yet is waited for, and so may the end come first.
        let begun = async {
            let mut consumers = Vec::with_capacity(CLASSES.len());
            for (class, prefetch) in CLASSES.into_iter().zip(config.prefetch) {
                if config.classes.contains(&class) {
                    consumers.push((class, consume(&*broker, class, prefetch).await?));
                }
            }
            let hints = broker.subscribe(Over::TOPIC).await;
            let hints = hints.map_err(|source| Error::Consume { queue: Over::TOPIC, source })?;
            Ok::<_, Error>((consumers, hints))
        };
        let (consumers, hints) = tokio::select! {
            biased;
            () = shutdown.stopping() => return Ok(()),
            begun = begun => begun?,
        };
        let _hints = spawn("worker.over", over::listen(jobs, hints));
        let _window = spawn("worker.window", flight::watch(Arc::clone(&context.resolver)));
        let reporter = spawn("worker.reporter", reporter.run(reports_in));
        let cacher = spawn("worker.cacher", cacher::run(cache, given_back, entries_in));
        // A lane that loses its queue ends the others: together they begin again.
        let until = shutdown.child();
        let lanes: FuturesUnordered<_> = consumers
            .into_iter()
            .map(|(class, consumer)| lane(Arc::clone(&context), class, consumer, until.clone()))
            .collect();
        // Consumers live until the results are out: dropping one gives its tasks back.
        let consumers: Vec<_> = lanes.collect().await;
        // The last sender goes with the context, and so do the two tasks end.
        drop(context);
        let flushed = tokio::time::timeout(FLUSH, futures::future::join(reporter, cacher)).await;
        if flushed.is_err() {
            tracing::warn!("results or cache entries were left when the worker ended");
        }
        drop(consumers);
        Ok(())
    }
}

async fn consume(broker: &dyn Broker, class: Class, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
    let queue = queue(class);
    let failed = |source| Error::Consume { queue, source };
    broker.declare(queue, Durability::Durable).await.map_err(failed)?;
    broker.consume(queue, prefetch).await.map_err(failed)
}

/// Takes tasks of one class until the shutdown begins or the queue is gone, then drains.
async fn lane(
    context: Arc<Context>,
    class: Class,
    mut consumer: Box<dyn Consumer>,
    shutdown: Shutdown,
) -> Box<dyn Consumer> {
    let mut open: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.stopping() => break,
            Some(done) = open.next(), if !open.is_empty() => ended(done),
            delivery = consumer.next() => match delivery {
                Some(delivery) => open.push(spawn("worker.task", task::run(Arc::clone(&context), class, delivery))),
                None => {
                    shutdown.begin();
                    break;
                }
            },
        }
    }
    // What is not done in time is dropped, and with it goes its delivery: it comes again.
    let drained = async {
        while let Some(done) = open.next().await {
            ended(done);
        }
    };
    if shutdown.drain(drained).await.is_none() {
        tracing::warn!(open = open.len(), ?class, "tasks were given back unfinished");
    }
    consumer
}

fn ended(done: Result<(), kudzu_shared::task::Error>) {
    if let Err(error) = done {
        tracing::error!(%error, "a task ended early; it is delivered again");
    }
}
