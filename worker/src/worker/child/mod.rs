//! Tasks that come again are looked up in a child process: one of their lookups may have killed
//! the worker that had them. When it kills the child instead, the parent sees it, and halves
//! what was left until that lookup stands alone.

mod frame;
mod halve;
mod process;
mod serve;
mod sitting;
mod tie;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use kudzu_shared::metrics::metrics;
use kudzu_shared::source::Class;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::stats::{Stats, add};
use process::{Death, Process};

pub use process::ChildCommand;
pub use serve::{ChildError, ChildWorker};
pub use tie::tie;

pub(super) use halve::run;

/// Children at a time.
const CHILDREN: usize = 4;

/// The children of a worker.
pub(super) struct Children {
    command: ChildCommand,
    places: Arc<Semaphore>,
    /// Tasks that wait for a place.
    waiting: AtomicUsize,
    /// Children without a task, one a free place at most, while others wait.
    idle: Mutex<Vec<(Class, Box<Process>)>>,
}

/// A place for one child; there is none at first.
struct Place<'a> {
    children: &'a Children,
    class: Class,
    _permit: OwnedSemaphorePermit,
}

/// Counts who waits, for as long as it waits.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Children {
    pub(super) fn new(command: ChildCommand) -> Self {
        let places = Arc::new(Semaphore::new(CHILDREN));
        Self { command, places, waiting: AtomicUsize::new(0), idle: Mutex::default() }
    }

    /// Waits for a place; `None` never comes while the worker runs. Cancel safe.
    async fn place(&self, class: Class) -> Option<Place<'_>> {
        self.waiting.fetch_add(1, Relaxed);
        let _waits = Waits(&self.waiting);
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { children: self, class, _permit: permit })
    }

    fn idle<R>(&self, f: impl FnOnce(&mut Vec<(Class, Box<Process>)>) -> R) -> R {
        f(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place<'_> {
    /// A child that another task has left, where it is one of this class.
    fn left(&self) -> Option<Box<Process>> {
        // Whichever is taken out is the place's: of another class it ends.
        let (class, process) = self.children.idle(|idle| {
            let at = idle.iter().position(|(class, _)| *class == self.class).unwrap_or(0);
            (at < idle.len()).then(|| idle.swap_remove(at))
        })?;
        (class == self.class).then_some(process)
    }

    /// A child of its own.
    async fn fresh(&self, stats: &Stats) -> Result<Box<Process>, Death> {
        add(&stats.children, 1);
        metrics().children.inc();
        Process::start(&self.children.command, self.class).await
    }

    /// Leaves a child to whoever waits; without anybody it ends.
    fn leave(self, process: Box<Process>) {
        let wanted = self.children.waiting.load(Relaxed) > 0;
        self.children.idle(|idle| match wanted {
            true => idle.push((self.class, process)),
            false => idle.clear(),
        });
    }
}
