//! A job that is over: its lookups stop, its tasks are done with, and nothing of it is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use common::{Deaf, FREE, REPLIES, Rig};
use kudzu_shared::broker::Broker as _;
use kudzu_shared::config::Config;
use kudzu_shared::job::JobId;
use kudzu_shared::observable::Observable;
use kudzu_shared::source::Class;
use kudzu_shared::wire::{Ask, Over};
use kudzu_worker::registry;
use tokio::sync::Notify;

#[tokio::test]
async fn lookups_of_a_job_that_is_over_stop_at_once() {
    let (config, asked) = (Config::default(), Arc::new(Notify::new()));
    let rig = Rig::start(&config, registry(&config).unwrap(), Arc::new(Deaf(Arc::clone(&asked)))).await;
    let keys: Vec<Observable> =
        (0..20).map(|n| Observable::parse(&format!("h{n}.example.com")).unwrap()).collect();
    let ask = || Ask { source: "dns.name".into(), types: vec![1], limit: 10 };
    rig.send(Class::Dns, ask(), &keys, FREE, REPLIES).await;
    asked.notified().await;
    rig.broker
        .publish_fanout(Over::TOPIC, Over { job: JobId(7), epoch: u32::MAX }.encode().unwrap())
        .await
        .unwrap();
    rig.settled(Class::Dns).await;
    let before = rig.stats.dns_questions.load(Relaxed);
    // A task of the same job that was still in the queue is not asked any more.
    rig.send(Class::Dns, ask(), &keys, FREE, REPLIES).await;
    rig.settled(Class::Dns).await;
    assert_eq!(rig.stats.dns_questions.load(Relaxed), before);
}
