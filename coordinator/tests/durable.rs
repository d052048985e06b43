//! Jobs of a cluster: whichever coordinators come and go, every job that was accepted ends
//! once, with the bytes of the run without faults. On paused time, over the real queues.
//!
//! Replay one with `KUDZU_TEST_SEED=17`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests"
)]

mod common;
#[path = "durable/golden.rs"]
mod golden;
#[path = "durable/lease.rs"]
mod lease;

use std::sync::Arc;
use std::time::Duration;

use common::case::{Case, Memo};
use common::cluster::{Cluster as Sim, Faults};
use common::driver::{self, Order};
use common::reference::Reference;
use common::rng::Rng;
use common::service;
use common::worlds;
use kudzu_coordinator::cluster::record::{About, Record};
use kudzu_coordinator::cluster::shelf::{EndState, Ended, Shelf};
use kudzu_coordinator::cluster::{Cluster, Options, Running, SubmitError};
use kudzu_coordinator::core::job::Settings;
use kudzu_shared::archive::sealed::create_sealed;
use kudzu_shared::archive::{Archive, Store};
use kudzu_shared::broker::{Broker as _, Durability};
use kudzu_shared::config;
use kudzu_shared::job::JobId;
use kudzu_shared::task::Shutdown;
use kudzu_shared::wire::Due;

const SEEDS: u64 = 60;
const HOUR: Duration = Duration::from_secs(3_600);

/// Coordinators beside simulated workers, on one archive.
struct Many {
    sim: Sim,
    archive: Arc<Store>,
    shelf: Shelf,
    hold: Duration,
    retention: Option<Duration>,
    open: usize,
}

/// A coordinator. Dropped, it is gone as by a kill: it says nothing and gives nothing back.
struct One {
    cluster: Cluster,
    running: Running,
    shutdown: Shutdown,
}

impl Many {
    async fn new(seed: u64, case: &Case, faults: Faults) -> Self {
        let config = config::Coordinator { redispatch_ms: 5_000, ..config::Coordinator::default() };
        let sim = Sim::start(case, seed, 2, faults, config).await;
        let archive = Arc::new(Store::memory());
        let shelf = Shelf::new(Arc::clone(&archive) as Arc<dyn Archive>);
        Self { sim, archive, shelf, hold: HOUR, retention: None, open: 100 }
    }

    async fn coordinator(&self, name: &str) -> One {
        let archive = Arc::clone(&self.archive) as Arc<dyn Archive>;
        let options = Options {
            name: name.into(),
            open: self.open,
            hold: self.hold,
            retention: self.retention,
            give_memory_back: || {},
            ..service::options(self.sim.handle.options().clone(), archive)
        };
        let shutdown = Shutdown::new(Duration::from_secs(10));
        let (cluster, running) = Cluster::start(options, shutdown.clone()).await.unwrap();
        One { cluster, running, shutdown }
    }

    async fn end(&self, id: JobId) -> Ended {
        let wait = async {
            loop {
                if let Some(end) = self.shelf.ended(id).await.unwrap() {
                    return end;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(HOUR, wait).await.unwrap_or_else(|_| panic!("job {id} does not end"))
    }
}

impl One {
    async fn submit(&self, case: &Case) -> Result<bool, SubmitError> {
        let about = About { submitted_ms: self.cluster.options().run.clock.now_ms(), ..About::default() };
        let accepted = self.cluster.submit(&case.spec, &case.plan, &case.budgets, about).await?;
        Ok(accepted.repeated)
    }
}

fn cases(seed: u64, n: u64) -> Vec<Case> {
    let case = |n| {
        let mut case = Case::within(seed, seed * 1_000 + n);
        case.spec.id = JobId((u128::from(seed) << 64) | (u128::from(n) + 1));
        case.budgets.deadline_ms = None;
        case
    };
    (0..n).map(case).collect()
}

fn driven(case: &Case) -> driver::Ran {
    let reference = Reference::new(case, Settings::default().rounds);
    driver::run(&reference, &Order::plain(Settings::default()), &mut Memo::new()).unwrap()
}

/// The digest without any fault and any cluster.
fn plain(case: &Case) -> String {
    driven(case).tree.write_ndjson(&mut std::io::sink(), None).unwrap().hex()
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

fn sha(end: &Ended) -> Option<String> {
    end.result.as_ref().map(|r| r.sha256.clone())
}

#[test]
fn jobs_outlive_their_coordinators() {
    let mut taken_over = 0;
    for seed in worlds(SEEDS) {
        let cases = cases(seed, 3);
        let want: Vec<String> = cases.iter().map(plain).collect();
        let mut rng = Rng::new(seed);
        let faults = Faults {
            delay: *rng.pick(&[20, 900]),
            twice: *rng.pick(&[0, 50]),
            dies: *rng.pick(&[0, 20]),
            parts: *rng.pick(&[0, 50]),
            cached: rng.percent(30),
            ..Faults::default()
        };
        on_paused_time(async {
            let mut many = Many::new(seed, &cases[0], faults).await;
            many.hold = Duration::from_millis(*rng.pick(&[3_000, 3_600_000]));
            let mut all = vec![many.coordinator("0").await, many.coordinator("1").await];
            for case in &cases {
                assert!(!all[0].submit(case).await.unwrap());
            }
            for n in 2..2 + rng.below(6) {
                tokio::time::sleep(Duration::from_millis(rng.below(1_500))).await;
                let victim = all.remove(rng.below(all.len() as u64) as usize);
                if rng.percent(50) {
                    drop(victim);
                } else {
                    victim.shutdown.begin();
                    victim.running.ended().await;
                }
                all.push(many.coordinator(&n.to_string()).await);
            }
            for (case, want) in cases.iter().zip(&want) {
                let end = many.end(case.spec.id).await;
                taken_over += end.epoch.saturating_sub(1);
                assert_eq!(end.state, EndState::Complete, "{}={seed}", common::SEED);
                assert_eq!(sha(&end).as_ref(), Some(want), "{}={seed}: other bytes", common::SEED);
            }
            // Nothing is left for anybody to do.
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(many.shelf.open_jobs().await.unwrap().is_empty());
            let depth = many.sim.broker.depth(Due::QUEUE).unwrap();
            assert_eq!((depth.ready, depth.unsettled), (0, 0), "{}={seed}", common::SEED);
        });
    }
    println!("{taken_over} take-overs");
}

/// What is accepted is bounded, and there is room again once jobs end.
#[test]
fn no_more_is_accepted_than_may_be_open() {
    let cases = cases(5, 4);
    on_paused_time(async {
        let mut many = Many::new(5, &cases[0], Faults { delay: 30_000, ..Faults::default() }).await;
        many.open = 3;
        let one = many.coordinator("a").await;
        for case in &cases[..3] {
            one.submit(case).await.unwrap();
        }
        let refused = one.submit(&cases[3]).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Full(3)), "{refused}");
        assert!(many.shelf.record(cases[3].spec.id).await.unwrap().is_none(), "refused, and kept");
        assert!(one.submit(&cases[0]).await.unwrap(), "what was accepted stays accepted");
        for case in &cases[..3] {
            many.end(case.spec.id).await;
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        one.submit(&cases[3]).await.unwrap();
        assert_eq!(many.end(cases[3].spec.id).await.state, EndState::Complete);
    });
}

/// Who is fenced gives nothing back: each message makes one take-over at most.
#[test]
fn messages_that_say_the_same_do_not_fight() {
    const MORE: u32 = 5;
    for seed in worlds(10) {
        let cases = cases(seed, 1);
        on_paused_time(async {
            let faults = Faults { delay: 5_000, ..Faults::default() };
            let many = Many::new(seed, &cases[0], faults).await;
            let all = [many.coordinator("a").await, many.coordinator("b").await];
            all[0].submit(&cases[0]).await.unwrap();
            let job = cases[0].spec.id;
            for _ in 0..MORE {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let epoch = many.shelf.last_epoch(job).await.unwrap() + 1;
                let again = Due { job, epoch, trace: None }.encode().unwrap();
                many.sim.broker.publish(Due::QUEUE, again).await.unwrap();
            }
            assert_eq!(sha(&many.end(job).await), Some(plain(&cases[0])));
            let epochs = many.shelf.last_epoch(job).await.unwrap();
            assert!(epochs <= 1 + MORE, "{}={seed}: {epochs} take-overs", common::SEED);
        });
    }
}

/// What is kept for long enough goes, with everything of it; what has no end stays.
#[test]
fn old_jobs_are_removed_whole() {
    let cases = cases(3, 2);
    on_paused_time(async {
        let mut many = Many::new(3, &cases[0], Faults::default()).await;
        let one = many.coordinator("a").await;
        one.submit(&cases[0]).await.unwrap();
        many.end(cases[0].spec.id).await;
        one.shutdown.begin();
        one.running.ended().await;
        let (old, open) = (cases[0].spec.id, cases[1].spec.id);
        let kept = |id: JobId| {
            let archive = Arc::clone(&many.archive);
            async move { archive.list(&format!("jobs/{id}")).await.unwrap().len() }
        };
        assert!(kept(old).await > 2);
        many.retention = Some(Duration::ZERO);
        // Nobody has this one in hand: it was accepted, and its coordinator died.
        let about = About::default();
        let record = Record::new(&cases[1].spec, &cases[1].plan, &cases[1].budgets, about);
        many.shelf.create_record(open, &record).await.unwrap();
        many.shelf.open(open, &record).await.unwrap();
        let two = many.coordinator("b").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(kept(old).await, 0);
        assert!(many.shelf.jobs_of(&cases[0].spec.tenant).await.unwrap().iter().all(|(_, id)| *id != old));
        assert!(kept(open).await > 0, "it has no end yet");
        assert_eq!(many.end(open).await.state, EndState::Complete);
        drop(two);
    });
}

#[test]
fn the_same_submit_in_parallel_is_one_job() {
    let cases = cases(1, 2);
    on_paused_time(async {
        let many = Many::new(1, &cases[0], Faults::default()).await;
        let one = many.coordinator("a").await;
        let other = many.coordinator("b").await;
        let submits = (0..100).map(|n| if n % 2 == 0 { &one } else { &other }.submit(&cases[0]));
        let answers = futures::future::join_all(submits).await;
        let new = answers.iter().filter(|a| !*a.as_ref().unwrap()).count();
        assert_eq!(new, 1);
        let end = many.end(cases[0].spec.id).await;
        assert_eq!(sha(&end), Some(plain(&cases[0])));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(many.shelf.last_epoch(cases[0].spec.id).await.unwrap(), 1, "nobody ran it twice");
        // The same key with another request.
        let about = About { request: "other".into(), ..About::default() };
        let (spec, plan, budgets) = (&cases[0].spec, &cases[0].plan, &cases[0].budgets);
        let refused = one.cluster.submit(spec, plan, budgets, about).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Conflict(_)), "{refused}");
    });
}

#[test]
fn a_job_whose_message_was_lost_is_found() {
    let cases = cases(2, 1);
    on_paused_time(async {
        let many = Many::new(2, &cases[0], Faults::default()).await;
        let (spec, plan, budgets) = (&cases[0].spec, &cases[0].plan, &cases[0].budgets);
        let record = Record::new(spec, plan, budgets, About::default());
        many.shelf.create_record(spec.id, &record).await.unwrap();
        many.shelf.open(spec.id, &record).await.unwrap();
        let _one = many.coordinator("a").await;
        assert_eq!(sha(&many.end(spec.id).await), Some(plain(&cases[0])));
    });
}

#[test]
fn a_cancel_is_heard_by_whoever_runs_the_job() {
    // One with much to ask.
    let worlds = (0..20).map(|seed| cases(seed, 1));
    let cases = worlds.max_by_key(|c| driven(&c[0]).tree.len()).unwrap();
    on_paused_time(async {
        let faults = Faults { delay: 3_600_000, ..Faults::default() };
        let many = Many::new(3, &cases[0], faults).await;
        let (one, other) = (many.coordinator("a").await, many.coordinator("b").await);
        one.submit(&cases[0]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let start = tokio::time::Instant::now();
        // It runs at one of them; each is told.
        other.cluster.cancel(cases[0].spec.id).await.unwrap();
        let end = many.end(cases[0].spec.id).await;
        assert_eq!((end.state, end.reason.as_deref()), (EndState::Partial, Some("cancelled")));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    });
}

/// Kills whoever runs the job, so many times, each so long after it was taken.
async fn kill_again_and_again(many: &Many, case: &Case, kills: u32, after: Duration) -> One {
    let mut one = many.coordinator("0").await;
    one.submit(case).await.unwrap();
    for n in 1..=kills {
        while many.shelf.last_epoch(case.spec.id).await.unwrap() < n {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(after).await;
        drop(one);
        one = many.coordinator(&n.to_string()).await;
    }
    one
}

#[test]
fn a_job_that_never_gets_further_is_dead() {
    let cases = cases(4, 1);
    on_paused_time(async {
        let faults = Faults { delay: 3_600_000, ..Faults::default() };
        let many = Many::new(4, &cases[0], faults).await;
        let start = tokio::time::Instant::now();
        let _last = kill_again_and_again(&many, &cases[0], 10, Duration::from_millis(300)).await;
        let end = many.end(cases[0].spec.id).await;
        assert_eq!(end.state, EndState::Dead);
        assert!(end.reason.unwrap().contains("without progress"));
        // Each try waited for longer than the one before.
        assert!(start.elapsed() > Duration::from_secs(60), "{:?}", start.elapsed());
    });
}

#[test]
fn a_job_that_waits_for_others_is_not_what_kills() {
    let cases = cases(4, 1);
    on_paused_time(async {
        let faults = Faults { delay: 3_600_000, ..Faults::default() };
        let many = Many::new(4, &cases[0], faults).await;
        let one = kill_again_and_again(&many, &cases[0], 30, Duration::from_secs(3)).await;
        assert!(many.shelf.ended(cases[0].spec.id).await.unwrap().is_none());
        drop(one);
    });
}

#[test]
fn what_is_damaged_ends_the_job_and_says_so() {
    let cases = cases(5, 1);
    on_paused_time(async {
        let many = Many::new(5, &cases[0], Faults::default()).await;
        let id = cases[0].spec.id;
        many.archive.create(&format!("jobs/{id}/record"), "garbage".into()).await.unwrap();
        many.archive.create(&format!("open/{id}"), "".into()).await.unwrap();
        let _one = many.coordinator("a").await;
        let end = many.end(id).await;
        assert_eq!((end.state, end.result), (EndState::Dead, None));
    });
}

#[test]
fn a_record_of_another_version_is_left_to_it() {
    let cases = cases(7, 1);
    on_paused_time(async {
        let many = Many::new(7, &cases[0], Faults::default()).await;
        let id = cases[0].spec.id;
        let record = format!("jobs/{id}/record");
        create_sealed(&*many.archive, &record, br#"{ "schema": "of tomorrow" }"#).await.unwrap();
        many.archive.create(&format!("open/{id}"), "".into()).await.unwrap();
        let one = many.coordinator("a").await;
        tokio::time::sleep(HOUR).await;
        assert!(many.shelf.ended(id).await.unwrap().is_none());
        assert_eq!(many.sim.broker.depth(Due::QUEUE).unwrap().ready, 0);
        // Once it can be read, it is found.
        many.archive.delete(&record).await.unwrap();
        one.submit(&cases[0]).await.unwrap();
        assert_eq!(many.end(id).await.state, EndState::Complete);
    });
}

#[test]
fn a_message_of_another_version_is_parked() {
    let cases = cases(6, 1);
    on_paused_time(async {
        let many = Many::new(6, &cases[0], Faults::default()).await;
        let _one = many.coordinator("a").await;
        let mut message = Due { job: JobId(1), epoch: 1, trace: None }.encode().unwrap().to_vec();
        message[4] = 9; // The major version.
        many.sim.broker.publish(Due::QUEUE, message.into()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        many.sim.broker.declare("kudzu.parked", Durability::Durable).await.unwrap();
        assert_eq!(many.sim.broker.depth("kudzu.parked").unwrap().ready, 1);
        assert_eq!(many.sim.broker.depth(Due::QUEUE).unwrap().ready, 0);
    });
}
