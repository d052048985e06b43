//! `T` against its second implementation, in the plainest order.
//! Replay a world with `KUDZU_TEST_SEED=17`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod common;

use std::collections::BTreeMap;

use common::case::{Case, Memo};
use common::driver::{self, Order};
use common::reference::Reference;
use common::{compare, worlds};
use kudzu_coordinator::core::job::Settings;
use serde_json::Value;

const COUNT: u64 = 3_000;

/// Everything that a tree can say, so that no world generator goes tame unseen.
const SAID: [&str; 31] = [
    "stub hub",
    "stub fan-out",
    "stub nodes",
    "stub wildcard",
    "stub later",
    "stub limit",
    "stub depth",
    "node own-asset",
    "node excluded",
    "node special-purpose",
    "node cdn",
    "node shared-hosting",
    "node mail-provider",
    "node dynamic-dns",
    "node hub",
    "node hub /64",
    "node wildcard",
    "found",
    "empty",
    "failed",
    "throttled",
    "skipped",
    "dead",
    "scope",
    "budget",
    "policy",
    "unconfigured",
    "breaker",
    "loop",
    "nxdomain",
    "nodata",
];

#[test]
fn the_tree_is_what_the_words_say() {
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    let range = worlds(COUNT);
    for seed in range.clone() {
        let case = Case::new(seed);
        for rounds in [0, 2] {
            let reference = Reference::new(&case, rounds);
            let settings = Settings { rounds, ahead: rounds == 0, ..Settings::default() };
            let ran = driver::run(&reference, &Order::plain(settings), &mut Memo::new())
                .and_then(|ran| compare::check(&ran.tree, &reference));
            match ran {
                Ok(_) => reference.lines().iter().for_each(|l| count(l, &mut said)),
                Err(e) => panic!("{}={seed}, {rounds} rounds: {e}\n{}", common::SEED, case.plan.text),
            }
        }
    }
    println!("{said:#?}");
    if range.end - range.start == COUNT {
        let rare: Vec<_> = SAID.iter().filter(|s| said.get(**s).is_none_or(|n| *n < 5)).collect();
        assert!(rare.is_empty(), "hardly ever said: {rare:?}");
    }
}

fn count(line: &Value, said: &mut BTreeMap<String, u64>) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let kind = text(&line["type"]);
    let mut add = |what: String, n: u64| *said.entry(what).or_default() += n;
    match kind.as_str() {
        "node" => {
            let why = &line["suppressed"];
            let slash = if why["list"] == "/64" { " /64" } else { "" };
            add(format!("node {}{slash}", text(&why["reason"])), 1);
        }
        "stub" => add(format!("stub {}", text(&line["reason"])), 1),
        "coverage" => {
            for (word, n) in
                line["ends"].as_object().into_iter().chain(line["verdicts"].as_object()).flatten()
            {
                add(word.clone(), n.as_u64().unwrap_or(0));
            }
        }
        _ => add(kind, 1),
    }
}
