//! What breaks, in turn, while a load goes on.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::member::Member;
use crate::proxy::Line;
use crate::scenario::{FaultKind, FaultSpec};

/// Breaks a cluster.
#[derive(Debug)]
pub struct Trouble {
    spec: FaultSpec,
    start: Instant,
    began: u32,
    broken: Option<(FaultKind, usize)>,
    /// What was done so far.
    pub done: Vec<Fault>,
}

/// Something that broke.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// When, in seconds from the start.
    pub at_s: f64,
    /// What.
    pub what: FaultKind,
    /// Whom: its number among those of its kind, from 1.
    pub member: usize,
}

/// The last one, which is not the first where there are two.
fn last<T>(members: &[T]) -> Option<usize> {
    members.len().checked_sub(1)
}

impl Trouble {
    /// As a scenario says; times count from `start`.
    pub fn new(spec: FaultSpec, start: Instant) -> Self {
        Self { spec, start, began: 0, broken: None, done: Vec::new() }
    }

    /// Breaks one thing after another, and never ends. Cancel safe: what is broken then is
    /// mended by [`Trouble::mend`].
    ///
    /// # Errors
    /// When something cannot be started again.
    pub async fn make(&mut self, cluster: &mut Cluster) -> anyhow::Result<std::convert::Infallible> {
        let pause = Duration::from_secs_f64(self.spec.every_s);
        let broken = Duration::from_secs_f64(self.spec.for_s);
        let begin = Instant::now();
        loop {
            let due = begin + pause * (self.began + 1);
            tokio::time::sleep_until(due.into()).await;
            let what = self.spec.what[self.began as usize % self.spec.what.len()];
            self.began += 1;
            self.break_it(what, cluster)?;
            tokio::time::sleep_until((due + broken).into()).await;
            self.mend(cluster)?;
        }
    }

    fn break_it(&mut self, what: FaultKind, cluster: &mut Cluster) -> anyhow::Result<()> {
        let member = match what {
            FaultKind::KillWorker
            | FaultKind::FreezeWorker
            | FaultKind::CutWorker
            | FaultKind::StallRedis => last(&cluster.workers),
            FaultKind::KillCoordinator | FaultKind::FreezeCoordinator | FaultKind::CutCoordinator => {
                last(&cluster.coordinators)
            }
            FaultKind::RestartRedis | FaultKind::RestartRabbitmq => Some(0),
        };
        let Some(member) = member else { return Ok(()) };
        let at_s = self.start.elapsed().as_secs_f64();
        tracing::info!(?what, member, "fault");
        self.done.push(Fault { at_s, what, member: member + 1 });
        match what {
            FaultKind::KillWorker => return cluster.restart_worker(member),
            FaultKind::KillCoordinator => return cluster.restart_coordinator(member),
            FaultKind::RestartRedis => return tokio::task::block_in_place(|| cluster.restart_redis()),
            FaultKind::RestartRabbitmq => return tokio::task::block_in_place(|| cluster.restart_rabbit()),
            FaultKind::FreezeWorker => cluster.workers[member].signal(Signal::STOP)?,
            FaultKind::FreezeCoordinator => cluster.coordinators[member].signal(Signal::STOP)?,
            FaultKind::CutWorker => set(cluster.workers[member].broker(), Line::Cut),
            FaultKind::CutCoordinator => set(cluster.coordinators[member].broker(), Line::Cut),
            FaultKind::StallRedis => set(cluster.workers[member].redis(), Line::Stalled),
        }
        self.broken = Some((what, member));
        Ok(())
    }

    /// Ends what is broken now.
    ///
    /// # Errors
    /// When a frozen process is gone.
    pub fn mend(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let Some((what, member)) = self.broken.take() else { return Ok(()) };
        let whole = |m: &Member| [m.broker(), m.redis()].into_iter().for_each(|line| set(line, Line::Whole));
        match what {
            FaultKind::FreezeWorker => cluster.workers[member].signal(Signal::CONT)?,
            FaultKind::FreezeCoordinator => cluster.coordinators[member].signal(Signal::CONT)?,
            FaultKind::CutWorker | FaultKind::StallRedis => whole(&cluster.workers[member]),
            FaultKind::CutCoordinator => whole(&cluster.coordinators[member]),
            // These come back by themselves.
            FaultKind::KillWorker
            | FaultKind::KillCoordinator
            | FaultKind::RestartRedis
            | FaultKind::RestartRabbitmq => {}
        }
        Ok(())
    }
}

fn set(line: Option<&crate::proxy::Proxy>, to: Line) {
    if let Some(line) = line {
        line.set(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_its_kind_is_spared() {
        assert_eq!([last(&[1, 2]), last(&[1]), last::<u8>(&[])], [Some(1), Some(0), None]);
    }
}
