//! How many questions a second the pipeline carries apart from the resolver: tasks in,
//! results out, over memory back ends and a resolver that answers at once. With a latency
//! in milliseconds, the UDP resolver asks a simulated internet in the same process instead.
//!
//! `cargo run --release -p kudzu-worker --example throughput -- 200000 [LATENCY]`

#![expect(clippy::print_stdout, reason = "its output")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kudzu_dns::{DNSClass, Data, Question, Record, RecordType, Reply, Resolver, Verdict};
use kudzu_shared::broker::{self, Broker as _, Durability};
use kudzu_shared::config::{Config, Dns};
use kudzu_shared::job::JobId;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Name, Observable};
use kudzu_shared::outcome::End;
use kudzu_shared::source::Class;
use kudzu_shared::task::{Shutdown, spawn};
use kudzu_shared::time::SystemClock;
use kudzu_shared::wire::{Ask, LookupResult, Results, Task, TaskLookup};
use kudzu_shared::{cache, limits};
use kudzu_simnet::{Faults, ListenConfig, Server, World, WorldSpec};
use kudzu_worker::{Worker, WorkerConfig, queue, registry, start_resolver};

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let n: u32 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(50_000);
    let broker = broker::Memory::new(4096);
    broker.declare("replies", Durability::Exclusive).await?;
    let mut replies = broker.consume("replies", 64).await?;
    let latency: Option<u64> = std::env::args().nth(2).and_then(|a| a.parse().ok());
    let faults = Faults { latency: Duration::from_millis(latency.unwrap_or(0)), ..Faults::default() };
    let world = World::generate(&WorldSpec { seed: 1, scale: 0.1, campaign: false });
    let simnet = Server::start(world, faults, ListenConfig::default()).await?;
    let mut config = Config { dns: Dns::own(simnet.addrs().dns.clone()), ..Config::default() };
    config.worker.lookups = 16_384;
    let instant = kudzu_dns::Instant::new(|q: &Question| {
        let data = Data::A(Ipv4Addr::new(192, 0, 2, 1));
        let record =
            Record { name: q.name.clone(), rtype: RecordType::A, class: DNSClass::IN, ttl: 60, data };
        Reply { records: vec![record], ..Reply::failed(0, Verdict::Found) }
    });
    let resolver: Arc<dyn Resolver> =
        if latency.is_some() { start_resolver(&config.dns, None).await? } else { Arc::new(instant) };
    let worker = Worker::new(
        WorkerConfig::new("w", &config),
        Arc::new(broker.clone()),
        Arc::new(cache::Memory::new(64 << 20)),
        Arc::new(limits::Memory::default()),
        registry(&config)?,
        resolver,
        Arc::new(SystemClock),
    );
    let shutdown = Shutdown::new(Duration::from_secs(5));
    let running = spawn("worker", worker.run(shutdown.clone()));
    broker.declare(queue(Class::Dns), Durability::Durable).await?;
    let begin = Instant::now();
    let sender = broker.clone();
    let sending = spawn("sender", async move {
        for first in (0..n).step_by(256) {
            let message = task(first, (first + 256).min(n)).encode();
            if let Ok(message) = message {
                let _ = sender.publish(queue(Class::Dns), message).await;
            }
        }
    });
    let (mut done, mut messages, mut failed) = (0_usize, 0_usize, 0_usize);
    while done < n as usize {
        let Some(delivery) = replies.next().await else { break };
        let results = Results::decode(&delivery.body)?.results;
        let ended = |r: &&LookupResult| End::of(r.answer.questions.iter().map(|q| q.verdict)) == End::Failed;
        failed += results.iter().filter(ended).count();
        done += results.len();
        messages += 1;
        delivery.settle.ack();
    }
    let took = begin.elapsed();
    sending.await?;
    shutdown.begin();
    running.await??;
    simnet.stop().await;
    println!(
        "{done} questions in {took:?}: {:.0}/s, {messages} messages, {failed} failed",
        done as f64 / took.as_secs_f64()
    );
    Ok(())
}

fn task(first: u32, end: u32) -> Task {
    let key = |i: u32| {
        let label = format!("host-{i}");
        Name::from_labels([label.as_bytes(), b"example", b"com"]).map(|n| Observable::from_name(&n))
    };
    let lookups =
        (first..end).filter_map(|seq| Some(TaskLookup { seq, ask: 0, questions: 1, key: key(seq)? }));
    Task {
        job: JobId(1),
        epoch: 1,
        reply_to: "replies".into(),
        tenant: "t".into(),
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        deadline_ms: None,
        trace: None,
        looked_ms: None,
        asks: vec![Ask { source: "dns.name".into(), types: vec![1], limit: 100 }],
        lookups: lookups.collect(),
    }
}
