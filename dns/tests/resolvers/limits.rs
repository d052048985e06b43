//! What a server bears, and how much is in flight.

use std::time::{Duration, Instant as Clock};

use kudzu_dns::{Engine, EngineConfig, Hickory, Question, RecordType, Resolver as _, Server, Sink, Verdict};

use crate::conformance::script;
use crate::mock::{Mock, ask, n, named, server};

#[tokio::test]
async fn the_rate_of_a_server_holds() {
    let mock = Mock::start(script).await;
    let servers = vec![Server { rate: Some(500.0), in_flight: Some(50), ..Server::own(mock.addr) }];
    let resolver = Engine::start(&EngineConfig::new(servers)).unwrap();
    let names: Vec<String> = (0..300).map(|i| format!("h{i}.test")).collect();
    let begin = Clock::now();
    ask(&resolver, &named(&names)).await;
    // 300 at 500 a second, with a burst of 10 that is taken out of the rate.
    assert!(begin.elapsed() >= Duration::from_millis(585), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_in_flight_are_each_answered_once() {
    let mock = Mock::start(script).await;
    let servers = vec![server(mock.addr)];
    let config = EngineConfig {
        timeout: Duration::from_millis(800),
        attempts: 6,
        in_flight: 2000,
        ..EngineConfig::new(servers)
    };
    let resolver = Engine::start(&config).unwrap();
    let names: Vec<String> = (0..20_000).map(|i| format!("h{i}.test")).collect();
    let all = ask(&resolver, &named(&names)).await;
    // The mock drops what it has no time for; three sends to one address are the limit.
    let found = all.values().filter(|r| r.verdict == Verdict::Found).count();
    assert!(found >= 19_990, "{found}");
    assert!(all.values().all(|r| r.tries <= 3));
}

/// Questions asked again over TCP once went past the rate.
#[tokio::test]
async fn what_is_asked_over_tcp_counts_for_the_rate() {
    let mock = Mock::start(script).await;
    let servers = vec![Server { rate: Some(100.0), in_flight: Some(50), ..Server::own(mock.addr) }];
    let resolver = Engine::start(&EngineConfig::new(servers)).unwrap();
    let names: Vec<String> = (0..60).map(|i| format!("big.h{i}.test")).collect();
    let begin = Clock::now();
    ask(&resolver, &named(&names)).await;
    // 60 datagrams and 60 connections at 100 a second.
    assert!(begin.elapsed() >= Duration::from_millis(1150), "{:?}", begin.elapsed());
}

/// What nobody waits for once kept its place for ever, where each question has a task.
#[tokio::test]
async fn a_reader_that_left_leaves_its_place() {
    let mock = Mock::start(script).await;
    let resolver = Hickory::new(vec![mock.addr], Duration::from_millis(400), 1, 1);
    let (sink, replies) = Sink::new(1);
    drop(replies);
    let question = Question { token: 0, name: n("found.test"), qtype: RecordType::A };
    resolver.submit(vec![question], &sink).await.unwrap();
    let all = tokio::time::timeout(Duration::from_secs(10), ask(&resolver, &["found.test"])).await;
    assert_eq!(all.unwrap()["found.test"].verdict, Verdict::Found);
}
