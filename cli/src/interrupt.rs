//! Ctrl-C and SIGTERM: the first asks a running job for what it has, the second ends at once.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kudzu_shared::task::{self, Shutdown};

use crate::exit::{Failure, Outcome};

/// How long a job that was interrupted may take to write what it has.
const GRACE: Duration = Duration::from_secs(600);

/// The signals as a command sees them.
#[derive(Debug, Clone)]
struct Signals {
    shutdown: Shutdown,
    /// Set while the command answers the first signal itself.
    graceful: Arc<AtomicBool>,
}

tokio::task_local! {
    static SIGNALS: Signals;
}

/// Runs a command under the signals. It runs as a task of its own, so that a second signal
/// also ends one that is busy writing.
pub async fn guarded<F>(command: F) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let signals = Signals { shutdown: Shutdown::new(GRACE), graceful: Arc::default() };
    let listen = signals.shutdown.clone();
    let _listener = task::spawn("signals", async move {
        if let Err(error) = task::on_signals(&listen).await {
            tracing::warn!(%error, "signals are not heard");
        }
    });
    let work = task::spawn("command", SIGNALS.scope(signals.clone(), command));
    let at_once = async {
        signals.shutdown.stopping().await;
        if signals.graceful.load(Ordering::Relaxed) {
            signals.shutdown.overdue().await;
        }
    };
    tokio::select! {
        ended = work => ended.unwrap_or_else(|e| Err(Failure::failed(format!("internal fault, please report it: {e}")))),
        () = at_once => Err(Failure::failed("interrupted")),
    }
}

/// From now on the command looks at [`requested`] itself; the second signal still ends it.
pub fn take_over() {
    // Outside of `guarded`, as in tests, there are no signals.
    let _ = SIGNALS.try_with(|s| s.graceful.store(true, Ordering::Relaxed));
}

/// Ends with the first signal. Cancel safe.
pub async fn requested() {
    match SIGNALS.try_with(Clone::clone) {
        Ok(signals) => signals.shutdown.stopping().await,
        Err(_) => std::future::pending().await,
    }
}

/// Whether the first signal has come.
pub fn is_requested() -> bool {
    SIGNALS.try_with(|s| s.shutdown.is_stopping()).unwrap_or(false)
}
