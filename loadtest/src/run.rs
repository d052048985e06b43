//! Runs a scenario: a fresh cluster for each of its arms, or one that runs already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};

use crate::api::User;
use crate::arrivals::{Arrival, arrivals};
use crate::cluster::Cluster;
use crate::drive::{Driver, Job};
use crate::figures::Stretch;
use crate::process::Ids;
use crate::report::{self, ArmRun, ArmSummary, Machine, Summary};
use crate::requests::{Ground, Request, requests};
use crate::sample::{Live, Sampler};
use crate::scenario::{Arm, Bound, Judged, Load, Scenario, judge};
use crate::trouble::Trouble;
use crate::verify::{self, Oracle};

/// What a cluster that has just started still does by itself.
const SETTLE: Duration = Duration::from_secs(2);

/// What is run, and how.
#[derive(Debug)]
pub struct Options {
    /// The program.
    pub kudzu: PathBuf,
    /// The scenario.
    pub scenario: Scenario,
    /// Whether it is as it is written, and not smaller.
    pub whole: bool,
    /// Whether trees are compared with those of one process.
    pub references: bool,
    /// What arrivals derive from.
    pub seed: u64,
    /// A cluster that runs already.
    pub remote: Option<Remote>,
    /// Where runs are kept, by day and name.
    pub root: PathBuf,
    /// Or the folder of this one.
    pub out: Option<PathBuf>,
    /// The command that does it again.
    pub command: String,
}

/// A cluster that runs already. Its upstreams are not ours: no tree is known to be right.
#[derive(Debug)]
pub struct Remote {
    /// Its coordinators.
    pub urls: Vec<String>,
    /// The token of a tenant.
    pub token: String,
    /// Where jobs start.
    pub seeds: Vec<String>,
    /// The present of its jobs.
    pub at: Option<String>,
}

/// Runs it; gives what came of it, and the folder with the rest.
///
/// # Errors
/// When the cluster cannot be run, not when it loses something: that is in the summary.
pub async fn run(options: &Options) -> anyhow::Result<(Summary, PathBuf)> {
    let scenario = &options.scenario;
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("read the clock")?;
    let date = kudzu_shared::time::rfc3339(i64::try_from(since_epoch.as_secs())?);
    let mut machine = tokio::task::block_in_place(|| Machine::here(&options.kudzu));
    let day = date.split('T').next().unwrap_or_default();
    let folder = options.out.clone().unwrap_or_else(|| report::folder(&options.root, day, &scenario.name));
    // Before hours are spent on what could not be kept.
    std::fs::create_dir_all(&folder).with_context(|| format!("--out: make {}", folder.display()))?;
    let held =
        std::fs::read_dir(&folder).with_context(|| format!("--out: read {}", folder.display()))?.count();
    ensure!(held == 0, "--out: there is something in {}; remove it, or name another", folder.display());
    let mut runs = Vec::new();
    for arm in scenario.all_arms() {
        tracing::info!(scenario = scenario.name, arm = arm.name, "begins");
        let run = match &options.remote {
            Some(remote) => on_theirs(options, &arm, remote).await?,
            None => on_ours(options, &arm, &mut machine).await?,
        };
        runs.push(run);
    }
    let summary = tokio::task::block_in_place(|| summary(options, date.clone(), machine, &runs));
    tokio::task::block_in_place(|| report::write(&folder, scenario, &summary, &runs))?;
    Ok((summary, folder))
}

fn summary(options: &Options, date: String, machine: Machine, runs: &[ArmRun]) -> Summary {
    let Options { scenario, whole, command, .. } = options;
    let arms: Vec<ArmSummary> = runs.iter().map(ArmSummary::of).collect();
    let figures: BTreeMap<_, _> = arms.iter().map(|a| (a.name.clone(), a.figures.clone())).collect();
    let mut checks = judge(&scenario.checks, &figures, *whole);
    for arm in &arms {
        // That nothing is lost or wrong is asked of every run, and told where it is not so.
        for (what, count) in arm.verdict.wrongs().into_iter().filter(|(_, count)| *count > 0) {
            let what = format!("{what} {}", arm.name).trim().to_owned();
            let value = Some(count as f64);
            checks.push(Judged { what, value, bound: Bound::AtMost(0.0), met: false, counts: true });
        }
    }
    let mut notes: Vec<String> = runs.iter().flat_map(|run| run.notes.clone()).collect();
    notes.dedup();
    Summary {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        date,
        command: command.clone(),
        whole: *whole,
        machine,
        holds: checks.iter().all(|check| check.met || !check.counts),
        checks,
        notes,
        problems: report::problems(runs),
        arms,
    }
}

/// What no other run has.
fn key() -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("read the clock")?;
    Ok(format!("load {}", now.as_micros()))
}

/// A load, ready to be driven.
struct Ready {
    load: Load,
    requests: Arc<Vec<Request>>,
    arrivals: Vec<Arrival>,
}

fn ready(loads: &[Load], ground: &Ground, seed: u64) -> anyhow::Result<Vec<Ready>> {
    let ready = |(n, load): (usize, &Load)| {
        let pace = load.pace().map_err(anyhow::Error::msg)?;
        // Each load has a chance of its own.
        let arrivals = arrivals(load, pace, seed.wrapping_add(n as u64));
        Ok(Ready { load: load.clone(), requests: Arc::new(requests(load, ground)), arrivals })
    };
    loads.iter().enumerate().map(ready).collect()
}

/// Loads that begin together.
fn groups(all: &[Ready]) -> Vec<&[Ready]> {
    all.chunk_by(|_, next| next.load.beside).collect()
}

async fn together(driver: &Driver, loads: &[Ready]) -> Vec<Job> {
    let driven = loads.iter().map(|l| driver.drive(&l.load.name, &l.arrivals, &l.requests));
    futures::future::join_all(driven).await.concat()
}

fn names(loads: &[Ready]) -> Vec<String> {
    loads.iter().map(|l| l.load.name.clone()).collect()
}

/// One user for each tenant and coordinator: their jobs go to all coordinators alike.
fn users(cluster: &Cluster) -> anyhow::Result<Vec<User>> {
    let (first, tenants) = (User::new(cluster.urls(), 0)?, cluster.tenants().max(1));
    let all = 0..tenants * cluster.coordinators.len();
    Ok(all.map(|n| first.other(n % tenants, n / tenants)).collect())
}

async fn on_ours(options: &Options, arm: &Arm, machine: &mut Machine) -> anyhow::Result<ArmRun> {
    let scenario = &options.scenario;
    let shape = scenario.shape(arm);
    let mut cluster = Cluster::start(shape.plan(&options.kudzu, scenario.faults.as_ref())).await?;
    if machine.rabbitmq.is_empty() {
        machine.note_servers(&cluster);
    }
    let ground = Ground::simulated(cluster.internet().truth());
    let all = ready(&arm.loads, &ground, options.seed)?;
    let users = users(&cluster)?;
    tokio::time::sleep(SETTLE).await;
    let (start, live) = (Instant::now(), Arc::new(Live::default()));
    let sampler = Sampler::start(start, cluster.ids(), Some(cluster.counter()), Arc::clone(&live))?;
    let driver = Driver { users: users.clone(), start, key: key()?, live };
    let mut trouble = scenario.faults.clone().map(|spec| Trouble::new(spec, start));
    let mut run =
        ArmRun { name: arm.name.clone(), shape: Some(shape), loads: names(&all), ..ArmRun::default() };
    for loads in groups(&all) {
        if loads.iter().any(|l| l.load.fresh) {
            tokio::task::block_in_place(|| cluster.redis.flush())?;
        }
        let before = sampler.now();
        let driven = together(&driver, loads);
        let jobs = match &mut trouble {
            None => driven.await,
            Some(trouble) => {
                let jobs = tokio::select! {
                    jobs = driven => jobs,
                    broke = trouble.make(&mut cluster) => match broke? {},
                };
                trouble.mend(&cluster)?;
                jobs
            }
        };
        run.stretches.push(Stretch { loads: names(loads), before, after: sampler.now() });
        run.jobs.extend(jobs);
    }
    run.samples = sampler.finish();
    run.faults = trouble.map(|t| t.done).unwrap_or_default();
    cluster.ready().await?;
    tracing::info!(jobs = run.jobs.len(), "the load is over; what came of it is looked at");
    let oracle = options.references.then(|| Oracle::new(&cluster, &options.kudzu));
    if oracle.is_none() {
        run.notes.push("Trees were compared with each other only: references were not wanted.".into());
    }
    look(&mut run, &all, &users, oracle).await;
    if run.verdict.wrongs().iter().any(|(_, count)| *count > 0) {
        let logs = cluster.logs();
        tracing::error!(folder = %cluster.keep().display(), "something is lost or wrong: {logs}");
    }
    Ok(run)
}

async fn on_theirs(options: &Options, arm: &Arm, remote: &Remote) -> anyhow::Result<ArmRun> {
    ensure!(options.scenario.arms.len() < 2, "a running cluster cannot be several: choose one --arm");
    ensure!(options.scenario.faults.is_none(), "nothing is broken in a cluster that is not ours");
    let ground = Ground::listed(remote.seeds.clone(), remote.at.clone());
    let all = ready(&arm.loads, &ground, options.seed)?;
    let users = vec![User::with_token(remote.urls.clone(), remote.token.clone())?];
    users[0].is_known().await?;
    let (start, live) = (Instant::now(), Arc::new(Live::default()));
    let sampler = Sampler::start(start, Ids::default(), None, Arc::clone(&live))?;
    let driver = Driver { users: users.clone(), start, key: key()?, live };
    let mut run = ArmRun { name: arm.name.clone(), loads: names(&all), ..ArmRun::default() };
    run.notes.push(
        "The cluster ran already and its upstreams are not ours: trees were compared with each other only, \
         its processes were not looked at, and its cache was left as it was."
            .into(),
    );
    for loads in groups(&all) {
        let before = sampler.now();
        let jobs = together(&driver, loads).await;
        run.stretches.push(Stretch { loads: names(loads), before, after: sampler.now() });
        run.jobs.extend(jobs);
    }
    run.samples = sampler.finish();
    look(&mut run, &all, &users, None).await;
    Ok(run)
}

/// Looks at every job, load by load.
async fn look(run: &mut ArmRun, all: &[Ready], users: &[User], mut oracle: Option<Oracle<'_>>) {
    for Ready { load, requests, .. } in all {
        let (mut jobs, others): (Vec<Job>, Vec<Job>) =
            std::mem::take(&mut run.jobs).into_iter().partition(|j| j.load == load.name);
        let verdict = verify::jobs(load, requests, &mut jobs, users, oracle.as_mut(), &mut run.notes).await;
        run.verdict = run.verdict.plus(verdict);
        run.jobs = others;
        run.jobs.append(&mut jobs);
    }
    run.jobs.sort_by(|a, b| a.due_s.total_cmp(&b.due_s));
}

/// The program beside this one, as a build leaves them.
pub fn beside(name: &str) -> PathBuf {
    let here = std::env::current_exe().ok();
    let folder = here.as_deref().and_then(Path::parent).unwrap_or(Path::new("target/release"));
    folder.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_beside_each_other_begin_together() {
        let load = |name: &str, beside: bool| Load { name: name.into(), beside, ..one() };
        let loads = [load("a", false), load("b", true), load("c", false), load("d", false)];
        let all = ready(&loads, &Ground::default(), 1).unwrap();
        let names: Vec<Vec<String>> = groups(&all).into_iter().map(names).collect();
        assert_eq!(names, [vec!["a", "b"], vec!["c"], vec!["d"]]);
    }

    fn one() -> Load {
        Scenario::parse("test", "about = \"x\"\n[[load]]\nname = \"l\"\njobs = 1\n").unwrap().loads.remove(0)
    }
}
