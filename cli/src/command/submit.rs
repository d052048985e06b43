//! `kudzu submit`, `watch`, `get`, `list`, `cancel` and `replay`: jobs of a cluster.

use std::io::{self, Write as _};

use anyhow::Context as _;
use kudzu_coordinator::api::request::{Limits, Request};
use kudzu_coordinator::api::views::{Job, State};
use kudzu_shared::escape;
use kudzu_shared::job::JobKind;
use kudzu_shared::observable::Observable;
use kudzu_shared::time::rfc3339;

use super::{fetch, output};
use crate::args::cluster::{Fetch, List, OneJob, Submit};
use crate::args::job::{EngineArgs, OutputArgs};
use crate::args::{Global, ListFormat};
use crate::console::{self, tell};
use crate::exit::{End, Failure, Outcome};
use crate::indicators::Read;
use crate::progress::Progress;
use crate::remote::{Event, Remote};
use crate::results::Folder;
use crate::view::text::{Table, count};
use crate::{interrupt, settings};

pub async fn submit(global: &Global, args: &Submit) -> Outcome {
    let shown = output::prepare(&args.output)?;
    let remote = remote(global)?;
    let request = request(args)?;
    if args
        .key
        .as_ref()
        .is_some_and(|k| k.len() > 255 || !k.bytes().all(|b| (b' '..=b'~').contains(&b)) || k.is_empty())
    {
        return Err(Failure::usage("--key: write 1 to 255 visible ASCII characters"));
    }
    let key = args.key.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let job = remote.submit(&request, &key).await?;
    if args.detach {
        say(&format!("{}\n", job.id))?;
        return Ok(End::Complete);
    }
    if !global.quiet {
        tell(&format!("job {}; an interrupt leaves it running, kudzu watch goes on", job.id));
    }
    follow(global, &remote, &job.id, &args.output, shown).await
}

pub async fn watch(global: &Global, args: &Fetch) -> Outcome {
    let shown = output::prepare(&args.output)?;
    follow(global, &remote(global)?, &args.job, &args.output, shown).await
}

pub async fn get(global: &Global, args: &Fetch) -> Outcome {
    let (folder, under) = output::prepare(&args.output)?;
    let remote = remote(global)?;
    let job = remote.job(&args.job).await?;
    if !job.state.is_final() {
        let state = state(job.state);
        return Err(Failure::failed(format!("job {} is {state}: kudzu watch follows it", job.id)));
    }
    fetch::present(&remote, &job, &args.output, (folder.as_ref(), under.as_ref()), global.quiet).await
}

pub async fn list(global: &Global, args: &List) -> Outcome {
    let remote = remote(global)?;
    let jobs = remote.jobs(usize::try_from(args.limit).unwrap_or(usize::MAX)).await?;
    let mut text = String::new();
    match args.format {
        ListFormat::Json => {
            text = serde_json::to_string_pretty(&jobs).context("write the jobs as JSON")?;
            text.push('\n');
        }
        ListFormat::Text => {
            let mut table = Table::new(&["job", "state", "submitted", ">nodes", "seeds", "label"]);
            for job in &jobs.jobs {
                table.row(row(job));
            }
            for line in table.lines(console::Style::of_stdout().width) {
                text.push_str(&line);
                text.push('\n');
            }
            let more = jobs.total.saturating_sub(jobs.jobs.len());
            if more > 0 {
                text.push_str(&format!("{} more (--limit)\n", count(more as u64)));
            }
        }
    }
    say(&text)?;
    Ok(End::Complete)
}

pub async fn act(global: &Global, args: &OneJob, what: &str) -> Outcome {
    let job = remote(global)?.act(&args.job, what).await?;
    let text = match args.format {
        ListFormat::Json => {
            let text = serde_json::to_string_pretty(&job).context("write the job as JSON")?;
            format!("{text}\n")
        }
        ListFormat::Text => format!("{} {}\n", job.id, state(job.state)),
    };
    say(&text)?;
    Ok(End::Complete)
}

/// Follows a job to its end, and shows its result. An interrupt leaves it running.
async fn follow(
    global: &Global,
    remote: &Remote,
    id: &str,
    output: &OutputArgs,
    (folder, under): (Option<Folder>, Option<Observable>),
) -> Outcome {
    interrupt::take_over();
    let mut progress = Progress::new(global.quiet, output.progress);
    let following = remote.follow(id, |event| match event {
        Event::Progress(now) => progress.show_when_due(&now),
        Event::Job(job) => progress.note(&waiting(&job)),
    });
    let ended = tokio::select! {
        ended = following => Some(ended),
        () = interrupt::requested() => None,
    };
    progress.clear();
    match ended {
        Some(job) => {
            let shown = (folder.as_ref(), under.as_ref());
            fetch::present(remote, &job?, output, shown, global.quiet).await
        }
        None => {
            tell(&format!("job {id} goes on: kudzu watch {id}, or kudzu cancel {id}"));
            Ok(End::Partial)
        }
    }
}

fn waiting(job: &Job) -> String {
    match job.state {
        State::Queued => "waits for a coordinator".into(),
        other => state(other).into(),
    }
}

fn remote(global: &Global) -> Result<Remote, Failure> {
    Remote::new(&settings::load(global, &EngineArgs::default())?.client)
}

/// The request that the flags make; what is wrong with it the coordinator says.
fn request(args: &Submit) -> Result<Request, Failure> {
    let read = Read::arguments(&args.indicators, io::stdin().lock(), args.policy.allow_private)
        .map_err(|e| Failure::Failed(anyhow::Error::new(e).context("read standard input")))?;
    let seeds = read.into_good(tell)?;
    let texts = |flag: &'static str, texts: &[String]| {
        let read = crate::indicators::list(flag, texts.iter().map(String::as_str))?;
        Ok::<_, Failure>(read.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let own_assets = match &args.policy.own_assets {
        Some(path) => {
            crate::indicators::file("--own-assets", path)?.iter().map(ToString::to_string).collect()
        }
        None => Vec::new(),
    };
    let (plan, plan_text) = plan(args.plan.plan.as_deref())?;
    let p = &args.plan;
    Ok(Request {
        kind: args.enrich.then_some(JobKind::Enrich),
        seeds: seeds.iter().map(Observable::to_input).collect(),
        label: args.label.clone(),
        plan,
        plan_text,
        sources: p.source.clone(),
        no_sources: p.no_source.clone(),
        budgets: Limits {
            depth: p.depth,
            nodes: p.nodes,
            fan_out: p.fan_out,
            questions: p.questions,
            deadline_ms: p.deadline.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
        },
        tlp: args.policy.tlp.map(|m| m.as_str().to_owned()),
        pap: args.policy.pap.map(|m| m.as_str().to_owned()),
        scope: texts("--scope", &args.policy.scope)?,
        exclude: texts("--exclude", &args.policy.exclude)?,
        own_assets,
        allow_private: args.policy.allow_private,
        at: args.time.at.map(rfc3339),
        since: args.time.since.map(rfc3339),
        until: args.time.until.map(rfc3339),
        salt: args.salt,
    })
}

/// The name of a plan, or the text of a plan file.
fn plan(given: Option<&str>) -> Result<(Option<String>, Option<String>), Failure> {
    let Some(name) = given else { return Ok((None, None)) };
    let path = std::path::Path::new(name);
    if path.extension().is_none() && !path.is_file() {
        return Ok((Some(name.to_owned()), None));
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("--plan: read {name}"));
    Ok((None, Some(text.map_err(Failure::Usage)?)))
}

fn row(job: &Job) -> Vec<String> {
    let first = job.seeds.first().map(|s| escape::terminal(s).into_owned()).unwrap_or_default();
    let more = job.seeds_total.saturating_sub(1);
    let seeds = if more > 0 { format!("{first} +{}", count(more as u64)) } else { first };
    vec![
        job.id.clone(),
        state(job.state).into(),
        job.submitted_at.clone(),
        job.result.as_ref().map(|r| count(r.nodes)).unwrap_or_default(),
        seeds,
        job.label.as_deref().map(|l| escape::terminal(l).into_owned()).unwrap_or_default(),
    ]
}

/// A state in a word.
pub const fn state(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Cancelling => "cancelling",
        State::Complete => "complete",
        State::Partial => "partial",
        State::Dead => "dead",
    }
}

/// Writes without a lock that would be held over an await.
fn say(text: &str) -> io::Result<()> {
    let mut out = console::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
