//! Documents of the archive, kept for ever: a later program must read them where they lie.

use std::path::PathBuf;
use std::sync::Arc;

use kudzu_coordinator::cluster::record::{About, Record};
use kudzu_coordinator::cluster::shelf::{Claim, EndState, Ended, ResultRecord, Shelf};
use kudzu_coordinator::plan::Plan;
use kudzu_shared::archive::sealed::{create_sealed, get_sealed};
use kudzu_shared::archive::{Archive, Put, Store};
use kudzu_shared::job::{Budgets, JobId, JobKind, JobSpec, Policy};
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::Observable;
use serde_json::{Value, json};

const JOB: JobId = JobId(0x0192_0000_0000_7000_8000_0000_0000_0001);
const DEAD: JobId = JobId(0x0192_0000_0000_7000_8000_0000_0000_0002);
const PLAN: &str = r#"
hub = 50
[budgets]
depth = 2
nodes = 500
[[ask]]
source = "dns.name"
types = ["A", "CAA"]
depth = [0, 1]
[[ask]]
source = "rdap.domain"
kinds = ["domain-name"]
when = "registrable"
per_level = 10
questions = 100
"#;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn record() -> Record {
    let list = |texts: &[&str]| texts.iter().map(|t| Observable::parse(t).unwrap()).collect::<Vec<_>>();
    let spec = JobSpec {
        id: JOB,
        tenant: "tenant-a".into(),
        kind: JobKind::Pivot,
        seeds: list(&["evil.example", "192.0.2.1", "2001:db8::1", "AS64496", "https://a.example/x?<y>"]),
        policy: Policy {
            tlp: Tlp::AmberStrict,
            pap: Pap::Green,
            scope: list(&["192.0.2.0/24"]),
            exclude: list(&["bank.example"]),
            own_assets: list(&["abuse@own.example"]),
            allow_private: true,
        },
        as_of: 1_764_000_000,
        since: Some(-1),
        until: None,
        salt: u64::MAX,
    };
    let budgets = Budgets { depth: 2, nodes: 500, fan_out: 7, questions: Some(1_000), deadline_ms: None };
    let about = About {
        label: Some("case 7 \u{e9}".into()),
        by: "token-a".into(),
        submitted_ms: 1_764_000_000_123,
        replay_of: Some(DEAD),
        request: "ab".repeat(32),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    };
    let plan = Plan::parse(PLAN, "golden").unwrap();
    // The program that wrote it, which is not always this one.
    Record { engine: "0.1.0".into(), ..Record::new(&spec, &plan, &budgets, about) }
}

fn claim() -> Claim {
    Claim {
        owner: "coordinator-1".into(),
        address: Some("http://192.0.2.7:8080".into()),
        claimed_ms: 1_764_000_000_456,
        nonce: u64::MAX,
        segments: 12,
        stalled: 3,
    }
}

fn end() -> Ended {
    let result = ResultRecord {
        sha256: "cd".repeat(32),
        nodes: 3,
        edges: 4,
        stubs: 5,
        pieces: 1,
        progress: json!({ "ended": 7 }),
        figures: json!({ "cached": 8 }),
        coverage: json!([{ "source": "dns.name", "lookups": 7 }]),
    };
    let reason = Some("deadline".into());
    Ended { epoch: 2, state: EndState::Partial, reason, ended_ms: 1_764_000_001_000, result: Some(result) }
}

fn dead() -> Ended {
    let reason = Some("it cannot be run".into());
    Ended { epoch: 0, state: EndState::Dead, reason, ended_ms: 1_764_000_001_000, result: None }
}

/// The documents by the names of their files, and where each lies.
fn places() -> [(&'static str, String); 4] {
    [
        ("record-1.json", format!("jobs/{JOB}/record")),
        ("claim-1.json", format!("jobs/{JOB}/epoch/000002")),
        ("end-1.json", format!("jobs/{JOB}/end")),
        ("dead-1.json", format!("jobs/{DEAD}/end")),
    ]
}

async fn written() -> Vec<(&'static str, Vec<u8>)> {
    let archive = Arc::new(Store::memory());
    let shelf = Shelf::new(Arc::clone(&archive) as Arc<dyn Archive>);
    assert_eq!(shelf.create_record(JOB, &record()).await.unwrap(), Put::Created);
    assert_eq!(shelf.claim(JOB, 2, &claim()).await.unwrap(), Put::Created);
    shelf.end(JOB, &end()).await.unwrap();
    shelf.end(DEAD, &dead()).await.unwrap();
    let mut all = Vec::new();
    for (name, path) in places() {
        let body = get_sealed(&*archive, &path).await.unwrap();
        all.push((name, body.unwrap_or_else(|| panic!("nothing at {path}")).to_vec()));
    }
    all
}

/// Run by hand, once a form: `cargo test -p kudzu-coordinator --test durable -- --ignored write_golden`.
#[tokio::test]
#[ignore = "writes the golden files"]
async fn write_golden() {
    for (name, body) in written().await {
        if !file(name).exists() {
            std::fs::write(file(name), body).unwrap(); // Others are kept.
        }
    }
}

#[tokio::test]
async fn what_is_written_is_the_golden_file() {
    for (name, body) in written().await {
        let golden = std::fs::read(file(name)).unwrap();
        assert!(body == golden, "{name} is written otherwise: {}", String::from_utf8_lossy(&body));
    }
}

/// As they are, and as a later version writes them, with fields that are not known here.
#[tokio::test]
async fn golden_files_are_read() {
    for grown in [false, true] {
        let archive = Store::memory();
        for (name, path) in places() {
            let mut body: Value = serde_json::from_slice(&std::fs::read(file(name)).unwrap()).unwrap();
            if grown {
                body["later"] = json!({ "than": "this" });
            }
            create_sealed(&archive, &path, body.to_string().as_bytes()).await.unwrap();
        }
        let shelf = Shelf::new(Arc::new(archive));
        let read = shelf.record(JOB).await.unwrap().unwrap();
        assert_eq!(*read, record());
        let (spec, plan, _) = read.job().unwrap();
        assert_eq!((spec.id, spec.salt, plan.asks.len()), (JOB, u64::MAX, 2));
        assert_eq!(read.replays(), Some(DEAD));
        assert_eq!(shelf.claimed(JOB, 2).await.unwrap(), Some(claim()));
        assert_eq!(shelf.last_epoch(JOB).await.unwrap(), 2);
        assert_eq!(shelf.ended(JOB).await.unwrap(), Some(end()));
        assert_eq!(shelf.ended(DEAD).await.unwrap(), Some(dead()));
    }
}
