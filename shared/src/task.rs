//! Named tasks that end with their owner, and the one way down.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Why a task has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its code panicked.
    #[error("task {0} panicked")]
    Panicked(&'static str),
    /// It was aborted, or its runtime ended.
    #[error("task {0} was aborted")]
    Aborted(&'static str),
}

/// A running task. Awaited, it gives the result; dropped, it aborts the task.
#[derive(Debug)]
#[must_use = "a dropped task is aborted"]
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<T>,
}

/// Starts a task in a span of its name.
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    // Not called "name": that is what JSON calls the span itself.
    start(name, future.instrument(tracing::info_span!("run", task = name)))
}

/// The same for a task that outlives the work that starts it: its span is within no other.
pub fn spawn_apart<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    start(name, future.instrument(tracing::info_span!(parent: None, "run", task = name)))
}

fn start<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that names tasks and ties them to an owner")]
    let handle = tokio::spawn(future);
    Task { name, handle }
}

impl<T> Task<T> {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Ends the task at its next await point; awaiting it then gives [`Error::Aborted`].
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

/// Cancel safe: a task that was polled goes on and keeps its result.
impl<T> Future for Task<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let name = self.name;
        let joined = ready!(Pin::new(&mut self.handle).poll(cx));
        Poll::Ready(
            joined.map_err(|e| if e.is_panic() { Error::Panicked(name) } else { Error::Aborted(name) }),
        )
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// The one way down: first *stop* (take no new work), then, after the drain time, *cut*
/// (drop what is still open). A tree: a child stops with its parent, never the other way.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<Node>);

#[derive(Debug)]
struct Node {
    stop: CancellationToken,
    cut: CancellationToken,
    drain: Duration,
    began: OnceLock<Instant>,
    parent: Option<Arc<Node>>,
}

impl Shutdown {
    /// A root with a bound on the time from stop to cut.
    pub fn new(drain: Duration) -> Self {
        Self(Arc::new(Node {
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            drain,
            began: OnceLock::new(),
            parent: None,
        }))
    }

    /// A part that may also be stopped alone; it never outlives the parent's drain time.
    pub fn child(&self) -> Self {
        Self(Arc::new(Node {
            stop: self.0.stop.child_token(),
            cut: self.0.cut.child_token(),
            drain: self.0.drain,
            began: OnceLock::new(),
            parent: Some(Arc::clone(&self.0)),
        }))
    }

    /// Stop taking work; the drain time begins with the first call.
    pub fn begin(&self) {
        // Before the token, so that whoever sees the stop finds the deadline.
        self.0.began.get_or_init(Instant::now);
        self.0.stop.cancel();
    }

    /// Stop, and drop what is open at once (the second signal).
    pub fn cut(&self) {
        self.begin();
        self.0.cut.cancel();
    }

    /// Whether to take no new work.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Ends when no new work may be taken. Cancel safe.
    pub async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }

    /// Ends when what is still open is to be dropped. Cancel safe.
    pub async fn overdue(&self) {
        tokio::select! {
            () = self.0.cut.cancelled() => {}
            () = self.past_deadline() => {}
        }
    }

    /// Runs a future to its end, or until overdue (`None`). Not cancel safe: the future goes
    /// with it.
    pub async fn drain<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.overdue() => None,
        }
    }

    async fn past_deadline(&self) {
        self.stopping().await;
        let mut node = Some(&self.0);
        let mut deadline: Option<Instant> = None;
        while let Some(n) = node {
            let own = n.began.get().map(|at| *at + n.drain);
            deadline = [deadline, own].into_iter().flatten().min();
            node = n.parent.as_ref();
        }
        if let Some(at) = deadline {
            tokio::time::sleep_until(at).await;
        }
    }
}

/// SIGINT, SIGTERM and SIGHUP (the terminal is gone) share one path: the first begins the shutdown, the second cuts it.
/// Runs until the second; spawn it. Cancel safe.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub async fn on_signals(shutdown: &Shutdown) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hup = signal(SignalKind::hangup())?;
    for again in [false, true] {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
        if again { shutdown.cut() } else { shutdown.begin() }
    }
    Ok(())
}

/// Locks; a holder that panicked left plain data behind, so its poison means nothing here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dropped_task_is_aborted() {
        let (tx, rx) = tokio::sync::oneshot::channel::<()>();
        let task = spawn("holder", async move {
            let _held = tx;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        drop(task);
        assert!(rx.await.is_err());
    }

    #[tokio::test]
    async fn a_result_and_a_panic_come_back() {
        assert_eq!(spawn("seven", async { 7 }).await.unwrap(), 7);
        let failed = spawn("panics", async { panic!("on purpose") }).await;
        assert!(matches!(failed, Err(Error::Panicked("panics"))));
        let endless = spawn("endless", std::future::pending::<()>());
        endless.abort();
        assert!(matches!(endless.await, Err(Error::Aborted("endless"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_stops_with_its_parent_and_not_the_other_way() {
        let root = Shutdown::new(Duration::from_secs(10));
        let (a, b) = (root.child(), root.child().child());
        a.begin();
        assert!(a.is_stopping() && !root.is_stopping() && !b.is_stopping());
        root.begin();
        assert!(b.is_stopping());
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_time_runs_from_the_first_stop() {
        let root = Shutdown::new(Duration::from_secs(10));
        let child = root.child();
        let start = Instant::now();
        root.begin();
        tokio::time::advance(Duration::from_secs(4)).await;
        child.begin();
        child.overdue().await;
        assert_eq!(start.elapsed().as_secs(), 10);
        assert_eq!(root.drain(std::future::pending::<()>()).await, None);
        assert_eq!(root.drain(async { 1 }).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cuts_at_once() {
        let root = Shutdown::new(Duration::from_secs(3600));
        let start = Instant::now();
        root.begin();
        root.cut();
        root.child().overdue().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
