//! Bytes of every version, kept for ever: a later program must read them, and writes the newest.

use std::path::PathBuf;

use kudzu_shared::cache;
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::Relation;
use kudzu_shared::wire::{Backlog, Due, Over, Results, StoredAnswer, Task};

use crate::samples;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn settled() -> StoredAnswer {
    StoredAnswer { settled: true, ..samples::stored() }
}

fn messages() -> [(&'static str, Vec<u8>); 6] {
    [
        ("task-1.2.bin", samples::task().encode().unwrap().into()),
        ("results-1.2.bin", samples::results().encode().unwrap().into()),
        ("due-1.2.bin", samples::due().encode().unwrap().into()),
        ("over-1.2.bin", samples::over().encode().unwrap().into()),
        ("backlog-1.2.bin", samples::backlog().encode().unwrap().into()),
        ("cache-entry-1.2.bin", cache::entry::encode(&settled()).unwrap().into()),
    ]
}

/// Run by hand, once a version: `cargo test -p kudzu-shared --test wire -- --ignored write_golden`.
#[test]
#[ignore = "writes the golden files"]
fn write_golden() {
    for (name, message) in messages() {
        if path(name).exists() {
            continue; // It is kept: raise the version instead.
        }
        std::fs::write(path(name), message).unwrap();
    }
}

#[test]
fn what_is_written_is_the_golden_file() {
    for (name, message) in messages() {
        assert!(message == std::fs::read(path(name)).unwrap(), "{name} is written otherwise");
    }
}

/// The order of variants is not part of the format; their numbers are.
#[test]
fn enumerations_travel_by_their_numbers() {
    let message = StoredAnswer { answer: samples::full_answer(), ..samples::stored() }.encode().unwrap();
    let records = crate::records(&message);
    let questions = &records[1..];
    for (record, verdict) in questions.iter().zip(Verdict::ALL) {
        assert_eq!(record[1], verdict as u8, "{verdict}");
    }
    let pairs = &records[1 + Verdict::ALL.len()..];
    for ((record, relation), kind) in pairs.iter().zip(Relation::ALL).zip(samples::kinds().iter().cycle()) {
        let wire = kind.wire().len();
        assert_eq!(record[0], kind.kind() as u8, "{}", kind.kind());
        assert_eq!(usize::from(record[1]), wire);
        assert_eq!(record[2 + wire], relation as u8, "{relation}");
    }
}

#[test]
fn golden_files_are_read() {
    let read = |name| std::fs::read(path(name)).unwrap();
    assert_eq!(Task::decode(&read("task-1.2.bin")).unwrap(), samples::task());
    assert_eq!(Results::decode(&read("results-1.2.bin")).unwrap(), samples::results());
    assert_eq!(Due::decode(&read("due-1.2.bin")).unwrap(), samples::due());
    assert_eq!(Over::decode(&read("over-1.2.bin")).unwrap(), samples::over());
    assert_eq!(Backlog::decode(&read("backlog-1.2.bin")).unwrap(), samples::backlog());
    assert_eq!(StoredAnswer::decode(&read("cache-entry-1.2.bin")).unwrap(), settled());
    // What 1.2 appended is absent in 1.1.
    let task = Task { looked_ms: None, ..samples::task() };
    assert_eq!(Task::decode(&read("task-1.1.bin")).unwrap(), task);
    assert_eq!(Results::decode(&read("results-1.1.bin")).unwrap(), samples::results());
    assert_eq!(Due::decode(&read("due-1.1.bin")).unwrap(), samples::due());
    assert_eq!(Over::decode(&read("over-1.1.bin")).unwrap(), samples::over());
    assert_eq!(StoredAnswer::decode(&read("cache-entry-1.1.bin")).unwrap(), samples::stored());
    // What 1.1 appended is absent in 1.0.
    let task = Task { trace: None, ..task };
    assert_eq!(Task::decode(&read("task-1.0.bin")).unwrap(), task);
    assert_eq!(Results::decode(&read("results-1.0.bin")).unwrap(), samples::results());
    let over = Over { epoch: u32::MAX, ..samples::over() };
    assert_eq!(Over::decode(&read("over-1.0.bin")).unwrap(), over);
    assert_eq!(StoredAnswer::decode(&read("cache-entry-1.0.bin")).unwrap(), samples::stored());
    assert_eq!(cache::entry::decode(&read("cache-entry-1.1.bin")).unwrap(), samples::stored());
}
