//! A lookup that kills its worker, with real processes and a real broker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kudzu_servers::RabbitMq;
use kudzu_shared::broker::rabbit::Rabbit;
use kudzu_shared::broker::{Broker as _, Durability};
use kudzu_shared::job::JobId;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::wire::{Ask, Results, Task, TaskLookup};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;

const TASKS: &str = "kudzu.tasks.local";
const REPLIES: &str = "kudzu.replies.test";
const PATIENCE: Duration = Duration::from_secs(60);
/// What a child says when it is ready: one octet follows, and it is a 2.
const READY: [u8; 5] = [1, 0, 0, 0, 2];

fn kudzu(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kudzu"));
    // Settings of whoever runs the tests must not reach it.
    command.env_clear().env("HOME", folder).current_dir(folder);
    command
}

fn child(folder: &Path, parent: u32) -> Child {
    let mut command = kudzu(folder);
    command.args(["worker-child", "--class", "local", "--parent", &parent.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap()).unwrap()
}

#[test]
fn a_child_serves_until_its_worker_has_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut ready = [0; READY.len()];
    let mut served = child(folder.path(), std::process::id());
    served.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(ready, READY);
    drop(served.stdin.take());
    assert_eq!(served.wait().unwrap().code(), Some(0));
    // Whoever ends it is seen: it does not answer signals by an exit of its own.
    let mut killed = child(folder.path(), std::process::id());
    killed.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    kill_process(pid(&killed), Signal::TERM).unwrap();
    assert_eq!(killed.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    // Its worker is not the process that started it: it was too late.
    let mut late = child(folder.path(), 1);
    assert_eq!(late.wait().unwrap().code(), Some(1));
    let mut noise = child(folder.path(), std::process::id());
    noise.stdin.take().unwrap().write_all(b"hello, world").unwrap();
    assert_eq!(noise.wait().unwrap().code(), Some(1));
}

/// The poison is one lookup; every 25th other one is slow.
fn task(range: Range<u32>, poison: u32) -> Task {
    let key = |i| match i {
        i if i == poison => "poison.example.com".to_owned(),
        i if i % 25 == 0 => format!("slow.h{i}.example.com"),
        i => format!("h{i}.example.com"),
    };
    let lookup = |i| TaskLookup { seq: i, ask: 0, questions: 1, key: Observable::parse(&key(i)).unwrap() };
    Task {
        job: JobId(7),
        epoch: 1,
        reply_to: REPLIES.into(),
        tenant: "t".into(),
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        deadline_ms: None,
        trace: None,
        looked_ms: None,
        asks: vec![Ask { source: "test.poison".into(), types: vec![], limit: 1 }],
        lookups: range.map(lookup).collect(),
    }
}

fn worker(folder: &Path, server: &RabbitMq) -> Child {
    let mut command = kudzu(folder);
    command.args(["worker", "--classes", "local", "-v"]).env("KUDZU_BROKER__URL", server.uri());
    command.env("PATH", "/nowhere").stdin(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
async fn a_poison_kills_one_worker_and_then_children() {
    let server = RabbitMq::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broker = Rabbit::new(&SecretString::from(server.uri()), "test").unwrap();
    broker.declare(TASKS, Durability::Durable).await.unwrap();
    broker.declare(REPLIES, Durability::Exclusive).await.unwrap();
    let mut replies = broker.consume(REPLIES, 64).await.unwrap();
    let worker = || worker(folder.path(), &server);
    broker.publish(TASKS, task(0..100, 33).encode().unwrap()).await.unwrap();
    let mut first = worker();
    let begin = Instant::now();
    while first.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(first.wait().unwrap().signal(), Some(Signal::ABORT.as_raw()));
    let mut second = worker();
    let mut verdicts: HashMap<u32, Verdict> = HashMap::new();
    while verdicts.len() < 100 {
        let reply = tokio::time::timeout(PATIENCE, replies.next()).await.unwrap().unwrap();
        for result in Results::decode(&reply.body).unwrap().results {
            verdicts.insert(result.seq, result.answer.questions[0].verdict);
        }
        reply.settle.ack();
    }
    let dead: Vec<u32> = (0..100).filter(|seq| verdicts[seq] == Verdict::Poison).collect();
    assert_eq!(dead, [33]);
    assert_eq!(verdicts.values().filter(|v| **v == Verdict::NoData).count(), 99);
    assert!(second.try_wait().unwrap().is_none(), "it lives");
    kill_process(pid(&second), Signal::TERM).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(0));
}

/// Of ten thousand lookups exactly the poison is dead, whoever else dies meanwhile.
#[tokio::test]
async fn workers_killed_from_outside_cost_their_tasks_nothing() {
    const ALL: u32 = 10_000;
    const POISON: u32 = 5_033;
    const KILLS: u32 = 25;
    let server = RabbitMq::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broker = Rabbit::new(&SecretString::from(server.uri()), "test").unwrap();
    broker.declare(TASKS, Durability::Durable).await.unwrap();
    broker.declare(REPLIES, Durability::Exclusive).await.unwrap();
    let mut replies = broker.consume(REPLIES, 64).await.unwrap();
    for start in (0..ALL).step_by(250) {
        broker.publish(TASKS, task(start..start + 250, POISON).encode().unwrap()).await.unwrap();
    }
    let mut workers: Vec<Child> = (0..3).map(|_| worker(folder.path(), &server)).collect();
    let (mut kills, mut aborts) = (0, 0);
    let mut verdicts: HashMap<u32, Verdict> = HashMap::new();
    let mut turn = tokio::time::interval(Duration::from_millis(200));
    let begin = Instant::now();
    while verdicts.len() < ALL as usize {
        assert!(begin.elapsed() < 3 * PATIENCE, "{} of {ALL} after {kills} kills", verdicts.len());
        tokio::select! {
            reply = replies.next() => {
                let reply = reply.unwrap();
                for result in Results::decode(&reply.body).unwrap().results {
                    verdicts.entry(result.seq).or_insert(result.answer.questions[0].verdict);
                }
                reply.settle.ack();
            }
            _ = turn.tick() => {
                for child in &mut workers {
                    if let Some(status) = child.try_wait().unwrap() {
                        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
                        aborts += 1;
                        *child = worker(folder.path(), &server);
                    }
                }
                if kills < KILLS {
                    let at = kills as usize % workers.len();
                    kill_process(pid(&workers[at]), Signal::KILL).unwrap();
                    // It may have died of the poison just before.
                    aborts += u32::from(workers[at].wait().unwrap().signal() == Some(Signal::ABORT.as_raw()));
                    workers[at] = worker(folder.path(), &server);
                    kills += 1;
                }
            }
        }
    }
    let dead: Vec<u32> = (0..ALL).filter(|seq| verdicts[seq] != Verdict::NoData).collect();
    assert_eq!((dead, verdicts[&POISON]), (vec![POISON], Verdict::Poison));
    assert!(aborts <= 1, "{aborts} workers died of it");
    assert!(kills >= KILLS / 2, "{kills} kills only");
    for child in &mut workers {
        kill_process(pid(child), Signal::TERM).unwrap();
        child.wait().unwrap();
    }
}
