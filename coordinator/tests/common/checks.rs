//! The invariants (I1 to I5), looked at after every step of a job.

use std::collections::{BTreeMap, HashMap, HashSet};

use kudzu_coordinator::core::job::{Counts, Job, Settings};
use kudzu_coordinator::core::queue::Batch;
use kudzu_coordinator::tree::Tree;
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{Answer, Verdict};
use kudzu_shared::source::Class;

use super::reference::Reference;

/// Questions by which a window may be passed: a lookup is sent whole.
const OVER: u32 = 11;

/// A lookup as who asks sees it.
#[derive(Debug, Default)]
struct Known {
    verdicts: Vec<Option<Verdict>>,
    round: u8,
    sent: Option<Sent>,
    not_before: u64,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: u64,
    questions: u32,
    /// Its task counts as lost: the window has it back.
    overdue: bool,
}

/// What has been seen of a job so far.
pub struct Checks<'a> {
    reference: &'a Reference<'a>,
    settings: Settings,
    lookups: HashMap<(u8, Observable), Known>,
    seeds: HashSet<Observable>,
    last: Counts,
    asked: BTreeMap<String, (u64, u64)>,
    ended: u64,
    steps: u64,
    pub stopped: bool,
    pub done: bool,
}

/// One lookup in one round, as a task says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub ask: u8,
    pub key: Observable,
    pub round: u8,
}

impl<'a> Checks<'a> {
    pub fn new(reference: &'a Reference<'a>, settings: Settings) -> Self {
        let seeds = reference.case.spec.seeds.iter().cloned().collect();
        Self {
            reference,
            settings,
            lookups: HashMap::new(),
            seeds,
            last: Counts::default(),
            asked: BTreeMap::new(),
            ended: 0,
            steps: 0,
            stopped: false,
            done: false,
        }
    }

    /// A task leaves.
    pub fn asks(&mut self, now: u64, batch: &Batch, told: &[Told]) -> Result<(), String> {
        let packed: u32 = batch.lookups.iter().map(|(_, q)| q.count_ones()).sum();
        if packed > self.settings.limits.task_questions && batch.lookups.len() > 1 {
            return Err(format!("a task of {packed} questions"));
        }
        for ((_, questions), told) in batch.lookups.iter().zip(told) {
            let what = format!("ask {} round {} of {}", told.ask, told.round, told.key);
            self.ask(now, batch.class, *questions, told).map_err(|e| format!("{what}: {e}"))?;
        }
        let window = self.window(batch.class) + OVER;
        let out = self.outstanding(batch.class);
        if out > window {
            Err(format!("{out} questions outstanding, the window is {window}"))
        } else {
            Ok(())
        }
    }

    fn ask(&mut self, now: u64, class: Class, questions: u32, told: &Told) -> Result<(), String> {
        if self.stopped || self.done {
            return Err("asked after the job's end (I5)".into());
        }
        self.allowed(told)?;
        let case = self.reference.case;
        let source = case.source(told.ask);
        if source.class != class {
            return Err("on another class's queue".into());
        }
        let n = case.questions(told.ask);
        let known = self.lookups.entry((told.ask, told.key.clone())).or_insert_with(|| {
            let (lookups, all) = self.asked.entry(source.name.clone()).or_default();
            (*lookups, *all) = (*lookups + 1, *all + u64::from(n));
            Known { verdicts: vec![None; n.into()], ..Known::default() }
        });
        if known.ended {
            return Err("asked after its end (I2)".into());
        }
        if let Some(sent) = known.sent.filter(|s| now < s.at + self.settings.redispatch_ms) {
            return Err(format!("asked again at {now} while in flight since {}", sent.at));
        }
        if told.round != known.round || told.round > self.settings.rounds {
            return Err(format!("round {} is due", known.round));
        }
        if now < known.not_before {
            return Err(format!("asked at {now}, before its time {}", known.not_before));
        }
        let open = |i: &u8| known.verdicts[usize::from(*i)].is_none_or(Verdict::is_transient);
        let wanted = (0..n).filter(open).fold(0, |m, i| m | 1 << i);
        if wanted != questions {
            return Err(format!("questions {questions:b}, {wanted:b} are open"));
        }
        known.sent = Some(Sent { at: now, questions: wanted.count_ones(), overdue: false });
        self.spending()
    }

    /// Policy, scope and lists (I5).
    fn allowed(&self, told: &Told) -> Result<(), String> {
        let (reference, policy) = (self.reference, &self.reference.case.spec.policy);
        if let Some(never) = reference.never_of(told.ask) {
            return Err(format!("asked of a source that is ruled out: {never}"));
        }
        if let Some((why, ..)) = reference.listed(&told.key, self.seeds.contains(&told.key)) {
            return Err(format!("asked about what is {why}"));
        }
        use kudzu_shared::observable::Kind::{DomainName, Ipv4Addr, Ipv6Addr};
        let scoped = [DomainName, Ipv4Addr, Ipv6Addr].contains(&told.key.kind()) && !policy.scope.is_empty();
        if scoped && !kudzu_shared::job::Policy::covers(&policy.scope, &told.key) {
            return Err("asked outside the scope".into());
        }
        Ok(())
    }

    fn spending(&self) -> Result<(), String> {
        let case = self.reference.case;
        for source in &case.catalogue {
            let lookups = self.asked.get(&source.name).map_or(0, |a| a.0);
            if source.credits.is_some_and(|c| lookups > c) {
                return Err(format!("{lookups} lookups of {} are more than its credits", source.name));
            }
        }
        let questions: u64 = self.asked.values().map(|a| a.1).sum();
        match case.budgets.questions {
            Some(budget) if questions > budget => {
                Err(format!("{questions} questions, the budget is {budget}"))
            }
            _ => Ok(()),
        }
    }

    fn window(&self, class: Class) -> u32 {
        match class {
            Class::Http => (self.settings.limits.window / 32).max(16),
            _ => self.settings.limits.window,
        }
    }

    fn outstanding(&self, class: Class) -> u32 {
        let own = |(ask, _): &(u8, Observable)| self.reference.case.source(*ask).class == class;
        let sent = self.lookups.iter().filter(|(k, _)| own(k)).filter_map(|(_, l)| l.sent);
        sent.filter(|s| !s.overdue).map(|s| s.questions).sum()
    }

    /// A tick is about to come: tasks that brought nothing in time are given up.
    pub fn ticks(&mut self, now: u64) {
        let limit = self.settings.redispatch_ms;
        for sent in self.lookups.values_mut().filter_map(|l| l.sent.as_mut()) {
            sent.overdue |= now >= sent.at + limit;
        }
    }

    /// The job took a result.
    pub fn accepts(&mut self, now: u64, told: &Told, answer: &Answer) -> Result<(), String> {
        let Some(known) = self.lookups.get_mut(&(told.ask, told.key.clone())) else {
            return Err(format!("took a result for {}, which was not asked", told.key));
        };
        if known.ended || known.sent.is_none() {
            return Err(format!("took a result for {}, which is not in flight (I2)", told.key));
        }
        if known.round != told.round {
            return Err(format!(
                "took a result of round {} of {} for round {}",
                told.round, told.key, known.round
            ));
        }
        for q in &answer.questions {
            known.verdicts[usize::from(q.index)] = Some(q.verdict);
        }
        known.sent = None;
        let transient = known.verdicts.iter().flatten().any(|v| v.is_transient());
        if transient && known.round < self.settings.rounds {
            known.not_before = now + self.settings.retry_ms;
            known.round += 1;
        } else {
            known.ended = true;
            self.ended += 1;
        }
        Ok(())
    }

    /// After every event.
    pub fn step(&mut self, now: u64, job: &Job) -> Result<(), String> {
        let c = job.counts();
        if c.registered != c.waiting + c.in_flight + c.ended || c.astray > 0 {
            return Err(format!("I1: {c:?}"));
        }
        if c.registered < self.last.registered || c.ended < self.last.ended {
            return Err(format!("a lookup was forgotten: {:?}, then {c:?}", self.last));
        }
        self.last = c;
        if c.ended < self.ended {
            return Err(format!("{} lookups were answered for good, {} have ended", self.ended, c.ended));
        }
        let open = c.waiting > 0 || c.in_flight > 0 || job.next_wake().is_some();
        if self.done && open {
            return Err(format!("done, and yet {c:?}"));
        }
        self.steps += 1;
        if self.done || self.steps.is_multiple_of(8) { self.progress(now, job, c) } else { Ok(()) }
    }

    /// What users are told is what is.
    fn progress(&self, now: u64, job: &Job, c: Counts) -> Result<(), String> {
        let p = job.progress(now);
        if (p.registered, p.waiting, p.in_flight, p.ended) != (c.registered, c.waiting, c.in_flight, c.ended)
        {
            return Err(format!("progress {p:?} is not {c:?}"));
        }
        let all: u32 = [Class::Dns, Class::Http, Class::Local].map(|c| self.window(c) + OVER).iter().sum();
        if p.outstanding > u64::from(all) {
            return Err(format!("{} questions outstanding", p.outstanding));
        }
        Ok(())
    }

    /// Budgets of the finished tree (I4), stopped or not.
    pub fn bounds(&self, tree: &Tree) -> Result<(), String> {
        let budgets = &self.reference.case.budgets;
        let limit = (budgets.nodes as usize).max(self.seeds.len());
        if tree.len() as usize > limit {
            return Err(format!("{} nodes, the budget is {limit}", tree.len()));
        }
        let mut under: HashMap<(u32, u8), u32> = HashMap::new();
        for node in tree.nodes() {
            if node.depth > self.reference.depth {
                return Err(format!("a node at depth {}", node.depth));
            }
            if super::answer::is_probe(&node.observable.to_owned()) {
                return Err(format!("the probe {} is in the tree", node.observable));
            }
            if let (Some(parent), Some(relation)) = (node.parent, node.relation) {
                let n = under.entry((parent, relation as u8)).or_default();
                *n += 1;
                if *n > budgets.fan_out {
                    return Err(format!("more than {} nodes under {parent} by {relation}", budgets.fan_out));
                }
            }
        }
        Ok(())
    }
}
