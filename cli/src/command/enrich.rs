//! `kudzu enrich`: indicators in chunks, each a job of its own whose memory goes with it.
//! Rows come in the order of the input.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context as _;
use kudzu_coordinator::Job;
use kudzu_coordinator::model::{self, Coverage, JobResult, State};
use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::run::Lost;
use kudzu_shared::job::{JobKind, Policy};
use kudzu_shared::observable::Observable;
use kudzu_shared::task::{self, Task};
use tokio::sync::watch;
use tokio::time::Instant;

use super::pivot::{announce, dry_run};
use crate::allowance::Allowance;
use crate::args::Global;
use crate::args::job::{Enrich, RowFormat};
use crate::chunks::{Chunks, lines_in};
use crate::console::{self, Style, tell};
use crate::embedded::{self, Engine};
use crate::exit::{End, Failure, Outcome};
use crate::indicators::Line;
use crate::progress::Progress;
use crate::view::announce::{Announcement, Listed};
use crate::view::coverage::{self, Known};
use crate::view::rows::{self, Form};
use crate::view::text::{count, seconds};
use crate::{interrupt, job, plan, settings};

/// Chunks on their way at a time: one is asked while the one before it ends.
const AHEAD: usize = 2;
/// Results that each indicator may have before the budget of a chunk cuts.
const RESULTS_EACH: u32 = 500;
/// Bad lines that are told one by one; all of them have a row.
const TOLD: u64 = 20;

pub async fn run(global: &Global, args: &Enrich) -> Outcome {
    if args.plan.depth.is_some() {
        return Err(Failure::usage("--depth: a list is asked about once; use kudzu pivot to go further"));
    }
    let config = settings::load(global, &args.engine)?;
    let registry = embedded::registry(&config)?;
    let catalogue = registry.catalogue();
    let mut plan = plan::choose(&args.plan, "fast", &catalogue, &config)?;
    // A plan's limits are those of one investigation, and this is a list of any length.
    plan.budgets.depth = 1;
    plan.budgets.nodes = args.plan.nodes.unwrap_or_else(|| args.chunk.saturating_mul(RESULTS_EACH));
    plan.budgets.deadline_ms = args.plan.deadline.map(milliseconds);
    let policy = job::policy(&args.policy, &config)?;
    let mut input = Chunks::open(&args.file, args.policy.allow_private, args.chunk as usize).await?;
    let first = input.next().await?;
    let seeds = good(&first);
    if seeds.is_empty() && input.is_done() {
        return Err(nothing_good(&first));
    }
    let listed = match tokio::task::block_in_place(|| lines_in(&args.file)) {
        Some(lines) => Listed::Exactly(lines),
        None if input.is_done() => Listed::Exactly(first.len()),
        None => Listed::AtLeast(first.len()),
    };
    let spec = job::spec(JobKind::Enrich, seeds, policy, args.time, None)?;
    let announcement = Announcement::new("enrich", &spec, &plan, &catalogue, Some(listed));
    if args.dry_run {
        return dry_run(&announcement, args.format == RowFormat::Json);
    }
    announce(&announcement, global.quiet);
    let asked = job::asked(&plan, &spec.policy, &catalogue);
    let engine = Engine::start(&config, registry, &asked, args.engine.workers.unwrap_or(1)).await?;
    interrupt::take_over();
    let allowance = Allowance::new(plan.budgets.questions, &asked);
    let mut bulk = Bulk {
        engine,
        args,
        plan,
        policy: spec.policy,
        started: Instant::now(),
        ahead: if allowance.is_limited() { 1 } else { AHEAD },
        allowance,
        open: VecDeque::new(),
        coverage: Coverage::new(),
        rows: 0,
        bad: 0,
        stopped: false,
        partial: false,
        progress: Progress::new(global.quiet, args.progress),
    };
    match bulk.write_all(first, &mut input).await {
        // Who reads has enough; that something is missing is true all the same.
        Err(failure) if failure.is_closed_pipe() && bulk.partial => return Ok(End::Partial),
        written => written?,
    }
    bulk.close(global.quiet).await
}

/// A list on its way.
struct Bulk<'a> {
    engine: Engine,
    args: &'a Enrich,
    plan: Plan,
    policy: Policy,
    started: Instant,
    ahead: usize,
    allowance: Allowance,
    open: VecDeque<Open>,
    coverage: Coverage,
    rows: u64,
    bad: u64,
    /// Whether no more is read.
    stopped: bool,
    partial: bool,
    progress: Progress,
}

/// A chunk on its way.
struct Open {
    lines: Vec<Line>,
    /// None where no line is good.
    job: Option<Running>,
}

struct Running {
    cancel: Box<dyn Fn() + Send>,
    seen: watch::Receiver<model::Progress>,
    ended: Task<Result<JobResult, Lost>>,
}

impl Running {
    fn new(job: Job) -> Self {
        let (token, seen) = (job.canceller(), job.progress());
        let ended = task::spawn("chunk", job.finish());
        Self { cancel: Box::new(move || token.cancel()), seen, ended }
    }
}

enum Event {
    Chunk(Vec<Line>),
    Ended(Option<Box<JobResult>>),
    Interrupted,
    Late,
    Tick,
}

impl Bulk<'_> {
    /// Every row, from what stands before the first to what stands behind the last.
    async fn write_all(&mut self, first: Vec<Line>, input: &mut Chunks) -> Result<(), Failure> {
        let format = self.args.format;
        self.write(|out| rows::begin(out, format))?;
        self.submit(first).await?;
        while !self.open.is_empty() || !(self.stopped || input.is_done()) {
            match self.event(input).await? {
                Event::Chunk(lines) => self.submit(lines).await?,
                Event::Ended(result) => self.rows(result.as_deref())?,
                Event::Interrupted => {
                    self.progress.say("interrupted: writing what there is; once more ends at once");
                    self.open.iter().filter_map(|o| o.job.as_ref()).for_each(|job| (job.cancel)());
                    self.stop(input);
                }
                Event::Late => self.stop(input),
                Event::Tick => self.note(),
            }
        }
        self.progress.clear();
        self.write(|out| rows::end(out, format))?;
        Ok(())
    }

    /// Reads no more; whatever was not read is missing.
    fn stop(&mut self, input: &Chunks) {
        self.stopped = true;
        self.partial |= !input.is_done();
    }

    async fn event(&mut self, input: &mut Chunks) -> Result<Event, Failure> {
        let room = !self.stopped && !input.is_done() && self.open.len() < self.ahead;
        let late = self.args.plan.deadline.map(|d| self.started + d);
        Ok(tokio::select! {
            () = interrupt::requested(), if !self.stopped => Event::Interrupted,
            () = until(late), if !self.stopped => Event::Late,
            ended = first_ended(&mut self.open) => Event::Ended(ended?.map(Box::new)),
            chunk = input.next(), if room => Event::Chunk(chunk?),
            () = self.progress.tick() => Event::Tick,
        })
    }

    /// The rows of the chunk that was the first on its way.
    fn rows(&mut self, result: Option<&JobResult>) -> Result<(), Failure> {
        let Some(Open { lines, .. }) = self.open.pop_front() else { return Ok(()) };
        if let Some(result) = result {
            self.partial |= result.state == State::Partial;
            self.allowance.spend(&result.coverage);
            coverage::add(&mut self.coverage, &result.coverage);
        }
        self.bad += bad(&lines).count() as u64;
        let (format, defang, fresh) = (self.args.format, self.args.defang, self.rows == 0);
        self.write(|out| {
            lines.iter().enumerate().try_for_each(|(at, line)| {
                let form = Form { format, defang, first: fresh && at == 0 };
                rows::row(out, line, result, form)
            })
        })?;
        self.rows += lines.len() as u64;
        Ok(())
    }

    async fn submit(&mut self, lines: Vec<Line>) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        for (at, why) in bad(&lines).enumerate() {
            if self.bad + (at as u64) < TOLD {
                self.progress.say(&why.to_string());
            }
        }
        let seeds = good(&lines);
        if seeds.is_empty() {
            self.open.push_back(Open { lines, job: None });
            return Ok(());
        }
        let mut plan = self.plan.clone();
        // Deadline and budgets are those of the whole list.
        plan.budgets.deadline_ms =
            self.args.plan.deadline.map(|d| milliseconds(d.saturating_sub(self.started.elapsed())));
        plan.budgets.questions = self.allowance.questions();
        let spec = job::spec(JobKind::Enrich, seeds, self.policy.clone(), self.args.time, None)?;
        let budgets = plan.budgets;
        let catalogue = self.allowance.catalogue(self.engine.catalogue());
        let coordinator = self.engine.coordinator(catalogue).await?;
        let job = coordinator.submit(spec, plan, budgets, None).context("submit a chunk")?;
        self.open.push_back(Open { lines, job: Some(Running::new(job)) });
        Ok(())
    }

    fn note(&mut self) {
        let open = self.open.iter_mut().filter_map(|o| o.job.as_mut());
        let open: u64 = open.map(|job| job.seen.borrow_and_update().outstanding).sum();
        let (rows, time) = (count(self.rows), seconds(milliseconds(self.started.elapsed())));
        self.progress.note(&format!("{time}  {rows} indicators done  {} questions open", count(open)));
    }

    /// Standard output is never held over an await.
    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        tokio::task::block_in_place(|| {
            let mut out = console::stdout();
            write(&mut out)?;
            out.flush()
        })
    }

    /// Says what came of it.
    async fn close(self, quiet: bool) -> Outcome {
        let unknown = coverage::unknown(&self.coverage);
        if !quiet {
            coverage::lines(&self.coverage, Style::of_stderr().width).iter().for_each(|line| tell(line));
            tell(&self.closing(unknown));
        }
        let (partial, known) = (self.partial, coverage::known(&self.coverage));
        self.engine.stop().await;
        match known {
            _ if partial => Ok(End::Partial),
            Known::Nothing(lookups) => Err(Failure::failed(format!(
                "nothing is known: all {} lookups failed, and their rows say how",
                count(lookups)
            ))),
            Known::NotAsked | Known::Something => Ok(End::Complete),
        }
    }

    fn closing(&self, unknown: u64) -> String {
        let time = seconds(milliseconds(self.started.elapsed()));
        let mut text = format!("{} indicators in {time}", count(self.rows));
        if self.bad > 0 {
            text.push_str(&format!(", {} of them bad (their rows say why)", count(self.bad)));
        }
        if unknown > 0 {
            text.push_str(&format!(
                "; lookups that failed: {}, and what they would have said is not known",
                count(unknown)
            ));
        }
        if self.partial {
            text.push_str("; PARTIAL: not all was asked");
        }
        text
    }
}

/// Waits for the first chunk on its way; for ever where there is none. Cancel safe.
async fn first_ended(open: &mut VecDeque<Open>) -> Result<Option<JobResult>, Failure> {
    match open.front_mut() {
        None => std::future::pending().await,
        Some(Open { job: None, .. }) => Ok(None),
        Some(Open { job: Some(job), .. }) => {
            let ended = (&mut job.ended).await.context("wait for a chunk")?;
            Ok(Some(ended.context("wait for a chunk")?))
        }
    }
}

/// Waits until then; for ever where there is no such time. Cancel safe.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn good(lines: &[Line]) -> Vec<Observable> {
    lines.iter().filter_map(|l| l.indicator.as_ref().ok().cloned()).collect()
}

fn bad(lines: &[Line]) -> impl Iterator<Item = &crate::indicators::Bad> {
    lines.iter().filter_map(|l| l.indicator.as_ref().err())
}

fn nothing_good(lines: &[Line]) -> Failure {
    let mut text = "no indicator to look up".to_owned();
    for bad in bad(lines).take(20) {
        text.push_str(&format!("\n{bad}"));
    }
    if lines.is_empty() {
        text.push_str(": the input is empty; write one domain name, address or URL a line");
    }
    Failure::usage(text)
}
