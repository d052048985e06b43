//! Jobs that are over: their lookups stop at once, and their tasks are done with.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kudzu_shared::broker::Subscription;
use kudzu_shared::job::JobId;
use kudzu_shared::wire::Over;
use tokio_util::sync::CancellationToken;

/// Jobs that are remembered as over, for tasks of theirs that come late.
const REMEMBERED: usize = 1024;

/// The jobs that tasks in hand belong to, and those that are over.
#[derive(Debug, Default)]
pub(super) struct Jobs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// By job and take-over.
    open: HashMap<(JobId, u32), Weak<CancellationToken>>,
    /// Up to which take-over.
    over: VecDeque<(JobId, u32)>,
}

impl Jobs {
    /// What ends when the job does, or this take-over of it; has ended where it is over
    /// already. The job is open for as long as somebody holds it.
    pub(super) fn token(&self, job: JobId, epoch: u32) -> Arc<CancellationToken> {
        self.table(|t| {
            if let Some(token) = t.open.get(&(job, epoch)).and_then(Weak::upgrade) {
                return token;
            }
            let token = Arc::new(CancellationToken::new());
            if t.over.iter().any(|(over, last)| *over == job && epoch <= *last) {
                token.cancel();
            }
            if t.open.len() >= REMEMBERED {
                t.open.retain(|_, held| held.strong_count() > 0);
            }
            t.open.insert((job, epoch), Arc::downgrade(&token));
            token
        })
    }

    /// A job is over, or its take-overs up to this one.
    fn end(&self, job: JobId, epoch: u32) {
        self.table(|t| {
            match t.over.iter_mut().find(|(over, _)| *over == job) {
                Some((_, last)) => *last = epoch.max(*last),
                None => {
                    t.over.truncate(REMEMBERED - 1);
                    t.over.push_front((job, epoch));
                }
            }
            t.open.retain(|(of, at), token| {
                let over = *of == job && *at <= epoch;
                if over && let Some(token) = token.upgrade() {
                    token.cancel();
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
        let (first, other) = (jobs.token(JobId(1), 1), jobs.token(JobId(2), 1));
        assert!(Arc::ptr_eq(&first, &jobs.token(JobId(1), 1)));
        let next = jobs.token(JobId(1), 2);
        jobs.end(JobId(1), 1);
        assert!(first.is_cancelled() && jobs.token(JobId(1), 1).is_cancelled());
        assert!(!next.is_cancelled(), "somebody took the job over");
        jobs.end(JobId(1), 2);
        jobs.end(JobId(1), 1);
        assert!(next.is_cancelled() && jobs.token(JobId(1), 2).is_cancelled());
        assert!(!other.is_cancelled());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let jobs = Jobs::default();
        for n in 0..5_000 {
            drop(jobs.token(JobId(n), 1));
            jobs.end(JobId(n), 1);
        }
        jobs.table(|t| assert!(t.over.len() <= REMEMBERED && t.open.len() <= REMEMBERED));
        assert!(jobs.token(JobId(4_999), 1).is_cancelled());
        assert!(!jobs.token(JobId(0), 1).is_cancelled(), "forgotten by now");
    }
}
