//! The ranking on small trees that are given pair by pair.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

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
use kudzu_shared::outcome::{Answer, Part, Question, Verdict};
use kudzu_shared::packs::Packs;
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::SourceInfo;
use proptest::prelude::*;

const NOW: i64 = 1_780_000_000;
const DAY: i64 = 86_400;

/// What one source knows.
#[derive(Debug, Clone, Default)]
struct Known {
    pairs: Vec<Pair>,
    facts: Vec<Fact>,
}

fn name(text: &str) -> Observable {
    Observable::from_name(&Name::from_text(text).unwrap())
}

fn addr(n: u32) -> Observable {
    Observable::from_ip(Ipv4Addr::from(0x5d00_0000 + n).into())
}

fn who(text: &str) -> Observable {
    Observable::from_wire(Kind::Identity, text.as_bytes()).unwrap()
}

impl Known {
    /// A name on an address between two days before now.
    fn on(&mut self, host: &Observable, address: &Observable, from: i64, to: i64) {
        let (first, last) = (Some(NOW - from * DAY), Some(NOW - to * DAY));
        self.pairs.push(Pair::new(host.clone(), Relation::SeenOn, address.clone()).seen(first, last));
        self.pairs.push(Pair::new(address.clone(), Relation::HostedName, host.clone()).seen(first, last));
    }

    fn both(&mut self, a: &Observable, forth: Relation, b: &Observable, back: Relation) {
        self.pairs.push(Pair::new(a.clone(), forth, b.clone()));
        self.pairs.push(Pair::new(b.clone(), back, a.clone()));
    }

    fn registered(&mut self, domain: &Observable, days: i64) {
        let value = FactValue::Time(NOW - days * DAY);
        let fact = Fact { subject: domain.clone(), name: FactName::Registered, value, personal: false };
        self.facts.push(fact);
    }

    fn answer(&self, key: &Observable) -> Answer {
        let pairs: Vec<Pair> = self.pairs.iter().filter(|p| p.key == *key).cloned().collect();
        let facts: Vec<Fact> = self.facts.iter().filter(|f| f.subject == *key).cloned().collect();
        let verdict = if pairs.is_empty() { Verdict::NoData } else { Verdict::Found };
        let question = Question { index: 0, verdict, tries: 1, rtt_us: 0, upstream: 0 };
        Answer { questions: vec![question], pairs, facts, totals: Vec::new() }
    }

    fn tree(&self, seeds: &[Observable]) -> Tree {
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
                own_assets: Vec::new(),
                allow_private: false,
            },
            as_of: NOW,
            since: None,
            until: None,
            salt: 7,
        };
        let budgets = plan.budgets;
        let rules = Rules::new(spec, plan, budgets, &[source], Arc::new(Packs::default()));
        let mut actions = Vec::new();
        let mut job = Job::start(0, rules, Settings::default(), &mut actions);
        let mut now = 0;
        loop {
            for action in std::mem::take(&mut actions) {
                match action {
                    Action::Done => return Tree::of(job),
                    Action::Ask(batch) => {
                        for (lookup, _) in batch.lookups {
                            let answer = self.answer(&job.describe(lookup).1);
                            job.on_event(
                                now,
                                Event::Result { lookup, part: Part::WHOLE, answer },
                                &mut actions,
                            );
                        }
                    }
                }
            }
            if actions.is_empty() {
                now = job.next_wake().expect("a job that waits for nothing").max(now);
                job.on_event(now, Event::Tick, &mut actions);
            }
        }
    }

    fn candidates(&self, seeds: &[Observable]) -> BTreeMap<String, Candidate> {
        rank(&self.tree(seeds)).into_iter().map(|c| (c.value.clone(), c)).collect()
    }
}

#[test]
fn sharing_an_address_at_the_time_ties_and_years_apart_does_not() {
    let mut k = Known::default();
    k.on(&name("now.com"), &addr(1), 60, 0);
    k.on(&name("old.com"), &addr(1), 2000, 1500);
    let c = k.candidates(&[addr(1)]);
    assert!(c["now.com"].score > 0.5, "{c:?}");
    assert!(!c.contains_key("old.com"), "{c:?}");
}

#[test]
fn one_kind_of_tie_is_marked_and_a_second_one_adds_to_it() {
    let mut k = Known::default();
    for d in ["a.com", "b.com", "c.com"] {
        k.on(&name(d), &addr(1), 60, 0);
    }
    for d in ["a.com", "d.com", "e.com"] {
        k.both(&name(d), Relation::RegisteredBy, &who("M. Mustermann"), Relation::RelatedTo);
    }
    k.on(&name("a.com"), &addr(2), 300, 200);
    k.on(&name("d.com"), &addr(2), 290, 210);
    let c = k.candidates(&[addr(1)]);
    assert!(c["b.com"].single_tie && c["e.com"].single_tie, "{c:?}");
    assert!(!c["d.com"].single_tie, "{c:?}");
    assert!(c["d.com"].score > c["e.com"].score, "{c:?}");
    assert!(c["d.com"].reasons.iter().all(|r| r.path.last().unwrap().value == "d.com"), "{c:?}");
}

#[test]
fn a_crowd_ties_nobody() {
    let mut k = Known::default();
    k.on(&name("evil.com"), &addr(1), 60, 0);
    for n in 0..100 {
        k.on(&name(&format!("shop{n}.com")), &addr(2), 500, 0);
    }
    k.on(&name("evil.com"), &addr(2), 50, 0);
    let c = k.candidates(&[addr(1)]);
    assert!(c.keys().all(|v| !v.starts_with("shop")), "{c:?}");
}

#[test]
fn own_and_excluded_things_are_no_candidates() {
    let mut k = Known::default();
    k.on(&name("www.mine.com"), &addr(1), 60, 0);
    k.on(&name("theirs.com"), &addr(1), 60, 0);
    let mut tree_of = k.tree(&[addr(1)]);
    assert!(rank(&tree_of).iter().any(|c| c.value == "mine.com"));
    let spec = &mut tree_of.rules().spec.clone();
    spec.policy.own_assets = vec![name("mine.com")];
    let again = rebuild(&k, spec.clone());
    assert!(again.iter().all(|c| c.value != "mine.com") && again.iter().any(|c| c.value == "theirs.com"));
    let _ = &mut tree_of;
}

fn rebuild(k: &Known, spec: JobSpec) -> Vec<Candidate> {
    // `Known::tree` with another policy: the seeds are all that differs in the spec.
    let tree = k.tree(&spec.seeds);
    let rules = tree.rules();
    let rules = Rules::new(
        spec,
        rules.plan.clone(),
        rules.budgets,
        &rules.asks.iter().map(|a| a.source.clone()).collect::<Vec<_>>(),
        Arc::new(Packs::default()),
    );
    let mut actions = Vec::new();
    let mut job = Job::start(0, rules, Settings::default(), &mut actions);
    let mut now = 0;
    loop {
        for action in std::mem::take(&mut actions) {
            let Action::Ask(batch) = action else { return rank(&Tree::of(job)) };
            for (lookup, _) in batch.lookups {
                let answer = k.answer(&job.describe(lookup).1);
                job.on_event(now, Event::Result { lookup, part: Part::WHOLE, answer }, &mut actions);
            }
        }
        if actions.is_empty() {
            now = job.next_wake().expect("a job that waits for nothing").max(now);
            job.on_event(now, Event::Tick, &mut actions);
        }
    }
}

fn host(n: u8, rename: bool) -> Observable {
    let other = n.wrapping_mul(37).wrapping_add(11);
    name(&if rename { format!("z{other}q.net") } else { format!("d{n}.com") })
}

fn at(n: u8, rename: bool) -> Observable {
    addr(if rename { 0x1000 + u32::from(n ^ 0x55) } else { u32::from(n) })
}

/// A random little world, and the same with every item renamed and the pairs shuffled.
fn world(ties: &[(u8, u8, u8, u16)], rename: bool) -> Known {
    let (host, at) = (|n: u8| host(n, rename), |n: u8| at(n, rename));
    let person = |n: u8| who(&if rename { format!("Erika {}", 255 - n) } else { format!("Max {n}") });
    let mut k = Known::default();
    for (domain, asset, kind, days) in ties {
        let (d, days) = (host(*domain), i64::from(*days % 900));
        match kind % 4 {
            0 | 1 => k.on(&d, &at(*asset % 24), days + 90, days),
            2 => k.both(&d, Relation::RegisteredBy, &person(*asset % 16), Relation::RelatedTo),
            _ => k.registered(&d, days),
        }
    }
    if rename {
        k.pairs.reverse();
        k.facts.reverse();
    }
    k
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn renaming_and_shuffling_every_item_leaves_the_scores(
        ties in prop::collection::vec((0u8..60, any::<u8>(), any::<u8>(), any::<u16>()), 20..160)
    ) {
        let renamed: BTreeMap<String, String> = (0..=u8::MAX)
            .flat_map(|n| [(host(n, false), host(n, true)), (at(n, false), at(n, true))])
            .map(|(before, after)| (before.to_string(), after.to_string()))
            .collect();
        let scores = |rename: bool| {
            let of = |c: &Candidate| {
                let value = if rename { c.value.clone() } else { renamed[&c.value].clone() };
                (value, ((c.score * 1e6).round() as u64, c.band, c.single_tie, c.reasons.len()))
            };
            let all = rank(&world(&ties, rename).tree(&[at(0, rename)]));
            all.iter().map(of).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(scores(false), scores(true));
    }
}
