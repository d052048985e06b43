//! The side of the child: it looks up what it is told, and says what came.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kudzu_shared::broker::{Delivery, Settle};
use kudzu_shared::cache::{Cache, Key};
use kudzu_shared::limits::Limiter;
use kudzu_shared::source::Class;
use kudzu_shared::time::Clock;
use kudzu_shared::wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::frame::{self, Frame};
use crate::http;
use crate::sources::Registry;
use crate::worker::cacher::Entry;
use crate::worker::encode::encode;
use crate::worker::reporter::{Group, Report};
use crate::worker::{Context, Parts, WorkerConfig, task};

/// Results in one message: few, so that little is asked again when the next lookup kills.
const FEW: usize = 16;
/// How often a child that waits for an upstream's turn says that it is well.
const ALIVE: Duration = Duration::from_secs(5);

/// Why a child ends.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The HTTP client.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// It was not started by a worker.
    #[error("standard input and output are no pipes of a worker")]
    Pipes(#[source] io::Error),
    /// What the worker says cannot be understood.
    #[error("read from the worker")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The worker does not listen.
    #[error("write to the worker")]
    Write(#[source] io::Error),
    /// A result cannot be told.
    #[error("tell a result")]
    Tell(#[source] wire::Error),
}

/// Looks up tasks for the worker that started this process. It has neither broker nor cache:
/// both are the worker's.
pub struct ChildWorker {
    /// How the worker runs.
    pub config: WorkerConfig,
    /// The class of its lookups.
    pub class: Class,
    /// Where the cluster's limits are kept, or limits of its own.
    pub limiter: Arc<dyn Limiter>,
    /// The sources.
    pub registry: Registry,
    /// Who is asked about names.
    pub resolver: Arc<dyn kudzu_dns::Resolver>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ChildWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildWorker").field("class", &self.class).finish_non_exhaustive()
    }
}

impl ChildWorker {
    /// Serves one task after the other until the worker has no more, over the pipes that it
    /// started this process with. Not cancel safe.
    ///
    /// # Errors
    /// When it cannot start, or the worker speaks another language or is gone.
    pub async fn run(self) -> Result<(), ChildError> {
        let input = io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
        let output = io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd);
        self.serve(input.map_err(ChildError::Pipes)?, output.map_err(ChildError::Pipes)?).await
    }

    async fn serve<R, W>(self, mut input: R, output: W) -> Result<(), ChildError>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let Self { config, class, limiter, registry, resolver, clock } = self;
        let cache = Arc::new(NoCache);
        // One by one: each result is told before the next lookup begins.
        let parts =
            Parts { cache, limiter, registry, resolver, clock, turn: 1, children: None, broker: None };
        let (context, reports, entries) = Context::new(&config, parts, Arc::default())?;
        let context = Arc::new(context);
        let mut teller = Teller {
            context: Arc::clone(&context),
            worker: config.name,
            output,
            reports,
            entries,
            sendings: 0,
        };
        teller.say(&Frame::Ready).await?;
        loop {
            let body = match frame::read(&mut input).await {
                Ok(Frame::Task(body)) => body,
                Ok(_) => return Err(ChildError::Read("it is no task".into())),
                Err(frame::Error::Ended(e)) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(ChildError::Read(error.into())),
            };
            let (settle, lost) = (Box::new(Nobody), CancellationToken::new());
            let delivery = Delivery { body, redelivered: false, lost, settle };
            teller.serve(task::run(Arc::clone(&context), class, delivery), class).await?;
        }
    }
}

/// Tells the worker what comes.
struct Teller<W> {
    context: Arc<Context>,
    worker: String,
    output: W,
    reports: mpsc::Receiver<Report>,
    entries: mpsc::Receiver<Entry>,
    sendings: u64,
}

impl<W: AsyncWrite + Unpin> Teller<W> {
    /// Runs a task to its end. All in one: while a lookup holds up the task, nothing is told, and
    /// the worker sees it.
    async fn serve(&mut self, task: impl Future<Output = ()>, class: Class) -> Result<(), ChildError> {
        let mut task = std::pin::pin!(task);
        let mut alive = tokio::time::interval(ALIVE);
        loop {
            tokio::select! {
                biased;
                report = self.reports.recv() => match report {
                    Some(report) => self.report(report).await?,
                    // The context has a sender.
                    None => return Ok(()),
                },
                () = &mut task => break,
                // Nothing else takes long without a word.
                _ = alive.tick(), if class == Class::Http => self.say(&Frame::Alive).await?,
            }
        }
        while let Ok(report) = self.reports.try_recv() {
            self.report(report).await?;
        }
        self.say(&Frame::Done).await
    }

    async fn report(&mut self, Report { task, results }: Report) -> Result<(), ChildError> {
        // The worker takes no entry for a lookup that has ended. One too large to be told is
        // not kept.
        while let Ok(entry) = self.entries.try_recv() {
            if let Entry::Put(key, value, keep) = entry {
                self.say(&Frame::Entry { key, value, keep }).await?;
            }
        }
        let mut results = results.into_iter().peekable();
        while results.peek().is_some() {
            let mut group = Group::default();
            results.by_ref().take(FEW).for_each(|result| group.push(&task, result));
            let address = (task.job, task.epoch, self.worker.clone());
            let (whole, _) = group.results(address, &self.context.upstreams);
            self.sendings += 1;
            for message in encode(whole, self.sendings).map_err(ChildError::Tell)? {
                self.say(&Frame::Results(message)).await?;
            }
        }
        Ok(())
    }

    async fn say(&mut self, frame: &Frame) -> Result<(), ChildError> {
        frame::write(&mut self.output, frame).await.map(drop).map_err(ChildError::Write)
    }
}

/// Knows nothing, and lets everybody ask.
struct NoCache;

#[async_trait]
impl Cache for NoCache {
    async fn get(&self, keys: &[Key]) -> Vec<Option<Bytes>> {
        vec![None; keys.len()]
    }

    async fn put(&self, _: Vec<(Key, Bytes, Duration)>) {}

    async fn lease(&self, _: &Key, _: Duration) -> bool {
        true
    }

    async fn release(&self, _: &[Key]) {}
}

/// The worker settles.
struct Nobody;

impl Settle for Nobody {
    fn ack(self: Box<Self>) {}

    fn requeue(self: Box<Self>) {}
}
