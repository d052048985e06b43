//! The core alone at a million nodes: no I/O, answers at once.
//!
//! `cargo run --release -p kudzu-coordinator --example million [nodes]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement that a person runs")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kudzu_coordinator::core::job::{Action, Event, Job, Settings};
use kudzu_coordinator::plan::Plan;
use kudzu_coordinator::rank::rank;
use kudzu_coordinator::tree::Tree;
use kudzu_coordinator::tree::rules::Rules;
use kudzu_shared::job::{JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::{Kind, Name, Observable};
use kudzu_shared::outcome::{Answer, Part, Question, Verdict};
use kudzu_shared::packs::Packs;
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::{Class, SourceInfo};

/// Names on one address, as passive DNS knows them.
const HOSTED: u32 = 20;

fn hash(n: u32, salt: u32) -> u32 {
    let mut h = (n ^ salt.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// A world of about `names` names: each on one address, with two name servers, and said by
/// passive DNS to have been on that address.
struct World {
    names: u32,
}

impl World {
    fn name(&self, n: u32) -> Observable {
        let text = format!("host{n:x}.zone{:x}.com", hash(n, 1) % (self.names / 3));
        Observable::from_name(&Name::from_text(&text).unwrap())
    }

    fn server(n: u32) -> Observable {
        let text = format!("ns{}.dns{:x}.net", n % 2, n / 2);
        Observable::from_name(&Name::from_text(&text).unwrap())
    }

    /// In 16.0.0.0/4: no special purpose, no list.
    fn address(n: u32) -> Observable {
        Observable::from_ip(std::net::Ipv4Addr::from(0x1000_0000 + n).into())
    }

    fn answer(&self, source: &str, key: &Observable, questions: u32) -> Answer {
        let mut answer = Answer::default();
        let pairs = &mut answer.pairs;
        match (source, key.kind()) {
            ("dns.name", _) => {
                let first = key.name().unwrap().labels().next().unwrap().to_vec();
                let text = String::from_utf8_lossy(&first[first.len().min(4)..]).into_owned();
                if let Ok(n) = u32::from_str_radix(&text, 16) {
                    let at = Self::address(hash(n, 2) % (self.names / HOSTED));
                    pairs.push(Pair::new(key.clone(), Relation::ResolvesTo, at));
                    let operator = hash(n, 3) % (self.names / 100);
                    for ns in [2 * operator, 2 * operator + 1] {
                        pairs.push(Pair::new(key.clone(), Relation::NameServer, Self::server(ns)));
                    }
                }
            }
            ("pdns.addr", Kind::Ipv4Addr) => {
                let at = u32::from_be_bytes(key.wire().try_into().unwrap()) - 0x1000_0000;
                for n in at * HOSTED..(at + 1) * HOSTED {
                    let time = i64::from(n) + 1_600_000_000;
                    let pair = Pair::new(key.clone(), Relation::HostedName, self.name(n));
                    pairs.push(pair.seen(Some(time), Some(time + 1000)));
                }
            }
            _ => {}
        }
        let verdict = if pairs.is_empty() { Verdict::NoData } else { Verdict::Found };
        let question = |index| Question { index, verdict, tries: 1, rtt_us: 1, upstream: 0 };
        answer.questions = (0..32).filter(|i| questions & (1 << i) != 0).map(question).collect();
        answer
    }
}

fn source(name: &str, class: Class, takes: Kind, returns: &[Relation], types: &[&str]) -> SourceInfo {
    let info = SourceInfo::local(name.into(), String::new(), vec![takes], returns.into());
    SourceInfo { class, types: types.iter().map(|t| (*t).into()).collect(), ..info }
}

fn rules(nodes: u32) -> Rules {
    let plan = format!(
        "[budgets]\ndepth = 30\nnodes = {nodes}\nfan_out = 500\n
        [[ask]]\nsource = \"dns.name\"\ntypes = [\"A\", \"AAAA\", \"NS\", \"MX\"]\n
        [[ask]]\nsource = \"dns.addr\"\n
        [[ask]]\nsource = \"pdns.addr\"\n"
    );
    let plan = Plan::parse(&plan, "million").unwrap();
    let live = [Relation::ResolvesTo, Relation::NameServer];
    let sources = [
        source("dns.name", Class::Dns, Kind::DomainName, &live, &["A", "AAAA", "NS", "MX"]),
        source("dns.addr", Class::Dns, Kind::Ipv4Addr, &[Relation::ReverseName], &[]),
        source("pdns.addr", Class::Http, Kind::Ipv4Addr, &[Relation::HostedName], &[]),
    ];
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
        seeds: vec![World::address(7)],
        policy,
        as_of: 1_700_000_000,
        since: None,
        until: None,
        salt: 1,
    };
    let budgets = plan.budgets;
    Rules::new(spec, plan, budgets, &sources, Arc::new(Packs::builtin().clone()))
}

/// Resident memory in octets.
fn resident() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn main() {
    let nodes: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let world = World { names: nodes };
    let rules = rules(nodes + nodes / 2);
    let before = resident();
    let (start, mut inside) = (Instant::now(), Duration::ZERO);
    let (mut now, mut actions, mut lookups) = (0, Vec::new(), 0u64);
    let mut job = Job::start(now, rules, Settings::default(), &mut actions);
    let mut batches: VecDeque<_> = VecDeque::new();
    let mut done = false;
    while !done {
        for action in actions.drain(..) {
            match action {
                Action::Done => done = true,
                Action::Ask(batch) => batches.push_back(batch),
            }
        }
        let Some(batch) = batches.pop_front() else {
            let Some(at) = job.next_wake() else { break };
            now = at;
            job.on_event(now, Event::Tick, &mut actions);
            continue;
        };
        for (lookup, questions) in batch.lookups {
            lookups += 1;
            let (ask, key) = job.describe(lookup);
            let answer = world.answer(&job.rules().asks[usize::from(ask)].source.name, &key, questions);
            let entered = Instant::now();
            job.on_event(now, Event::Result { lookup, part: Part::WHOLE, answer }, &mut actions);
            inside += entered.elapsed();
        }
    }
    let elapsed = start.elapsed();
    let (heap, grown) = (job.heap_bytes() as u64, resident().saturating_sub(before));
    let unused = job.unused();
    let tree = Tree::of(job);
    let writing = Instant::now();
    let written = tree.write_ndjson(&mut std::io::sink(), None).unwrap();
    let n = u64::from(tree.len()).max(1);
    // From here on the highest that memory gets is that of the ranking.
    let forgotten = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let (ranking, before) = (Instant::now(), resident());
    let candidates = rank(&tree).len();
    let (ranking, highest) = (ranking.elapsed(), status("VmHWM:").saturating_sub(before) / n);
    println!("nodes             {n}");
    println!("pairs             {} ({:.1} a node)", written.edges, written.edges as f64 / n as f64);
    println!("lookups           {lookups} ({unused} asked ahead for nothing)");
    println!("elapsed           {elapsed:.2?}, of it in the core {inside:.2?}");
    println!("core              {:.2} us a lookup", inside.as_secs_f64() * 1e6 / lookups as f64);
    println!("heap_bytes        {} octets a node", heap / n);
    println!("resident          {} octets a node", grown / n);
    println!("written           in {:.2?}, sha256 {}", writing.elapsed(), written.hex());
    let highest = if forgotten { format!("{highest} octets a node") } else { "memory not known".into() };
    println!("ranked            in {ranking:.2?}, {highest}, {candidates} candidates");
}
