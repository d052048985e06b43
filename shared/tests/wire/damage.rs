//! Damage is an error or a miss: never a panic, a wrong answer or a large allocation.

use kudzu_shared::cache;
use kudzu_shared::wire::{Backlog, Due, Error, MAX_MESSAGE, Over, Results, StoredAnswer, Task};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{rebuilt, records, samples, sealed};

/// One of each kind.
fn messages() -> [Vec<u8>; 6] {
    [
        samples::task().encode().unwrap().into(),
        samples::results().encode().unwrap().into(),
        samples::stored().encode().unwrap().into(),
        samples::over().encode().unwrap().into(),
        samples::due().encode().unwrap().into(),
        samples::backlog().encode().unwrap().into(),
    ]
}

/// What reads each of them, in the same order.
const READERS: [fn(&[u8]) -> bool; 6] = [
    |message| Task::decode(message).is_ok(),
    |message| Results::decode(message).is_ok(),
    |message| StoredAnswer::decode(message).is_ok(),
    |message| Over::decode(message).is_ok(),
    |message| Due::decode(message).is_ok(),
    |message| Backlog::decode(message).is_ok(),
];

/// Where a message says its kind.
const KIND: usize = 6;

fn decode_all(message: &[u8]) -> bool {
    // All of them, whatever the first one says.
    let read = READERS.map(|reads| reads(message));
    cache::entry::decode(message).is_some() | read.contains(&true)
}

#[test]
fn all_kinds_are_damaged_here() {
    assert_eq!(messages().map(|message| message[KIND]), [1, 2, 3, 4, 5, 6]);
    for (message, reads) in messages().iter().zip(READERS) {
        assert!(reads(message));
    }
}

#[test]
fn every_truncation_is_refused() {
    for message in messages() {
        for len in 0..message.len() {
            assert!(!decode_all(&message[..len]));
        }
        assert!(!decode_all(&[&message[..], b"\0"].concat()));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (message, reads) in messages().iter().zip(READERS) {
        for at in (0..message.len()).filter(|at| ![5, 7].contains(at)) {
            for bit in 0..8 {
                let mut bad = message.clone();
                bad[at] ^= 1 << bit;
                // The checksum is the body's. Of another kind, a message must not be read where
                // one of this kind is waited for.
                let read = if at == KIND { reads(&bad) } else { decode_all(&bad) };
                assert!(!read, "octet {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_message_over_the_limit_is_neither_written_nor_read() {
    let mut task = samples::task();
    task.tenant = "x".repeat(MAX_MESSAGE);
    assert!(matches!(task.encode(), Err(Error::TooLarge(_))));
    let mut long = samples::task().encode().unwrap().to_vec();
    long.resize(MAX_MESSAGE + 1, 0);
    assert!(matches!(Task::decode(&sealed(long)), Err(Error::TooLarge(_))));
}

/// Every octet made the start of a huge number in each of its forms: as a record's length,
/// and as a length or count within one.
#[test]
fn huge_counts_are_damage() {
    let counts: [&[u8]; 4] = [
        &[0xff; 4],
        b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xfd\0\0\0\0\0\x01\0\0",
        b"\xfc\xff\xff\xff\x7f",
    ];
    for message in messages() {
        // Every octet of the short ones; the long one repeats their records.
        let step = 1 + message.len() / 2500;
        for at in (16..message.len() - 9).step_by(step) {
            for count in counts {
                let mut bad = message.clone();
                bad[at..at + count.len()].copy_from_slice(count);
                // It may still be read where these octets were no count; it must end at once.
                decode_all(&sealed(bad));
            }
        }
    }
}

#[test]
fn more_sources_or_classes_than_there_can_be_are_damage() {
    let read = |sources: usize, classes: usize| {
        let Backlog { from, waiting, flows } = samples::backlog();
        let (waiting, flows) = (vec![waiting[0].clone(); sources], vec![flows[0].clone(); classes]);
        Backlog::decode(&Backlog { from, waiting, flows }.encode().unwrap())
    };
    assert!(read(Backlog::SOURCES, 64).is_ok());
    assert!(matches!(read(Backlog::SOURCES + 1, 64), Err(Error::Damaged("count"))));
    assert!(matches!(read(Backlog::SOURCES, 65), Err(Error::Damaged("count"))));
}

/// A sealed message with one octet of a record exchanged.
fn edited(record: impl Fn(&[u8]) -> bool, at: impl Fn(usize) -> usize, octet: u8) -> Vec<u8> {
    let message = samples::stored().encode().unwrap();
    let mut records = records(&message);
    let edit = records.iter_mut().skip(1).find(|r| record(r)).unwrap();
    let at = at(edit.len());
    edit[at] = octet;
    rebuilt(&message, &records)
}

#[test]
fn a_number_from_a_newer_program_is_told_apart_from_damage() {
    // index, verdict, tries, rtt_us, upstream: the verdict's number is the second octet.
    let first_question = edited(|_| true, |_| 1, 200);
    let failed = StoredAnswer::decode(&first_question).unwrap_err();
    assert!(matches!(failed, Error::Unknown { what: "verdict", number: 200 }), "{failed:?}");
    // ..., marking, personal: the marking is the last but one octet of a pair.
    let first_pair = edited(|r| r.len() > 20, |len| len - 2, 77);
    let failed = StoredAnswer::decode(&first_pair).unwrap_err();
    assert!(matches!(failed, Error::Unknown { what: "TLP", number: 77 }), "{failed:?}");
}

#[test]
fn an_observable_that_cannot_be_is_damage() {
    let message = samples::task().encode().unwrap();
    let mut records = records(&message);
    let lookup = records.iter_mut().find(|r| r.ends_with(&[2, 4, 192, 0, 2, 1])).unwrap();
    let kind = lookup.len() - 6;
    lookup[kind] = 3;
    let failed = Task::decode(&rebuilt(&message, &records)).unwrap_err();
    assert!(matches!(failed, Error::Damaged("observable")), "{failed:?}");
}

#[test]
fn an_index_to_nowhere_is_damage() {
    let mut results = samples::results();
    results.upstreams.pop();
    assert!(matches!(Results::decode(&results.encode().unwrap()), Err(Error::Damaged(_))));
    let mut results = samples::results();
    results.asks.pop();
    assert!(matches!(Results::decode(&results.encode().unwrap()), Err(Error::Damaged(_))));
    let mut task = samples::task();
    task.asks.pop();
    assert!(matches!(Task::decode(&task.encode().unwrap()), Err(Error::Damaged(_))));
}

proptest! {
    #[test]
    fn noise_is_refused(noise in vec(any::<u8>(), 0..400)) {
        prop_assert!(!decode_all(&noise));
    }

    /// Sealed again after the damage, as a faulty program would send it.
    #[test]
    fn sealed_damage_never_panics(
        which in 0..READERS.len(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in option_cut(),
        kind in 1..=READERS.len() as u8,
    ) {
        let mut message = messages()[which].clone();
        for (at, octet) in edits {
            let at = 16 + at.index(message.len() - 16);
            message[at] = octet;
        }
        if let Some(cut) = cut {
            message.truncate(16 + cut.index(message.len() - 16));
        }
        message[KIND] = kind;
        decode_all(&sealed(message));
    }
}

fn option_cut() -> impl Strategy<Value = Option<prop::sample::Index>> {
    prop::option::of(any::<prop::sample::Index>())
}
