//! `kudzu demo`

use anyhow::Context as _;
use kudzu_shared::job::JobKind;
use kudzu_shared::observable::Observable;
use kudzu_shared::source::SourceInfo;
use kudzu_simnet::{ListenConfig, Server};

use super::output::{self, Finished};
use super::pivot::announce;
use crate::args::Global;
use crate::args::job::{Demo, PolicyArgs, TimeArgs};
use crate::console::tell;
use crate::embedded::{self, Engine};
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::results::Memory;
use crate::view::announce::Announcement;
use crate::{interrupt, job, plan, settings, simulated, truth};

pub async fn run(global: &Global, args: &Demo) -> Outcome {
    let mut config = settings::load(global, &args.engine)?;
    if !args.engine.resolver.is_empty() {
        return Err(Failure::usage("--resolver: the demo brings its own internet; use kudzu pivot"));
    }
    let (folder, under) = output::prepare(&args.output)?;
    let world = simulated::world(&args.world).await?;
    let (truth, as_of) = (world.truth(), world.as_of());
    let faults = args.timing.faults(args.world.seed);
    let server = Server::start(world, faults, ListenConfig::default())
        .await
        .context("start the simulated internet")?;
    simulated::point(&mut config, server.addrs());
    let registry = embedded::registry(&config)?;
    let catalogue = registry.catalogue();
    let plan = plan::choose(&args.plan, "infra", &catalogue, &config)?;
    let mut policy = job::policy(&PolicyArgs::default(), &config)?;
    // The simulated internet may use what is special in the real one.
    policy.allow_private = true;
    let seeds = seeds(&truth.seeds)?;
    let time = TimeArgs { at: Some(as_of), ..TimeArgs::default() };
    let salt = job::salt_of(&seeds);
    let spec = job::spec(JobKind::Pivot, seeds, policy, time, Some(salt))?;
    if !global.quiet {
        tell("simulated internet on this machine; nothing leaves it");
    }
    announce(&Announcement::new("demo", &spec, &plan, &catalogue, None), global.quiet);
    let asked: Vec<SourceInfo> =
        catalogue.into_iter().filter(|s| plan.asks.iter().any(|a| a.source == s.name)).collect();
    let engine = Engine::start(&config, registry, &asked, args.engine.workers.unwrap_or(1)).await?;
    interrupt::take_over();
    let before = Memory::now();
    let mut progress = Progress::new(global.quiet, args.output.progress);
    let evidence = folder.as_ref().map(|f| f.evidence());
    let result = job::run(&engine, spec, plan, evidence.as_deref(), &mut progress).await?;
    let memory = [before, Memory::now()];
    let score = truth::score(&truth, &result.candidates);
    let finished = Finished { result, memory, truth: Some(score) };
    engine.stop().await;
    server.stop().await;
    tokio::task::block_in_place(|| {
        output::present(&finished, &args.output, folder.as_ref(), under.as_ref(), global.quiet)
    })
}

fn seeds(texts: &[String]) -> Result<Vec<Observable>, Failure> {
    let read = texts.iter().map(|t| Observable::parse(t));
    let seeds = read.collect::<Result<Vec<_>, _>>().context("read the world's seeds")?;
    if seeds.is_empty() {
        return Err(Failure::usage("this world names no seed to start from: add \"seeds\" to its truth"));
    }
    Ok(seeds)
}
