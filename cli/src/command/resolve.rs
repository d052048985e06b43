//! `kudzu resolve`: any number of names, streamed. One thread reads, one writes; between them
//! the engine holds no more than may be in flight.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kudzu_dns::check;
use kudzu_dns::{Encrypted, Engine, Question, RecordType, Replies, Resolver, Sink, Verdict, name};
use kudzu_shared::observable::{Kind, Observable};
use tokio::task::JoinHandle;

use crate::args::Global;
use crate::args::job::EngineArgs;
use crate::args::resolve::{AnswerFormat, Resolve};
use crate::console::{self, tell};
use crate::exit::{End, Failure, Outcome};
use crate::progress::Progress;
use crate::resolvers::Asked;
use crate::view::answers;
use crate::view::resolved::{self, Summary};
use crate::view::text::count;
use crate::{interrupt, resolvers, settings};

/// Questions in one batch.
const BATCH: usize = 512;
/// Batches of replies that wait to be written.
const REPLIES: usize = 64;
/// How long each answer of the check is waited for.
const CHECK: Duration = Duration::from_millis(700);
/// How often an interrupted command looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);
/// A line longer than this is no name in any spelling.
const LONGEST: u64 = 4096;
/// Bad lines that are told one by one.
const TOLD: u64 = 20;

pub async fn run(global: &Global, args: &Resolve) -> Outcome {
    let settings = settings::load(global, &EngineArgs::default())?;
    let mut asked = resolvers::choose(args, &settings.dns)?;
    let input = open(&args.names)?;
    let mut summary_file = args.summary.as_deref().map(|path| create(path, &args.names)).transpose()?;
    if !args.no_check && settings.dns.check {
        check(&mut asked, args.timeout, global.quiet).await?;
    }
    let (resolver, engine) = start(&asked)?;
    let types = each_once(&args.types);
    if !global.quiet {
        let names: Vec<String> = types.iter().map(|t| kudzu_dns::type_name(*t)).collect();
        let names = if names.is_empty() { "A, or PTR of an address".to_owned() } else { names.join(", ") };
        tell(&format!("asking {} for {names}", resolved::servers(&asked)));
        if let (Asked::Plain(config), Some(engine)) = (&asked, &engine)
            && engine.room() < config.in_flight
        {
            tell(&format!(
                "{} questions in flight at most: the system's receive buffers hold no more answers; raise \
                 net.core.rmem_max for more",
                count(engine.room() as u64)
            ));
        }
    }
    interrupt::take_over();
    let begin = Instant::now();
    let counts = Arc::new(Counts::default());
    let (sink, replies) = Sink::new(REPLIES);
    let withdrawal = sink.withdrawal();
    // The resolver stays until all is answered: what it has in hand would end with it.
    let reading = read(input, types, Arc::clone(&resolver), sink, Arc::clone(&counts));
    let mut writing = write(replies, args.format, Arc::clone(&counts));
    let mut progress = Progress::new(global.quiet, args.progress);
    let written = loop {
        let stopping = counts.stop.load(Relaxed);
        tokio::select! {
            written = &mut writing => break written.context("write the answers")?,
            () = interrupt::requested(), if !stopping => {
                progress.say("interrupted: waiting for what is on its way; once more ends at once");
                counts.stop.store(true, Relaxed);
                withdrawal.withdraw();
            }
            // A read that never returns is not waited for.
            () = tokio::time::sleep(LOOK), if stopping => if counts.is_done(withdrawal.questions()) {
                break Ok(());
            },
            () = progress.tick() => progress.note(&counts.line(begin)),
        }
    };
    progress.clear();
    drop(resolver);
    let all = counts.at_end.load(Relaxed) && counts.is_done(0);
    let partial = counts.stop.load(Relaxed) && !all;
    let summary = Summary::new(engine.as_deref(), counts.totals(), begin.elapsed(), partial);
    if let (Some(file), Some(path)) = (&mut summary_file, &args.summary) {
        let json = serde_json::to_vec_pretty(&summary).context("write the summary")?;
        file.write_all(&json).with_context(|| format!("write {}", path.display()))?;
    }
    if !global.quiet {
        resolved::lines(&summary).iter().for_each(|line| tell(line));
    }
    written?;
    if !partial {
        reading.await.context("read the names")??;
    }
    ended(&summary, all || partial)
}

fn each_once(types: &[RecordType]) -> Vec<RecordType> {
    let mut once = Vec::with_capacity(types.len());
    for rtype in types {
        if !once.contains(rtype) {
            once.push(*rtype);
        }
    }
    once
}

/// Creates the summary's file at once: a run of hours is not lost to a wrong path.
fn create(path: &Path, names: &Path) -> Result<std::fs::File, Failure> {
    let same = |a: &Path, b: &Path| std::fs::canonicalize(a).ok().zip(std::fs::canonicalize(b).ok());
    if same(path, names).is_some_and(|(a, b)| a == b) {
        return Err(Failure::usage(format!("--summary {}: these are the names", path.display())));
    }
    let file = std::fs::File::create(path).with_context(|| format!("write {}", path.display()));
    file.map_err(Failure::Usage)
}

/// Checks the resolvers, and leaves out those that lie.
async fn check(asked: &mut Asked, timeout: Duration, quiet: bool) -> Result<(), Failure> {
    let Asked::Plain(config) = asked else { return Ok(()) };
    let checked = check::check(&config.servers, timeout.min(CHECK)).await;
    if !quiet {
        resolved::checked(&checked).iter().for_each(|line| tell(line));
    }
    if checked.iter().all(|c| !c.lies.is_empty()) {
        return Err(Failure::failed(
            "every resolver gives addresses for names that do not exist: give others with --resolver, or \
             --no-check to ask these all the same",
        ));
    }
    config.servers = check::apply(std::mem::take(&mut config.servers), &checked);
    Ok(())
}

type Started = (Arc<dyn Resolver>, Option<Arc<Engine>>);

fn start(asked: &Asked) -> Result<Started, Failure> {
    Ok(match asked {
        Asked::Plain(config) => {
            let engine = Arc::new(Engine::start(config).context("start the resolver")?);
            (Arc::clone(&engine) as Arc<dyn Resolver>, Some(engine))
        }
        Asked::Encrypted { upstreams, rate, in_flight, timeout, attempts } => {
            let encrypted = Encrypted::new(upstreams.clone(), b"", *timeout, *attempts, *in_flight);
            let encrypted = encrypted.context("start the resolver")?;
            (Arc::new(encrypted.with_rate(*rate)), None)
        }
    })
}

fn ended(summary: &Summary, whole: bool) -> Outcome {
    if summary.partial {
        return Ok(End::Partial);
    }
    if !whole {
        return Err(Failure::failed("some questions have no answer: the resolver ended before them"));
    }
    if summary.questions == 0 {
        return Err(Failure::usage("no name to ask about; write one a line"));
    }
    if !summary.is_anything_known() {
        return Err(Failure::failed("nothing is known: no question was answered; the rows say why"));
    }
    Ok(End::Complete)
}

/// What happens while it runs.
#[derive(Default)]
struct Counts {
    names: AtomicU64,
    questions: AtomicU64,
    done: AtomicU64,
    invalid: AtomicU64,
    verdicts: Mutex<BTreeMap<Verdict, u64>>,
    stop: AtomicBool,
    /// All names are read, and their questions with the resolver.
    at_end: AtomicBool,
}

impl Counts {
    fn totals(&self) -> resolved::Totals {
        let get = |n: &AtomicU64| n.load(Relaxed);
        resolved::Totals {
            names: get(&self.names),
            questions: get(&self.done),
            invalid: get(&self.invalid),
            verdicts: self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Notes what was written.
    fn add(&self, written: &mut BTreeMap<Verdict, u64>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((verdict, n)) = written.pop_first() {
            *verdicts.entry(verdict).or_default() += n;
            self.done.fetch_add(n, Relaxed);
        }
    }

    /// Whether every question is answered, but for so many that were withdrawn.
    fn is_done(&self, withdrawn: u64) -> bool {
        self.done.load(Relaxed) + withdrawn >= self.questions.load(Relaxed)
    }

    fn line(&self, begin: Instant) -> String {
        let done = self.done.load(Relaxed);
        resolved::progress(begin.elapsed(), done, self.questions.load(Relaxed).saturating_sub(done))
    }
}

type Input = io::BufReader<Box<dyn io::Read + Send>>;

fn open(path: &Path) -> Result<Input, Failure> {
    let source: Box<dyn io::Read + Send> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => {
            let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()));
            Box::new(file.map_err(Failure::Usage)?)
        }
    };
    Ok(io::BufReader::with_capacity(1 << 16, source))
}

/// Reads names and asks about them, on a thread that may wait.
fn read(
    mut input: Input,
    types: Vec<RecordType>,
    resolver: Arc<dyn Resolver>,
    sink: Sink,
    counts: Arc<Counts>,
) -> JoinHandle<Result<(), Failure>> {
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let (mut line, mut number) = (Vec::with_capacity(256), 0);
        let mut batch = Vec::with_capacity(BATCH);
        while !counts.stop.load(Relaxed) {
            line.clear();
            let length =
                io::Read::take(&mut input, LONGEST).read_until(b'\n', &mut line).context("read the names")?;
            number += 1;
            if length > 0 {
                take(&line, &mut input, number, &types, &counts, &mut batch)?;
            }
            // Before it waits for more, or for the rest of a line, what there is goes.
            let waits = length == 0 || batch.len() >= BATCH || !input.buffer().contains(&b'\n');
            if waits && !batch.is_empty() {
                let asked = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                counts.questions.fetch_add(asked.len() as u64, Relaxed);
                handle.block_on(resolver.submit(asked, &sink)).context("ask the resolver")?;
            }
            if length == 0 {
                counts.at_end.store(true, Relaxed);
                break;
            }
        }
        Ok(())
    })
}

/// Makes the questions of one line.
fn take(
    line: &[u8],
    input: &mut Input,
    number: u64,
    types: &[RecordType],
    counts: &Counts,
    batch: &mut Vec<Question>,
) -> Result<(), Failure> {
    if line.last() != Some(&b'\n') && line.len() as u64 == LONGEST {
        input.skip_until(b'\n').context("read the names")?;
    }
    let text = line.trim_ascii();
    if text.is_empty() || text[0] == b'#' {
        return Ok(());
    }
    match wire(text) {
        Some(name) => {
            counts.names.fetch_add(1, Relaxed);
            let usual = [if name::address(&name).is_some() { RecordType::PTR } else { RecordType::A }];
            let types = if types.is_empty() { &usual } else { types };
            batch.extend(types.iter().map(|qtype| Question {
                token: number,
                name: name.clone(),
                qtype: *qtype,
            }));
        }
        None => {
            let told = counts.invalid.fetch_add(1, Relaxed);
            let shown = kudzu_shared::escape::terminal(&String::from_utf8_lossy(text)).into_owned();
            if told < TOLD {
                tell(&format!(
                    "line {number}: {}: no name; left out",
                    kudzu_shared::escape::shorten(&shown, 80)
                ));
            } else if told == TOLD {
                tell("further lines without a name are only counted");
            }
        }
    }
    Ok(())
}

/// The wire form of a name, international or not, or of an address's reverse name.
fn wire(text: &[u8]) -> Option<Box<[u8]>> {
    let text = std::str::from_utf8(text).ok()?;
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        let starts_as_address = text.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':'));
        if starts_as_address && let Ok(ip) = text.parse::<IpAddr>() {
            return Some(name::reverse(ip, None));
        }
        // Names in DNS may hold these, and hardly ever do: indicators and lists are meant.
        if !text.bytes().any(|b| b"/@[](),:;$\"<>".contains(&b)) {
            return name::from_text(text);
        }
    }
    let observable = Observable::parse_as(Kind::DomainName, text).ok()?;
    Some(observable.wire().into())
}

/// Writes answers, on a thread that may wait.
fn write(mut replies: Replies, format: AnswerFormat, counts: Arc<Counts>) -> JoinHandle<Result<(), Failure>> {
    tokio::task::spawn_blocking(move || {
        let (mut text, mut written) = (String::new(), BTreeMap::new());
        while let Some(first) = replies.next_blocking() {
            let (mut out, mut next, mut batches) = (console::stdout(), Some(first), 0);
            while let Some(batch) = next.take() {
                text.clear();
                batch.iter().for_each(|reply| answers::push(reply, format, &mut text));
                batch.iter().for_each(|reply| *written.entry(reply.verdict).or_default() += 1);
                out.write_all(text.as_bytes())?;
                batches += 1;
                if batches < REPLIES {
                    next = replies.try_next();
                }
            }
            out.flush()?;
            // What is not flushed is not done: an interrupt waits for it.
            counts.add(&mut written);
        }
        Ok(())
    })
}
