//! A worker over memory back ends, and a coordinator's side of it.

#![allow(dead_code, reason = "each test takes its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use kudzu_dns::{Ended, Question, Reply, Resolver, Sink, Verdict as Dns};
use kudzu_shared::broker::{self, Broker, Consumer, Durability};
use kudzu_shared::config::Config;
use kudzu_shared::job::JobId;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::Observable;
use kudzu_shared::source::Class;
use kudzu_shared::task::{Shutdown, Task, spawn};
use kudzu_shared::time::{Clock as _, SystemClock};
use kudzu_shared::wire::{self, Ask, LookupResult, Results, TaskLookup};
use kudzu_shared::{
    cache, limits,
    outcome::{Part, Verdict},
};
use kudzu_simnet::{Faults, ListenConfig, Server, World, WorldSpec};
use kudzu_worker::{Registry, Stats, Worker, WorkerConfig, queue, registry};
use tokio::sync::Notify;

pub const REPLIES: &str = "replies";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running worker. Dropped, it stops at once.
pub struct Rig {
    pub broker: broker::Memory,
    pub stats: Arc<Stats>,
    pub shutdown: Shutdown,
    pub worker: Task<Result<(), kudzu_worker::Error>>,
    replies: Box<dyn Consumer>,
    next: AtomicU32,
}

/// What a task may do.
#[derive(Clone, Copy)]
pub struct Terms {
    pub tlp: Tlp,
    pub pap: Pap,
    pub deadline: Option<Duration>,
}

pub const FREE: Terms = Terms { tlp: Tlp::Clear, pap: Pap::Clear, deadline: None };

/// A resolver that answers NODATA.
pub fn nothing() -> Arc<dyn Resolver> {
    Arc::new(kudzu_dns::Instant::new(|_: &Question| Reply::failed(0, Dns::NoData)))
}

/// Takes questions and never answers; says when it has some. Its window is 77.
pub struct Deaf(pub Arc<Notify>);

#[async_trait]
impl Resolver for Deaf {
    async fn submit(&self, _: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        let _held = sink.clone();
        self.0.notify_one();
        std::future::pending().await
    }

    fn servers(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn window(&self) -> Option<u32> {
        Some(77)
    }
}

impl Rig {
    pub async fn start(config: &Config, registry: Registry, resolver: Arc<dyn Resolver>) -> Self {
        let broker = broker::Memory::default();
        Self::start_over(config, registry, resolver, broker.clone(), Arc::new(broker)).await
    }

    /// The same, with the worker's own way to the broker.
    pub async fn start_over(
        config: &Config,
        registry: Registry,
        resolver: Arc<dyn Resolver>,
        broker: broker::Memory,
        its: Arc<dyn Broker>,
    ) -> Self {
        Self::start_as(WorkerConfig::new("w1", config), registry, resolver, broker, its).await
    }

    /// The same, with the worker's own settings.
    pub async fn start_as(
        config: WorkerConfig,
        registry: Registry,
        resolver: Arc<dyn Resolver>,
        broker: broker::Memory,
        its: Arc<dyn Broker>,
    ) -> Self {
        broker.declare(REPLIES, Durability::Exclusive).await.unwrap();
        let replies = broker.consume(REPLIES, 64).await.unwrap();
        let worker = Worker::new(
            config,
            its,
            Arc::new(cache::Memory::new(64 << 20)),
            Arc::new(limits::Memory::default()),
            registry,
            resolver,
            Arc::new(SystemClock),
        );
        let (stats, shutdown) = (worker.stats(), Shutdown::new(Duration::from_millis(300)));
        let worker = spawn("test.worker", worker.run(shutdown.clone()));
        Self { broker, stats, shutdown, worker, replies, next: AtomicU32::new(0) }
    }

    pub async fn send(
        &self,
        class: Class,
        ask: Ask,
        keys: &[Observable],
        terms: Terms,
        reply_to: &str,
    ) -> u32 {
        let first = self.next.fetch_add(keys.len() as u32, Relaxed);
        let deadline = |d: Duration| SystemClock.now_ms() + d.as_millis() as i64;
        let task = wire::Task {
            job: JobId(7),
            epoch: 1,
            reply_to: reply_to.into(),
            tenant: "t".into(),
            tlp: terms.tlp,
            pap: terms.pap,
            deadline_ms: terms.deadline.map(deadline),
            trace: None,
            looked_ms: None,
            asks: vec![ask],
            lookups: (first..)
                .zip(keys)
                .map(|(seq, key)| TaskLookup { seq, ask: 0, questions: u32::MAX, key: key.clone() })
                .collect(),
        };
        self.broker.declare(queue(class), Durability::Durable).await.unwrap();
        self.broker.publish(queue(class), task.encode().unwrap()).await.unwrap();
        first
    }

    /// The next results, parts put together; each lookup once.
    pub async fn results(&mut self, n: usize) -> HashMap<u32, LookupResult> {
        let mut all: HashMap<u32, LookupResult> = HashMap::new();
        while all.values().filter(|r| r.part.index + 1 == r.part.of).count() < n {
            let delivery =
                tokio::time::timeout(PATIENCE, self.replies.next()).await.expect("in time").unwrap();
            let results = Results::decode(&delivery.body).unwrap();
            if results.results.is_empty() && results.upstreams.is_empty() {
                delivery.settle.ack(); // It asks whether somebody waits.
                continue;
            }
            assert_eq!((results.worker.as_str(), results.job, results.epoch), ("w1", JobId(7), 1));
            assert!(delivery.body.len() <= wire::PART);
            for result in results.results {
                match all.get_mut(&result.seq) {
                    None => drop(all.insert(result.seq, result)),
                    Some(open) => {
                        let next = Part { index: open.part.index + 1, ..open.part };
                        assert_eq!(result.part, next, "answered twice, or out of order");
                        open.part = result.part;
                        open.answer.pairs.extend(result.answer.pairs);
                        open.answer.totals.extend(result.answer.totals);
                    }
                }
            }
            delivery.settle.ack();
        }
        all
    }

    /// Looks up keys of one source; results in their order.
    pub async fn ask(
        &mut self,
        class: Class,
        source: &str,
        types: &[u16],
        keys: &[Observable],
    ) -> Vec<LookupResult> {
        self.ask_on(class, source, types, keys, FREE).await
    }

    pub async fn ask_on(
        &mut self,
        class: Class,
        source: &str,
        types: &[u16],
        keys: &[Observable],
        terms: Terms,
    ) -> Vec<LookupResult> {
        let ask = Ask { source: source.into(), types: types.into(), limit: 2000 };
        let first = self.send(class, ask, keys, terms, REPLIES).await;
        let mut all = self.results(keys.len()).await;
        (first..first + keys.len() as u32).map(|seq| all.remove(&seq).unwrap()).collect()
    }

    /// Waits until every task of a class is settled.
    pub async fn settled(&self, class: Class) {
        let settled = || self.broker.depth(queue(class)).is_some_and(|d| d.ready + d.unsettled == 0);
        for _ in 0..1000 {
            if settled() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.broker.depth(queue(class)));
    }
}

pub fn verdicts(result: &LookupResult) -> Vec<Verdict> {
    result.answer.questions.iter().map(|q| q.verdict).collect()
}

pub fn pairs(result: &LookupResult) -> Vec<String> {
    result.answer.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect()
}

pub fn parse(text: &str) -> Observable {
    Observable::parse(text).unwrap()
}

/// A simulated internet and the settings that lead there.
pub async fn simnet(faults: Faults) -> (World, Server, Config) {
    let world = World::generate(&WorldSpec { seed: 1, scale: 0.05, campaign: true });
    let server = Server::start(world.clone(), faults, ListenConfig::default()).await.unwrap();
    let addrs = server.addrs();
    let text = format!(
        "[dns]\nresolvers = [\"{}\"]\nown = true\ntimeout_ms = 500\n\
         [rdap]\nbootstrap = \"http://{}/bootstrap/\"\nallow_private = true\nrate = 500.0\nin_flight = 32\n\
         [pdns]\nurl = \"http://{}/pdns/query\"\nrdata_path = \"rdata\"\nallow_private = true\nrate = 500.0\nin_flight = 32\n\
         [certs]\nurl = \"http://{}/\"\nallow_private = true\nrate = 500.0\nin_flight = 32\n",
        addrs.dns[0], addrs.rdap, addrs.pdns, addrs.certs
    );
    let config = Config::parse(std::path::Path::new("kudzu.toml"), &text).unwrap();
    (world, server, config)
}

pub async fn simnet_rig(faults: Faults) -> (World, Server, Rig) {
    let (world, server, config) = simnet(faults).await;
    let resolver = kudzu_worker::start_resolver(&config.dns, None).await.unwrap();
    let rig = Rig::start(&config, registry(&config).unwrap(), resolver).await;
    (world, server, rig)
}
