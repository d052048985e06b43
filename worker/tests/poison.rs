//! Tasks that come again, with lookups that kill whoever does them. The children are processes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test")]

mod common;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use common::{FREE, REPLIES, Rig, Terms, nothing, pairs, parse, verdicts};
use kudzu_shared::broker::{self, Broker, Consumer, Delivery, Durability, Error, Health, Subscription};
use kudzu_shared::config::Config;
use kudzu_shared::metrics::{Death, metrics};
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::source::Class;
use kudzu_shared::wire::{Ask, LookupResult};
use kudzu_simnet::Faults;
use kudzu_worker::{ChildCommand, WorkerConfig, queue, registry};
use rustix::process::{Pid, Signal, kill_process};

const CHILD: &str = env!("CARGO_BIN_EXE_poison-child");

/// A broker that says of every message that it comes again.
struct Again(broker::Memory);

#[async_trait]
impl Broker for Again {
    async fn declare(&self, queue: &str, durability: Durability) -> Result<(), Error> {
        self.0.declare(queue, durability).await
    }

    async fn publish(&self, queue: &str, message: Bytes) -> Result<(), Error> {
        self.0.publish(queue, message).await
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        Ok(Box::new(AgainConsumer(self.0.consume(queue, prefetch).await?)))
    }

    async fn publish_fanout(&self, topic: &str, hint: Bytes) -> Result<(), Error> {
        self.0.publish_fanout(topic, hint).await
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Subscription>, Error> {
        self.0.subscribe(topic).await
    }
}

struct AgainConsumer(Box<dyn Consumer>);

#[async_trait]
impl Consumer for AgainConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        Some(Delivery { redelivered: true, ..self.0.next().await? })
    }
}

/// A worker whose children carry a tag.
async fn rig(tag: &str, silence: Duration) -> Rig {
    let args = ["serve", "--tag", tag].map(Into::into);
    rig_with(&Config::default(), ChildCommand { silence, ..ChildCommand::new(CHILD, args) }).await
}

async fn rig_with(config: &Config, child: ChildCommand) -> Rig {
    let broker = broker::Memory::default();
    let its = Arc::new(Again(broker.clone()));
    let worker = WorkerConfig { child: Some(child), ..WorkerConfig::new("w1", config) };
    Rig::start_as(worker, registry(config).unwrap(), nothing(), broker, its).await
}

const LONG: Duration = Duration::from_secs(60);

/// So many names; those at some places have another first label.
fn names(n: usize, odd: &[(usize, &str)]) -> Vec<Observable> {
    let label = |i| odd.iter().find(|(at, _)| *at == i).map_or("plain", |(_, label)| *label);
    (0..n).map(|i| parse(&format!("{}.h{i}.example.com", label(i)))).collect()
}

/// The places of lookups that died; all others are done.
fn dead(results: &[LookupResult]) -> Vec<usize> {
    let end = |r: &LookupResult| End::of(verdicts(r));
    assert!(results.iter().all(|r| matches!(end(r), End::Empty | End::Dead)));
    results.iter().enumerate().filter(|(_, r)| end(r) == End::Dead).map(|(i, _)| i).collect()
}

async fn ask(rig: &mut Rig, keys: &[Observable]) -> Vec<LookupResult> {
    let results = rig.ask(Class::Local, "test.poison", &[], keys).await;
    rig.settled(Class::Local).await;
    results
}

fn counts(rig: &Rig) -> (u64, u64, u64) {
    let stats = &rig.stats;
    (stats.poisoned.load(Relaxed), stats.child_deaths.load(Relaxed), stats.children.load(Relaxed))
}

/// Children with a tag that live.
fn children(tag: &str) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pid = |e: &std::fs::DirEntry| e.file_name().to_str()?.parse::<i32>().ok();
    let is_child = |pid: &i32| {
        let args = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let args: Vec<&[u8]> = args.split(|b| *b == 0).collect();
        args.contains(&b"serve".as_slice()) && args.contains(&tag.as_bytes())
    };
    processes.filter_map(|e| pid(&e)).filter(is_child).filter_map(Pid::from_raw).collect()
}

/// Waits until a tag has so many children.
async fn children_are(tag: &str, n: usize) -> Vec<Pid> {
    let begin = Instant::now();
    loop {
        let all = children(tag);
        if all.len() == n {
            return all;
        }
        assert!(begin.elapsed() < LONG, "{} children of {tag}", all.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_poison_among_many_dies_alone() {
    for at in [0, 77, 199] {
        let mut rig = rig("one", LONG).await;
        let results = ask(&mut rig, &names(200, &[(at, "poison")])).await;
        assert_eq!(dead(&results), [at]);
        assert_eq!(verdicts(&results[at]), [Verdict::Poison]);
        let (poisoned, deaths, _) = counts(&rig);
        assert_eq!(poisoned, 1);
        // log2(200) + 2
        assert!((1..=9).contains(&deaths), "{deaths} children died");
        assert!(!rig.worker.is_finished());
        // The worker works on.
        assert_eq!(dead(&ask(&mut rig, &names(3, &[])).await), [0; 0]);
    }
}

#[tokio::test]
async fn two_poisons_die_and_their_neighbours_do_not() {
    for places in [[0, 1], [13, 150], [198, 199]] {
        let mut rig = rig("two", LONG).await;
        let results = ask(&mut rig, &names(200, &places.map(|at| (at, "poison")))).await;
        assert_eq!(dead(&results), places);
        let (poisoned, deaths, _) = counts(&rig);
        assert_eq!(poisoned, 2);
        assert!(deaths <= 18, "{deaths} children died");
    }
    // Of all tests of this process, at least of these.
    assert!(metrics().poisoned.get() >= 6);
    let deaths = metrics().child_deaths.get_or_create_owned(&Death { cause: "own" }).get();
    assert!(deaths >= 6 && metrics().children.get() > deaths);
}

#[tokio::test]
async fn tasks_without_poison_are_done_by_one_child_each_at_most() {
    let mut rig = rig("none", LONG).await;
    assert_eq!(dead(&ask(&mut rig, &names(200, &[])).await), [0; 0]);
    assert_eq!(counts(&rig), (0, 0, 1));
    // While others wait, a child is used again; and there are four at most, beside the first.
    let source = || Ask { source: "test.poison".into(), types: vec![], limit: 10 };
    let keys = names(10, &[(0, "slow"), (5, "slow")]);
    for _ in 0..20 {
        rig.send(Class::Local, source(), &keys, FREE, REPLIES).await;
    }
    let results: Vec<LookupResult> = rig.results(200).await.into_values().collect();
    assert_eq!(dead(&results), [0; 0]);
    rig.settled(Class::Local).await;
    let (_, deaths, started) = counts(&rig);
    assert!(deaths == 0 && (2..=5).contains(&started), "{started} children");
    children_are("none", 0).await;
}

#[tokio::test]
async fn a_poisoned_task_holds_up_no_other() {
    let mut rig = rig("other", LONG).await;
    let source = || Ask { source: "test.poison".into(), types: vec![], limit: 10 };
    let first = rig.send(Class::Local, source(), &names(1, &[(0, "hang")]), FREE, REPLIES).await;
    let results = ask_others(&mut rig, first).await;
    assert_eq!(dead(&results), [0; 0]);
    rig.shutdown.begin();
    let Rig { worker, broker, .. } = rig;
    worker.await.unwrap().unwrap();
    assert_eq!(broker.depth(queue(Class::Local)).unwrap().ready, 1, "it is given back");
}

async fn ask_others(rig: &mut Rig, first: u32) -> Vec<LookupResult> {
    let results = rig.ask(Class::Local, "test.poison", &[], &names(20, &[])).await;
    assert!(results.iter().all(|r| r.seq != first));
    results
}

#[tokio::test]
async fn a_child_that_is_killed_from_outside_costs_nothing() {
    let mut rig = rig("outside", LONG).await;
    let odd: Vec<(usize, &str)> = (0..50).map(|i| (i, "slow")).collect();
    let source = Ask { source: "test.poison".into(), types: vec![], limit: 10 };
    let first = rig.send(Class::Local, source, &names(50, &odd), FREE, REPLIES).await;
    let mut all: HashMap<u32, LookupResult> = HashMap::new();
    for (at, signal) in [(5, Signal::KILL), (20, Signal::TERM), (30, Signal::KILL)] {
        while all.len() < at {
            all.extend(rig.results(1).await);
        }
        let pid = children_are("outside", 1).await[0];
        kill_process(pid, signal).unwrap();
        while children("outside").contains(&pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    while all.len() < 50 {
        all.extend(rig.results(1).await);
    }
    rig.settled(Class::Local).await;
    let results: Vec<LookupResult> = (first..first + 50).map(|seq| all.remove(&seq).unwrap()).collect();
    assert_eq!(dead(&results), [0; 0]);
    assert_eq!(counts(&rig), (0, 0, 4));
}

#[tokio::test]
async fn a_hanging_lookup_is_bounded() {
    let mut rig = rig("hang", Duration::from_millis(500)).await;
    let begin = Instant::now();
    let results = ask(&mut rig, &names(40, &[(11, "hang")])).await;
    assert_eq!(dead(&results), [11]);
    assert_eq!(counts(&rig).0, 1);
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_hanging_lookup_ends_with_its_job() {
    let mut rig = rig("late", LONG).await;
    let terms = Terms { deadline: Some(Duration::from_secs(1)), ..FREE };
    let begin = Instant::now();
    let keys = names(5, &[(2, "hang")]);
    let results = rig.ask_on(Class::Local, "test.poison", &[], &keys, terms).await;
    let ends: Vec<Verdict> = results.iter().flat_map(verdicts).collect();
    let (found, late) = (Verdict::NoData, Verdict::Deadline);
    assert_eq!(ends, [found, found, late, late, late]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    rig.settled(Class::Local).await;
    children_are("late", 0).await;
}

#[tokio::test]
async fn noise_on_its_output_counts_as_a_childs_death() {
    let mut rig = rig("noise", LONG).await;
    let results = ask(&mut rig, &names(30, &[(17, "noise")])).await;
    assert_eq!(dead(&results), [17]);
    assert!(!rig.worker.is_finished());
}

#[tokio::test]
async fn a_child_that_does_not_start_blames_nobody() {
    for program in ["/bin/true", "/bin/yes", "/no/such/program"] {
        let rig = rig_with(&Config::default(), ChildCommand::new(program, [])).await;
        let source = Ask { source: "test.poison".into(), types: vec![], limit: 10 };
        rig.send(Class::Local, source, &names(3, &[]), FREE, REPLIES).await;
        while rig.stats.children.load(Relaxed) < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Given back, and taken again.
        while rig.stats.tasks.load(Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(counts(&rig).0, 0, "{program}");
        assert_eq!(rig.stats.lookups.load(Relaxed), 0, "{program}");
    }
}

#[tokio::test]
async fn a_child_ends_with_its_worker() {
    let rig = rig("dropped", LONG).await;
    let source = Ask { source: "test.poison".into(), types: vec![], limit: 10 };
    rig.send(Class::Local, source, &names(1, &[(0, "hang")]), FREE, REPLIES).await;
    children_are("dropped", 1).await;
    drop(rig);
    children_are("dropped", 0).await;
}

#[tokio::test]
async fn a_child_ends_when_its_workers_process_is_killed() {
    let mut worker =
        Command::new(CHILD).args(["work", "--tag", "orphan"]).stdin(Stdio::null()).spawn().unwrap();
    let child = children_are("orphan", 1).await[0];
    // It is at work: it would not notice that nobody listens.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(children("orphan"), [child]);
    worker.kill().unwrap();
    worker.wait().unwrap();
    children_are("orphan", 0).await;
}

#[tokio::test]
async fn answers_of_a_child_are_those_of_the_worker() {
    let (world, server, config) = common::simnet(Faults::default()).await;
    let addrs = server.addrs();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(
        file,
        "[dns]\nresolvers = [\"{}\"]\nown = true\n[rdap]\nbootstrap = \"http://{}/bootstrap/\"\nallow_private = true\nrate = 500.0\n",
        addrs.dns[0], addrs.rdap
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let args = ["serve", "--tag", "answers", "--config", path].map(Into::into);
    let mut again = rig_with(&config, ChildCommand::new(CHILD, args)).await;
    let resolver = kudzu_worker::start_resolver(&config.dns, None).await.unwrap();
    let mut own = Rig::start(&config, registry(&config).unwrap(), resolver).await;
    let names = seeds(&world);
    for (class, source, types) in
        [(Class::Dns, "dns.name", &[1, 2, 15][..]), (Class::Http, "rdap.domain", &[])]
    {
        let theirs = again.ask(class, source, types, &names).await;
        let mine = own.ask(class, source, types, &names).await;
        let told = |r: &[LookupResult]| -> Vec<_> {
            r.iter().map(|r| (r.key.clone(), verdicts(r), sorted(pairs(r)), r.answer.facts.len())).collect()
        };
        assert_eq!(told(&theirs), told(&mine), "{source}");
        assert!(theirs.iter().any(|r| verdicts(r).contains(&Verdict::Found)));
        again.settled(class).await;
        // The worker keeps them in its cache.
        let stored =
            |r: &LookupResult| verdicts(r).iter().all(|v| matches!(v.end(), End::Found | End::Empty));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let third = again.ask(class, source, types, &names).await;
        assert!(third.iter().filter(|r| stored(r)).all(|r| r.cached), "{source}");
        assert!(third.iter().filter(|r| r.cached).count() >= 10, "{source}");
    }
    let (poisoned, deaths, _) = counts(&again);
    assert_eq!((poisoned, deaths), (0, 0));
}

fn seeds(world: &kudzu_simnet::World) -> Vec<Observable> {
    let mut names: Vec<Observable> =
        world.truth().planned.iter().map(|p| parse(&p.domain)).take(20).collect();
    names.push(parse("no-such-name.example.com"));
    names
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[tokio::test]
async fn a_large_answer_comes_through_a_child_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs_file, settings) = (folder.path().join("big.csv"), folder.path().join("kudzu.toml"));
    let line = |i: usize| format!("hub.example.com,hosted-name,name-number-{i}.of.a.long.zone.example.net\n");
    std::fs::write(&pairs_file, (0..5000).map(line).collect::<String>()).unwrap();
    std::fs::write(&settings, format!("[pairs]\nbig = {:?}\n", pairs_file.to_str().unwrap())).unwrap();
    let config =
        Config::parse(Path::new("kudzu.toml"), &std::fs::read_to_string(&settings).unwrap()).unwrap();
    let args = ["serve", "--tag", "large", "--config", settings.to_str().unwrap()].map(Into::into);
    let mut rig = rig_with(&config, ChildCommand::new(CHILD, args)).await;
    let ask = Ask { source: "pairs.big".into(), types: vec![], limit: 10_000 };
    let first = rig.send(Class::Local, ask, &[parse("hub.example.com")], FREE, REPLIES).await;
    let results = rig.results(1).await;
    assert!(results[&first].part.of > 1);
    assert_eq!(results[&first].answer.pairs.len(), 5000);
    rig.settled(Class::Local).await;
    assert_eq!(counts(&rig), (0, 0, 1));
}
