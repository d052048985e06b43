//! What workers are scaled by: the lookups that wait with the coordinators, sent or not. On paused
//! time, over the real queues.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::case::Case;
use common::cluster::{Cluster as Sim, Faults, PausedClock};
use common::service;
use common::world::name;
use kudzu_coordinator::StartOptions;
use kudzu_coordinator::cluster::backlog::Signal;
use kudzu_coordinator::cluster::record::About;
use kudzu_coordinator::cluster::{Cluster, Running};
use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::run::task_queue;
use kudzu_shared::archive::{Archive, Store};
use kudzu_shared::broker::{self, Broker as _};
use kudzu_shared::job::{JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::packs::Packs;
use kudzu_shared::source::Class;
use kudzu_shared::task::{self, Shutdown};
use kudzu_shared::wire::Task;
use kudzu_shared::{cache, config};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const SEEDS: u64 = 300;
const WINDOW: u32 = 64;
const HOUR: Duration = Duration::from_secs(3_600);

/// A coordinator; its jobs end with it.
struct One {
    cluster: Cluster,
    _running: Running,
}

/// A job of so many lookups of one question each.
fn case() -> Case {
    let mut case = Case::within(1, 1);
    case.plan = Plan::parse("[[ask]]\nsource = \"dns.name\"\ntypes = [\"A\"]\n", "scaling").unwrap();
    case.budgets = case.plan.budgets;
    case.packs = Arc::new(Packs::empty());
    case.spec.kind = JobKind::Enrich;
    case.spec.seeds = (0..SEEDS).map(|n| name(&format!("n{n}.alpha.com"))).collect();
    let list = Vec::new;
    let (scope, exclude, own_assets) = (list(), list(), list());
    case.spec.policy =
        Policy { tlp: Tlp::Clear, pap: Pap::Clear, scope, exclude, own_assets, allow_private: false };
    case
}

fn window() -> config::Coordinator {
    config::Coordinator { window: WINDOW, ..config::Coordinator::default() }
}

impl One {
    async fn start(name: &str, run: StartOptions, archive: &Arc<Store>) -> Self {
        let archive = Arc::clone(archive) as Arc<dyn Archive>;
        let options =
            kudzu_coordinator::cluster::Options { name: name.into(), ..service::options(run, archive) };
        let (cluster, _running) =
            Cluster::start(options, Shutdown::new(Duration::from_secs(1))).await.unwrap();
        Self { cluster, _running }
    }

    async fn submit(&self, case: &Case) {
        let about = About { submitted_ms: self.cluster.options().run.clock.now_ms(), ..About::default() };
        self.cluster.submit(&case.spec, &case.plan, &case.budgets, about).await.unwrap();
    }

    fn dns(&self) -> Signal {
        self.cluster.waits_for(Class::Dns)
    }
}

/// Waits in virtual time.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(HOUR, wait).await.expect("it does not come about");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_counts_and_the_queue_does_not_know_it() {
    let (case, archive) = (case(), Arc::new(Store::memory()));
    let broker = broker::Memory::new(64);
    let run = StartOptions {
        config: window(),
        broker: Arc::new(broker.clone()),
        cache: Arc::new(cache::Memory::new(1 << 20)),
        catalogue: case.catalogue.clone(),
        packs: Arc::clone(&case.packs),
        clock: Arc::new(PausedClock(Instant::now())),
    };
    let all = [One::start("a", run.clone(), &archive).await, One::start("b", run, &archive).await];
    all[0].submit(&case).await;
    // Whichever of them has the job.
    until(|| all.iter().all(|one| one.dns().waiting_lookups == SEEDS)).await;
    let here = all.each_ref().map(|one| one.cluster.waiting_here(Class::Dns));
    assert_eq!(here.iter().sum::<u64>(), SEEDS, "it is counted once: {here:?}");
    for one in &all {
        assert_eq!((one.dns().coordinators, one.dns().unheard), (2, 0));
        assert!(one.dns().seconds_waiting > 0.0, "it wakes the first worker");
        let http = one.cluster.waits_for(Class::Http);
        assert_eq!((http.waiting_lookups, http.seconds_waiting), (0, 0.0));
    }

    let (mut tasks, mut sent, mut held) =
        (broker.consume(task_queue(Class::Dns), 999).await.unwrap(), 0, vec![]);
    while let Ok(Some(delivery)) = timeout(Duration::from_secs(1), tasks.next()).await {
        sent += Task::decode(&delivery.body).unwrap().lookups.len();
        held.push(delivery);
    }
    assert_eq!(sent, WINDOW as usize, "a window is all that RabbitMQ sees");

    // Nobody answers.
    until(|| all.iter().all(|one| one.dns().seconds_waiting > 30.0)).await;
    all[1].cluster.cancel(case.spec.id).await.unwrap();
    until(|| all.iter().all(|one| one.dns().waiting_lookups == 0)).await;
    assert_eq!(all.each_ref().map(|one| one.dns().seconds_waiting), [0.0; 2]);
}

#[tokio::test(start_paused = true)]
async fn answers_of_workers_are_the_pace_and_nothing_is_left() {
    let (case, archive) = (case(), Arc::new(Store::memory()));
    let sim =
        Sim::start(&case, 1, 1, Faults { delay: 500, cached: true, ..Faults::default() }, window()).await;
    let one = One::start("a", sim.handle.options().clone(), &archive).await;
    one.submit(&case).await;
    // Some tasks are answered at random moments of a second, a window at a time.
    until(|| (1..SEEDS / 2).contains(&one.dns().waiting_lookups)).await;
    let Signal { seconds_waiting, waiting_lookups, .. } = one.dns();
    assert!((0.1..20.0).contains(&seconds_waiting), "{seconds_waiting} s for {waiting_lookups}");
    until(|| one.dns().waiting_lookups == 0 && one.cluster.board().is_empty()).await;
    assert_eq!(one.dns().seconds_waiting, 0.0);
    let answered = one.cluster.board().answers().of(Class::Dns);
    assert!(answered >= SEEDS, "those of jobs that are gone count: {answered}");

    let again = Case { spec: JobSpec { id: JobId(7), ..case.spec.clone() }, ..case };
    one.submit(&again).await;
    until(|| one.cluster.board().get(again.spec.id).is_some()).await;
    until(|| one.cluster.board().is_empty()).await;
    let more = one.cluster.board().answers().of(Class::Dns) - answered;
    assert!(more < SEEDS / 4, "the cache has no pace: {more}");
    sim.shutdown.begin();
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_evidence_is_behind_waits_for_no_worker() {
    // The world of a job that asks ahead what its tree does not demand.
    let mut case = Case::new(8);
    case.budgets.deadline_ms = None;
    let faults = Faults { delay: 40, ..Faults::default() };
    let sim = Sim::start(&case, 8, 1, faults, config::Coordinator::default()).await;
    let (rows, mut behind) = mpsc::channel(1);
    rows.try_send(Vec::new()).unwrap();
    let job = sim.handle.submit(case.spec, case.plan, case.budgets, Some(rows)).unwrap();
    let progress = job.progress();
    until(|| progress.borrow().registered > 0 && progress.borrow().open.is_empty()).await;
    let told = progress.borrow().clone();
    assert_eq!((told.ended, told.outstanding), (told.registered, 0), "{told:?}");
    let _writer = task::spawn("evidence", async move { while behind.recv().await.is_some() {} });
    let unused = job.finish().await.unwrap().figures.asked_ahead_unused;
    assert!(unused > 0, "nothing that was asked ahead was cancelled");
    sim.shutdown.begin();
}
