//! The run loop around the state machine: queues, cache and clock.

mod answers;
mod dispatch;
mod flights;
mod known;
mod runner;
mod serial;
mod settled;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::broker::{self, Broker, Consumer, Delivery, Durability};
use kudzu_shared::cache::Cache;
use kudzu_shared::config;
use kudzu_shared::job::{Budgets, JobId, JobSpec};
use kudzu_shared::packs::Packs;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::task::{self, Shutdown, Task};
use kudzu_shared::time::Clock;
use kudzu_shared::trace::Span;
use kudzu_shared::wire::Results;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::core::job::Settings;
use crate::core::queue::Limits;
use crate::model::{EvidenceRow, JobResult, Progress};
use crate::plan::{Plan, PlanError};
use crate::tree::rules::Rules;
pub use answers::Answers;
use flights::Flights;
pub use known::Known;

/// Deliveries of results that are unsettled at a time.
const PREFETCH: u16 = 256;
/// Results that may wait for one job.
const INBOX: usize = 64;

/// The queue that tasks of a class travel on.
pub const fn task_queue(class: Class) -> &'static str {
    match class {
        Class::Dns => "kudzu.tasks.dns",
        Class::Http => "kudzu.tasks.http",
        Class::Local => "kudzu.tasks.local",
    }
}

/// What a coordinator stands on.
#[derive(Clone)]
pub struct StartOptions {
    /// Window, packing, rounds.
    pub config: config::Coordinator,
    /// Carries tasks and results.
    pub broker: Arc<dyn Broker>,
    /// Asked first.
    pub cache: Arc<dyn Cache>,
    /// The sources there are.
    pub catalogue: Vec<SourceInfo>,
    /// Suppression lists.
    pub packs: Arc<Packs>,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
}

/// Why a coordinator cannot start.
#[derive(Debug, thiserror::Error)]
#[error("start the coordinator: declare and consume its queues")]
pub struct StartError(#[from] broker::Error);

/// Why a job is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The plan asks what no source answers.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Nothing to start from.
    #[error("a job needs at least one seed")]
    NoSeeds,
}

/// A job that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator ended before the job")]
pub struct Lost;

/// Runs jobs. Cheap to clone; the coordinator ends with its [`Shutdown`].
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

/// The coordinator's entry point.
#[derive(Debug)]
pub struct Coordinator;

struct Inner {
    options: StartOptions,
    reply_to: String,
    inboxes: Inboxes,
    flights: Arc<Flights>,
    shutdown: Shutdown,
    gone: CancellationToken,
    _router: Task<()>,
}

/// By job and take-over: what an earlier one asked for has other tickets.
type Inboxes = Arc<Mutex<HashMap<(JobId, u32), mpsc::Sender<Arrived>>>>;

/// Results that came.
#[derive(Debug)]
enum Arrived {
    /// From a worker, settled once they are taken. The job reads them itself: as messages
    /// they take a tenth of the memory.
    Message(Delivery),
    /// From elsewhere.
    Known(Came),
}

/// Results that can be taken.
#[derive(Debug)]
struct Came {
    results: Results,
    /// The same, for the journal.
    message: Option<Bytes>,
    /// They failed in every round before: no later one is of use.
    settled: bool,
    origin: Origin,
}

/// Where results come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A worker brought them.
    Worker,
    /// A worker brought them to another job, just now.
    Shared,
    /// They were known.
    Cache,
}

/// Results that a job has taken, as a message that can be read without any task.
#[derive(Debug, Clone)]
pub struct Taken {
    /// [`Results`]; a few of them may not have been taken.
    pub message: Bytes,
    /// How many were.
    pub outcomes: usize,
}

/// A job that is to run.
#[derive(Debug)]
pub struct Start {
    /// The job.
    pub spec: JobSpec,
    /// Its plan.
    pub plan: Plan,
    /// Its limits.
    pub budgets: Budgets,
    /// Which take-over of the job this is: 1 is the first.
    pub epoch: u32,
    /// How long ago it was submitted: its deadline counts from then.
    pub age: Duration,
    /// What earlier runs of it have taken.
    pub known: Known,
    /// Whether failures that others have settled are asked again.
    pub anew: bool,
    /// The trace it belongs to, as a W3C `traceparent`.
    pub trace: Option<String>,
    /// Counts what workers answer.
    pub answers: Arc<Answers>,
    /// Gets what is taken; while it is full, the job asks no more.
    pub journal: Option<mpsc::Sender<Vec<Taken>>>,
    /// Gets a row for each accepted result; while it is full, the job asks no more.
    pub evidence: Option<mpsc::Sender<Vec<EvidenceRow>>>,
}

impl Start {
    /// A job that begins now.
    pub fn new(spec: JobSpec, plan: Plan, budgets: Budgets) -> Self {
        Self {
            spec,
            plan,
            budgets,
            epoch: 1,
            age: Duration::ZERO,
            known: Known::default(),
            anew: false,
            trace: None,
            answers: Arc::default(),
            journal: None,
            evidence: None,
        }
    }
}

/// A running job. Dropped, it is cancelled.
#[derive(Debug)]
pub struct Job {
    id: JobId,
    progress: watch::Receiver<Progress>,
    cancel: CancellationToken,
    result: oneshot::Receiver<JobResult>,
    _task: Task<()>,
    /// Of a job that nobody else has a span for.
    _span: Option<Span>,
}

impl Coordinator {
    /// Declares the queues and starts to take results.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn start(options: StartOptions, shutdown: Shutdown) -> Result<Handle, StartError> {
        for class in Class::ALL {
            options.broker.declare(task_queue(class), Durability::Durable).await?;
        }
        let reply_to = format!("kudzu.results.{}", uuid::Uuid::now_v7());
        options.broker.declare(&reply_to, Durability::Exclusive).await?;
        let consumer = options.broker.consume(&reply_to, PREFETCH).await?;
        let inboxes = Inboxes::default();
        let gone = CancellationToken::new();
        let router = task::spawn("results", {
            let (inboxes, gone) = (Arc::clone(&inboxes), gone.clone());
            let broker = Arc::clone(&options.broker);
            async move {
                route(&*broker, consumer, inboxes).await;
                gone.cancel();
            }
        });
        let flights = Arc::default();
        Ok(Handle(Arc::new(Inner { options, reply_to, inboxes, flights, shutdown, gone, _router: router })))
    }
}

/// Hands results to their jobs. What no job here waits for is dropped: its epoch is over.
async fn route(broker: &dyn Broker, mut consumer: Box<dyn Consumer>, inboxes: Inboxes) {
    while let Some(delivery) = consumer.next().await {
        let of = match Results::address(&delivery.body) {
            Ok(of) => of,
            // Their lookups are asked again in time.
            Err(error) => {
                broker::park(broker, "result", "results", delivery, &error).await;
                continue;
            }
        };
        let inbox = inboxes.lock().unwrap_or_else(PoisonError::into_inner).get(&of).cloned();
        let arrived = Arrived::Message(delivery);
        // A job that ended meanwhile has closed its inbox.
        let left = match inbox {
            Some(inbox) => inbox.send(arrived).await.err().map(|unsent| unsent.0),
            None => Some(arrived),
        };
        if let Some(Arrived::Message(delivery)) = left {
            delivery.settle.ack();
        }
    }
}

impl Handle {
    /// What it stands on.
    pub fn options(&self) -> &StartOptions {
        &self.0.options
    }

    /// Ends once the queue of its results is gone: its jobs cannot go on. Cancel safe.
    pub async fn gone(&self) {
        self.0.gone.cancelled().await;
    }

    /// Runs a job that begins now, and with it its trace, where traces are exported.
    ///
    /// # Errors
    /// When the plan does not fit the sources, or there are no seeds.
    pub fn submit(
        &self,
        spec: JobSpec,
        plan: Plan,
        budgets: Budgets,
        evidence: Option<mpsc::Sender<Vec<EvidenceRow>>>,
    ) -> Result<Job, SubmitError> {
        let span = Span::job(None, spec.id, 1);
        let trace = span.traceparent();
        let start = Start { trace, evidence, ..Start::new(spec, plan, budgets) };
        let mut job = span.inside(|| self.start(start))?;
        job._span = Some(span);
        Ok(job)
    }

    /// Runs a job.
    ///
    /// # Errors
    /// When the plan does not fit the sources, or there are no seeds.
    pub fn start(&self, start: Start) -> Result<Job, SubmitError> {
        let options = &self.0.options;
        let Start { spec, plan, budgets, epoch, age, known, anew, trace, answers, journal, evidence } = start;
        plan.check(&options.catalogue)?;
        if spec.seeds.is_empty() {
            return Err(SubmitError::NoSeeds);
        }
        let id = spec.id;
        let rules = Rules::new(spec, plan, budgets, &options.catalogue, Arc::clone(&options.packs));
        let (inbox_tx, inbox) = mpsc::channel(INBOX);
        let inboxes = &self.0.inboxes;
        inboxes.lock().unwrap_or_else(PoisonError::into_inner).insert((id, epoch), inbox_tx.clone());
        let (progress_tx, progress) = watch::channel(Progress::default());
        let (result_tx, result) = oneshot::channel();
        let cancel = CancellationToken::new();
        let runner = runner::Runner {
            inner: Arc::clone(&self.0),
            id,
            epoch,
            age,
            known,
            anew,
            trace,
            answers,
            inbox,
            inbox_tx,
            progress: progress_tx,
            cancel: cancel.clone(),
            evidence,
            journal,
        };
        let task = task::spawn("job", async move {
            if let Some(result) = runner.run(rules).await {
                let _ = result_tx.send(result); // Nobody waits for a dropped job.
            }
        });
        Ok(Job { id, progress, cancel, result, _task: task, _span: None })
    }
}

impl Inner {
    fn settings(&self) -> Settings {
        let c = &self.options.config;
        Settings {
            limits: Limits {
                window: c.window,
                task_questions: c.task_questions,
                task_delay_ms: c.task_delay_ms,
            },
            rounds: u8::try_from(c.rounds).unwrap_or(u8::MAX),
            redispatch_ms: c.redispatch_ms,
            ..Settings::default()
        }
    }
}

impl Job {
    /// Its id.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Where it stands; changes a few times a second.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Asks for no more; the result is what there is. At once, and harmless when repeated.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// A way to cancel it from elsewhere.
    pub fn canceller(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Waits for the result. Not cancel safe: dropped, it cancels the job.
    ///
    /// # Errors
    /// When the coordinator ended first.
    pub async fn finish(mut self) -> Result<JobResult, Lost> {
        (&mut self.result).await.map_err(|_| Lost)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
