//! The run loop in a whole cluster: several jobs at once over the real queues and cache,
//! with workers that are slow, answer twice or in parts, and die. Every job ends, with the
//! bytes of the run without faults.
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

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::case::{Case, Memo};
use common::cluster::{Cluster, Faults};
use common::driver::{self, Order};
use common::reference::Reference;
use common::rng::Rng;
use common::{compare, worlds};
use kudzu_coordinator::Job;
use kudzu_coordinator::core::job::Settings;
use kudzu_coordinator::core::ticket;
use kudzu_coordinator::model::{JobResult, State};
use kudzu_coordinator::run::{Known, Start, Taken};
use kudzu_coordinator::tree::rules::Rules;
use kudzu_shared::config;
use kudzu_shared::job::JobId;
use kudzu_shared::marking::Tlp;
use kudzu_shared::source::Class;
use kudzu_shared::task::{self, Task};
use kudzu_shared::wire::Results;
use tokio::sync::mpsc;
use tokio::time::Instant;

const SEEDS: u64 = 200;

/// What one run of the cluster came to: the digest of each job that was not cancelled, and
/// of what workers saw.
#[derive(Debug, PartialEq, Eq)]
struct Came {
    trees: Vec<Option<String>>,
    trace: String,
}

/// Jobs in one world, under ids of their own; the last is the first again.
fn cases(seed: u64) -> Vec<Case> {
    (0..4)
        .map(|n| {
            let mut case = Case::within(seed, seed * 1_000 + n % 3);
            case.spec.id = JobId(u128::from(n) + 1);
            case.budgets.deadline_ms = None;
            case
        })
        .collect()
}

fn digest(result: &JobResult) -> String {
    result.tree.write_ndjson(&mut std::io::sink(), result.partial).unwrap().hex()
}

/// The digests without any fault and any cluster.
fn plain(cases: &[Case]) -> Vec<String> {
    let digest = |case: &Case| {
        let reference = Reference::new(case, Settings::default().rounds);
        let ran = driver::run(&reference, &Order::plain(Settings::default()), &mut Memo::new()).unwrap();
        compare::check(&ran.tree, &reference).unwrap();
        ran.tree.write_ndjson(&mut std::io::sink(), None).unwrap().hex()
    };
    cases.iter().map(digest).collect()
}

fn on_paused_time<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// A job, and how many rows of evidence its slow writer gets.
type Submitted = (Job, Task<usize>);

fn submit(cluster: &Cluster, case: &Case) -> Submitted {
    let (rows, mut writer) = mpsc::channel(1);
    let submitted = cluster.handle.submit(case.spec.clone(), case.plan.clone(), case.budgets, Some(rows));
    let evidence = task::spawn("evidence", async move {
        let mut n = 0;
        while let Some(rows) = writer.recv().await {
            n += rows.len();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        n
    });
    (submitted.unwrap(), evidence)
}

async fn finish(n: usize, (job, evidence): Submitted) -> JobResult {
    let progress = job.progress();
    let result = tokio::time::timeout(Duration::from_secs(3_600), job.finish()).await;
    let result = result.unwrap_or_else(|_| panic!("job {n} does not end: {:?}", progress.borrow())).unwrap();
    let p = &result.progress;
    assert_eq!((p.waiting, p.in_flight, p.registered), (0, 0, p.ended), "I1 of job {n}: {p:?}");
    let rows = evidence.await.unwrap();
    assert!(rows > 0 || p.questions == 0, "job {n} asked, and there is no evidence");
    result
}

async fn run(seed: u64, cases: &[Case], faults: Faults, cancel: Option<(usize, u64)>) -> (Came, [u64; 2]) {
    let mut rng = Rng::new(seed ^ 0x0c10_57e4);
    let config = config::Coordinator {
        window: *rng.pick(&[1, 8, 64, 16_384]),
        task_questions: *rng.pick(&[1, 8, 256]),
        redispatch_ms: 5_000,
        ..config::Coordinator::default()
    };
    let cluster = Cluster::start(&cases[0], seed, rng.within(1, 3), faults, config).await;
    let (mut trees, mut seen) = (Vec::new(), [0; 2]);
    // The last one comes when the others have ended, and finds their answers in the cache.
    for (wave, cases) in [&cases[..3], &cases[3..]].into_iter().enumerate() {
        let mut jobs = Vec::new();
        for case in cases {
            jobs.push(submit(&cluster, case));
        }
        if let Some((which, after)) = cancel.filter(|_| wave == 0) {
            tokio::time::sleep(Duration::from_millis(after)).await;
            jobs[which].0.cancel();
        }
        for (n, job) in jobs.into_iter().enumerate() {
            let n = 3 * wave + n;
            let result = finish(n, job).await;
            seen = [seen[0] + result.figures.duplicates, seen[1] + result.figures.cached.unwrap_or(0)];
            let stopped = result.state == State::Partial;
            let why = result.partial;
            assert!(!stopped || cancel.is_some_and(|c| c.0 == n), "job {n} was cut short by {why:?}");
            trees.push((!stopped).then(|| digest(&result)));
        }
    }
    let trace = cluster.trace_hash();
    // What was on its way when the last job ended is worked off by somebody.
    for _ in 0..10_000 {
        if cluster.unsettled() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(cluster.unsettled(), 0, "tasks that nobody acknowledges");
    cluster.shutdown.begin();
    (Came { trees, trace }, seen)
}

fn faults(seed: u64) -> Faults {
    let mut rng = Rng::new(seed ^ 0xfa_017);
    Faults {
        delay: *rng.pick(&[0, 20, 900]),
        twice: *rng.pick(&[0, 10, 50]),
        dies: *rng.pick(&[0, 20]),
        mute: *rng.pick(&[0, 0, 20]),
        parts: *rng.pick(&[0, 50]),
        cached: rng.percent(50),
    }
}

#[test]
fn every_job_ends_with_the_bytes_of_the_run_without_faults() {
    let (range, mut seen) = (worlds(SEEDS), [0; 2]);
    for seed in range.clone() {
        let cases = cases(seed);
        let want = plain(&cases);
        let mut rng = Rng::new(seed);
        let cancel = rng.percent(20).then(|| (rng.below(3) as usize, rng.below(400)));
        let (came, [late, cached]) = on_paused_time(run(seed, &cases, faults(seed), cancel));
        seen = [seen[0] + late, seen[1] + cached];
        for (n, (got, want)) in came.trees.iter().zip(&want).enumerate() {
            let same = got.as_ref().is_none_or(|g| g == want);
            assert!(same, "{}={seed}: job {n} has other bytes, with {:?}", common::SEED, faults(seed));
        }
    }
    println!("{} late results, {} answers from the cache", seen[0], seen[1]);
    assert!(range.end - range.start < SEEDS || seen.iter().all(|n| *n > 1_000), "too tame: {seen:?}");
}

/// One job so many times at a time: what workers are asked.
async fn at_a_time(seed: u64, jobs: u128) -> Vec<String> {
    let faults = Faults { delay: 20, cached: true, ..Faults::default() };
    let case = || cases(seed).swap_remove(0);
    let cluster = Cluster::start(&case(), seed, 2, faults, config::Coordinator::default()).await;
    let mut open = Vec::new();
    for n in 0..jobs {
        let mut case = case();
        case.spec.id = JobId(n + 1);
        open.push(submit(&cluster, &case));
    }
    let mut trees = Vec::new();
    for (n, job) in open.into_iter().enumerate() {
        trees.push(digest(&finish(n, job).await));
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]));
    let trace = cluster.trace.lock().unwrap().clone();
    cluster.shutdown.begin();
    let words = trace.iter().map(|(_, line)| line.split(' ').collect::<Vec<_>>());
    // Without the job; each of them asks later rounds for itself.
    let first = words.filter(|w| ticket::round(w[w.len() - 2].parse().unwrap()) == 0);
    // What a worker has at hand is not waited for.
    let class = |name: &str| case().catalogue.iter().find(|s| s.name == name).map(|s| s.class);
    let asked = first.filter(|w| class(w[1]) != Some(Class::Local));
    asked.map(|w| w[1..w.len() - 2].join(" ")).collect()
}

#[test]
fn equal_lookups_at_a_time_are_asked_once() {
    let (mut once, mut by_all) = (0, 0);
    for seed in worlds(20) {
        let [one, eight] = [1, 8].map(|jobs| on_paused_time(at_a_time(seed, jobs)));
        // A throttled answer says nothing of the upstream: each job asks for itself.
        let times = |all: &[String], line: &String| all.iter().filter(|l| *l == line).count();
        let shared = one.iter().filter(|line| times(&one, line) == times(&eight, line)).count();
        once += shared;
        by_all += one.len() - shared;
    }
    assert!(once > 200 && by_all * 5 < once, "{once} were asked once, {by_all} by every job");
}

/// One job after the other: what failed in the last round of the first, and what the second
/// asked.
async fn one_after_the_other(seed: u64) -> [Vec<String>; 2] {
    let faults = Faults { cached: true, ..Faults::default() };
    let case = || cases(seed).swap_remove(0);
    let cluster = Cluster::start(&case(), seed, 2, faults, config::Coordinator::default()).await;
    let mut trees = Vec::new();
    for id in [1, 2] {
        let mut case = case();
        case.spec.id = JobId(id);
        case.spec.policy.tlp = Tlp::Clear;
        trees.push(digest(&finish(0, submit(&cluster, &case)).await));
    }
    assert_eq!(trees[0], trees[1]);
    let trace = cluster.trace.lock().unwrap().clone();
    cluster.shutdown.begin();
    let words: Vec<Vec<&str>> = trace.iter().map(|(_, line)| line.split(' ').collect()).collect();
    let (first, second): (Vec<_>, Vec<_>) = words.into_iter().partition(|w| w[0] == JobId(1).to_string());
    let text = |w: Vec<&str>| w[1..w.len() - 2].join(" ");
    let last = |w: &Vec<&str>| ticket::round(w[w.len() - 2].parse().unwrap()) == Settings::default().rounds;
    [first.into_iter().filter(last).map(text).collect(), second.into_iter().map(text).collect()]
}

#[test]
fn what_failed_in_every_round_is_not_asked_again_at_once() {
    let (mut settled, mut again) = (0, 0);
    for seed in worlds(40) {
        let [failed, asked] = on_paused_time(one_after_the_other(seed));
        settled += failed.len();
        again += failed.iter().filter(|line| asked.contains(line)).count();
    }
    // What the last round answered after all is asked again.
    assert!(settled > 50 && again * 2 < settled, "{again} of {settled} were asked again");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in worlds(20) {
        let cases = cases(seed);
        let again = || on_paused_time(run(seed, &cases, faults(seed), None));
        let (first, second) = (again(), again());
        assert_eq!(first, second, "{}={seed}", common::SEED);
    }
}

/// Runs a job, takes it from its coordinator again and again, and gives the tree and how many
/// lookups were asked in all.
async fn taken_over(seed: u64, case: &Case, faults: Faults) -> (Option<String>, usize) {
    let mut rng = Rng::new(seed ^ 0x7a6e_0e55);
    let config = config::Coordinator {
        window: *rng.pick(&[8, 64, 16_384]),
        redispatch_ms: 5_000,
        ..config::Coordinator::default()
    };
    let cluster = Cluster::start(case, seed, 2, faults, config).await;
    let journal: Arc<Mutex<Vec<Taken>>> = Arc::default();
    let start = Instant::now();
    for epoch in 1.. {
        let mut start = Start {
            epoch,
            age: start.elapsed(),
            ..Start::new(case.spec.clone(), case.plan.clone(), case.budgets)
        };
        let rules = Rules::new(
            case.spec.clone(),
            case.plan.clone(),
            case.budgets,
            &case.catalogue,
            Arc::clone(&case.packs),
        );
        start.known = Known::new(rules.wire_asks());
        for taken in journal.lock().unwrap().iter() {
            start.known.add(Results::decode(&taken.message).unwrap());
        }
        let (entries, mut written) = mpsc::channel::<Vec<Taken>>(1);
        start.journal = Some(entries);
        let _writer = task::spawn("journal", {
            let journal = Arc::clone(&journal);
            async move {
                while let Some(taken) = written.recv().await {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    journal.lock().unwrap().extend(taken);
                }
            }
        });
        let job = cluster.handle.start(start).unwrap();
        // The more often it was taken over, the longer it is left alone.
        let killed = Duration::from_millis(rng.below(60) * u64::from(epoch));
        if let Ok(result) = tokio::time::timeout(killed, job.finish()).await {
            let result = result.unwrap();
            let asked = cluster.trace.lock().unwrap().len();
            cluster.shutdown.begin();
            return ((result.state == State::Complete).then(|| digest(&result)), asked);
        }
    }
    unreachable!("epochs do not run out")
}

#[test]
fn a_job_that_is_taken_over_goes_on_where_it_stood() {
    let mut over = 0;
    for seed in worlds(SEEDS / 2) {
        let cases = cases(seed);
        let want = plain(&cases[..1]);
        let (got, asked) = on_paused_time(taken_over(seed, &cases[0], faults(seed)));
        assert!(
            got.is_none_or(|g| g == want[0]),
            "{}={seed}: other bytes, with {:?}",
            common::SEED,
            faults(seed)
        );
        over += asked;
    }
    assert!(over > 0);
}
