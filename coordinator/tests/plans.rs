//! Plans: what is read, and what is refused in words that help.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod common;

use common::case::catalogue;
use common::rng::Rng;
use kudzu_coordinator::plan::{MAX_ASKS, Plan, When};
use kudzu_shared::observable::Kind;
use kudzu_shared::pair::Relation;
use proptest::prelude::*;

fn refused(text: &str) -> String {
    Plan::parse(text, "mine.toml").unwrap_err().to_string()
}

fn unfit(text: &str) -> String {
    let plan = Plan::parse(text, "mine.toml").unwrap();
    plan.check(&catalogue(&mut Rng::new(1))).unwrap_err().to_string()
}

const ASK: &str = "[[ask]]\nsource = \"dns.name\"\n";

#[test]
fn the_built_in_plans_are_read() {
    for name in Plan::NAMES {
        let plan = Plan::builtin(name).unwrap();
        assert_eq!(plan.name, name);
        assert!(plan.asks.len() > 3 && plan.budgets.depth > 0);
        assert_eq!(plan.digest().len(), 64);
    }
    assert!(Plan::builtin("deeper").is_none());
}

#[test]
fn what_is_left_out_has_a_default() {
    let plan = Plan::parse(ASK, "x").unwrap();
    let ask = &plan.asks[0];
    assert_eq!((plan.name.as_str(), plan.hub, ask.depth, ask.when), ("x", 500, (0, u8::MAX), When::Always));
    assert_eq!(plan.budgets.deadline_ms, Some(600_000));
    assert_eq!(plan.hub_of(Relation::ResolvesTo), 500);
    let named = Plan::parse(&format!("name = \"y\"\n[hub_by_relation]\nregistrar = 5\n{ASK}"), "x").unwrap();
    assert_eq!((named.name.as_str(), named.hub_of(Relation::Registrar)), ("y", 5));
}

#[test]
fn broken_toml_is_refused_with_its_line() {
    let error = refused("name = \"x\"\nhub = 5\nhub = = 3\n");
    assert!(error.contains("mine.toml") && error.contains("line 3"), "{error}");
    let error = refused("hub = \"many\"\n");
    assert!(error.contains("line 1") && error.contains("hub"), "{error}");
    let error = refused(&format!("{ASK}tpyes = [\"A\"]\n"));
    assert!(error.contains("tpyes") && error.contains("line 3"), "{error}");
    let error = refused(&format!("{ASK}when = \"sometimes\"\n"));
    assert!(error.contains("sometimes") && error.contains("registrable"), "{error}");
}

#[test]
fn values_without_sense_are_refused() {
    let cases = [
        ("hub = 5\n", "[[ask]]"),
        (&format!("[budgets]\nnodes = 0\n{ASK}"), "nodes"),
        (&format!("[budgets]\nfan_out = 0\n{ASK}"), "fan_out"),
        (&format!("[budgets]\ndepth = 65\n{ASK}"), "depth"),
        (&format!("[hub_by_relation]\nresolves = 3\n{ASK}"), "no relation \"resolves\""),
        (&format!("{ASK}depth = [3, 1]\n"), "dns.name"),
        (&format!("{ASK}limit = 0\n"), "limit"),
        (&format!("{ASK}kinds = [\"domain\"]\n"), "no kind \"domain\""),
        (&ASK.repeat(MAX_ASKS + 1), "64"),
        (&format!("{ASK}types = {:?}\n", vec!["A"; 13]), "12 types"),
    ];
    for (text, word) in cases {
        let error = refused(text);
        assert!(error.contains("mine.toml") && error.contains(word), "{word}: {error}");
    }
}

#[test]
fn what_no_source_answers_is_refused() {
    let error = unfit("[[ask]]\nsource = \"dns.nmae\"\n");
    assert!(error.contains("\"dns.nmae\"") && error.contains("dns.name, dns.addr"), "{error}");
    let error = unfit(&format!("{ASK}types = [\"A\", \"AAAAA\"]\n"));
    assert!(error.contains("\"AAAAA\"") && error.contains("A, AAAA, NS"), "{error}");
    let error = unfit(&format!("{ASK}kinds = [\"ipv4-addr\"]\n"));
    assert!(error.contains("does not take ipv4-addr"), "{error}");
}

#[test]
fn sources_are_added_and_taken_away() {
    let sources = catalogue(&mut Rng::new(1));
    let mut plan = Plan::parse(&format!("{ASK}kinds = [\"domain-name\"]\n"), "x").unwrap();
    plan.add_sources(&sources);
    assert_eq!(plan.asks.len(), sources.len());
    assert_eq!(plan.asks[0].kinds, [Kind::DomainName]);
    plan.check(&sources).unwrap();
    plan.retain_sources(|s| s == "mine");
    assert_eq!(plan.asks.len(), 1);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]a-z_=\"0-9 \n.,{}-]{0,200}") {
        let _ = Plan::parse(&text, "x");
    }

    #[test]
    fn every_reading_is_within_its_limits(depth in 0u8..=64, nodes in 1u32.., fan_out in 1u32.., deadline in 0u64..u64::MAX / 2) {
        let text = format!(
            "[budgets]\ndepth = {depth}\nnodes = {nodes}\nfan_out = {fan_out}\ndeadline_s = {}\n{ASK}",
            deadline >> 1
        );
        let plan = Plan::parse(&text, "x").unwrap();
        prop_assert_eq!(plan.budgets.deadline_ms, Some((deadline >> 1).saturating_mul(1000)));
        prop_assert_eq!((plan.budgets.depth, plan.budgets.nodes, plan.budgets.fan_out), (depth, nodes, fan_out));
    }
}
