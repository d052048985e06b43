//! A whole cluster in one process on paused time: the real run loop, queues and cache, and
//! simulated workers that are slow, answer twice, and die before they acknowledge.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kudzu_coordinator::core::ticket;
use kudzu_coordinator::run::task_queue;
use kudzu_coordinator::{Coordinator, Handle, StartOptions};
use kudzu_shared::broker::{self, Broker as _, Delivery, Subscription};
use kudzu_shared::cache::{self, Cache as _, KeyPrefix, Partition, entry, ttl};
use kudzu_shared::config;
use kudzu_shared::job::JobId;
use kudzu_shared::outcome::{Answer, Part};
use kudzu_shared::rtype;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::task::{self, Shutdown};
use kudzu_shared::time::Clock;
use kudzu_shared::wire::{LookupResult, Over, Results, StoredAnswer, Task, TaskLookup};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::answer::Asked;
use super::case::Case;
use super::rng::{Rng, hash};
use super::world::World;

/// What goes wrong, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Longest delay of an answer, milliseconds.
    pub delay: u64,
    /// Results that are sent twice.
    pub twice: u64,
    /// Deliveries whose worker dies before it acknowledges.
    pub dies: u64,
    /// Tasks that are acknowledged without a word.
    pub mute: u64,
    /// Answers that come in parts.
    pub parts: u64,
    /// Whether workers write to the cache.
    pub cached: bool,
}

/// What workers saw, by virtual time; within one instant in no order.
pub type Trace = Arc<Mutex<Vec<(u64, String)>>>;

/// Virtual time as wall-clock time.
#[derive(Debug)]
pub struct PausedClock(pub Instant);

impl Clock for PausedClock {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.0.elapsed().as_millis() as i64
    }
}

/// A running cluster; its workers end with it.
pub struct Cluster {
    pub handle: Handle,
    pub broker: broker::Memory,
    pub shutdown: Shutdown,
    pub trace: Trace,
    _workers: Vec<task::Task<()>>,
}

struct Worker {
    name: String,
    broker: broker::Memory,
    cache: Arc<cache::Memory>,
    world: World,
    catalogue: Vec<SourceInfo>,
    faults: Faults,
    seed: u64,
    start: Instant,
    trace: Trace,
    /// How often a message was delivered: a worker that dies twice is another accident.
    deliveries: Arc<Mutex<HashMap<[u8; 32], u64>>>,
    over: Mutex<HashMap<JobId, u32>>,
}

impl Cluster {
    /// Starts a coordinator and `workers` workers a class, in the world of a case.
    pub async fn start(
        case: &Case,
        seed: u64,
        workers: u64,
        faults: Faults,
        config: config::Coordinator,
    ) -> Self {
        let broker = broker::Memory::new(Rng::new(seed).within(2, 64) as usize);
        let cache = Arc::new(cache::Memory::new(64 << 20));
        let shutdown = Shutdown::new(Duration::from_secs(10));
        let options = StartOptions {
            config,
            broker: Arc::new(broker.clone()),
            cache: Arc::clone(&cache) as _,
            catalogue: case.catalogue.clone(),
            packs: Arc::clone(&case.packs),
            clock: Arc::new(PausedClock(Instant::now())),
        };
        let handle = Coordinator::start(options, shutdown.child()).await.expect("a memory broker takes it");
        let (trace, deliveries) = (Trace::default(), Arc::default());
        let mut running = Vec::new();
        for class in [Class::Dns, Class::Http, Class::Local] {
            for n in 0..workers {
                let worker = Arc::new(Worker {
                    name: format!("{class:?} {n}"),
                    broker: broker.clone(),
                    cache: Arc::clone(&cache),
                    world: case.world.clone(),
                    catalogue: case.catalogue.clone(),
                    faults,
                    seed,
                    start: Instant::now(),
                    trace: Arc::clone(&trace),
                    deliveries: Arc::clone(&deliveries),
                    over: Mutex::default(),
                });
                let hints = broker.subscribe(Over::TOPIC).await.expect("a memory broker takes it");
                running.push(task::spawn("hints", Arc::clone(&worker).hear(hints)));
                running.push(task::spawn("worker", worker.run(class)));
            }
        }
        Self { handle, broker, shutdown, trace, _workers: running }
    }

    /// A digest of what workers saw and when.
    pub fn trace_hash(&self) -> String {
        let mut events = self.trace.lock().expect("no worker panicked").clone();
        events.sort();
        let text: String = events.iter().map(|(at, what)| format!("{at} {what}\n")).collect();
        Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Tasks that nobody has acknowledged.
    pub fn unsettled(&self) -> usize {
        let depth = |c| self.broker.depth(task_queue(c)).map_or(0, |d| d.ready + d.unsettled);
        [Class::Dns, Class::Http, Class::Local].map(depth).iter().sum()
    }
}

impl Worker {
    /// Hears which take-overs of jobs are over.
    async fn hear(self: Arc<Self>, mut hints: Box<dyn Subscription>) {
        while let Some(hint) = hints.next().await {
            let Over { job, epoch } = Over::decode(&hint).expect("a hint that a coordinator wrote");
            let mut over = self.over.lock().expect("no worker panicked");
            let last = over.entry(job).or_default();
            *last = epoch.max(*last);
        }
    }

    async fn run(self: Arc<Self>, class: Class) {
        loop {
            let mut consumer = self.broker.consume(task_queue(class), 4).await.expect("declared");
            let mut tasks = FuturesUnordered::new();
            // Until it dies: then what it holds goes back, and another one comes in its place.
            loop {
                tokio::select! {
                    biased;
                    Some(died) = tasks.next(), if !tasks.is_empty() => if died { break },
                    delivery = consumer.next() => match delivery {
                        Some(delivery) => tasks.push(self.work(delivery)),
                        None => return,
                    },
                }
            }
        }
    }

    /// Works on a task; true where that is the end of the worker.
    async fn work(&self, delivery: Delivery) -> bool {
        let task = Task::decode(&delivery.body).expect("a task that a coordinator wrote");
        // Sent again, it is the same task.
        let same = Task { looked_ms: None, ..task.clone() }.encode().expect("it was a message");
        let digest: [u8; 32] = Sha256::digest(&same).into();
        let nth = {
            let mut deliveries = self.deliveries.lock().expect("no worker panicked");
            let n = deliveries.entry(digest).or_default();
            *n += 1;
            *n
        };
        let over = self.over.lock().expect("no worker panicked").get(&task.job).copied();
        if over.is_some_and(|last| task.epoch <= last) {
            delivery.settle.ack();
            return false;
        }
        // The reply queue's name is new in each run, so the lookups alone make the fate.
        let first = task.lookups.first().map(|l| l.seq).unwrap_or_default().to_le_bytes();
        let job = task.job.0.to_le_bytes();
        let mut rng = Rng::new(hash(self.seed, &[&job, &first, &nth.to_le_bytes()]));
        let dies = rng.percent(self.faults.dies) && nth < 4;
        if rng.percent(self.faults.mute) && nth < 4 {
            delivery.settle.ack();
            return false;
        }
        let done = if dies { rng.below(task.lookups.len() as u64) as usize } else { task.lookups.len() };
        let lookups = task.lookups[..done].iter().map(|l| self.look_up(&task, l, nth));
        let mut lookups: FuturesUnordered<_> = lookups.collect();
        while lookups.next().await.is_some() {}
        if !dies {
            delivery.settle.ack();
        }
        dies
    }

    async fn look_up(&self, task: &Task, lookup: &TaskLookup, nth: u64) {
        let seq = lookup.seq.to_le_bytes();
        let mut rng =
            Rng::new(hash(self.seed, &[&task.job.0.to_le_bytes(), &seq, &nth.to_le_bytes(), b"lookup"]));
        sleep(Duration::from_millis(rng.within(0, self.faults.delay))).await;
        let ask = &task.asks[usize::from(lookup.ask)];
        let types: Vec<String> = ask.types.iter().map(|t| rtype::name(*t)).collect();
        let asked = Asked { source: &ask.source, types: &types, limit: ask.limit };
        let answer = self.world.answer(asked, &lookup.key, lookup.questions, ticket::round(lookup.seq));
        let at = self.start.elapsed().as_millis() as u64;
        let line =
            format!("{} {} {} {} {:x}", task.job, ask.source, lookup.key, lookup.seq, lookup.questions);
        self.trace.lock().expect("no worker panicked").push((at, line));
        let all = (1u32 << types.len().max(1)) - 1;
        if self.faults.cached && lookup.questions == all {
            self.keep(task, lookup, &answer).await;
        }
        // As a worker does with what it has asked, and not with what it finds in the cache.
        let mut answer = answer;
        answer.pairs.iter_mut().for_each(|p| p.marking = p.marking.max(task.tlp));
        let times = if rng.percent(self.faults.twice) { 2 } else { 1 };
        for _ in 0..times {
            let parts = if rng.percent(self.faults.parts) { 2 } else { 1 };
            let sending = rng.next();
            self.reply(task, lookup, &answer, Part { sending, index: 0, of: parts }).await;
            sleep(Duration::from_millis(rng.within(0, self.faults.delay))).await;
        }
    }

    async fn keep(&self, task: &Task, lookup: &TaskLookup, answer: &Answer) {
        let ask = &task.asks[usize::from(lookup.ask)];
        let source = self.catalogue.iter().find(|s| s.name == ask.source).expect("a known source");
        let partition = Partition::of(&task.tenant, task.tlp, source.marking, source.licensed);
        let key = KeyPrefix::new(&partition, source.digest, ask).key(lookup.key.as_ref());
        let (observed_ms, upstreams) = (PausedClock(self.start).now_ms(), vec!["sim".into()]);
        let stored = StoredAnswer { observed_ms, upstreams, answer: answer.clone(), settled: false };
        if let (Some(body), Some(ttl)) = (entry::encode(&stored), ttl::of_answer(answer, None)) {
            self.cache.put(vec![(key, body, ttl)]).await;
        }
    }

    async fn reply(&self, task: &Task, lookup: &TaskLookup, answer: &Answer, first: Part) {
        let mut rest = answer.clone();
        for index in 0..first.of {
            let says = if index + 1 < first.of {
                let half = rest.pairs.split_off(rest.pairs.len() / 2);
                Answer { pairs: std::mem::replace(&mut rest.pairs, half), ..Answer::default() }
            } else {
                std::mem::take(&mut rest)
            };
            let result = LookupResult {
                seq: lookup.seq,
                ask: 0,
                key: lookup.key.clone(),
                observed_ms: PausedClock(self.start).now_ms(),
                cached: false,
                part: Part { index, ..first },
                answer: says,
            };
            let results = Results {
                job: task.job,
                epoch: task.epoch,
                worker: self.name.clone(),
                asks: vec![task.asks[usize::from(lookup.ask)].clone()],
                upstreams: vec!["sim".into()],
                results: vec![result],
            };
            let message = results.encode().expect("it is small");
            // Without its coordinator nobody wants it.
            let _ = self.broker.publish(&task.reply_to, message).await;
        }
    }
}
