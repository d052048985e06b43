//! Jobs that are over: their lookups stop at once, and their tasks are done with.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kudzu_shared::broker::Subscription;
use kudzu_shared::job::JobId;
use kudzu_shared::wire::Over;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Jobs that are remembered as over, for tasks of theirs that come late.
const REMEMBERED: usize = 1024;
/// Jobs that stay open for a while without a task in hand: who waits for them was asked already.
const RECENT: usize = 64;

/// A job, or one take-over of it, that tasks in hand belong to.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Ends with it.
    pub(super) gone: CancellationToken,
    /// Whether it was asked if somebody waits for its results.
    pub(super) asked: OnceCell<()>,
}

/// The jobs that tasks in hand belong to, and those that are over.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By job and take-over.
    open: HashMap<(JobId, u32), Weak<Open>>,
    recent: VecDeque<Arc<Open>>,
    /// Up to which take-over.
    over: VecDeque<(JobId, u32)>,
}

impl Jobs {
    /// The job, or this take-over of it; gone where it is over already. It is open for as long
    /// as somebody holds it.
    pub(super) fn open(&self, job: JobId, epoch: u32) -> Arc<Open> {
        self.table(|t| {
            if let Some(open) = t.open.get(&(job, epoch)).and_then(Weak::upgrade) {
                return open;
            }
            let open = Arc::new(Open::default());
            if t.over.iter().any(|(over, last)| *over == job && epoch <= *last) {
                open.gone.cancel();
            }
            if t.open.len() >= REMEMBERED {
                t.open.retain(|_, held| held.strong_count() > 0);
            }
            t.open.insert((job, epoch), Arc::downgrade(&open));
            t.recent.truncate(RECENT - 1);
            t.recent.push_front(Arc::clone(&open));
            open
        })
    }

    /// A job is over, or its take-overs up to this one.
    pub(super) fn end(&self, job: JobId, epoch: u32) {
        self.table(|t| {
            match t.over.iter_mut().find(|(over, _)| *over == job) {
                Some((_, last)) => *last = epoch.max(*last),
                None => {
                    t.over.truncate(REMEMBERED - 1);
                    t.over.push_front((job, epoch));
                }
            }
            t.open.retain(|(of, at), open| {
                let over = *of == job && *at <= epoch;
                if over && let Some(open) = open.upgrade() {
                    open.gone.cancel();
                }
                !over
            });
        });
    }

    fn table<R>(&self, f: impl FnOnce(&mut Table) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hears which jobs are over until the broker is closed.
pub(super) async fn listen(jobs: Arc<Jobs>, mut hints: Box<dyn Subscription>) {
    while let Some(hint) = hints.next().await {
        match Over::decode(&hint) {
            Ok(Over { job, epoch }) => jobs.end(job, epoch),
            Err(error) => tracing::warn!(%error, "a hint cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_of_a_job_end_with_it_also_those_that_come_late() {
        let jobs = Jobs::default();
        let (first, other) = (jobs.open(JobId(1), 1), jobs.open(JobId(2), 1));
        assert!(Arc::ptr_eq(&first, &jobs.open(JobId(1), 1)));
        let next = jobs.open(JobId(1), 2);
        jobs.end(JobId(1), 1);
        assert!(first.gone.is_cancelled() && jobs.open(JobId(1), 1).gone.is_cancelled());
        assert!(!next.gone.is_cancelled(), "somebody took the job over");
        jobs.end(JobId(1), 2);
        jobs.end(JobId(1), 1);
        assert!(next.gone.is_cancelled() && jobs.open(JobId(1), 2).gone.is_cancelled());
        assert!(!other.gone.is_cancelled());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let jobs = Jobs::default();
        for n in 0..5_000 {
            drop(jobs.open(JobId(n), 1));
            jobs.end(JobId(n), 1);
        }
        jobs.table(|t| assert!(t.over.len() <= REMEMBERED && t.open.len() <= REMEMBERED));
        assert!(jobs.open(JobId(4_999), 1).gone.is_cancelled());
        assert!(!jobs.open(JobId(0), 1).gone.is_cancelled(), "forgotten by now");
    }
}
