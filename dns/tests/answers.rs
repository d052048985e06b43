//! Answers from a corpus, and what chance makes of them: every one is read or refused, and
//! none says that it found what it does not have.
//!
//! A file has a line of what it is, the verdict, and the message in hex.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use kudzu_dns::{Question, RecordType, Reply, Verdict, chain, name};
use proptest::collection::vec;
use proptest::prelude::*;

struct Answer {
    file: String,
    verdict: String,
    message: Vec<u8>,
}

fn corpus() -> Vec<Answer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (notes, hex): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with('#'));
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        Answer {
            file: path.file_name().unwrap().to_string_lossy().into_owned(),
            verdict: notes[1].trim_start_matches("# ").to_owned(),
            message: hex.concat().as_bytes().chunks(2).map(octet).collect(),
        }
    };
    std::fs::read_dir(folder).unwrap().map(read).collect()
}

fn question() -> Question {
    Question { token: 9, name: b"\x03www\x07example\x03com\0".as_slice().into(), qtype: RecordType::A }
}

/// What holds for every reply, whatever the message.
fn sound(message: &[u8]) -> Option<Verdict> {
    let question = question();
    let reply = Reply::from_message(&question, message)?;
    assert_eq!(reply.token, 9);
    // A record takes eleven octets at least.
    assert!(reply.records.len() <= message.len() / 11);
    assert!(reply.records.iter().all(|r| name::is_valid(&r.name)));
    if matches!(reply.verdict, Verdict::Found | Verdict::NoData | Verdict::NxDomain) {
        let announced = u16::from_be_bytes([message[6], message[7]]);
        let read = reply.records.len() + usize::from(reply.foreign);
        assert_eq!(read, usize::from(announced), "not all of the answer section");
    }
    let chain = chain(&question.name, question.qtype, &reply.records);
    match reply.verdict {
        Verdict::Found => assert!(!chain.found.is_empty()),
        Verdict::NoData | Verdict::NxDomain => assert!(chain.found.is_empty()),
        Verdict::Loop => assert!(chain.is_loop),
        Verdict::Limit => assert!(chain.is_cut),
        _ => {}
    }
    Some(reply.verdict)
}

#[test]
fn every_answer_has_its_verdict() {
    let all = corpus();
    assert!(all.len() > 40);
    for Answer { file, verdict, message } in all {
        let found = sound(&message).map_or("none".to_owned(), |v| format!("{v:?}"));
        assert_eq!(found, verdict, "{file}");
    }
}

#[test]
fn every_part_of_an_answer_is_borne() {
    for Answer { message, .. } in corpus() {
        for end in 0..message.len() {
            let _ = sound(&message[..end]);
        }
    }
}

/// 65,535 octets of records whose owners take as many pointers as are followed.
#[test]
fn the_slowest_message_is_read_in_time() {
    let mut m = vec![0, 1, 0x81, 0x80, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
    m.extend(&question().name[..]);
    m.extend([0, 1, 0, 1]);
    // One record of raw data holds the ladder: a label and a pointer to the rung before.
    let data = m.len() + 12;
    m.extend([0xc0, 12, 0xff, 0, 0, 1, 0, 0, 0, 9]);
    let mut ladder = Vec::new();
    let mut before = 12;
    for _ in 0..115 {
        let here = data + ladder.len();
        ladder.extend([1, b'a']);
        ladder.extend((0xc000 | before as u16).to_be_bytes());
        before = here;
    }
    m.extend((ladder.len() as u16).to_be_bytes());
    m.extend(&ladder);
    while m.len() + 16 <= 65_535 {
        m.extend((0xc000 | before as u16).to_be_bytes());
        m.extend([0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
    }
    let begin = Instant::now();
    assert_eq!(sound(&m), Some(Verdict::Malformed));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

proptest! {
    #[test]
    fn damaged_answers_are_borne(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        splice in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        thread_local!(static CORPUS: Vec<Answer> = corpus());
        CORPUS.with(|all| for answer in all {
            let mut m = answer.message.clone();
            for (at, octet) in &changes {
                let at = at.index(m.len());
                m[at] = *octet;
            }
            if let Some((other, at)) = splice {
                let other = &other.get(all).message;
                m.extend_from_slice(&other[at.index(other.len())..]);
            }
            if let Some(cut) = cut {
                m.truncate(cut.index(m.len() + 1));
            }
            let _ = sound(&m);
        });
    }
}
