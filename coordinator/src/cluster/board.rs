//! The jobs that run here: where they stand, what happened, and how to reach them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use kudzu_shared::broker::Delivery;
use kudzu_shared::job::JobId;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::core::backlog::Open;
use crate::model::Progress;
use crate::run::Answers;

/// Events that a listener may lag behind before it is told to start anew.
const EVENTS: usize = 256;

/// Something that happened to a running job.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Event {
    /// It stands here now.
    Progress(Progress),
    /// It was ended or lost: ask again.
    Over,
}

/// A job that runs here.
#[derive(Debug)]
pub struct Running {
    /// The take-over that began this run: event ids count within it.
    pub epoch: u32,
    /// The take-over that it is at now.
    pub lease: Arc<AtomicU32>,
    /// Where it stands.
    pub progress: watch::Receiver<Progress>,
    /// Asks for no more.
    pub cancel: CancellationToken,
    /// Takes the message that prolongs it.
    pub prolong: mpsc::Sender<Delivery>,
    events: Mutex<Events>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Events {
    ring: VecDeque<(u64, Event)>,
    next: u64,
}

impl Running {
    /// A job that begins to run.
    pub fn new(
        epoch: u32,
        lease: Arc<AtomicU32>,
        progress: watch::Receiver<Progress>,
        cancel: CancellationToken,
        prolong: mpsc::Sender<Delivery>,
    ) -> Self {
        let (events, newest) = (Mutex::default(), watch::channel(0).0);
        Self { epoch, lease, progress, cancel, prolong, events, newest }
    }

    /// Notes an event.
    pub fn note(&self, event: Event) {
        let next = {
            let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            if events.ring.len() == EVENTS {
                events.ring.pop_front();
            }
            let number = events.next;
            events.ring.push_back((number, event));
            events.next += 1;
            events.next
        };
        self.newest.send_replace(next);
    }

    /// The events from this number on; `None` where some of them are gone.
    pub fn since(&self, number: u64) -> Option<Vec<(u64, Event)>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = events.ring.front().map_or(events.next, |(n, _)| *n);
        let known = (oldest..=events.next).contains(&number);
        known.then(|| events.ring.iter().filter(|(n, _)| *n >= number).cloned().collect())
    }

    /// Tells when there are more.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

/// All jobs that run here.
#[derive(Debug, Default)]
pub struct Board {
    running: Mutex<HashMap<JobId, Arc<Running>>>,
    answers: Arc<Answers>,
    posted: watch::Sender<u64>,
}

impl Board {
    /// A job, if it runs here.
    pub fn get(&self, id: JobId) -> Option<Arc<Running>> {
        self.jobs(|jobs| jobs.get(&id).cloned())
    }

    /// Tells whenever another one begins.
    pub fn posted(&self) -> watch::Receiver<u64> {
        self.posted.subscribe()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.jobs(|jobs| jobs.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Questions outstanding of all of them.
    pub fn outstanding(&self) -> i64 {
        let all = self.jobs(|jobs| jobs.values().map(|r| r.progress.borrow().outstanding).sum::<u64>());
        i64::try_from(all).unwrap_or(i64::MAX)
    }

    /// Lookups of all of them that have not ended, by source.
    pub fn open(&self) -> BTreeMap<String, Open> {
        self.jobs(|jobs| {
            let mut all: BTreeMap<String, Open> = BTreeMap::new();
            for job in jobs.values() {
                for (source, open) in &job.progress.borrow().open {
                    match all.get_mut(source) {
                        Some(sum) => *sum += *open,
                        None => drop(all.insert(source.clone(), *open)),
                    }
                }
            }
            all
        })
    }

    /// What workers have answered to all jobs that ran here: each counts there.
    pub fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// Puts a job up for as long as the guard lives.
    pub fn put(self: &Arc<Self>, id: JobId, running: Arc<Running>) -> Posted {
        self.jobs(|jobs| jobs.insert(id, Arc::clone(&running)));
        self.posted.send_modify(|count| *count += 1);
        Posted { board: Arc::clone(self), id, running }
    }

    fn jobs<R>(&self, f: impl FnOnce(&mut HashMap<JobId, Arc<Running>>) -> R) -> R {
        f(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes its job from the board when it is dropped.
#[derive(Debug)]
pub struct Posted {
    board: Arc<Board>,
    id: JobId,
    running: Arc<Running>,
}

impl Posted {
    /// The job.
    pub fn running(&self) -> &Running {
        &self.running
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.board.jobs(|jobs| {
            if jobs.get(&self.id).is_some_and(|r| Arc::ptr_eq(r, &self.running)) {
                jobs.remove(&self.id);
            }
        });
        // Afterwards: whoever hears it and looks again must not find the job here.
        self.running.note(Event::Over);
    }
}

impl Running {
    /// The take-over that it is at now.
    pub fn lease(&self) -> u32 {
        self.lease.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Arc<Running> {
        let (_, progress) = watch::channel(Progress::default());
        let (prolong, _) = mpsc::channel(1);
        Arc::new(Running::new(3, Arc::new(3.into()), progress, CancellationToken::new(), prolong))
    }

    #[test]
    fn events_are_kept_for_a_while() {
        let job = running();
        assert_eq!(job.since(0).unwrap().len(), 0);
        for _ in 0..EVENTS + 10 {
            job.note(Event::Progress(Progress::default()));
        }
        assert!(job.since(0).is_none() && job.since(9).is_none(), "they are gone");
        assert_eq!(job.since(10).unwrap().len(), EVENTS);
        assert_eq!(job.since((EVENTS + 10) as u64).unwrap().len(), 0);
        assert!(job.since((EVENTS + 11) as u64).is_none(), "it never happened");
        assert_eq!(*job.newest().borrow(), (EVENTS + 10) as u64);
    }

    #[test]
    fn a_job_is_up_for_as_long_as_it_runs() {
        let board = Arc::new(Board::default());
        let (first, second) = (running(), running());
        let old = board.put(JobId(1), Arc::clone(&first));
        let posted = board.posted();
        let new = board.put(JobId(1), Arc::clone(&second));
        assert!(posted.has_changed().unwrap(), "whoever waits for it is told");
        drop(old);
        assert!(Arc::ptr_eq(&board.get(JobId(1)).unwrap(), &second), "the newer one stays");
        drop(new);
        assert!(board.get(JobId(1)).is_none() && board.is_empty());
        assert!(matches!(first.since(0).unwrap()[..], [(0, Event::Over)]));
    }
}
