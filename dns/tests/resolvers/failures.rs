//! Servers that fail, lie, or fall silent.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use kudzu_dns::{Engine, EngineConfig, Question, RecordType, Resolver, Server, Sink, Transport, Verdict};

use crate::conformance::{A1, script};
use crate::mock::{Mock, ask, n, name_of, named, respond, rr, server, udp};

fn found(query: &[u8]) -> Vec<Vec<u8>> {
    vec![respond(query, 0, false, &[rr(&name_of(query), RecordType::A, A1)], &[])]
}

fn refused(query: &[u8], _: bool) -> Vec<Vec<u8>> {
    vec![respond(query, 5, false, &[], &[])]
}

#[tokio::test]
async fn odd_servers_are_borne() {
    let mock = Mock::start(script).await;
    let resolver = udp(&[mock.addr], 300, 2);
    let all = ask(&resolver, &["noedns.test", "broken.test", "forged.test"]).await;
    assert_eq!((all["noedns.test"].verdict, all["noedns.test"].tries), (Verdict::Found, 2));
    assert_eq!((all["broken.test"].verdict, all["broken.test"].broken), (Verdict::Found, 1));
    // Forgeries never end a question, and are counted.
    assert_eq!((all["forged.test"].verdict, all["forged.test"].tries), (Verdict::Found, 1));
    let c = resolver.stats();
    let ignored = [&c.unknown_id, &c.not_response, &c.wrong_question, &c.short].map(|n| n.load(Relaxed));
    assert_eq!(ignored, [1, 1, 1, 1]);
}

#[tokio::test]
async fn another_server_is_asked_where_one_fails() {
    fn fails(query: &[u8], _: bool) -> Vec<Vec<u8>> {
        if name_of(query).starts_with("silent") { vec![] } else { vec![respond(query, 2, false, &[], &[])] }
    }
    fn good(query: &[u8], _: bool) -> Vec<Vec<u8>> {
        vec![respond(query, 0, false, &[rr(&name_of(query), RecordType::A, A1)], &[])]
    }
    let (bad, good) = (Mock::start(fails).await, Mock::start(good).await);
    let resolver = udp(&[bad.addr, good.addr], 200, 3);
    let names: Vec<String> =
        (0..20).flat_map(|i| [format!("silent{i}.test"), format!("x{i}.test")]).collect();
    let all = ask(&resolver, &named(&names)).await;
    assert!(all.values().all(|r| r.verdict == Verdict::Found && r.server == Some(good.addr)));
    assert!(all.values().any(|r| r.tries == 2));
}

#[tokio::test]
async fn a_name_that_cannot_be_sent_and_a_reader_that_left() {
    let mock = Mock::start(script).await;
    let resolver = udp(&[mock.addr], 100, 1);
    let (sink, mut replies) = Sink::new(4);
    let bad = Question { token: 5, name: b"\x03ab".as_slice().into(), qtype: RecordType::A };
    resolver.submit(vec![bad], &sink).await.unwrap();
    assert_eq!(replies.next().await.unwrap()[0].verdict, Verdict::FormErr);
    drop(replies);
    let late = Question { token: 6, name: n("found.test"), qtype: RecordType::A };
    resolver.submit(vec![late], &sink).await.unwrap();
    // The next question is answered: the one nobody waits for is in nobody's way.
    assert_eq!(ask(&resolver, &["found.test"]).await["found.test"].verdict, Verdict::Found);
    assert_eq!(resolver.stats().withdrawn.load(Relaxed), 1);
}

/// A question that only a dead server may take once held back all questions behind it.
#[tokio::test]
async fn what_waits_for_a_dead_server_is_in_nobodys_way() {
    let half = Mock::start(|query: &[u8], _| {
        let bad = name_of(query).starts_with("bad");
        if bad { vec![respond(query, 2, false, &[], &[])] } else { found(query) }
    })
    .await;
    let dead = Mock::start(|_: &[u8], _| vec![]).await;
    let servers = vec![server(half.addr), Server { in_flight: Some(2), ..server(dead.addr) }];
    let timeout = Duration::from_secs(20);
    let resolver =
        Engine::start(&EngineConfig { timeout, sockets: 1, ..EngineConfig::new(servers) }).unwrap();
    let questions = (0..200).map(|token| {
        let name = n(&format!("{}{token}.test", if token < 40 { "bad" } else { "good" }));
        Question { token, name, qtype: RecordType::A }
    });
    let (sink, mut replies) = Sink::new(200);
    resolver.submit(questions.collect(), &sink).await.unwrap();
    // Two at most are with the dead one, which is not benched before any of its timeouts.
    let mut good = 0;
    while good < 158 {
        let batch = tokio::time::timeout(Duration::from_secs(10), replies.next()).await;
        let batch = batch.expect("good names are not held back").unwrap();
        good += batch.iter().filter(|r| r.token >= 40 && r.verdict == Verdict::Found).count();
    }
}

/// What one server refuses says nothing of what a lost packet would have brought.
#[tokio::test]
async fn a_refusal_does_not_hide_a_loss() {
    let sends = AtomicU32::new(0);
    let lossy = Mock::start(move |query: &[u8], _| {
        let lost = name_of(query) == "dead.test" || sends.fetch_add(1, Relaxed) == 0;
        if lost { vec![] } else { found(query) }
    })
    .await;
    let refuses = Mock::start(refused).await;
    let resolver = udp(&[lossy.addr, refuses.addr], 200, 3);
    let all = ask(&resolver, &["a.test"]).await;
    assert_eq!((all["a.test"].verdict, all["a.test"].server), (Verdict::Found, Some(lossy.addr)));
    let all = ask(&resolver, &["dead.test"]).await;
    assert_eq!((all["dead.test"].verdict, all["dead.test"].server), (Verdict::Timeout, Some(lossy.addr)));
    // A server that refuses is asked once, and where none was lost its word stands.
    assert_eq!(refuses.asked("dead.test"), 1);
    let all = ask(&udp(&[refuses.addr], 200, 3), &["r.test"]).await;
    assert_eq!((all["r.test"].verdict, refuses.asked("r.test")), (Verdict::Refused, 1));
}

/// An answer section that ends before what it announces once looked whole.
#[tokio::test]
async fn what_is_cut_off_is_never_taken_for_whole() {
    let mock = Mock::start(|query: &[u8], tcp| {
        let name = name_of(query);
        let many =
            |n: u16| (0..n).map(|i| rr(&name, RecordType::A, &[10, 0, (i >> 8) as u8, i as u8])).collect();
        let whole: Vec<Vec<u8>> = many(2000);
        let mut m = respond(query, 0, false, &whole[..if name == "large.test" { 2000 } else { 60 }], &[]);
        let lies = name == "cut.test" || (name == "short.test" && !tcp);
        if lies {
            m[6..8].copy_from_slice(&4000_u16.to_be_bytes());
        }
        vec![m]
    })
    .await;
    let resolver = udp(&[mock.addr], 1000, 2);
    let all = ask(&resolver, &["large.test", "short.test", "cut.test"]).await;
    for (name, verdict, records, transport) in [
        ("large.test", Verdict::Found, 2000, Transport::Udp),
        ("short.test", Verdict::Found, 60, Transport::Tcp),
        ("cut.test", Verdict::Malformed, 60, Transport::Tcp),
    ] {
        let r = &all[name];
        assert_eq!((r.verdict, r.records.len(), r.transport), (verdict, records, transport), "{name}");
    }
}

/// A server that cannot read EDNS is asked without it, over TCP too, and from then on.
#[tokio::test]
async fn edns_is_left_out_where_it_is_not_read() {
    let mock = Mock::start(|query: &[u8], tcp| match query[11] {
        0 if tcp => found(query),
        0 => vec![respond(query, 0, name_of(query).starts_with("big"), &[], &[])],
        _ => vec![respond(query, 1, false, &[], &[])],
    })
    .await;
    let resolver = udp(&[mock.addr], 1000, 2);
    let all = ask(&resolver, &["big.test"]).await;
    assert_eq!((all["big.test"].verdict, all["big.test"].transport), (Verdict::Found, Transport::Tcp));
    let all = ask(&resolver, &["next.test"]).await;
    assert_eq!((all["next.test"].verdict, all["next.test"].tries), (Verdict::NoData, 1));
}
