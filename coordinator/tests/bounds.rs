//! Hostile corners of the net: each ends within its budgets, with stubs that carry the true
//! totals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod common;

use std::sync::Arc;

use common::case::catalogue;
use common::rng::{Rng, hash};
use common::world::{ip, name};
use kudzu_coordinator::core::job::{Action, Event, Job, Settings};
use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::tree::Tree;
use kudzu_coordinator::tree::rules::Rules;
use kudzu_shared::job::{JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{Answer, Part, Question, Total, Verdict};
use kudzu_shared::packs::Packs;
use kudzu_shared::pair::{Pair, Relation};

const PLAN: &str = "hub = 200\n[budgets]\ndepth = 5\nnodes = 5000\nfan_out = 50\n
    [[ask]]\nsource = \"dns.name\"\ntypes = [\"A\", \"NS\", \"MX\"]\n
    [[ask]]\nsource = \"dns.addr\"\n
    [[ask]]\nsource = \"pdns.addr\"\nlimit = 1000\n";

/// The pairs and the total that a source gives for a key.
type Told = (Vec<(Relation, Observable)>, Option<(Relation, u64)>);

/// Runs a job to its end with a net that answers at once; also says how much it asked.
fn run(plan: &str, seed: Observable, net: impl Fn(&str, &Observable) -> Told) -> (Tree, usize) {
    let plan = Plan::parse(plan, "bounds").unwrap();
    let budgets = plan.budgets;
    let policy = Policy {
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        scope: Vec::new(),
        exclude: Vec::new(),
        own_assets: Vec::new(),
        allow_private: false,
    };
    let spec = JobSpec {
        id: JobId(1),
        tenant: "t".into(),
        kind: JobKind::Pivot,
        seeds: vec![seed],
        policy,
        as_of: 0,
        since: None,
        until: None,
        salt: 9,
    };
    let sources = catalogue(&mut Rng::new(1));
    let rules = Rules::new(spec, plan, budgets, &sources, Arc::new(Packs::empty()));
    let (mut now, mut asked, mut actions) = (0, 0, Vec::new());
    let mut job = Job::start(now, rules, Settings::default(), &mut actions);
    loop {
        for action in std::mem::take(&mut actions) {
            let Action::Ask(batch) = action else { return (Tree::of(job), asked) };
            for (id, questions) in batch.lookups {
                asked += 1;
                let (ask, key) = job.describe(id);
                let (pairs, total) = net(&job.rules().asks[usize::from(ask)].source.name, &key);
                let answer = answer(&key, questions, pairs, total);
                job.on_event(now, Event::Result { lookup: id, part: Part::WHOLE, answer }, &mut actions);
            }
        }
        if actions.is_empty() {
            now = job.next_wake().expect("a job that is not done waits for something");
            job.on_event(now, Event::Tick, &mut actions);
        }
    }
}

fn answer(
    key: &Observable,
    questions: u32,
    pairs: Vec<(Relation, Observable)>,
    total: Option<(Relation, u64)>,
) -> Answer {
    let verdict = if pairs.is_empty() { Verdict::NoData } else { Verdict::Found };
    let question = |index| Question { index, verdict, tries: 1, rtt_us: 1, upstream: 0 };
    let mut at = key.clone();
    let mut pair = |(relation, value): (Relation, Observable)| {
        let pair = Pair::new(at.clone(), relation, value.clone());
        if relation == Relation::AliasOf {
            at = value; // What follows belongs to the alias.
        }
        pair
    };
    Answer {
        questions: (0..32).filter(|i| questions & 1 << i != 0).map(question).collect(),
        pairs: pairs.into_iter().map(&mut pair).collect(),
        totals: total
            .map(|(relation, total)| Total { key: key.clone(), relation, total })
            .into_iter()
            .collect(),
        ..Answer::default()
    }
}

/// What became of a node's values by a relation: admitted under it, and left out by reason.
fn under(tree: &Tree, what: &Observable, relation: Relation) -> (u64, Vec<(&'static str, u64)>) {
    let n = tree.find(what).expect("in the tree");
    let kept = tree.edges_from(n).iter().filter(|e| e.relation == relation).count() as u64;
    let stubs = tree.stubs(n).into_iter().filter(|s| s.relation == Some(relation));
    (kept, stubs.map(|s| (s.reason, s.total)).collect())
}

#[test]
fn an_address_with_a_million_names() {
    let front = ip("45.1.1.1");
    let net = |source: &str, key: &Observable| match source {
        "pdns.addr" if *key == ip("45.1.1.1") => {
            let rows = (0..1000).map(|n| (Relation::HostedName, name(&format!("n{n}.host{n}.com"))));
            (rows.collect(), Some((Relation::HostedName, 1_000_000)))
        }
        "dns.name" => (vec![(Relation::ResolvesTo, ip("45.1.1.1"))], None),
        _ => (Vec::new(), None),
    };
    // As the seed it is followed as far as the fan-out goes.
    let (tree, asked) = run(PLAN, front.clone(), net);
    let (kept, stubs) = under(&tree, &front, Relation::HostedName);
    assert_eq!((kept, stubs), (50, vec![("fan-out", 950), ("limit", 999_000)]));
    assert!(asked < 2_000, "{asked}");
    // Further down it is a hub, and nothing below it is in the tree.
    let (tree, asked) = run(PLAN, name("www.alpha.com"), net);
    let (kept, stubs) = under(&tree, &front, Relation::HostedName);
    assert_eq!((kept, stubs), (0, vec![("hub", 1_000_000)]));
    assert_eq!(tree.len(), 2);
    assert!(asked < 2_000, "{asked}");
}

#[test]
fn a_wildcard_zone_that_answers_every_name() {
    // Each address is said to have 40 names of the zone, each name to have any of 40 addresses.
    let net = |source: &str, key: &Observable| {
        let h = hash(3, &[key.wire()]);
        match source {
            "dns.name" if key.to_string().ends_with(".wild.info") => {
                ((0..2).map(|n| (Relation::ResolvesTo, ip(&format!("45.2.{n}.1")))).collect(), None)
            }
            "dns.name" => (vec![(Relation::ResolvesTo, ip(&format!("45.3.0.{}", h % 40)))], None),
            "pdns.addr" => {
                let made_up = (0..40).map(|n| name(&format!("x{n}-{h:x}.wild.info")));
                let others = (0..3).map(|n| name(&format!("www.s{}.org", h.wrapping_add(n) % 997)));
                (made_up.chain(others).map(|v| (Relation::HostedName, v)).collect(), None)
            }
            _ => (Vec::new(), None),
        }
    };
    let (tree, asked) = run(PLAN, ip("45.3.0.1"), net);
    let below = |n: &kudzu_coordinator::tree::NodeView<'_>| n.observable.to_string().ends_with(".wild.info");
    let wild: Vec<_> = tree.nodes().filter(below).collect();
    // 40 names came with the first address; ten more are kept once the zone is known.
    assert_eq!(wild.len(), 50);
    let open = wild.iter().filter(|n| n.suppressed.is_none_or(|s| s.reason != "wildcard"));
    assert_eq!(open.count(), 1, "one name stands for the zone");
    let told: u64 =
        (0..tree.len()).flat_map(|n| tree.stubs(n)).filter(|s| s.reason == "wildcard").map(|s| s.total).sum();
    assert!(told > 0 && tree.len() <= 5_000 && asked < 20_000, "{told} {} {asked}", tree.len());
    for n in 0..tree.len() {
        let what = tree.node(n).observable.to_owned();
        let expanded = tree.node(n).depth < 5 && tree.node(n).suppressed.is_none();
        if what.kind() == Kind::Ipv4Addr && expanded {
            let (kept, stubs) = under(&tree, &what, Relation::HostedName);
            assert_eq!(kept + stubs.iter().map(|s| s.1).sum::<u64>(), 43, "{what}: {stubs:?}");
        }
    }
}

#[test]
fn reverse_names_that_lead_in_circles_or_ever_on() {
    // Two that point to each other, and one of which each answer is a new one.
    let circle = |source: &str, key: &Observable| match source {
        "dns.addr" => (vec![(Relation::ReverseName, name("a.loop.com"))], None),
        "dns.name" if *key == name("a.loop.com") => (vec![(Relation::ResolvesTo, ip("45.4.0.1"))], None),
        _ => (Vec::new(), None),
    };
    let (tree, asked) = run(PLAN, ip("45.4.0.1"), circle);
    assert_eq!(tree.len(), 2);
    assert!(asked <= 10, "{asked}");
    let on = |source: &str, key: &Observable| {
        let h = hash(4, &[key.wire()]);
        match source {
            "dns.addr" => (vec![(Relation::ReverseName, name(&format!("h{h:x}.on{h:x}.com")))], None),
            "dns.name" => {
                (vec![(Relation::ResolvesTo, ip(&format!("45.5.{}.{}", h % 256, h / 256 % 256)))], None)
            }
            _ => (Vec::new(), None),
        }
    };
    let (tree, asked) = run(PLAN, ip("45.4.0.1"), on);
    assert_eq!(tree.len(), 6, "a node at each depth from 0 to 5");
    assert_eq!(tree.unexpanded(), 1);
    assert!(asked <= 20, "{asked}");
}

#[test]
fn a_maze_of_aliases() {
    // Each name is an alias of two others, each answer a chain of eleven, without an end.
    let net = |source: &str, key: &Observable| {
        if source != "dns.name" {
            return (Vec::new(), None);
        }
        let mut h = hash(5, &[key.wire()]);
        let mut links = vec![(Relation::AliasOf, name(&format!("m{h:x}.maze{}.com", h % 500)))];
        for _ in 0..10 {
            h = hash(h, &[b"next"]);
            links.push((Relation::AliasOf, name(&format!("m{h:x}.maze{}.com", h % 500))));
        }
        links.push((Relation::NameServer, name(&format!("ns{h:x}.maze{}.com", h % 500))));
        (links, None)
    };
    let small = PLAN.replace("nodes = 5000", "nodes = 60").replace("depth = 5", "depth = 40");
    let (tree, asked) = run(&small, name("start.maze.com"), net);
    assert_eq!(tree.len(), 60);
    assert!(asked < 1_500, "{asked}");
    let left_out: u64 = (0..tree.len()).flat_map(|n| tree.stubs(n)).map(|s| s.total).sum();
    let last = tree.len() - 1;
    assert!(left_out > 0, "the node budget left something out, the tree ends at {}", tree.node(last).depth);
}

#[test]
fn a_zone_that_refers_to_itself() {
    let zone = name("self.com");
    let net = |source: &str, _: &Observable| match source {
        "dns.name" => {
            let own = [Relation::NameServer, Relation::MailExchange, Relation::AliasOf];
            (own.into_iter().map(|r| (r, name("self.com"))).collect(), None)
        }
        _ => (Vec::new(), None),
    };
    let (tree, asked) = run(PLAN, zone.clone(), net);
    assert_eq!((tree.len(), asked), (1, 1));
    assert!(tree.edges_from(0).is_empty() && tree.stubs(0).is_empty());
}
