//! `kudzu enrich`: indicators in chunks, two of them on their way at a time, so that memory
//! is bounded whatever the length of the list. Rows come in the order of the input.

use std::collections::VecDeque;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kudzu_coordinator::model::{JobResult, State};
use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::{Handle, Job};
use kudzu_shared::job::{JobKind, Policy};
use kudzu_shared::observable::Observable;

use super::pivot::{announce, dry_run};
use crate::args::Global;
use crate::args::job::{Enrich, RowFormat};
use crate::console::{self, tell};
use crate::embedded::{self, Engine};
use crate::exit::{End, Failure, Outcome};
use crate::indicators::{Line, Lines};
use crate::progress::Progress;
use crate::view::announce::Announcement;
use crate::view::rows::{self, Form};
use crate::view::text::{count, seconds};
use crate::{interrupt, job, plan, settings};

/// Chunks on their way at a time: one is asked while the one before it ends.
const AHEAD: usize = 2;
/// Results that each indicator may have before the budget of a chunk cuts.
const RESULTS_EACH: u32 = 500;
/// Bad lines that are told one by one; all of them have a row.
const TOLD: u64 = 20;

type Input = Lines<Box<dyn BufRead + Send>>;

pub async fn run(global: &Global, args: &Enrich) -> Outcome {
    let config = settings::load(global, &args.engine)?;
    let registry = embedded::registry(&config)?;
    let catalogue = registry.catalogue();
    let mut plan = plan::choose(&args.plan, "fast", &catalogue, &config)?;
    // A plan's limits are those of one investigation, and this is a list of any length.
    plan.budgets.depth = 1;
    plan.budgets.nodes = args.plan.nodes.unwrap_or_else(|| args.chunk.saturating_mul(RESULTS_EACH));
    plan.budgets.deadline_ms = args.plan.deadline.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let policy = job::policy(&args.policy, &config)?;
    let total = lines_in(&args.file);
    let mut input = open(&args.file, args.policy.allow_private)?;
    let first = next_chunk(&mut input, args.chunk)?;
    let seeds = good(&first);
    if seeds.is_empty() && first.len() < args.chunk as usize {
        return Err(nothing_good(&first));
    }
    let spec = job::spec(JobKind::Enrich, seeds, policy, args.time, None)?;
    let announcement = Announcement::new("enrich", &spec, &plan, &catalogue, total);
    if args.dry_run {
        return dry_run(&announcement, args.format != RowFormat::Csv);
    }
    announce(&announcement, global.quiet);
    let asked = job::asked(&plan, &spec.policy, &catalogue);
    let engine = Engine::start(&config, registry, &asked, args.engine.workers.unwrap_or(1))?;
    interrupt::take_over();
    let mut bulk = Bulk {
        handle: engine.coordinator(engine.catalogue().to_vec()).await?,
        args,
        plan,
        policy: spec.policy,
        started: Instant::now(),
        open: VecDeque::new(),
        rows: 0,
        bad: 0,
        partial: false,
        progress: Progress::new(global.quiet, args.progress),
    };
    bulk.write(|out| rows::begin(out, args.format))?;
    bulk.submit(first).await?;
    bulk.run(&mut input).await?;
    bulk.write(|out| rows::end(out, args.format))?;
    engine.stop().await;
    if !global.quiet {
        tell(&bulk.closing());
    }
    Ok(if bulk.partial { End::Partial } else { End::Complete })
}

/// A list on its way.
struct Bulk<'a> {
    handle: Handle,
    args: &'a Enrich,
    plan: Plan,
    policy: Policy,
    started: Instant,
    open: VecDeque<(Vec<Line>, Option<Job>)>,
    rows: u64,
    bad: u64,
    partial: bool,
    progress: Progress,
}

impl Bulk<'_> {
    async fn run(&mut self, input: &mut Input) -> Result<(), Failure> {
        loop {
            while self.open.len() < AHEAD && !interrupt::is_requested() && !self.is_late() {
                let chunk = tokio::task::block_in_place(|| next_chunk(input, self.args.chunk))?;
                if chunk.is_empty() {
                    break;
                }
                self.submit(chunk).await?;
            }
            let Some((lines, job)) = self.open.pop_front() else { break };
            let result = match job {
                Some(job) => Some(self.finish(job).await?),
                None => None,
            };
            self.partial |= result.as_ref().is_some_and(|r| r.state == State::Partial);
            self.bad += lines.iter().filter(|l| l.indicator.is_err()).count() as u64;
            let (format, defang, fresh) = (self.args.format, self.args.defang, self.rows == 0);
            self.write(|out| {
                lines.iter().enumerate().try_for_each(|(at, line)| {
                    let form = Form { format, defang, first: fresh && at == 0 };
                    rows::row(out, line, result.as_ref(), form)
                })
            })?;
            self.rows += lines.len() as u64;
        }
        self.progress.clear();
        if interrupt::is_requested() || self.is_late() {
            // Whatever was not read is missing.
            self.partial |= !tokio::task::block_in_place(|| next_chunk(input, 1))?.is_empty();
        }
        Ok(())
    }

    async fn submit(&mut self, lines: Vec<Line>) -> Result<(), Failure> {
        for (at, line) in lines.iter().filter(|l| l.indicator.is_err()).enumerate() {
            if let Err(bad) = &line.indicator
                && self.bad + (at as u64) < TOLD
            {
                self.progress.say(&bad.to_string());
            }
        }
        let seeds = good(&lines);
        if seeds.is_empty() {
            self.open.push_back((lines, None));
            return Ok(());
        }
        let mut plan = self.plan.clone();
        // The deadline is that of the whole list.
        plan.budgets.deadline_ms =
            self.left().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let spec = job::spec(JobKind::Enrich, seeds, self.policy.clone(), self.args.time, None)?;
        let budgets = plan.budgets;
        let job = self.handle.submit(spec, plan, budgets, None).await.context("submit a chunk")?;
        self.open.push_back((lines, Some(job)));
        Ok(())
    }

    async fn finish(&mut self, job: Job) -> Result<JobResult, Failure> {
        let cancel = job.canceller();
        let mut seen = job.progress();
        let mut finish = std::pin::pin!(job.finish());
        let mut told = false;
        loop {
            tokio::select! {
                ended = &mut finish => return ended.map_err(|e| Failure::Failed(e.into())),
                () = interrupt::requested(), if !told => {
                    told = true;
                    self.progress.say("interrupted: writing what there is; once more ends at once");
                    cancel.cancel();
                    for (_, job) in &self.open {
                        job.iter().for_each(Job::cancel);
                    }
                }
                () = self.progress.tick() => {
                    let open = seen.borrow_and_update().outstanding;
                    let (rows, time) = (count(self.rows), seconds(self.elapsed_ms()));
                    self.progress.note(&format!("{time}  {rows} indicators done  {} questions open", count(open)));
                }
            }
        }
    }

    /// Standard output is never held over an await.
    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        tokio::task::block_in_place(|| {
            let mut out = console::stdout();
            write(&mut out)?;
            out.flush()
        })
    }

    fn left(&self) -> Option<Duration> {
        self.args.plan.deadline.map(|d| d.saturating_sub(self.started.elapsed()))
    }

    fn is_late(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn closing(&self) -> String {
        let mut text = format!("{} indicators in {}", count(self.rows), seconds(self.elapsed_ms()));
        if self.bad > 0 {
            text.push_str(&format!(", {} of them bad (their rows say why)", count(self.bad)));
        }
        if self.partial {
            text.push_str("; PARTIAL: not all was asked");
        }
        text
    }
}

fn open(path: &Path, allow_private: bool) -> Result<Input, Failure> {
    let reader: Box<dyn BufRead + Send> = if path == Path::new("-") {
        Box::new(io::BufReader::new(io::stdin()))
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()));
        Box::new(io::BufReader::with_capacity(1 << 16, file.map_err(Failure::Usage)?))
    };
    Ok(Lines::new(reader, allow_private))
}

/// Lines of a file, for the estimate; of a stream nobody knows.
fn lines_in(path: &Path) -> Option<usize> {
    let file = std::fs::File::open(path).ok().filter(|f| f.metadata().is_ok_and(|m| m.is_file()))?;
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    let mut lines = 0;
    loop {
        let piece = reader.fill_buf().ok()?;
        if piece.is_empty() {
            return Some(lines);
        }
        lines += piece.iter().filter(|b| **b == b'\n').count();
        let used = piece.len();
        reader.consume(used);
    }
}

fn next_chunk(input: &mut Input, most: u32) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    while lines.len() < most as usize {
        match input.next_line().context("read the list")? {
            Some(line) => lines.push(line),
            None => break,
        }
    }
    Ok(lines)
}

fn good(lines: &[Line]) -> Vec<Observable> {
    lines.iter().filter_map(|l| l.indicator.as_ref().ok().cloned()).collect()
}

fn nothing_good(lines: &[Line]) -> Failure {
    let mut text = "no indicator to look up".to_owned();
    for bad in lines.iter().filter_map(|l| l.indicator.as_ref().err()).take(20) {
        text.push_str(&format!("\n{bad}"));
    }
    if lines.is_empty() {
        text.push_str(": the input is empty; write one domain name, address or URL a line");
    }
    Failure::usage(text)
}
