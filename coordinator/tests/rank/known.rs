//! Trees from what one source knows, given pair by pair.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use kudzu_coordinator::core::job::{Action, Event, Job, Settings};
use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::rank::{Candidate, rank};
use kudzu_coordinator::tree::Tree;
use kudzu_coordinator::tree::rules::Rules;
use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::job::{JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::outcome::{Answer, Part, Question, Total, Verdict};
use kudzu_shared::packs::Packs;
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::SourceInfo;

pub const NOW: i64 = 1_780_000_000;
pub const DAY: i64 = 86_400;

/// What one source knows, and whose things it is asked about.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub pairs: Vec<Pair>,
    pub facts: Vec<Fact>,
    pub totals: Vec<Total>,
    pub packs: Arc<Packs>,
    pub own: Vec<Observable>,
}

pub fn name(text: &str) -> Observable {
    Observable::from_name(&Name::from_text(text).unwrap())
}

pub fn addr(n: u32) -> Observable {
    Observable::from_ip(Ipv4Addr::from(0x5d00_0000 + n).into())
}

pub fn who(text: &str) -> Observable {
    Observable::from_wire(Kind::Identity, text.as_bytes()).unwrap()
}

impl Known {
    /// A name on an address between two days before now.
    pub fn on(&mut self, host: &Observable, address: &Observable, from: i64, to: i64) {
        let (first, last) = (Some(NOW - from * DAY), Some(NOW - to * DAY));
        self.pairs.push(Pair::new(host.clone(), Relation::SeenOn, address.clone()).seen(first, last));
        self.pairs.push(Pair::new(address.clone(), Relation::HostedName, host.clone()).seen(first, last));
    }

    pub fn both(&mut self, a: &Observable, forth: Relation, b: &Observable, back: Relation) {
        self.pairs.push(Pair::new(a.clone(), forth, b.clone()));
        self.pairs.push(Pair::new(b.clone(), back, a.clone()));
    }

    pub fn dated(&mut self, item: &Observable, name: FactName, days: i64) {
        let value = FactValue::Time(NOW - days * DAY);
        self.facts.push(Fact { subject: item.clone(), name, value, personal: false });
    }

    fn answers(&self) -> BTreeMap<Observable, Answer> {
        let mut answers: BTreeMap<Observable, Answer> = BTreeMap::new();
        for p in &self.pairs {
            answers.entry(p.key.clone()).or_default().pairs.push(p.clone());
        }
        for f in &self.facts {
            answers.entry(f.subject.clone()).or_default().facts.push(f.clone());
        }
        for t in &self.totals {
            answers.entry(t.key.clone()).or_default().totals.push(t.clone());
        }
        answers
    }

    pub fn tree(&self, seeds: &[Observable]) -> Tree {
        let answers = self.answers();
        let mut actions = Vec::new();
        let mut job = Job::start(0, self.rules(seeds), Settings::default(), &mut actions);
        let mut now = 0;
        loop {
            for action in std::mem::take(&mut actions) {
                let Action::Ask(batch) = action else { return Tree::of(job) };
                for (lookup, _) in batch.lookups {
                    let mut answer = answers.get(&job.describe(lookup).1).cloned().unwrap_or_default();
                    let verdict = if answer.pairs.is_empty() { Verdict::NoData } else { Verdict::Found };
                    answer.questions = vec![Question { index: 0, verdict, tries: 1, rtt_us: 0, upstream: 0 }];
                    job.on_event(now, Event::Result { lookup, part: Part::WHOLE, answer }, &mut actions);
                }
            }
            if actions.is_empty() {
                now = job.next_wake().expect("a job that waits for nothing").max(now);
                job.on_event(now, Event::Tick, &mut actions);
            }
        }
    }

    fn rules(&self, seeds: &[Observable]) -> Rules {
        let (doc, takes, returns) = ("what the test says".into(), Kind::ALL.to_vec(), Relation::ALL.to_vec());
        let source = SourceInfo::local("known".into(), doc, takes, returns);
        let plan = Plan::parse("[budgets]\ndepth = 8\n[[ask]]\nsource = \"known\"\n", "test").unwrap();
        let spec = JobSpec {
            id: JobId(1),
            tenant: "test".into(),
            kind: JobKind::Pivot,
            seeds: seeds.to_vec(),
            policy: Policy {
                tlp: Tlp::Clear,
                pap: Pap::Clear,
                scope: Vec::new(),
                exclude: Vec::new(),
                own_assets: self.own.clone(),
                allow_private: false,
            },
            as_of: NOW,
            since: None,
            until: None,
            salt: 7,
        };
        let budgets = plan.budgets;
        Rules::new(spec, plan, budgets, &[source], Arc::clone(&self.packs))
    }

    pub fn candidates(&self, seeds: &[Observable]) -> BTreeMap<String, Candidate> {
        rank(&self.tree(seeds)).into_iter().map(|c| (c.value.clone(), c)).collect()
    }
}
