//! `kudzu demo`

use anyhow::Context as _;
use kudzu_shared::config::Config;
use kudzu_shared::job::JobKind;
use kudzu_shared::observable::Observable;
use kudzu_simnet::{ListenConfig, Server};

use super::output::{self, Finished};
use super::pivot::announce;
use crate::args::Global;
use crate::args::job::{Demo, EngineArgs, PolicyArgs, TimeArgs};
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
    alone(&mut config, &args.engine);
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
    let asked = job::asked(&plan, &spec.policy, &catalogue);
    let engine = Engine::start(&config, registry, &asked, args.engine.workers.unwrap_or(1)).await?;
    interrupt::take_over();
    let before = Memory::now();
    let mut progress = Progress::new(global.quiet, args.output.progress);
    let evidence = folder.as_ref().map(|f| f.evidence());
    let result = job::run(&engine, spec, plan, evidence.as_deref(), &mut progress).await?;
    let memory = [before, Memory::now()];
    let score = truth::score(&truth, result.candidates());
    let finished = Finished { result, memory, truth: Some(score) };
    engine.stop().await;
    server.stop().await;
    tokio::task::block_in_place(|| {
        output::present(&finished, &args.output, folder.as_ref(), under.as_ref(), global.quiet)
    })
}

/// Takes out of the settings what would ask somebody else, or make another tree than the same
/// command does elsewhere.
fn alone(config: &mut Config, engine: &EngineArgs) {
    let by_flag = |name: &String| engine.pairs.iter().any(|p| p.split('=').next() == Some(name));
    let Config { mut pairs, http, worker, coordinator, .. } = std::mem::take(config);
    pairs.retain(|name, _| by_flag(name));
    *config = Config { pairs, http, worker, coordinator, ..Config::default() };
}

fn seeds(texts: &[String]) -> Result<Vec<Observable>, Failure> {
    let read = texts.iter().map(|t| Observable::parse(t));
    let seeds = read.collect::<Result<Vec<_>, _>>().context("read the world's seeds")?;
    if seeds.is_empty() {
        return Err(Failure::usage("this world names no seed to start from: add \"seeds\" to its truth"));
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use kudzu_shared::config::PolicyDefaults;

    use super::*;

    #[test]
    fn the_settings_of_whoever_runs_it_ask_nobody_else() {
        let text = "[sources.spy]\nurl = \"https://spy.example/{key}\"\ntakes = [\"domain-name\"]\nvalue = \"/x\"\n\
            [pairs]\nmine = \"mine.csv\"\ngiven = \"given.csv\"\n[policy]\npap = \"RED\"\nexclude = [\"bank.com\"]\n";
        let mut config = Config::parse("kudzu.toml".as_ref(), text).unwrap();
        let engine = EngineArgs { pairs: vec!["given=given.csv".into()], ..EngineArgs::default() };
        alone(&mut config, &engine);
        assert!(config.sources.is_empty());
        assert_eq!(config.pairs.keys().collect::<Vec<_>>(), ["given"]);
        assert_eq!(config.policy, PolicyDefaults::default());
    }
}
