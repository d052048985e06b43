//! What is written is read again, by this version and by the one before.

use kudzu_shared::job::JobId;
use kudzu_shared::wire::{
    Backlog, ClassFlow, Due, Error, MAJOR, MINOR, Over, Results, SourceBacklog, StoredAnswer, Task,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::{rebuilt, records, samples};

/// As the next minor version writes it: fields at the end of each record, then records
/// that this version does not know.
fn next_minor(message: &[u8], fields: &[u8], tail: &[Vec<u8>]) -> Vec<u8> {
    let mut grown = records(message);
    grown.iter_mut().for_each(|r| r.extend_from_slice(fields));
    grown.extend_from_slice(tail);
    let mut header = message[..16].to_vec();
    header[5] = MINOR + 1;
    rebuilt(&header, &grown)
}

proptest! {
    #![proptest_config(crate::cases(128))]

    #[test]
    fn tasks_come_back(task in samples::any_task(), fields: [u8; 5], tail in vec(vec(any::<u8>(), 0..9), 0..3)) {
        let message = task.encode().unwrap();
        prop_assert_eq!(&Task::decode(&message).unwrap(), &task);
        prop_assert_eq!(&Task::decode(&next_minor(&message, &fields, &tail)).unwrap(), &task);
    }

    #[test]
    fn results_come_back(results in samples::any_results(), fields: [u8; 5], tail in vec(vec(any::<u8>(), 0..9), 0..3)) {
        let message = results.encode().unwrap();
        prop_assert_eq!(&Results::decode(&message).unwrap(), &results);
        prop_assert_eq!(&Results::decode(&next_minor(&message, &fields, &tail)).unwrap(), &results);
    }

    #[test]
    fn answers_come_back(answer in samples::any_answer(), observed_ms: i64, fields: [u8; 5]) {
        let stored = StoredAnswer { observed_ms, answer, ..samples::stored() };
        let message = stored.encode().unwrap();
        prop_assert_eq!(&StoredAnswer::decode(&message).unwrap(), &stored);
        prop_assert_eq!(&StoredAnswer::decode(&next_minor(&message, &fields, &[])).unwrap(), &stored);
    }

    #[test]
    fn jobs_that_are_due_come_back(
        job: u128, epoch: u32, trace in option::of(".{0,60}"),
        fields: [u8; 5], tail in vec(vec(any::<u8>(), 0..9), 0..3),
    ) {
        let due = Due { job: JobId(job), epoch, trace };
        let message = due.encode().unwrap();
        prop_assert_eq!(&Due::decode(&message).unwrap(), &due);
        prop_assert_eq!(&Due::decode(&next_minor(&message, &fields, &tail)).unwrap(), &due);
    }

    #[test]
    fn jobs_that_are_over_come_back(
        job: u128, epoch: u32,
        fields: [u8; 5], tail in vec(vec(any::<u8>(), 0..9), 0..3),
    ) {
        let over = Over { job: JobId(job), epoch };
        let message = over.encode().unwrap();
        prop_assert_eq!(&Over::decode(&message).unwrap(), &over);
        prop_assert_eq!(&Over::decode(&next_minor(&message, &fields, &tail)).unwrap(), &over);
    }

    #[test]
    fn backlogs_come_back(
        from: u128, waiting in vec((".{0,20}", any::<u64>(), any::<u64>()), 0..5),
        flows in vec((".{0,9}", any::<u64>(), any::<u64>()), 0..4),
        fields: [u8; 5], tail in vec(vec(any::<u8>(), 0..9), 0..3),
    ) {
        let waits = |(source, lookups, questions)| SourceBacklog { source, lookups, questions };
        let flow = |(class, rate, quiet_ms)| ClassFlow { class, rate, quiet_ms };
        let waiting = waiting.into_iter().map(waits).collect();
        let backlog = Backlog { from, waiting, flows: flows.into_iter().map(flow).collect() };
        let message = backlog.encode().unwrap();
        prop_assert_eq!(&Backlog::decode(&message).unwrap(), &backlog);
        prop_assert_eq!(&Backlog::decode(&next_minor(&message, &fields, &tail)).unwrap(), &backlog);
    }
}

#[test]
fn every_number_comes_back() {
    let stored = StoredAnswer { answer: samples::full_answer(), ..samples::stored() };
    assert_eq!(StoredAnswer::decode(&stored.encode().unwrap()).unwrap(), stored);
}

#[test]
fn another_major_is_told_apart_from_damage() {
    let mut message = samples::task().encode().unwrap().to_vec();
    message[4] = MAJOR + 1;
    assert!(matches!(Task::decode(&message), Err(Error::Major(m)) if m == MAJOR + 1));
    // Whatever else a later major changes, it is told before anything is read.
    message.truncate(16);
    assert!(matches!(Task::decode(&message), Err(Error::Major(_))));
}

#[test]
fn another_kind_is_refused() {
    let message = samples::task().encode().unwrap();
    assert!(matches!(Results::decode(&message), Err(Error::Kind { found: 1, expected: 2 })));
    assert!(matches!(StoredAnswer::decode(&message), Err(Error::Kind { found: 1, expected: 3 })));
    assert!(matches!(Over::decode(&message), Err(Error::Kind { found: 1, expected: 4 })));
    assert!(matches!(
        Due::decode(&samples::over().encode().unwrap()),
        Err(Error::Kind { found: 4, expected: 5 })
    ));
}
