//! What is asked again of a job that has ended, and what is not.

use std::collections::BTreeSet;

use kudzu_coordinator::cluster::record::{About, Record};
use kudzu_coordinator::cluster::shelf::{Claim, EndState, Ended};
use kudzu_shared::job::JobId;
use kudzu_shared::outcome::{End, Verdict};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::common::answer::Asked;
use crate::common::case::Case;
use crate::common::world::name;
use crate::rig::{Rig, json, request_in, rig_in};

/// A world in which some lookups fail for good, and some in their first round only.
const WORLD: u64 = 1;
const SOURCE: &str = "dns.name";
const TYPES: [&str; 4] = ["A", "AAAA", "NS", "MX"];
const ROUNDS: std::ops::RangeInclusive<u8> = 0..=2;

/// Everything in the world is a seed, so that there is much to ask.
fn request(case: &Case) -> Value {
    let names = case.world.names.iter().map(ToString::to_string).filter(|name| name.contains('.'));
    let mut request = request_in(case);
    request["seeds"] = names.collect();
    request["plan_text"] = format!("[[ask]]\nsource = {SOURCE:?}\ntypes = {TYPES:?}\n").into();
    request
}

/// How the lookups of a job end in a world.
struct Ends(Case);

impl Ends {
    fn verdicts(&self, key: &str, round: u8) -> Vec<Verdict> {
        let (key, types) = (name(key), TYPES.map(String::from));
        let asked = Asked { source: SOURCE, types: &types, limit: 1_000 };
        let answer = self.0.world.answer(asked, &key, (1 << types.len()) - 1, round);
        answer.questions.iter().map(|q| q.verdict).collect()
    }

    fn fails(&self, key: &str) -> bool {
        let stands = |v: Verdict| matches!(v.end(), End::Found | End::Empty);
        let rounds: Vec<Vec<Verdict>> = ROUNDS.map(|round| self.verdicts(key, round)).collect();
        (0..TYPES.len()).any(|question| !rounds.iter().any(|verdicts| stands(verdicts[question])))
    }

    fn is_mended(&self, key: &str) -> bool {
        !self.fails(key) && self.verdicts(key, 0).iter().any(|v| v.is_transient())
    }
}

/// What workers were asked for a job.
fn asked(rig: &Rig, id: &str) -> BTreeSet<String> {
    let trace = rig.sim.trace.lock().unwrap();
    let words = trace.iter().map(|(_, line)| line.split(' ').collect::<Vec<_>>());
    words.filter(|w| w[0] == id).map(|w| w[2].to_owned()).collect()
}

/// What a tree demanded a lookup of.
async fn demanded(rig: &Rig, id: &str) -> BTreeSet<String> {
    let answer = rig.call("red", Method::GET, &format!("/v1/jobs/{id}/tree")).send().await.unwrap();
    let lines = answer.text().await.unwrap();
    let rows = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    rows.filter(|r| r["lookups"].is_object()).map(|r| r["value"].as_str().unwrap().to_owned()).collect()
}

async fn replay(rig: &Rig, id: &str) -> Value {
    let answer = rig.call("red", Method::POST, &format!("/v1/jobs/{id}/replay")).send().await.unwrap();
    let job = json(answer, StatusCode::ACCEPTED).await;
    assert_eq!(job["replay_of"], id);
    rig.ended("red", job["id"].as_str().unwrap()).await
}

/// Those that failed are asked again, and none that stands, in whichever round it came to that.
async fn asks_again_what_failed(rig: &Rig, ends: &Ends, first: &str, again: &str) {
    let (before, after) = (asked(rig, first), asked(rig, again));
    assert!(before.iter().any(|key| ends.is_mended(key)), "the world is too kind: {before:?}");
    let known: Vec<&String> = after.iter().filter(|key| before.contains(*key) && !ends.fails(key)).collect();
    assert!(known.is_empty(), "asked though it is known: {known:?}");
    let demanded = demanded(rig, first).await;
    let failed: BTreeSet<&String> = demanded.iter().filter(|key| ends.fails(key)).collect();
    assert!(!failed.is_empty() && failed.len() < demanded.len(), "{} of {}", failed.len(), demanded.len());
    let left: Vec<_> = failed.into_iter().filter(|key| !after.contains(*key)).collect();
    assert!(left.is_empty(), "not asked again: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_asks_again_what_failed_and_nothing_else() {
    let ends = Ends(Case::within(WORLD, WORLD));
    let rig = rig_in(&ends.0).await;
    let submitted = rig.post("red", request(&ends.0)).send().await.unwrap();
    let id = json(submitted, StatusCode::ACCEPTED).await["id"].as_str().unwrap().to_owned();
    let job = rig.ended("red", &id).await;
    let again = replay(&rig, &id).await;
    assert_eq!(again["result"]["sha256"], job["result"]["sha256"], "the world has not changed");
    asks_again_what_failed(&rig, &ends, &id, again["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_job_is_replayed_from_what_it_had_learned() {
    let ends = Ends(Case::within(WORLD, WORLD));
    let rig = rig_in(&ends.0).await;
    let submitted = rig.post("red", request(&ends.0)).send().await.unwrap();
    let id = json(submitted, StatusCode::ACCEPTED).await["id"].as_str().unwrap().to_owned();
    let job = rig.ended("red", &id).await;

    // The same job, as one that has learned as much, and then killed whoever took it.
    let (shelf, first, dead) = (rig.cluster.shelf(), id.parse::<JobId>().unwrap(), JobId(0xdead));
    let (mut spec, plan, budgets) = shelf.record(first).await.unwrap().unwrap().job().unwrap();
    spec.id = dead;
    shelf.create_record(dead, &Record::new(&spec, &plan, &budgets, About::default())).await.unwrap();
    let claim = Claim { owner: "a".into(), address: None, claimed_ms: 1, nonce: 1, segments: 0, stalled: 0 };
    shelf.claim(dead, 1, &claim).await.unwrap();
    let segments = shelf.segments(first).await.unwrap();
    assert!(!segments.is_empty());
    for (n, path) in (0..).zip(&segments) {
        shelf.append(dead, 1, n, &shelf.segment(path).await.unwrap().unwrap()).await.unwrap();
    }
    let call = rig.call("red", Method::POST, &format!("/v1/jobs/{dead}/replay"));
    json(call.send().await.unwrap(), StatusCode::CONFLICT).await;
    let reason = Some("it killed ten coordinators".to_owned());
    let end = Ended { epoch: 1, state: EndState::Dead, reason, ended_ms: 2, result: None };
    shelf.end(dead, &end).await.unwrap();
    let shown = rig.get(&format!("/v1/jobs/{dead}"), StatusCode::OK).await;
    assert_eq!(shown["state"], "dead");
    let none = rig.get(&format!("/v1/jobs/{dead}/tree"), StatusCode::NOT_FOUND).await;
    assert!(none["detail"].as_str().unwrap().contains("ten coordinators"), "{none}");

    let again = replay(&rig, &dead.to_string()).await;
    assert_eq!(again["state"], "complete");
    assert_eq!(again["result"]["sha256"], job["result"]["sha256"]);
    asks_again_what_failed(&rig, &ends, &id, again["id"].as_str().unwrap()).await;
}
