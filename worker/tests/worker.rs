//! The run loop: policy, cache, parts, panics, lost replies, drain.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test")]

mod common;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use common::{FREE, REPLIES, Rig, Terms, nothing, pairs, parse, verdicts};
use kudzu_dns::{DNSClass, Data, Ended, Question, Record, RecordType, Reply, Resolver, Sink, Verdict as Dns};
use kudzu_shared::broker::{self, Depth, PARKED};
use kudzu_shared::config::Config;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::wire::Ask;
use kudzu_worker::sources::{Asked, Found, LocalSource, Source, Work};
use kudzu_worker::{WorkerConfig, queue, registry};

/// Every name has one address.
fn one_address() -> Arc<dyn Resolver> {
    Arc::new(kudzu_dns::Instant::new(|q: &Question| {
        let data = Data::A(Ipv4Addr::new(192, 0, 2, 7));
        let record =
            Record { name: q.name.clone(), rtype: RecordType::A, class: DNSClass::IN, ttl: 300, data };
        Reply { records: vec![record], ..Reply::failed(0, Dns::Found) }
    }))
}

/// Answers only names that start with `quick`.
struct Stuck;

#[async_trait]
impl Resolver for Stuck {
    async fn submit(&self, questions: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        let quick = questions.iter().filter(|q| q.name.starts_with(b"\x05quick"));
        sink.send(quick.map(|q| Reply::failed(q.token, Dns::NoData)).collect()).await;
        // Holds the sink, as an engine does that waits for its servers.
        let _held = sink.clone();
        std::future::pending().await
    }

    fn servers(&self) -> Vec<SocketAddr> {
        Vec::new()
    }
}

/// The same the first time; then it answers everything.
#[derive(Default)]
struct StuckOnce {
    asked: AtomicUsize,
}

#[async_trait]
impl Resolver for StuckOnce {
    async fn submit(&self, questions: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        if self.asked.fetch_add(questions.len(), Relaxed) == 0 {
            return Stuck.submit(questions, sink).await;
        }
        sink.send(questions.iter().map(|q| Reply::failed(q.token, Dns::NoData)).collect()).await;
        Ok(())
    }

    fn servers(&self) -> Vec<SocketAddr> {
        Vec::new()
    }
}

async fn rig(resolver: Arc<dyn Resolver>) -> Rig {
    let config = Config::default();
    Rig::start(&config, registry(&config).unwrap(), resolver).await
}

fn names(n: usize) -> Vec<Observable> {
    (0..n).map(|i| parse(&format!("h{i}.example.com"))).collect()
}

#[tokio::test]
async fn answers_come_once_and_from_the_cache_the_next_time() {
    let mut rig = rig(one_address()).await;
    let keys = names(300);
    let first = rig.ask(Class::Dns, "dns.name", &[1], &keys).await;
    assert!(first.iter().all(|r| !r.cached && verdicts(r) == [Verdict::Found]));
    assert_eq!(pairs(&first[0]), ["h0.example.com resolves-to 192.0.2.7"]);
    rig.settled(Class::Dns).await;
    // The cache may lag behind the results.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let again = rig.ask_on(Class::Dns, "dns.name", &[1], &keys, Terms { tlp: Tlp::Green, ..FREE }).await;
    assert!(again.iter().all(|r| r.cached));
    assert!(again.iter().flat_map(|r| &r.answer.pairs).all(|p| p.marking == Tlp::Green));
    assert_eq!(rig.stats.dns_questions.load(Relaxed), 300);
    // A closed job has its own cache.
    let closed =
        rig.ask_on(Class::Dns, "dns.name", &[1], &keys[..1], Terms { tlp: Tlp::Amber, ..FREE }).await;
    assert!(!closed[0].cached);
}

#[tokio::test]
async fn what_the_job_forbids_is_not_asked() {
    let mut rig = rig(one_address()).await;
    let keys = names(2);
    for (pap, expected) in
        [(Pap::Green, Verdict::Found), (Pap::Amber, Verdict::Policy), (Pap::Red, Verdict::Policy)]
    {
        let results = rig.ask_on(Class::Dns, "dns.name", &[1], &keys, Terms { pap, ..FREE }).await;
        assert!(results.iter().all(|r| verdicts(r) == [expected]), "{pap:?}");
    }
    let late = Terms { deadline: Some(Duration::ZERO), ..FREE };
    let results = rig.ask_on(Class::Dns, "dns.name", &[1, 28], &names(1), late).await;
    assert_eq!(verdicts(&results[0]), [Verdict::Deadline, Verdict::Deadline]);
    assert_eq!(verdicts(&rig.ask(Class::Http, "pdns.name", &[], &keys).await[0]), [Verdict::Unconfigured]);
    assert_eq!(verdicts(&rig.ask(Class::Http, "no.such", &[], &keys).await[0]), [Verdict::Unconfigured]);
    assert_eq!(verdicts(&rig.ask(Class::Dns, "dns.addr", &[], &keys).await[0]), [Verdict::FormErr]);
    rig.settled(Class::Dns).await;
}

#[tokio::test]
async fn one_slow_name_holds_back_nothing_and_ends_at_the_deadline() {
    let mut rig = rig(Arc::new(Stuck)).await;
    let keys = [parse("quick.example.com"), parse("slow.example.com")];
    let ask = Ask { source: "dns.name".into(), types: vec![1], limit: 10 };
    let terms = Terms { deadline: Some(Duration::from_millis(700)), ..FREE };
    let first = rig.send(Class::Dns, ask, &keys, terms, REPLIES).await;
    let begin = std::time::Instant::now();
    let quick = rig.results(1).await;
    assert_eq!(verdicts(&quick[&first]), [Verdict::NoData]);
    assert!(begin.elapsed() < Duration::from_millis(600));
    let slow = rig.results(1).await;
    assert_eq!(verdicts(&slow[&(first + 1)]), [Verdict::Deadline]);
    rig.settled(Class::Dns).await;
}

/// Nothing is held for longer than the broker bears; what has been answered is not asked again.
#[tokio::test]
async fn what_takes_too_long_goes_back_to_the_queue() {
    let config = Config::default();
    let worker = WorkerConfig { hold: Duration::from_millis(200), ..WorkerConfig::new("w1", &config) };
    let stuck = Arc::new(StuckOnce::default());
    let broker = broker::Memory::default();
    let its = Arc::new(broker.clone());
    let resolver = Arc::clone(&stuck) as Arc<dyn Resolver>;
    let mut rig = Rig::start_as(worker, registry(&config).unwrap(), resolver, broker, its).await;
    let keys = [parse("quick.example.com"), parse("slow.example.com"), parse("slower.example.com")];
    let results = rig.ask(Class::Dns, "dns.name", &[1], &keys).await;
    assert!(results.iter().all(|r| verdicts(r) == [Verdict::NoData]));
    rig.settled(Class::Dns).await;
    assert_eq!((rig.stats.tasks.load(Relaxed), stuck.asked.load(Relaxed)), (2, 5));
}

#[tokio::test]
async fn a_drain_gives_back_what_it_cannot_finish() {
    let rig = rig(Arc::new(Stuck)).await;
    let ask = Ask { source: "dns.name".into(), types: vec![1], limit: 10 };
    rig.send(Class::Dns, ask.clone(), &[parse("slow.example.com")], FREE, REPLIES).await;
    while rig.stats.tasks.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begin = std::time::Instant::now();
    rig.shutdown.begin();
    rig.worker.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(rig.broker.depth(queue(Class::Dns)), Some(Depth { ready: 1, unsettled: 0 }));
}

#[tokio::test]
async fn a_drain_finishes_and_sends_what_it_can() {
    let mut rig = rig(one_address()).await;
    let keys = names(256);
    let ask = Ask { source: "dns.name".into(), types: vec![1], limit: 10 };
    rig.send(Class::Dns, ask, &keys, FREE, REPLIES).await;
    while rig.stats.tasks.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    rig.shutdown.begin();
    assert_eq!(rig.results(256).await.len(), 256);
    rig.settled(Class::Dns).await;
    rig.worker.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_not_asked() {
    let rig = rig(one_address()).await;
    let keys = names(3);
    let ask = Ask { source: "dns.name".into(), types: vec![1], limit: 2000 };
    rig.send(Class::Dns, ask, &keys, FREE, "gone").await;
    rig.settled(Class::Dns).await;
    assert_eq!((rig.stats.tasks.load(Relaxed), rig.stats.dns_questions.load(Relaxed)), (1, 0));
    // Nor is a later task of the same take-over.
    let ask = Ask { source: "dns.name".into(), types: vec![1], limit: 2000 };
    rig.send(Class::Dns, ask, &keys, FREE, "gone").await;
    rig.settled(Class::Dns).await;
    assert_eq!(rig.stats.dns_questions.load(Relaxed), 0);
}

struct Panics(SourceInfo);

impl Source for Panics {
    fn info(&self) -> &SourceInfo {
        &self.0
    }

    fn work(&self) -> Work<'_> {
        Work::Local(self)
    }
}

impl LocalSource for Panics {
    fn answer(&self, asked: &Asked<'_>, _: &mut Found) -> Verdict {
        assert!(!asked.key.to_string().starts_with("h1."), "on purpose");
        Verdict::NoData
    }
}

#[tokio::test]
async fn a_panic_costs_its_lookup_only() {
    let config = Config::default();
    let mut all = registry(&config).unwrap();
    let info = all.get("parts").unwrap().info().clone();
    all.insert(Arc::new(Panics(SourceInfo { name: "panics".into(), ..info })));
    let mut rig = Rig::start(&config, all, nothing()).await;
    let results = rig.ask(Class::Local, "panics", &[], &names(3)).await;
    let ends: Vec<Verdict> = results.iter().flat_map(verdicts).collect();
    assert_eq!(ends, [Verdict::NoData, Verdict::Panicked, Verdict::NoData]);
    rig.settled(Class::Local).await;
    assert_eq!(rig.stats.panicked.load(Relaxed), 1);
}

#[tokio::test]
async fn large_answers_come_in_parts() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for i in 0..5000 {
        writeln!(file, "hub.example.com,hosted-name,name-number-{i}.of.a.long.zone.example.net").unwrap();
    }
    let mut config = Config::default();
    config.pairs.insert("big".into(), file.path().to_owned());
    let mut rig = Rig::start(&config, registry(&config).unwrap(), nothing()).await;
    let results = rig.ask(Class::Local, "pairs.big", &[], &[parse("hub.example.com")]).await;
    assert_eq!(results[0].answer.pairs.len(), 2000);
    assert_eq!(results[0].answer.totals[0].total, 5000);
    assert!(rig.stats.messages.load(Relaxed) > 1);
    rig.settled(Class::Local).await;
}

#[tokio::test]
async fn a_damaged_task_is_set_aside() {
    use kudzu_shared::broker::Broker as _;
    let mut rig = rig(one_address()).await;
    rig.ask(Class::Dns, "dns.name", &[1], &names(1)).await;
    for junk in [&b""[..], b"KDZU", &[0xff; 500]] {
        rig.broker.publish(queue(Class::Dns), junk.to_vec().into()).await.unwrap();
    }
    rig.settled(Class::Dns).await;
    assert_eq!(rig.stats.damaged.load(Relaxed), 3);
    assert_eq!(rig.broker.depth(PARKED), Some(Depth { ready: 3, unsettled: 0 }));
    assert_eq!(rig.ask(Class::Dns, "dns.name", &[1], &names(2)).await.len(), 2);
}

#[test]
fn the_catalogue_lists_every_source_with_its_reason() {
    let config = Config::default();
    let mut all = registry(&config).unwrap().catalogue();
    // What users get has none of it.
    all.retain(|s| !cfg!(feature = "poison") || s.name != "test.poison");
    let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "certs.fingerprint",
            "certs.name",
            "dns.addr",
            "dns.name",
            "dns.origin",
            "parts",
            "pdns.addr",
            "pdns.name",
            "pdns.rdata",
            "rdap.autnum",
            "rdap.domain",
            "rdap.entity",
            "rdap.ip"
        ]
    );
    for source in &all {
        assert!(!source.doc.is_empty() && !source.takes.is_empty() && !source.returns.is_empty());
        // No endpoint, and none that answers it in JSON.
        let without = source.name.starts_with("pdns.") || source.name == "certs.fingerprint";
        assert_eq!(source.unavailable.is_some(), without, "{}", source.name);
    }
}
