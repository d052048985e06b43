//! Distinct names that nobody has asked before, against a name server that answers at once: what
//! the cluster costs beside massdns, which keeps nothing and coordinates nothing, and beside what
//! one would build with Celery.

mod celery;
mod cluster;
mod events;
mod figures;
mod massdns;
mod names;
mod processor;
mod report;
mod run;
mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use kudzu_servers::Nsd;
use tokio::process::Command;

pub use figures::Check;
pub use report::Report;

use celery::{Celery, POOLS};
use massdns::Massdns;
use names::{MOST, Names, ZONE};

/// What is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program.
    pub kudzu: PathBuf,
    /// The source of massdns; without it massdns is left out.
    pub massdns: Option<PathBuf>,
    /// Names.
    pub names: usize,
    /// How many of them Celery looks up; with none it is left out.
    pub celery_names: usize,
    /// Rounds; each has all of them in turn.
    pub rounds: usize,
    /// What the names follow from.
    pub seed: u64,
    /// Where the report goes; without it to `loadtest/runs`, by the day.
    pub out: Option<PathBuf>,
}

/// One after another: the same server, the same names.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Round {
    /// massdns, unless it is left out.
    pub massdns: Option<massdns::Run>,
    /// The cluster.
    pub kudzu: cluster::Run,
    /// Celery, unless it is left out: the first round has all its pools.
    pub celery: Vec<celery::Run>,
}

/// Measures, and writes the report.
///
/// # Errors
/// When one of them cannot be run, not when something is missed: that is in the report.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    ensure!((1..=MOST).contains(&options.names), "--names: write 1 to {MOST}");
    ensure!(options.celery_names <= options.names, "--celery-names: write {} at most", options.names);
    ensure!((1..=100).contains(&options.rounds), "--rounds: write 1 to 100");
    let folder = tempfile::Builder::new().prefix("kudzu-cold-").tempdir().context("make a folder")?;
    let names = tokio::task::block_in_place(|| Names::new(options.names, options.seed));
    let zone = folder.path().join("zone");
    names.write_zone(&zone).context("write the zone")?;
    let nsd = tokio::task::block_in_place(|| Nsd::start(ZONE, &zone)).context("start NSD")?;
    let server = nsd.addr().to_string();
    tracing::info!(names = names.count(), "NSD answers");
    let massdns = match &options.massdns {
        Some(source) => Some(Massdns::set_up(source, folder.path(), &server, &names).await?),
        None => None,
    };
    let celery = match options.celery_names {
        0 => None,
        _ => Some(Celery::set_up(folder.path(), &server).await?),
    };
    let few = names.first(options.celery_names);
    let mut rounds: Vec<Round> = Vec::new();
    for _ in 0..options.rounds {
        let massdns = match &massdns {
            Some(massdns) => Some(massdns.run(&names).await.inspect(|run| {
                tracing::info!(seconds = run.took.seconds, processor = run.took.processor, score = ?run.score, "massdns");
            })?),
            None => None,
        };
        let kudzu = cluster::run(&options.kudzu, &server, &names).await.context("kudzu")?;
        tracing::info!(seconds = kudzu.seconds, score = ?kudzu.score, faults = ?kudzu.faults, "kudzu");
        let mut round = Round { massdns, kudzu, celery: Vec::new() };
        if let Some(celery) = &celery {
            let pools = rounds.first().and_then(|first| figures::best(&first.celery));
            for pool in pools.map_or(POOLS.to_vec(), |run| vec![run.pool]) {
                let run = celery.run(&few, pool).await?;
                tracing::info!(%pool, a_second = run.rate, score = ?run.score, "Celery");
                round.celery.push(run);
            }
        }
        rounds.push(round);
    }
    drop(nsd);
    let versions = versions(options, massdns.as_ref()).await;
    let sizes = massdns.map(|m| (m.size, m.sizes));
    let report = Report::new(options, sizes, versions, rounds);
    let out = match &options.out {
        Some(out) => out.clone(),
        None => Path::new("loadtest/runs").join(&report.date).join("cold"),
    };
    report.write(&out).with_context(|| format!("write the report to {}", out.display()))?;
    Ok(report)
}

/// What was compared, each with its version.
async fn versions(options: &Options, massdns: Option<&Massdns>) -> Vec<(&'static str, String)> {
    let nsd = run::version(Nsd::program().unwrap_or("nsd"), &["-v"]).await;
    let mut versions = vec![
        ("kudzu", run::version(&options.kudzu, &["--version"]).await.replace("kudzu ", "")),
        ("NSD", nsd.replace("NSD version ", "")),
        ("RabbitMQ", rabbitmq().await),
        ("Redis", run::version("redis-server", &["--version"]).await.replace("Redis server ", "")),
    ];
    if let Some(massdns) = massdns {
        versions.push(("massdns", format!("`main.c` has the SHA-256 {}...", massdns.source)));
    }
    if options.celery_names > 0 {
        versions.push(("Python", run::version("python3", &["--version"]).await.replace("Python ", "")));
        versions.push(("Celery", celery::versions().replace("celery ", "")));
    }
    versions
}

/// Its command would ask a node for it; the package knows.
async fn rabbitmq() -> String {
    let mut command = Command::new("dpkg-query");
    command.args(["-W", "-f", "${Version}", "rabbitmq-server"]);
    let said = run::run(&mut command, std::time::Duration::from_secs(60)).await;
    said.map_or_else(|_| "?".into(), |(_, version)| version)
}
