//! A child of a worker, for `worker/tests/poison.rs`; and a worker with such a child, whose
//! process a test can kill.
//!
//! `poison-child serve [--config FILE] [--tag TEXT] --class CLASS --parent PID`
//! `poison-child work --tag TEXT`: has one task that hangs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kudzu_dns::{Reply, Resolver, Verdict as Dns};
use kudzu_shared::broker::{self, Broker as _, Durability};
use kudzu_shared::config::Config;
use kudzu_shared::job::JobId;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::Observable;
use kudzu_shared::source::Class;
use kudzu_shared::task::Shutdown;
use kudzu_shared::time::SystemClock;
use kudzu_shared::wire::{Ask, Task, TaskLookup};
use kudzu_shared::{cache, limits};
use kudzu_worker::{ChildCommand, ChildWorker, Worker, WorkerConfig, queue, registry, tie};

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("serve") => serve(&args).await,
        Some("work") => work(after(&args, "--tag").unwrap()).await,
        other => panic!("{other:?}"),
    }
}

fn after<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|a| a == name)?;
    args.get(at + 1).map(String::as_str)
}

async fn serve(args: &[String]) {
    tie(after(args, "--parent").unwrap().parse().unwrap()).unwrap();
    let config = match after(args, "--config") {
        Some(file) => Config::parse(Path::new(file), &std::fs::read_to_string(file).unwrap()).unwrap(),
        None => Config::default(),
    };
    let class = match after(args, "--class") {
        Some("dns") => Class::Dns,
        Some("http") => Class::Http,
        _ => Class::Local,
    };
    let resolver = match class {
        Class::Dns => kudzu_worker::start_resolver(&config.dns, None).await.unwrap(),
        Class::Http | Class::Local => nobody(),
    };
    let child = ChildWorker {
        config: WorkerConfig::new("child", &config),
        class,
        limiter: Arc::new(limits::Memory::default()),
        registry: registry(&config).unwrap(),
        resolver,
        clock: Arc::new(SystemClock),
    };
    child.run().await.unwrap();
}

fn nobody() -> Arc<dyn Resolver> {
    Arc::new(kudzu_dns::Instant::new(|_: &kudzu_dns::Question| Reply::failed(0, Dns::Unreachable)))
}

async fn work(tag: &str) {
    let broker = broker::Memory::default();
    let lookup =
        |key: &str| TaskLookup { seq: 1, ask: 0, questions: 1, key: Observable::parse(key).unwrap() };
    let task = Task {
        job: JobId(7),
        epoch: 1,
        reply_to: "replies".into(),
        tenant: "t".into(),
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        deadline_ms: None,
        trace: None,
        looked_ms: None,
        asks: vec![Ask { source: "test.poison".into(), types: vec![], limit: 1 }],
        lookups: vec![lookup("hang.example.com")],
    };
    broker.declare(queue(Class::Local), Durability::Durable).await.unwrap();
    // Where nobody waits for results nothing is asked.
    broker.declare("replies", Durability::Exclusive).await.unwrap();
    broker.publish(queue(Class::Local), task.encode().unwrap()).await.unwrap();
    // Taken and given back: it comes again.
    let mut consumer = broker.consume(queue(Class::Local), 1).await.unwrap();
    drop(consumer.next().await.unwrap());
    drop(consumer);
    let config = Config::default();
    let args = ["serve", "--tag", tag].map(Into::into);
    let child = Some(ChildCommand::new(std::env::current_exe().unwrap(), args));
    let worker = Worker::new(
        WorkerConfig { child, ..WorkerConfig::new("w1", &config) },
        Arc::new(broker),
        Arc::new(cache::Memory::new(1 << 20)),
        Arc::new(limits::Memory::default()),
        registry(&config).unwrap(),
        nobody(),
        Arc::new(SystemClock),
    );
    worker.run(Shutdown::new(Duration::from_secs(1))).await.unwrap();
}
