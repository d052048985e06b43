//! What a worker tells of its tasks: their trace in the log, and what it measures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Deaf, FREE, REPLIES, Rig, nothing, parse};
use kudzu_servers::Page;
use kudzu_shared::broker::{Broker as _, Durability};
use kudzu_shared::config::Config;
use kudzu_shared::job::JobId;
use kudzu_shared::metrics::metrics;
use kudzu_shared::observable::Observable;
use kudzu_shared::source::Class;
use kudzu_shared::telemetry;
use kudzu_shared::trace::Traceparent;
use kudzu_shared::wire::{Ask, Task, TaskLookup};
use kudzu_worker::{queue, registry, start_resolver};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

fn names(n: usize) -> Vec<Observable> {
    (0..n).map(|i| parse(&format!("h{i}.example.com"))).collect()
}

fn task(trace: String, source: &str, reply_to: &str, n: u32) -> Task {
    let lookup = |(seq, key)| TaskLookup { seq, ask: 0, questions: 1, key };
    Task {
        job: JobId(7),
        epoch: 1,
        reply_to: reply_to.into(),
        tenant: "t".into(),
        tlp: FREE.tlp,
        pap: FREE.pap,
        deadline_ms: None,
        trace: Some(trace),
        looked_ms: None,
        asks: vec![Ask { source: source.into(), types: vec![1], limit: 10 }],
        lookups: (0..).zip(names(n as usize)).map(lookup).collect(),
    }
}

fn has(line: &str) {
    let text = metrics().text();
    assert!(text.contains(&format!("\n{line}")), "{line} is missing:\n{text}");
}

/// One test: logs and metrics are those of the process.
#[tokio::test]
async fn a_task_is_told_with_its_trace_and_counted() {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = telemetry::subscriber("kudzu_worker=debug", true, false, move || writer.clone());
    tracing::subscriber::set_global_default(subscriber.unwrap()).unwrap();
    let config = Config::default();
    let mut rig = Rig::start(&config, registry(&config).unwrap(), nothing()).await;
    let given = Traceparent::random();
    let send = async |rig: &Rig, task: Task| {
        rig.broker.declare(queue(Class::Dns), Durability::Durable).await.unwrap();
        rig.broker.publish(queue(Class::Dns), task.encode().unwrap()).await.unwrap();
    };

    send(&rig, task(given.to_string(), "dns.name", REPLIES, 30)).await;
    rig.results(30).await;
    rig.settled(Class::Dns).await;
    let text = page.text().unwrap();
    let told: Vec<&str> = text.lines().filter(|l| l.contains("\"message\":\"a task\"")).collect();
    let id = format!("{{\"trace_id\":\"{:032x}\",", given.trace);
    assert!(told.len() == 1 && told[0].starts_with(&id), "{text}");
    has("kudzu_lookups_total{source=\"dns.name\",end=\"empty\"} 30");
    has("kudzu_cache_requests_total{answer=\"miss\"} 30");
    has("kudzu_lookups_in_flight{class=\"dns\"} 0");
    has("kudzu_limiter_wait_seconds_count{class=\"dns\"} 1");

    // A source that there is none of is no label: tasks may say anything.
    send(&rig, task("nonsense".into(), "no.such.source", REPLIES, 3)).await;
    rig.results(3).await;
    has("kudzu_lookups_total{source=\"unknown\",end=\"skipped\"} 3");
    rig.broker.publish(queue(Class::Dns), "nonsense".into()).await.unwrap();
    send(&rig, task(given.to_string(), "dns.name", "nobody", 2)).await;
    rig.settled(Class::Dns).await;
    has("kudzu_damaged_total{kind=\"task\"} 1");
    assert!(!metrics().text().contains("no.such"));
    drop(rig);
    in_flight(task(given.to_string(), "dns.name", REPLIES, 5)).await;
}

/// What is asked is in flight until it is given back; what was given back comes again.
async fn in_flight(task: Task) {
    let (config, asked) = (Config::default(), Arc::new(Notify::new()));
    let broker = kudzu_shared::broker::Memory::default();
    broker.declare(queue(Class::Dns), Durability::Durable).await.unwrap();
    broker.publish(queue(Class::Dns), task.encode().unwrap()).await.unwrap();
    let mut before = broker.consume(queue(Class::Dns), 1).await.unwrap();
    drop(before.next().await.unwrap());
    drop(before);
    let resolver = Arc::new(Deaf(Arc::clone(&asked)));
    let its = Arc::new(broker.clone());
    let rig = Rig::start_over(&config, registry(&config).unwrap(), resolver, broker, its).await;
    tokio::time::timeout(Duration::from_secs(30), asked.notified()).await.unwrap();
    has("kudzu_lookups_in_flight{class=\"dns\"} 5");
    has("kudzu_redelivered_total{kind=\"task\"} 1");
    has("kudzu_dns_window 77");
    rig.shutdown.begin();
    rig.worker.await.unwrap().unwrap();
    has("kudzu_lookups_in_flight{class=\"dns\"} 0");
}

#[tokio::test]
async fn the_engine_tells_its_window() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let text = format!("[dns]\nresolvers = [\"{at}\"]\nown = true\ncheck = false\n");
    let config = Config::parse(std::path::Path::new("kudzu.toml"), &text).unwrap();
    let resolver = start_resolver(&config.dns, None).await.unwrap();
    for _ in 0..1_000 {
        if resolver.window().is_some_and(|w| w > 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", resolver.window());
}
