//! `kudzu up`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use kudzu_servers::{Process, RabbitMq, Redis};
use kudzu_shared::observable::Observable;
use kudzu_shared::time::rfc3339;
use kudzu_simnet::{ListenConfig, Server};
use serde_json::json;

use crate::args::Global;
use crate::args::cluster::Up;
use crate::console::{self, tell};
use crate::exit::{End, Failure, Outcome};
use crate::{interrupt, job, simulated};

/// How long a coordinator may take to listen.
const START: Duration = Duration::from_secs(60);
/// How often that, and the processes, are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Everything that runs; dropped, it ends.
struct Cluster {
    processes: Vec<(String, Process)>,
    urls: Vec<String>,
    _rabbit: RabbitMq,
    _redis: Redis,
}

pub async fn run(global: &Global, args: &Up) -> Outcome {
    if let Some(file) = &global.config {
        return Err(Failure::usage(format!(
            "--config {}: the cluster has settings of its own; change single ones by --set",
            file.display()
        )));
    }
    interrupt::take_over();
    let temporary = tempfile::Builder::new().prefix("kudzu-up-").tempdir().context("make a folder")?;
    let folder = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(folder.join("archive")).with_context(|| format!("--dir {}", folder.display()))?;
    let world = simulated::world(&args.world).await?;
    let (seeds, as_of) = (world.seeds(), rfc3339(world.as_of()));
    let salt = salt(&seeds);
    let faults = args.timing.faults(args.world.seed);
    let simnet = Server::start(world, faults, ListenConfig::default()).await;
    let simnet = simnet.context("start the simulated internet")?;
    let config = folder.join("kudzu.toml");
    let present = as_of.trim_end_matches("T00:00:00Z").to_owned();
    let text = format!(
        "{}\n[api]\nauth = \"off\"\n\n[archive]\nurl = \"file://{}\"\n",
        simulated::config_text(simnet.addrs(), &present),
        folder.join("archive").canonicalize().context("find the archive's folder")?.display(),
    );
    std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
    if !global.quiet {
        tell("starting RabbitMQ and Redis, which takes some ten seconds");
    }
    let starting = {
        let (folder, counts) = (folder.clone(), [args.coordinators, args.workers]);
        let global = Global { config: Some(config.clone()), ..global.clone() };
        tokio::task::spawn_blocking(move || start(&folder, &global, counts))
    };
    let mut cluster = tokio::select! {
        () = interrupt::requested() => return Ok(End::Complete),
        started = starting => started.context("start the cluster")??,
    };
    announce(global, args, &cluster, &config, &Present { seeds, at: present, salt })?;
    let outcome = tokio::select! {
        () = interrupt::requested() => Ok(End::Complete),
        name = watch(&mut cluster, &folder) => Err(Failure::failed(format!("{name} was the last of its kind"))),
    };
    if !global.quiet {
        tell("taking all of it down");
    }
    tokio::task::spawn_blocking(move || drop(cluster)).await.context("take the cluster down")?;
    simnet.stop().await;
    if outcome.is_err() && args.dir.is_none() {
        // Its logs say why.
        let kept = temporary.keep();
        tell(&format!("kept: {}", kept.display()));
    }
    outcome
}

/// What the simulated internet takes for the present, and where its attack begins.
struct Present {
    seeds: Vec<String>,
    at: String,
    salt: u64,
}

/// The salt of the demo in the same world.
fn salt(seeds: &[String]) -> u64 {
    let seeds: Vec<Observable> = seeds.iter().filter_map(|s| Observable::parse(s).ok()).collect();
    job::salt_of(&seeds)
}

fn start(folder: &Path, global: &Global, [coordinators, workers]: [u16; 2]) -> Result<Cluster, Failure> {
    let missing = |e: kudzu_servers::ServerError| Failure::Failed(e.into());
    let redis = Redis::start().map_err(missing)?;
    let rabbit = RabbitMq::start().map_err(missing)?;
    let program = std::env::current_exe().context("find this program")?;
    let (broker, cache) = (rabbit.uri(), redis.uri());
    let process = |name: String, args: &[String]| {
        let set = |command: &mut std::process::Command| {
            command.args(args).args(global.to_args());
            command.env("KUDZU_BROKER__URL", &broker).env("KUDZU_REDIS__URL", &cache);
        };
        let process = Process::start(&program, set, &folder.join(format!("{name}.log")));
        process.map(|p| (name, p)).map_err(missing)
    };
    let mut processes = Vec::new();
    let mut urls = Vec::new();
    for n in 1..=coordinators {
        let name = format!("coordinator-{n}");
        let url = folder.join(format!("{name}.url"));
        // A folder that is used again has the old one.
        let _ = std::fs::remove_file(&url);
        let args = ["coordinator", "--listen", "127.0.0.1:0", "--name", &name, "--url-out"];
        let mut args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        args.push(url.display().to_string());
        processes.push(process(name, &args)?);
        urls.push(url);
    }
    for n in 1..=workers {
        let name = format!("worker-{n}");
        let args = ["worker", "--name", &name].map(String::from);
        processes.push(process(name, &args)?);
    }
    let urls = urls.iter().map(|url| listening(url, folder)).collect::<Result<_, _>>()?;
    Ok(Cluster { processes, urls, _rabbit: rabbit, _redis: redis })
}

fn listening(url: &PathBuf, folder: &Path) -> Result<String, Failure> {
    let until = std::time::Instant::now() + START;
    loop {
        if let Ok(url) = std::fs::read_to_string(url) {
            return Ok(url);
        }
        if std::time::Instant::now() >= until {
            let shown = folder.display();
            return Err(Failure::failed(format!("a coordinator does not listen; the logs are in {shown}")));
        }
        std::thread::sleep(LOOK);
    }
}

fn announce(
    global: &Global,
    args: &Up,
    cluster: &Cluster,
    config: &Path,
    Present { seeds, at, salt }: &Present,
) -> Result<(), Failure> {
    let url = cluster.urls.first().map_or("", String::as_str);
    let ready = json!({
        "url": url, "urls": cluster.urls, "config": config, "seeds": seeds, "at": at, "salt": salt,
        "workers": args.workers,
        "processes": cluster.processes.iter().map(|(n, p)| (n.clone(), p.id())).collect::<std::collections::BTreeMap<_, _>>(),
    });
    let mut out = console::stdout();
    writeln!(out, "{ready}")?;
    out.flush()?;
    if !global.quiet {
        let seeds = seeds.join(" ");
        tell(&format!(
            "up: {} coordinators, {} workers, RabbitMQ, Redis, and a simulated internet\n\n\
             export KUDZU_CLIENT__URL={url}\n\
             kudzu submit --allow-private --at {at} --salt {salt} {seeds}\n\
             kudzu list\n\n\
             the API is described at {url}/v1/openapi.json; ctrl-C takes all of it down",
            cluster.urls.len(),
            args.workers,
        ));
    }
    Ok(())
}

/// Tells which processes end: the others go on. Ends with the last coordinator, or the last worker.
async fn watch(cluster: &mut Cluster, folder: &Path) -> String {
    let kind = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    loop {
        let mut ended = Vec::new();
        cluster.processes.retain_mut(|(name, process)| {
            let over = process.ended().is_some();
            ended.extend(over.then(|| name.clone()));
            !over
        });
        for name in ended {
            let log = folder.join(format!("{name}.log"));
            tell(&format!("{name} has ended; its log is {}", log.display()));
            if !cluster.processes.iter().any(|(other, _)| kind(other) == kind(&name)) {
                return name;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
