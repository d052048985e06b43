//! Drives a job through one order of events: what a broker, workers and a clock may do to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kudzu_coordinator::core::job::{Action, Event, Job, Settings, Taken};
use kudzu_coordinator::core::queue::Limits;
use kudzu_coordinator::tree::Tree;
use kudzu_shared::outcome::{Answer, Part};

use super::case::{Case, Memo};
use super::checks::{Checks, Told};
use super::compare;
use super::reference::Reference;
use super::rng::{Rng, hash};

/// Events after which a job counts as endless.
const STEPS: usize = 50_000;

/// One order of events.
#[derive(Debug, Clone)]
pub struct Order {
    pub seed: u64,
    pub settings: Settings,
    /// Answers take up to so many milliseconds.
    pub delay: u64,
    /// Percent of results that come twice.
    pub twice: u64,
    /// Percent of tasks that bring nothing.
    pub lost: u64,
    /// Percent of answers that come in parts.
    pub parts: u64,
    /// Cancel after so many events.
    pub cancel: Option<usize>,
    /// The job's deadline in milliseconds.
    pub deadline: Option<u64>,
}

impl Order {
    /// Everything answered at once, in the order asked.
    pub fn plain(settings: Settings) -> Self {
        Self { seed: 0, settings, delay: 0, twice: 0, lost: 0, parts: 0, cancel: None, deadline: None }
    }

    pub fn draw(world: u64, order: u64) -> Self {
        let seed = hash(world, &[&order.to_le_bytes()]);
        let mut rng = Rng::new(seed);
        let window = match rng.below(4) {
            0 => 1,
            1 => 16_384,
            _ => rng.within(1, 64) as u32,
        };
        let limits =
            Limits { window, task_questions: *rng.pick(&[1, 7, 256]), task_delay_ms: *rng.pick(&[0, 5, 40]) };
        let settings = Settings {
            limits,
            rounds: 2,
            retry_ms: *rng.pick(&[1, 30, 1_200]),
            redispatch_ms: *rng.pick(&[40, 300, 120_000]),
            ahead: rng.percent(70),
            ..Settings::default()
        };
        let stop = rng.below(10);
        Self {
            seed,
            settings,
            delay: *rng.pick(&[0, 3, 60, 1_000]),
            twice: *rng.pick(&[0, 5, 50]),
            lost: *rng.pick(&[0, 0, 3, 30]),
            parts: *rng.pick(&[0, 20, 80]),
            cancel: (stop == 0).then(|| rng.below(80) as usize),
            deadline: (stop == 1).then(|| rng.below(400)),
        }
    }
}

/// What one order came to.
#[derive(Debug)]
pub struct Ran {
    pub tree: Tree,
    pub bytes: Vec<u8>,
    /// Whether a cancel or the deadline ended it.
    pub stopped: bool,
    pub unused: u64,
}

struct Delivery {
    id: u32,
    told: Told,
    part: Part,
    /// What this part says.
    says: Answer,
    /// What the whole answer says, for the checks.
    whole: Answer,
}

struct Sim<'a> {
    case: &'a Case,
    order: &'a Order,
    memo: &'a mut Memo,
    rng: Rng,
    now: u64,
    due: BinaryHeap<Reverse<(u64, u64, usize)>>,
    deliveries: Vec<Delivery>,
    actions: Vec<Action>,
}

/// Runs a job through an order; fails with the first thing that breaks an invariant.
pub fn run(reference: &Reference<'_>, order: &Order, memo: &mut Memo) -> Result<Ran, String> {
    let case = reference.case;
    let mut rules = case.rules();
    rules.budgets.deadline_ms = order.deadline;
    let mut sim = Sim {
        case,
        order,
        memo,
        rng: Rng::new(order.seed ^ 0x0de1_17e4),
        now: 0,
        due: BinaryHeap::new(),
        deliveries: Vec::new(),
        actions: Vec::new(),
    };
    let mut checks = Checks::new(reference, order.settings);
    let mut job = Job::start(0, rules, order.settings, &mut sim.actions);
    sim.carry_out(&job, &mut checks)?;
    checks.step(0, &job)?;
    for step in 0.. {
        if checks.done || step > STEPS {
            break;
        }
        sim.next(step, &mut job, &mut checks)?;
    }
    if !checks.done {
        return Err(format!("not done after {STEPS} events: {:?}", job.counts()));
    }
    sim.aftermath(&mut job, &mut checks)?;
    let unused = job.unused();
    let tree = Tree::of(job);
    checks.bounds(&tree)?;
    let partial = checks.stopped.then_some(if order.cancel.is_some() { "cancelled" } else { "deadline" });
    let bytes = compare::bytes(&tree, partial)?;
    if let Some(why) = partial {
        let lines = compare::parse(&bytes)?;
        let flagged = lines.last().is_some_and(|l| l["state"] == "partial" && l["why"] == why);
        flagged.then_some(()).ok_or("a partial tree without its flag")?;
    }
    Ok(Ran { tree, bytes, stopped: checks.stopped, unused })
}

impl Sim<'_> {
    /// Lets the next thing happen, whatever it is.
    fn next(&mut self, step: usize, job: &mut Job, checks: &mut Checks<'_>) -> Result<(), String> {
        if self.order.cancel == Some(step) {
            checks.stopped = true;
            return self.event(Event::Cancel, job, checks);
        }
        let wake = job.next_wake();
        let arrival = self.due.peek().map(|Reverse((at, ..))| *at);
        let at = [wake, arrival].into_iter().flatten().min().ok_or("nothing to wait for, and not done")?;
        if self.rng.percent(3) {
            self.now = self.rng.within(self.now, at.max(self.now));
            return self.tick(job, checks);
        }
        self.now = at.max(self.now);
        let tie = wake == arrival && self.rng.percent(50);
        if arrival == Some(at) && !tie { self.deliver(job, checks) } else { self.tick(job, checks) }
    }

    fn tick(&mut self, job: &mut Job, checks: &mut Checks<'_>) -> Result<(), String> {
        checks.ticks(self.now);
        self.event(Event::Tick, job, checks)
    }

    fn deliver(&mut self, job: &mut Job, checks: &mut Checks<'_>) -> Result<(), String> {
        let Some(Reverse((_, _, at))) = self.due.pop() else { return Ok(()) };
        let d = &self.deliveries[at];
        let (told, whole) = (d.told.clone(), d.whole.clone());
        let event = Event::Result { lookup: d.id, part: d.part, answer: d.says.clone() };
        let result = self.event_then(event, job, checks, |sim, taken, checks| {
            let Some(taken) = taken else { return Ok(()) };
            if taken.questions != whole.questions || taken.pairs != whole.pairs.len() {
                return Err(format!("{taken:?} is not the answer, whole (I2)"));
            }
            checks.accepts(sim.now, &told, &whole)
        });
        result.map_err(|e| format!("at {} ms, after a result of {told:?}: {e}", self.now))
    }

    fn event(&mut self, event: Event, job: &mut Job, checks: &mut Checks<'_>) -> Result<(), String> {
        self.event_then(event, job, checks, |_, _, _| Ok(()))
    }

    fn event_then(
        &mut self,
        event: Event,
        job: &mut Job,
        checks: &mut Checks<'_>,
        check: impl Fn(&Self, Option<Taken>, &mut Checks<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        // Nothing is asked at or after the deadline, whatever event tells the time.
        checks.stopped |= self.order.deadline.is_some_and(|d| self.now >= d) && !checks.done;
        let taken = job.on_event(self.now, event, &mut self.actions);
        check(self, taken, checks)?;
        self.carry_out(job, checks)?;
        checks.step(self.now, job)
    }

    fn carry_out(&mut self, job: &Job, checks: &mut Checks<'_>) -> Result<(), String> {
        for action in std::mem::take(&mut self.actions) {
            let batch = match action {
                Action::Done if checks.done => return Err("done twice".into()),
                Action::Done => {
                    checks.done = true;
                    continue;
                }
                Action::Ask(batch) => batch,
            };
            let told = |(id, _): &(u32, u32)| {
                let (ask, key) = job.describe(*id);
                Told { ask, key, round: job.round(*id) }
            };
            let told: Vec<Told> = batch.lookups.iter().map(told).collect();
            checks.asks(self.now, &batch, &told)?;
            for ((id, questions), told) in batch.lookups.iter().zip(told) {
                self.work(*id, *questions, &told);
            }
        }
        Ok(())
    }

    /// What workers do with a lookup: nothing, one result, or two, whole or in parts.
    fn work(&mut self, id: u32, questions: u32, told: &Told) {
        if self.rng.percent(self.order.lost) {
            return;
        }
        let answer = self.case.remembered(self.memo, told.ask, &told.key, questions, told.round);
        let times = if self.rng.percent(self.order.twice) { 2 } else { 1 };
        for _ in 0..times {
            let mut whole = answer.clone();
            self.rng.shuffle(&mut whole.pairs); // Servers rotate their records.
            let parts = self.split(whole);
            let (sending, of) = (self.rng.next(), parts.len() as u16);
            for (index, says) in (0..).zip(parts) {
                let (at, tie) = (self.now + self.rng.within(0, self.order.delay), self.rng.next() >> 8);
                self.due.push(Reverse((at, tie, self.deliveries.len())));
                let (told, whole, part) = (told.clone(), answer.clone(), Part { sending, index, of });
                self.deliveries.push(Delivery { id, told, part, says, whole });
            }
        }
    }

    fn split(&mut self, mut answer: Answer) -> Vec<Answer> {
        let mut parts = Vec::new();
        if self.rng.percent(self.order.parts) {
            let first = Answer { questions: std::mem::take(&mut answer.questions), ..Answer::default() };
            parts.push(first);
            while answer.pairs.len() > 1 && self.rng.percent(60) {
                let half = answer.pairs.split_off(answer.pairs.len() / 2);
                parts.push(Answer { pairs: std::mem::replace(&mut answer.pairs, half), ..Answer::default() });
            }
        }
        parts.push(answer);
        parts
    }

    /// What comes after the end is counted and dropped; nothing follows from it.
    fn aftermath(&mut self, job: &mut Job, checks: &mut Checks<'_>) -> Result<(), String> {
        let counts = job.counts();
        for _ in 0..20 {
            let Some(Reverse((at, _, delivery))) = self.due.pop() else { break };
            self.now = at.max(self.now);
            let d = &self.deliveries[delivery];
            let event = Event::Result { lookup: d.id, part: d.part, answer: d.says.clone() };
            let before = job.duplicates;
            job.on_event(self.now, event, &mut self.actions);
            if job.duplicates != before + 1 {
                return Err("a late result was not counted".into());
            }
        }
        job.on_event(self.now, Event::Cancel, &mut self.actions);
        job.on_event(self.now + 1_000_000, Event::Tick, &mut self.actions);
        if !self.actions.is_empty() || job.counts() != counts {
            return Err("something follows from what comes after the end".into());
        }
        checks.step(self.now, job)
    }
}
