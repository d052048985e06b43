//! Events of a job as a listener hears them: from the start, after a pause, and anew.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use kudzu_coordinator::cluster::board::{Event, Posted, Running};
use kudzu_coordinator::cluster::record::{About, Record};
use kudzu_coordinator::cluster::shelf::{Claim, EndState, Ended};
use kudzu_coordinator::model::Progress;
use kudzu_shared::job::JobId;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::common::case::Case;
use crate::rig::{Rig, rig};

const SOON: Duration = Duration::from_secs(30);
const JOB: JobId = JobId(77);

/// A job that happens as the test says: nobody else runs it.
struct Stage<'a> {
    rig: &'a Rig,
    posted: Posted,
    noted: u64,
}

fn posted(rig: &Rig, epoch: u32) -> Posted {
    let (progress, prolong) = (watch::channel(Progress::default()).1, mpsc::channel(1).0);
    let lease = Arc::new(AtomicU32::new(epoch));
    let running = Running::new(epoch, lease, progress, CancellationToken::new(), prolong);
    rig.cluster.board().put(JOB, Arc::new(running))
}

async fn claim(rig: &Rig, epoch: u32) {
    claim_from(rig, epoch, None).await;
}

async fn claim_from(rig: &Rig, epoch: u32, address: Option<String>) {
    let claim = Claim { owner: "a".into(), address, claimed_ms: 1, nonce: 1, segments: 0, stalled: 0 };
    rig.cluster.shelf().claim(JOB, epoch, &claim).await.unwrap();
}

/// Nobody has taken it yet.
async fn queue(rig: &Rig) {
    let mut case = Case::within(1, 1);
    (case.spec.id, case.spec.tenant) = (JOB, "red".into());
    let record = Record::new(&case.spec, &case.plan, &case.budgets, About::default());
    rig.cluster.shelf().create_record(JOB, &record).await.unwrap();
}

impl<'a> Stage<'a> {
    async fn new(rig: &'a Rig, epoch: u32) -> Self {
        queue(rig).await;
        claim(rig, epoch).await;
        Self { rig, posted: posted(rig, epoch), noted: 0 }
    }

    fn happens(&mut self, times: u64) {
        for _ in 0..times {
            let progress = Progress { nodes: self.noted, ..Progress::default() };
            self.posted.running().note(Event::Progress(progress));
            self.noted += 1;
        }
    }

    /// Somebody else takes it over, who is here as well.
    async fn taken_over(&mut self, epoch: u32) {
        claim(self.rig, epoch).await;
        self.posted = posted(self.rig, epoch);
        self.noted = 0;
    }

    async fn ends(self) {
        let reason = Some("cancelled".into());
        let end = Ended { epoch: 1, state: EndState::Partial, reason, ended_ms: 2, result: None };
        self.rig.cluster.shelf().end(JOB, &end).await.unwrap();
        drop(self.posted);
    }
}

/// Who follows the job.
struct Listener {
    response: reqwest::Response,
    heard: String,
}

impl Listener {
    /// Comes with the last id that it saw, and is told of the job first.
    async fn new(rig: &Rig, last: Option<&str>) -> Self {
        Self::of(rig, last, "running").await
    }

    async fn of(rig: &Rig, last: Option<&str>, state: &str) -> Self {
        let call = rig.call("red", Method::GET, &format!("/v1/jobs/{JOB}/events"));
        let call = last.into_iter().fold(call, |call, last| call.header("last-event-id", last));
        let response = call.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut this = Self { response, heard: String::new() };
        this.hears_of_the_job(state).await;
        this
    }

    async fn hears_of_the_job(&mut self, state: &str) {
        let (kind, id, job) = self.next().await.unwrap();
        assert_eq!((kind.as_str(), id, &job["state"]), ("job", None, &state.into()));
    }

    /// The next event: its kind, id and data. None once the stream has ended.
    async fn next(&mut self) -> Option<(String, Option<String>, Value)> {
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.heard = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|l| Some(l.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
                };
                let Some(kind) = field("event") else { continue };
                return Some((kind, field("id"), serde_json::from_str(&field("data").unwrap()).unwrap()));
            }
            let more = tokio::time::timeout(SOON, self.response.chunk()).await.unwrap().unwrap()?;
            self.heard += std::str::from_utf8(&more).unwrap();
        }
    }

    /// Hears these ids next, each with what happened then.
    async fn hears(&mut self, epoch: u32, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let (kind, id, data) = self.next().await.unwrap();
            assert_eq!((kind.as_str(), id), ("progress", Some(format!("{epoch}:{number}"))));
            assert_eq!(data["nodes"], number);
        }
    }

    async fn hears_a_reset(&mut self, epoch: u32) {
        let (kind, id, data) = self.next().await.unwrap();
        assert_eq!((kind.as_str(), id, &data["epoch"]), ("reset", None, &epoch.into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_hears_what_came_after() {
    let rig = rig().await;
    let mut stage = Stage::new(&rig, 3).await;
    stage.happens(3);
    let mut first = Listener::new(&rig, None).await;
    first.hears(3, 0..3).await;
    drop(first);
    stage.happens(2);
    let mut second = Listener::new(&rig, Some("3:1")).await;
    second.hears(3, 2..5).await;
    // What is no id is none.
    let mut third = Listener::new(&rig, Some("3;1")).await;
    third.hears(3, 0..5).await;
    stage.happens(1);
    for listener in [&mut second, &mut third] {
        listener.hears(3, 5..6).await;
    }
    stage.ends().await;
    for mut listener in [second, third] {
        let (kind, _, job) = listener.next().await.unwrap();
        assert_eq!((kind.as_str(), &job["state"]), ("job", &"partial".into()));
        assert_eq!(listener.next().await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_is_gone_starts_anew() {
    let rig = rig().await;
    let mut stage = Stage::new(&rig, 3).await;
    stage.happens(2);
    // Of a take-over before this one: all of this one.
    let mut other = Listener::new(&rig, Some("2:1")).await;
    other.hears_a_reset(3).await;
    other.hears(3, 0..2).await;
    // Of what never happened: where it stands now.
    for odd in ["3:2000", "3:18446744073709551615"] {
        let mut listener = Listener::new(&rig, Some(odd)).await;
        listener.hears_a_reset(3).await;
        listener.hears(3, 1..2).await;
    }
    // Of what nobody keeps any more.
    stage.happens(1_000);
    let mut late = Listener::new(&rig, Some("3:1")).await;
    late.hears_a_reset(3).await;
    late.hears(3, 1_001..1_002).await;
    stage.happens(1);
    late.hears(3, 1_002..1_003).await;

    stage.taken_over(4).await;
    stage.happens(2);
    let (kind, _, job) = late.next().await.unwrap();
    assert_eq!((kind.as_str(), &job["epoch"]), ("job", &4.into()));
    late.hears_a_reset(4).await;
    late.hears(4, 0..2).await;
    stage.ends().await;
    assert_eq!(late.next().await.unwrap().2["state"], "partial");
    assert_eq!(late.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_job_hears_at_once_that_it_begins() {
    let rig = rig().await;
    queue(&rig).await;
    let mut listener = Listener::of(&rig, None, "queued").await;
    claim(&rig, 1).await;
    let mut stage = Stage { rig: &rig, posted: posted(&rig, 1), noted: 0 };
    stage.happens(1);
    // It may have been looked at between the claim and the start.
    let first = listener.next().await.unwrap();
    let first = if first.0 == "job" { listener.next().await.unwrap() } else { first };
    assert_eq!((first.0.as_str(), first.1.as_deref()), ("progress", Some("1:0")));
    stage.ends().await;
    assert_eq!(listener.next().await.unwrap().2["state"], "partial");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_job_that_begins_elsewhere_is_sent_there() {
    let rig = rig().await;
    queue(&rig).await;
    let mut listener = Listener::of(&rig, None, "queued").await;
    claim_from(&rig, 1, Some("http://elsewhere.example".into())).await;
    listener.hears_of_the_job("running").await;
    // Who comes back is passed on.
    assert_eq!(listener.next().await, None);
}
