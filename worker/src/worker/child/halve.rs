//! One task that came again: its lookups in a child, and after a death in halves, each in a
//! fresh child, until what kills stands alone.

use std::sync::Arc;
use std::time::Duration;

use kudzu_shared::escape::Escaped;
use kudzu_shared::metrics::{self, metrics};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::Class;
use kudzu_shared::wire::Task;

use super::sitting::{self, Ended};
use super::{Children, Death, Place, Process};
use crate::worker::stats::add;
use crate::worker::task::{Open, Run};

/// Children of one batch that others may kill, or that do not start; then the task is given back.
const TRIES: u32 = 3;
/// Pause before it is given back: it comes again at once.
const PAUSE: Duration = Duration::from_secs(5);

/// What is left of a task.
struct Halves<'a> {
    run: &'a Run,
    /// The batches, the next one last.
    left: Vec<Vec<Open>>,
    /// Whether a child has died of this task: from then on each batch has a fresh one.
    died: bool,
    /// Children of the batch that did not die of it.
    tries: u32,
}

/// What became of a task.
enum End {
    /// Every lookup has ended; a child may be left that is well.
    Done(Option<Box<Process>>),
    /// Nobody waits for it.
    Gone,
    /// The children end, and not by what they do.
    NoChildren,
}

/// Looks up in children until every lookup has ended, the job has, or nobody waits for it.
/// Cancel safe as a task is: dropped, its child is killed, and the task comes again.
pub(in crate::worker) async fn run(
    run: &Run,
    children: &Arc<Children>,
    task: &Task,
    class: Class,
    open: Vec<Open>,
) {
    let place = tokio::select! {
        place = children.place(class) => place,
        () = run.held.gone() => return,
    };
    let Some(place) = place else { return };
    run.flight.begin(open.len());
    let mut halves = Halves { run, left: vec![open], died: false, tries: 0 };
    match halves.work(&place, task).await {
        End::Done(Some(process)) => place.leave(process),
        End::Done(None) | End::Gone => {}
        End::NoChildren => {
            drop(place);
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => run.held.give_back(),
                () = run.held.gone() => {}
            }
        }
    }
}

impl Halves<'_> {
    async fn work(&mut self, place: &Place<'_>, task: &Task) -> End {
        let run = self.run;
        let mut well = None;
        while let Some(batch) = self.left.pop() {
            if run.held.is_gone() {
                return End::Gone;
            }
            let silence = place.children.command.silence;
            let old = if self.died { None } else { place.left() };
            let started = match old {
                Some(process) => Ok(process),
                None => place.fresh(&run.context.stats).await,
            };
            let process = match started {
                Ok(process) => process,
                Err(death) => {
                    if !self.again(death, batch) {
                        return End::NoChildren;
                    }
                    continue;
                }
            };
            // One that has looked up others before may die of those.
            let alone = batch.len() == 1 && process.done == 0;
            let (rest, ended) = sitting::sit(run, process, task, batch, silence).await;
            match ended {
                Ended::Done(process) => {
                    self.tries = 0;
                    well = Some(process).filter(|_| !self.died);
                }
                Ended::Gone => return End::Gone,
                Ended::Late => {
                    self.late(rest).await;
                    return End::Done(None);
                }
                Ended::Died(Death::Own(why)) => self.halve(rest, alone, &why).await,
                Ended::Died(death) => {
                    if !self.again(death, rest) {
                        return End::NoChildren;
                    }
                }
            }
        }
        End::Done(well)
    }

    /// A child died of what it did: of one of these, which it left open.
    async fn halve(&mut self, mut rest: Vec<Open>, alone: bool, why: &str) {
        add(&self.run.context.stats.child_deaths, 1);
        died("own");
        tracing::warn!(why, open = rest.len(), "a child of the worker died of a task");
        (self.died, self.tries) = (true, 0);
        if alone && let Some(lookup) = rest.pop() {
            return self.poison(lookup, why).await;
        }
        let second = rest.split_off(rest.len().div_ceil(2));
        self.left.extend([second, rest].into_iter().filter(|half| !half.is_empty()));
    }

    /// Sets a lookup aside.
    async fn poison(&self, lookup: Open, why: &str) {
        add(&self.run.context.stats.poisoned, 1);
        metrics().poisoned.inc();
        let key = lookup.key.to_string();
        let source = &lookup.source.info().name;
        tracing::error!(source, key = %Escaped(&key), why, "a lookup kills its worker: it is set aside as dead");
        self.run.report(vec![self.run.refuse_open(lookup, Verdict::Poison)]).await;
    }

    /// A child ended, and not by these: another one takes them, if there is to be one.
    fn again(&mut self, death: Death, rest: Vec<Open>) -> bool {
        self.tries += 1;
        let last = self.tries > TRIES;
        died(if matches!(death, Death::Start(_)) { "start" } else { "outside" });
        match death {
            Death::Own(why) | Death::Outside(why) => {
                tracing::warn!(why, last, "somebody ended a child of the worker")
            }
            Death::Start(why) => tracing::error!(why, last, "a child of the worker does not start"),
        }
        self.left.extend(Some(rest).filter(|rest| !rest.is_empty()));
        !last
    }

    /// The job's time is up.
    async fn late(&mut self, rest: Vec<Open>) {
        let open = rest.into_iter().chain(self.left.drain(..).flatten());
        let refused = open.map(|lookup| self.run.refuse_open(lookup, Verdict::Deadline)).collect();
        self.run.report(refused).await;
    }
}

fn died(cause: &'static str) {
    metrics().child_deaths.get_or_create(&metrics::Death { cause }).inc();
}
