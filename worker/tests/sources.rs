//! Every source against the simulated internet, through a whole worker.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test")]

mod common;

use std::time::Duration;

use common::{pairs, parse, simnet_rig, verdicts};
use kudzu_shared::fact::FactName;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::pair::Relation;
use kudzu_shared::source::Class;
use kudzu_simnet::{Faults, World};

fn planned(world: &World) -> Vec<Observable> {
    world.truth().planned.iter().map(|p| parse(&p.domain)).collect()
}

/// The addresses that the world itself gives for a name.
fn addresses(world: &World, name: &Observable) -> Vec<String> {
    let mut records = Vec::new();
    world.dns(name.wire(), 1, &mut records);
    let address = |r: &kudzu_simnet::Record| match r.rdata {
        kudzu_simnet::RData::A(a) => Some(a.to_string()),
        _ => None,
    };
    let mut all: Vec<String> = records.iter().filter_map(address).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_says_what_the_world_holds() {
    let (world, server, mut rig) = simnet_rig(Faults::default()).await;
    let keys = planned(&world);
    let results = rig.ask(Class::Dns, "dns.name", &[1, 28, 2, 15, 16, 6], &keys).await;
    let mut resolved = 0;
    for (key, result) in keys.iter().zip(&results) {
        assert_eq!(result.answer.questions.len(), 6);
        assert!(result.answer.questions.windows(2).all(|w| w[0].index < w[1].index));
        let is_v4 = |v: &Observable| v.kind() == Kind::Ipv4Addr;
        let found =
            result.answer.pairs.iter().filter(|p| p.relation == Relation::ResolvesTo && is_v4(&p.value));
        let mut found: Vec<String> = found.map(|p| p.value.to_string()).collect();
        found.sort();
        assert_eq!(found, addresses(&world, key), "{key}");
        resolved += usize::from(!found.is_empty());
    }
    assert!(resolved > 0);
    let ips: Vec<Observable> = results
        .iter()
        .flat_map(|r| &r.answer.pairs)
        .filter(|p| p.value.ip().is_some())
        .map(|p| p.value.clone())
        .take(50)
        .collect();
    let origin = rig.ask(Class::Dns, "dns.origin", &[], &ips).await;
    assert!(origin.iter().any(|r| r.answer.pairs.iter().any(|p| p.relation == Relation::AnnouncedBy)));
    let reverse = rig.ask(Class::Dns, "dns.addr", &[], &ips).await;
    assert!(reverse.iter().all(|r| !verdicts(r).contains(&Verdict::Timeout)));
    rig.settled(Class::Dns).await;
    assert!(server.stats().dns_udp > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_passive_dns_and_certificates() {
    let (world, _server, mut rig) = simnet_rig(Faults::default()).await;
    // Names below a dynamic DNS provider have no registration of their own.
    let registered = planned(&world).into_iter().filter(|k| world.registration(&k.to_string()).is_some());
    let keys: Vec<Observable> = registered.take(20).collect();
    let rdap = rig.ask(Class::Http, "rdap.domain", &[], &keys).await;
    for (key, result) in keys.iter().zip(&rdap) {
        let held = world.registration(&key.to_string()).unwrap();
        assert_eq!(verdicts(result), [Verdict::Found], "{key}");
        let registered = result.answer.facts.iter().find(|f| f.name == FactName::Registered).unwrap();
        assert_eq!(registered.value, kudzu_shared::fact::FactValue::Time(held.registered));
        let shown = result.answer.pairs.iter().any(|p| p.relation == Relation::RegisteredBy);
        assert!(!(held.registrant.redacted && shown), "{key} shows whom it withholds");
    }
    let pdns = rig.ask(Class::Http, "pdns.name", &[], &keys).await;
    let seen = pdns.iter().flat_map(|r| &r.answer.pairs).find(|p| p.relation == Relation::SeenOn).unwrap();
    assert!(seen.first_seen.is_some() && seen.first_seen <= seen.last_seen);
    let ip = [seen.value.clone()];
    let hosted = rig.ask(Class::Http, "pdns.addr", &[], &ip).await;
    assert!(hosted[0].answer.pairs.iter().any(|p| p.value == seen.key));
    let block = rig.ask(Class::Http, "rdap.ip", &[], &ip).await;
    assert!(
        block[0].answer.pairs.iter().any(|p| p.relation == Relation::WithinNetblock),
        "{:?}",
        pairs(&block[0])
    );
    let certs = rig.ask(Class::Http, "certs.name", &[], &keys).await;
    let cert =
        certs.iter().flat_map(|r| &r.answer.pairs).find(|p| p.relation == Relation::NamedInCertificate);
    if let Some(cert) = cert {
        let back = rig.ask(Class::Http, "certs.fingerprint", &[], std::slice::from_ref(&cert.value)).await;
        assert!(back[0].answer.pairs.iter().any(|p| p.value == cert.key));
    }
    rig.settled(Class::Http).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_failures_and_never_empty() {
    let faults = Faults {
        loss: 0.1,
        servfail: 0.1,
        refuse: 0.05,
        malformed: 0.05,
        truncate: 0.1,
        ..Faults::default()
    };
    let (world, _server, mut rig) = simnet_rig(faults).await;
    let keys = planned(&world);
    let results = rig.ask(Class::Dns, "dns.name", &[1, 2], &keys).await;
    for (key, result) in keys.iter().zip(&results) {
        let end = End::of(verdicts(result));
        let empty = addresses(&world, key).is_empty();
        assert!(end != End::Empty || empty, "{key}: {:?}", verdicts(result));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_asks_for_less_gets_less() {
    let faults = Faults { http_429: 0.3, ..Faults::default() };
    let (world, server, mut rig) = simnet_rig(faults).await;
    let keys: Vec<Observable> = planned(&world).into_iter().take(6).collect();
    let results = rig.ask(Class::Http, "pdns.name", &[], &keys).await;
    assert!(results.iter().all(|r| matches!(verdicts(r)[0], Verdict::Found | Verdict::NoData)));
    assert!(server.stats().http_429 > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_past_the_deadline_is_throttled() {
    let faults = Faults { http_429: 1.0, ..Faults::default() };
    let (world, server, mut rig) = simnet_rig(faults).await;
    let keys: Vec<Observable> = planned(&world).into_iter().take(3).collect();
    let terms = common::Terms { deadline: Some(Duration::from_millis(800)), ..common::FREE };
    let results = rig.ask_on(Class::Http, "pdns.name", &[], &keys, terms).await;
    assert!(results.iter().all(|r| verdicts(r) == [Verdict::Throttled]));
    // After the first 429 nothing is asked before its time.
    assert!(server.stats().pdns <= 3);
}
