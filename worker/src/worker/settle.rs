//! A task's delivery: settled once all of its results are confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};
use std::sync::{Mutex, PoisonError};

use kudzu_shared::broker::Settle;
use kudzu_shared::job::JobId;
use kudzu_shared::wire::{Ask, Task};
use tokio_util::sync::CancellationToken;

use super::over::Open;

/// Shared by a task's lookups and the reporter. Dropped unsettled, the task comes again.
pub(super) struct Held {
    pub(super) job: JobId,
    pub(super) epoch: u32,
    pub(super) reply_to: String,
    pub(super) asks: Vec<Ask>,
    left: AtomicUsize,
    settle: Mutex<Option<Box<dyn Settle>>>,
    gone: CancellationToken,
    /// Keeps the job open, and ends with it.
    pub(super) of: Arc<Open>,
}

impl Held {
    pub(super) fn new(task: &Task, settle: Box<dyn Settle>, of: Arc<Open>) -> Self {
        Self {
            job: task.job,
            epoch: task.epoch,
            reply_to: task.reply_to.clone(),
            asks: task.asks.clone(),
            left: AtomicUsize::new(task.lookups.len()),
            settle: Mutex::new(Some(settle)),
            gone: of.gone.child_token(),
            of,
        }
    }

    fn take(&self) -> Option<Box<dyn Settle>> {
        self.settle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// So many of its results have arrived.
    pub(super) fn confirmed(&self, n: usize) {
        if self.left.fetch_sub(n, AcqRel) == n {
            self.done();
        }
    }

    fn done(&self) {
        if let Some(settle) = self.take() {
            settle.ack();
        }
    }

    /// Nobody waits for its results: it is done with, and asks no more.
    pub(super) fn unwanted(&self) {
        self.gone.cancel();
        self.done();
    }

    /// Its results cannot be sent: somebody else shall do it.
    pub(super) fn give_back(&self) {
        // Taken first: whoever sees it gone would settle it as done with.
        let settle = self.take();
        self.gone.cancel();
        if let Some(settle) = settle {
            settle.requeue();
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Ends when it asks no more. Cancel safe.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}
