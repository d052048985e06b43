//! Jobs of a cluster: accepted durably, run by whoever takes them, ended once.
//!
//! The record of a job is in the archive before anybody learns that it was accepted. A message
//! says that it is due; whoever takes it claims an epoch and runs the job from what the journal
//! knows. `take` claims a job, `owner` is one job in these hands, `sweep` finds what nobody has in hand,
//! `backlog` says what waits for workers.

pub mod backlog;
pub mod board;
mod journal;
mod owner;
pub mod peers;
pub mod record;
pub mod result;
pub mod shelf;
mod sweep;
mod take;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kudzu_shared::archive::{Archive, Put};
use kudzu_shared::broker::{self, Durability, Health, Subscription};
use kudzu_shared::job::{Budgets, JobId, JobSpec};
use kudzu_shared::source::Class;
use kudzu_shared::task::{self, Shutdown, Task};
use kudzu_shared::wire::{self, Due, Over};

use crate::plan::{Plan, PlanError};
use crate::run::{self, Coordinator, StartOptions};
use backlog::{Backlog, Signal};
use board::Board;
use peers::Peers;
use record::{About, Record, RecordError};
use shelf::{Shelf, ShelfError};

pub use journal::unpack;

/// How long a submit waits for the broker. The sweep publishes what it did not take.
const PUBLISH: Duration = Duration::from_secs(3);
/// Pause before queues are asked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long no job runs before freed memory is given back.
const IDLE: Duration = Duration::from_secs(1);
/// How long jobs may take to be left.
const LEAVE: Duration = Duration::from_secs(5);

/// What a coordinator of a cluster stands on.
pub struct Options {
    /// What its runs of jobs stand on.
    pub run: StartOptions,
    /// Keeps records, journals and trees.
    pub archive: Arc<dyn Archive>,
    /// What it calls itself.
    pub name: String,
    /// Where other coordinators reach it.
    pub address: Option<String>,
    /// Jobs that it runs at a time.
    pub jobs: u16,
    /// Jobs that may have no end at a time, in the whole cluster.
    pub open: usize,
    /// How long it holds one message; the broker's consumer timeout is longer.
    pub hold: Duration,
    /// How often it looks for what nobody has in hand.
    pub sweep: Duration,
    /// How long an ended job is kept; for ever where it is not said.
    pub retention: Option<Duration>,
    /// How it asks others.
    pub peers: Arc<dyn Peers>,
    /// Called when much memory was freed, and when no job has run for a second: an allocator that
    /// keeps what is freed may give it back.
    pub give_memory_back: fn(),
}

struct Shared {
    options: Options,
    shelf: Shelf,
    board: Arc<Board>,
    backlog: Backlog,
    peers: Arc<dyn Peers>,
    /// Jobs without an end, as the sweep saw them.
    open: AtomicUsize,
    shutdown: Shutdown,
}

/// A coordinator of a cluster. Clones share it; it ends with its [`Shutdown`].
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

/// Why a job is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The plan asks what no source answers.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Nothing to start from.
    #[error("a job needs at least one seed")]
    NoSeeds,
    /// The same key came with another request.
    #[error("job {0} was submitted under the same key with another request")]
    Conflict(JobId),
    /// There is enough to do.
    #[error("{0} jobs have no end yet, and no more are taken")]
    Full(usize),
    /// It cannot be made durable.
    #[error("write the record of job {0}")]
    Archive(JobId, #[source] ShelfError),
    /// What was accepted under this id cannot be read.
    #[error("read the record of job {0}")]
    Record(JobId, #[source] RecordError),
}

/// A job that was accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its record.
    pub record: Arc<Record>,
    /// Whether it had been accepted before, under the same key.
    pub repeated: bool,
}

/// What a coordinator runs until it has ended.
pub struct Running {
    /// Jobs, the sweep, cancels, and what waits.
    tasks: [Task<()>; 4],
}

impl Cluster {
    /// Starts to take jobs, until the shutdown begins.
    ///
    /// # Errors
    /// When the broker refuses its queues.
    pub async fn start(options: Options, shutdown: Shutdown) -> Result<(Self, Running), broker::Error> {
        let broker = Arc::clone(&options.run.broker);
        broker.declare(Due::QUEUE, Durability::Durable).await?;
        let shared = Arc::new(Shared {
            shelf: Shelf::new(Arc::clone(&options.archive)),
            board: Arc::default(),
            backlog: Backlog::new(&options.run.catalogue),
            peers: Arc::clone(&options.peers),
            open: AtomicUsize::new(0),
            options,
            shutdown,
        });
        let cancels = broker.subscribe(Over::CANCEL).await?;
        let backlogs = broker.subscribe(wire::Backlog::TOPIC).await?;
        let tasks = [
            task::spawn("jobs", jobs(Arc::clone(&shared))),
            task::spawn("sweep", sweep::run(Arc::clone(&shared))),
            task::spawn("cancels", hear_cancels(Arc::clone(&shared), cancels)),
            task::spawn("backlog", backlog::run(Arc::clone(&shared), backlogs)),
        ];
        Ok((Self(shared), Running { tasks }))
    }

    /// Accepts a job. Once this returns, it survives whatever single process dies.
    ///
    /// Not cancel safe: a cancelled submit may have been accepted.
    ///
    /// # Errors
    /// When it makes no sense, contradicts what was accepted under the same id, or cannot be
    /// made durable.
    pub async fn submit(
        &self,
        spec: &JobSpec,
        plan: &Plan,
        budgets: &Budgets,
        about: About,
    ) -> Result<Accepted, SubmitError> {
        let shared = &self.0;
        plan.check(&shared.options.run.catalogue)?;
        if spec.seeds.is_empty() {
            return Err(SubmitError::NoSeeds);
        }
        let (id, failed) = (spec.id, |e| SubmitError::Archive(spec.id, e));
        let open = shared.open.load(Relaxed);
        // What was accepted before stays accepted.
        if open >= shared.options.open && shared.shelf.record(id).await.map_err(failed)?.is_none() {
            return Err(SubmitError::Full(open));
        }
        let mut record = Arc::new(Record::new(spec, plan, budgets, about));
        let repeated = match shared.shelf.create_record(id, &record).await.map_err(failed)? {
            Put::Created => false,
            Put::Exists => {
                let Some(before) = shared.shelf.record(id).await.map_err(failed)? else {
                    return Err(SubmitError::Conflict(id)); // Removed between two looks.
                };
                if before.request != record.request {
                    return Err(SubmitError::Conflict(id));
                }
                record = before;
                true
            }
        };
        if repeated && shared.shelf.ended(id).await.map_err(failed)?.is_some() {
            return Ok(Accepted { record, repeated });
        }
        shared.shelf.open(id, &record).await.map_err(failed)?;
        shared.open.fetch_add(usize::from(!repeated), Relaxed);
        let due = Due { job: id, epoch: 1, trace: record.trace.clone() };
        match tokio::time::timeout(PUBLISH, shared.publish_due(&due)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, job = %id, "accepted; the sweep publishes its message"),
            Err(_) => tracing::warn!(job = %id, "accepted; the sweep publishes its message"),
        }
        tracing::info!(job = %id, repeated, "accepted");
        Ok(Accepted { record, repeated })
    }

    /// Notes that a job shall end, durably, and tells whoever runs it.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub async fn cancel(&self, id: JobId) -> Result<(), ShelfError> {
        let shared = &self.0;
        shared.shelf.cancel(id).await?;
        if let Some(running) = shared.board.get(id) {
            running.cancel.cancel();
        }
        if let Ok(hint) = (Over { job: id, epoch: u32::MAX }).encode() {
            let told = shared.options.run.broker.publish_fanout(Over::CANCEL, hint).await;
            if let Err(error) = told {
                tracing::debug!(%error, job = %id, "its owner finds the note within a second");
            }
        }
        Ok(())
    }

    /// What the archive keeps.
    pub fn shelf(&self) -> &Shelf {
        &self.0.shelf
    }

    /// The jobs that run here.
    pub fn board(&self) -> &Arc<Board> {
        &self.0.board
    }

    /// What waits for the workers of a class, in the whole cluster.
    pub fn waits_for(&self, class: Class) -> Signal {
        self.0.backlog.signal(class, &self.0.board, tokio::time::Instant::now())
    }

    /// Lookups of a class that have not ended, of the jobs that run here.
    pub fn waiting_here(&self, class: Class) -> u64 {
        self.0.backlog.own(class, &self.0.board)
    }

    /// What its runs of jobs stand on.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// How it stands with the broker.
    pub fn health(&self) -> Health {
        self.0.options.run.broker.health()
    }

    /// Jobs without an end, as the sweep saw them.
    pub fn open_jobs(&self) -> usize {
        self.0.open.load(Relaxed)
    }
}

impl Running {
    /// Waits until everything has ended, after the shutdown has begun.
    pub async fn ended(self) {
        for task in self.tasks {
            let name = task.name();
            if let Err(error) = task.await {
                tracing::error!(%error, name, "a part of the coordinator ended badly");
            }
        }
    }
}

impl Shared {
    async fn publish_due(&self, due: &Due) -> Result<(), broker::Error> {
        // It is a few octets long.
        let message = due.encode().map_err(|_| broker::Error::Closed)?;
        self.options.run.broker.publish(Due::QUEUE, message).await
    }
}

/// Takes jobs, as long as it has a queue for their results; then with a new one.
async fn jobs(shared: Arc<Shared>) {
    while !shared.shutdown.is_stopping() {
        if let Err(error) = take_jobs(&shared).await {
            tracing::warn!(%error, "no jobs are taken for now");
            tokio::select! {
                () = shared.shutdown.stopping() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Start(#[from] run::StartError),
    #[error("consume from {queue:?}", queue = Due::QUEUE)]
    Consume(#[from] broker::Error),
}

async fn take_jobs(shared: &Arc<Shared>) -> Result<(), TakeError> {
    // Its jobs are left, not cancelled: they have a shutdown of their own that never begins.
    let start = Coordinator::start(shared.options.run.clone(), Shutdown::new(LEAVE));
    let handle = tokio::select! {
        () = shared.shutdown.stopping() => return Ok(()),
        handle = start => handle?,
    };
    let broker = &shared.options.run.broker;
    let mut consumer = broker.consume(Due::QUEUE, shared.options.jobs).await?;
    let mut open: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    let mut had_jobs = false;
    loop {
        tokio::select! {
            () = shared.shutdown.stopping() => break,
            () = handle.gone() => break,
            Some(done) = open.next(), if !open.is_empty() => ended(done),
            delivery = consumer.next() => match delivery {
                Some(delivery) => {
                    had_jobs = true;
                    open.push(task::spawn("owner", take::take(Arc::clone(shared), handle.clone(), delivery)));
                }
                None => break,
            },
            () = tokio::time::sleep(IDLE), if had_jobs && open.is_empty() => {
                had_jobs = false;
                give_memory_back(shared.options.give_memory_back).await;
            }
        }
    }
    let left = async {
        while let Some(done) = open.next().await {
            ended(done);
        }
    };
    if tokio::time::timeout(LEAVE, left).await.is_err() {
        tracing::warn!(jobs = open.len(), "jobs are left without a word");
    }
    Ok(())
}

/// Gives freed memory back, beside the runtime's threads. Not cancel safe: it is given back all
/// the same.
async fn give_memory_back(how: fn()) {
    if let Err(error) = tokio::task::spawn_blocking(how).await {
        tracing::warn!(%error, "memory is not given back");
    }
}

fn ended(done: Result<(), task::Error>) {
    if let Err(error) = done {
        tracing::error!(%error, "a job was left; it is delivered again");
    }
}

/// Hears which jobs shall end.
async fn hear_cancels(shared: Arc<Shared>, mut hints: Box<dyn Subscription>) {
    loop {
        let hint = tokio::select! {
            () = shared.shutdown.stopping() => return,
            hint = hints.next() => hint,
        };
        let Some(hint) = hint else { return };
        // It may be anybody's: the note in the archive is what counts.
        if let Ok(over) = Over::decode(&hint)
            && let Some(running) = shared.board.get(over.job)
            && matches!(shared.shelf.is_cancelled(over.job).await, Ok(true))
        {
            running.cancel.cancel();
        }
    }
}
