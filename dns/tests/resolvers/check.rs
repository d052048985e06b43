//! Resolvers are checked before they are trusted.

use std::time::Duration;

use kudzu_dns::check::{apply, check};
use kudzu_dns::{Engine, EngineConfig, RecordType, Server, Verdict};

use crate::conformance::A1;
use crate::mock::{Mock, ask, name_of, respond, rr, server};

fn honest(query: &[u8]) -> Vec<u8> {
    let rcode = if name_of(query).is_empty() { 0 } else { 3 };
    respond(query, rcode, false, &[], &[])
}

#[tokio::test]
async fn each_kind_of_resolver_is_told() {
    let good = Mock::start(|q: &[u8], _| vec![honest(q)]).await;
    let liar = Mock::start(|q: &[u8], _| {
        let lie = rr(&name_of(q), RecordType::A, A1);
        vec![if name_of(q).is_empty() { honest(q) } else { respond(q, 0, false, &[lie], &[]) }]
    })
    .await;
    let old = Mock::start(|q: &[u8], _| {
        let lower = [&q[..12], &q[12..].to_ascii_lowercase()].concat();
        vec![if q[11] > 0 { respond(q, 1, false, &[], &[]) } else { honest(&lower) }]
    })
    .await;
    let deaf = Mock::start(|q: &[u8], _| if q[11] > 0 { vec![] } else { vec![honest(q)] }).await;
    let silent = Mock::start(|_: &[u8], _| vec![]).await;
    let servers: Vec<Server> = [&good, &liar, &old, &deaf, &silent].iter().map(|m| server(m.addr)).collect();
    let all = check(&servers, Duration::from_millis(200)).await;
    let [good_c, liar_c, old_c, deaf_c, silent_c] = &all[..] else { panic!("{}", all.len()) };
    assert!(good_c.is_sound() && good_c.denies && good_c.case == Some(true), "{good_c:?}");
    assert!(!liar_c.lies.is_empty() && !liar_c.denies, "{liar_c:?}");
    assert_eq!((old_c.edns, old_c.case), (Some(false), Some(false)), "{old_c:?}");
    assert_eq!((deaf_c.edns, deaf_c.rtt.is_some()), (Some(false), true), "{deaf_c:?}");
    assert_eq!(silent_c.rtt, None);
    // What was learnt holds from the first question on: no EDNS is tried, and no liar asked.
    let kept = apply(servers, &all);
    assert!(kept.iter().all(|s| s.addr != liar.addr) && kept.len() == 4);
    let only_deaf = kept.into_iter().filter(|s| s.addr == deaf.addr).collect();
    let resolver = Engine::start(&EngineConfig::new(only_deaf)).unwrap();
    let replies = ask(&resolver, &["gone.test"]).await;
    assert_eq!((replies["gone.test"].verdict, replies["gone.test"].tries), (Verdict::NxDomain, 1));
}
