//! The way of replies to whoever asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use tokio::sync::{Notify, mpsc};

use crate::Reply;

/// Where replies go: a bounded channel of batches.
///
/// A back end waits for room, so a slow reader delays its own replies; how far it delays
/// others depends on the back end. Dropping the reader withdraws its questions.
#[derive(Debug, Clone)]
pub struct Sink(mpsc::Sender<Vec<Reply>>, Withdrawal);

/// Ends what a [`Sink`] has had asked, without holding the sink open.
#[derive(Debug, Clone, Default)]
pub struct Withdrawal(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is: AtomicBool,
    noticed: Notify,
    questions: AtomicU64,
}

impl Withdrawal {
    /// Has nothing more asked: what is on its way is still waited for, nothing is sent again,
    /// and questions that were not asked yet end without a reply.
    pub fn withdraw(&self) {
        self.0.is.store(true, SeqCst);
        self.0.noticed.notify_waiters();
    }

    /// Questions that ended without a reply since then.
    pub fn questions(&self) -> u64 {
        self.0.questions.load(SeqCst)
    }
}

/// The reading end of a [`Sink`].
#[derive(Debug)]
pub struct Replies(mpsc::Receiver<Vec<Reply>>);

impl Sink {
    /// A channel of `batches` (at least 1) batches. A reader that submits at most that many
    /// questions before it reads never makes a back end wait.
    pub fn new(batches: usize) -> (Self, Replies) {
        let (tx, rx) = mpsc::channel(batches.max(1));
        (Self(tx, Withdrawal::default()), Replies(rx))
    }

    /// How to have nothing more asked.
    pub fn withdrawal(&self) -> Withdrawal {
        self.1.clone()
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.1.0.is.load(SeqCst)
    }

    /// Ends when it is withdrawn. Cancel safe.
    pub(crate) async fn until_withdrawn(&self) {
        loop {
            let noticed = self.1.0.noticed.notified();
            if self.is_withdrawn() {
                return;
            }
            noticed.await;
        }
    }

    /// A question was not asked, because it is withdrawn.
    pub(crate) fn note_withdrawn(&self) {
        self.1.0.questions.fetch_add(1, SeqCst);
    }

    /// Hands over a batch; false where the reader is gone. Cancel safe: a cancelled batch is
    /// lost with its replies.
    pub async fn send(&self, replies: Vec<Reply>) -> bool {
        self.0.send(replies).await.is_ok()
    }

    /// Hands over a batch if there is room now; gives it back where there is none.
    ///
    /// # Errors
    /// The batch, where the channel is full. A batch whose reader is gone is dropped.
    pub fn try_send(&self, replies: Vec<Reply>) -> Result<(), Vec<Reply>> {
        match self.0.try_send(replies) {
            Err(mpsc::error::TrySendError::Full(replies)) => Err(replies),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl Replies {
    /// The next batch; `None` once every sink is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<Reply>> {
        self.0.recv().await
    }

    /// The next batch, for threads of their own; blocks them. `None` once every sink is gone.
    ///
    /// # Panics
    /// On a thread that runs tasks.
    pub fn next_blocking(&mut self) -> Option<Vec<Reply>> {
        self.0.blocking_recv()
    }

    /// A batch that is there already.
    pub fn try_next(&mut self) -> Option<Vec<Reply>> {
        self.0.try_recv().ok()
    }
}
