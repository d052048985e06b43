//! `kudzu pivot`

use std::io::{self, Write as _};

use kudzu_shared::job::JobKind;

use super::output::{self, Finished};
use crate::args::Global;
use crate::args::job::Pivot;
use crate::args::job::ResultFormat;
use crate::console::{self, Style, tell};
use crate::embedded::{self, Engine};
use crate::exit::{End, Failure, Outcome};
use crate::indicators::Read;
use crate::progress::Progress;
use crate::results::Memory;
use crate::view::announce::Announcement;
use crate::{interrupt, job, plan, settings};

pub async fn run(global: &Global, args: &Pivot) -> Outcome {
    let config = settings::load(global, &args.engine)?;
    let registry = embedded::registry(&config)?;
    let catalogue = registry.catalogue();
    let plan = plan::choose(&args.plan, "infra", &catalogue, &config)?;
    let policy = job::policy(&args.policy, &config)?;
    let read = Read::arguments(&args.indicators, io::stdin().lock(), args.policy.allow_private)
        .map_err(|e| Failure::Failed(anyhow::Error::new(e).context("read standard input")))?;
    let seeds = read.into_good(tell)?;
    let spec = job::spec(JobKind::Pivot, seeds, policy, args.time, args.salt)?;
    let announcement = Announcement::new("pivot", &spec, &plan, &catalogue, None);
    if args.dry_run {
        return dry_run(&announcement, args.output.format == ResultFormat::Json);
    }
    let (folder, under) = output::prepare(&args.output)?;
    announce(&announcement, global.quiet);
    let asked = job::asked(&plan, &spec.policy, &catalogue);
    let engine = Engine::start(&config, registry, &asked, args.engine.workers.unwrap_or(1)).await?;
    interrupt::take_over();
    let before = Memory::now();
    let mut progress = Progress::new(global.quiet, args.output.progress);
    let evidence = folder.as_ref().map(|f| f.evidence());
    let result = job::run(&engine, spec, plan, evidence.as_deref(), &mut progress).await?;
    let finished = Finished { result, memory: [before, Memory::now()], truth: None };
    engine.stop().await;
    tokio::task::block_in_place(|| {
        output::present(&finished, &args.output, folder.as_ref(), under.as_ref(), global.quiet)
    })
}

/// Says what will be asked of whom, before it is.
pub fn announce(announcement: &Announcement, quiet: bool) {
    if !quiet {
        for line in announcement.lines(Style::of_stderr().width) {
            tell(&line);
        }
    }
}

/// The same as data, where nothing follows.
pub fn dry_run(announcement: &Announcement, as_json: bool) -> Outcome {
    let mut out = console::stdout();
    if as_json {
        serde_json::to_writer_pretty(&mut out, announcement).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for line in announcement.lines(Style::of_stdout().width) {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "dry run: nothing was asked")?;
    }
    out.flush()?;
    Ok(End::Complete)
}
