//! HTTP lookups of the run loop: leases, the registries of RDAP, and results that are not
//! taken.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::{FREE, REPLIES, Rig, nothing, parse, verdicts};
use kudzu_shared::broker::{self, Broker, Consumer, Durability, Health, Subscription};
use kudzu_shared::config::Config;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::wire::{Ask, Results};
use kudzu_worker::http::Exchange;
use kudzu_worker::registry;
use kudzu_worker::sources::{Asked, Found, HttpSource, Source, Work};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// Takes its time, then says what it is told for the n-th lookup; the last for all others.
struct Says {
    info: SourceInfo,
    takes: Duration,
    verdicts: Vec<Verdict>,
    asked: Arc<AtomicUsize>,
}

impl Source for Says {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Http(self)
    }
}

#[async_trait]
impl HttpSource for Says {
    async fn look_up(&self, _: Asked<'_>, _: &mut Exchange<'_>, _: &mut Found) -> Verdict {
        let n = self.asked.fetch_add(1, Relaxed).min(self.verdicts.len() - 1);
        tokio::time::sleep(self.takes).await;
        assert_ne!(self.verdicts[n], Verdict::Panicked, "on purpose");
        self.verdicts[n]
    }
}

async fn rig(takes: Duration, verdicts: &[Verdict]) -> (Rig, Arc<AtomicUsize>) {
    let config = Config::default();
    let mut all = registry(&config).unwrap();
    let info = SourceInfo { name: "says".into(), ..all.get("rdap.domain").unwrap().info().clone() };
    let asked = Arc::new(AtomicUsize::new(0));
    let (verdicts, count) = (verdicts.to_vec(), Arc::clone(&asked));
    all.insert(Arc::new(Says { info, takes, verdicts, asked: count }));
    (Rig::start(&config, all, nothing()).await, asked)
}

/// It used to lapse after five seconds, and whoever asked again waited for that.
#[tokio::test(start_paused = true)]
async fn a_lease_goes_back_when_its_lookup_ends() {
    let (mut rig, asked) =
        rig(Duration::ZERO, &[Verdict::Throttled, Verdict::Panicked, Verdict::NoData]).await;
    let begin = Instant::now();
    for verdict in [Verdict::Throttled, Verdict::Panicked] {
        let results = rig.ask(Class::Http, "says", &[], &[parse("a.example")]).await;
        assert_eq!(verdicts(&results[0]), [verdict]);
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    // What failed is not asked again for a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let results = rig.ask(Class::Http, "says", &[], &[parse("a.example")]).await;
    assert_eq!(verdicts(&results[0]), [Verdict::NoData]);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(asked.load(Relaxed), 3);
}

/// However long it waits for its upstream's turn.
#[tokio::test(start_paused = true)]
async fn of_two_askers_one_asks() {
    let (mut rig, asked) = rig(Duration::from_secs(10), &[Verdict::NoData]).await;
    let ask = Ask { source: "says".into(), types: vec![], limit: 10 };
    for _ in 0..2 {
        rig.send(Class::Http, ask.clone(), &[parse("a.example")], FREE, REPLIES).await;
    }
    let results = rig.results(2).await;
    assert_eq!(asked.load(Relaxed), 1);
    assert_eq!(results.values().filter(|r| r.cached).count(), 1);
}

/// A registry that cannot be fetched for a moment must not cost the rounds that come later.
#[tokio::test]
async fn a_registry_that_fails_once_is_fetched_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let _server = kudzu_shared::task::spawn("test.registry", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buf = vec![0; 4096];
            let n = stream.read(&mut buf).await.unwrap_or(0);
            let is_list = String::from_utf8_lossy(&buf[..n]).starts_with("GET /dns.json");
            let first = is_list && count.fetch_add(1, Relaxed) == 0;
            let (status, body) = match (first, is_list) {
                (true, _) => ("500 Broken", String::new()),
                (_, true) => ("200 OK", format!(r#"{{"services":[[["example"],["http://{addr}/"]]]}}"#)),
                _ => (
                    "200 OK",
                    r#"{"objectClassName":"domain","ldhName":"a.example","status":["active"]}"#.into(),
                ),
            };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let mut config = Config::default();
    config.rdap.bootstrap = format!("http://{addr}/");
    config.rdap.allow_private = true;
    let mut rig = Rig::start(&config, registry(&config).unwrap(), nothing()).await;
    let key = [parse("a.example")];
    assert_eq!(verdicts(&rig.ask(Class::Http, "rdap.domain", &[], &key).await[0]), [Verdict::ServFail]);
    // When the coordinator asks again.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(verdicts(&rig.ask(Class::Http, "rdap.domain", &[], &key).await[0]), [Verdict::Found]);
    assert_eq!(asked.load(Relaxed), 2);
}

/// Nothing is asked about what no registry holds, and that is not nothing.
#[tokio::test]
async fn a_name_below_a_private_suffix_is_out_of_scope() {
    let config = Config::default();
    let mut rig = Rig::start(&config, registry(&config).unwrap(), nothing()).await;
    let keys = ["evil.duckdns.org", "www.example.com"].map(parse);
    for result in rig.ask(Class::Http, "rdap.domain", &[], &keys).await {
        assert_eq!(verdicts(&result), [Verdict::Scope]);
        assert_eq!(result.answer.questions[0].tries, 0);
    }
}

/// Takes no result at first.
struct Deaf {
    inner: broker::Memory,
    refused: AtomicUsize,
}

#[async_trait]
impl Broker for Deaf {
    fn health(&self) -> Health {
        self.inner.health()
    }

    async fn declare(&self, queue: &str, durability: Durability) -> Result<(), broker::Error> {
        self.inner.declare(queue, durability).await
    }

    async fn publish(&self, queue: &str, message: Bytes) -> Result<(), broker::Error> {
        let results = queue == REPLIES && !Results::decode(&message).unwrap().results.is_empty();
        if results && self.refused.fetch_add(1, Relaxed) < 2 {
            return Err(broker::Error::Closed);
        }
        self.inner.publish(queue, message).await
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, broker::Error> {
        self.inner.consume(queue, prefetch).await
    }

    async fn publish_fanout(&self, topic: &str, hint: Bytes) -> Result<(), broker::Error> {
        self.inner.publish_fanout(topic, hint).await
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Subscription>, broker::Error> {
        self.inner.subscribe(topic).await
    }
}

#[tokio::test]
async fn results_that_are_not_taken_give_their_task_back() {
    let config = Config::default();
    let broker = broker::Memory::default();
    let deaf = Arc::new(Deaf { inner: broker.clone(), refused: AtomicUsize::new(0) });
    let its = Arc::clone(&deaf) as Arc<dyn Broker>;
    let mut rig = Rig::start_over(&config, registry(&config).unwrap(), nothing(), broker, its).await;
    let results = rig.ask(Class::Local, "parts", &[], &[parse("a.b.example.com")]).await;
    assert_eq!(verdicts(&results[0]), [Verdict::Found]);
    assert_eq!(deaf.refused.load(Relaxed), 3);
    assert_eq!(rig.stats.tasks.load(Relaxed), 3);
    rig.settled(Class::Local).await;
}
