//! Results in parts of at most 128 KiB.

use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::outcome::{Answer, Part};
use kudzu_shared::wire::{Error, LookupResult, PART, Results};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::samples;

const SENDING: u64 = u64::MAX;

/// Parts of one lookup together again; each knows its place.
fn joined(parts: &[Results]) -> Vec<LookupResult> {
    let mut whole: Vec<LookupResult> = Vec::new();
    let mut next = 0;
    for mut result in parts.iter().flat_map(|p| p.results.clone()) {
        let Part { sending, index, of } = result.part;
        assert_eq!(index, next);
        assert_eq!(sending, if of > 1 { SENDING } else { 0 });
        next = (index + 1) % of;
        result.part = Part::WHOLE;
        if index > 0 {
            let last = whole.last_mut().unwrap();
            assert_eq!((last.seq, &last.key), (result.seq, &result.key));
            let Answer { questions, pairs, facts, totals } = result.answer;
            last.answer.questions.extend(questions);
            last.answer.pairs.extend(pairs);
            last.answer.facts.extend(facts);
            last.answer.totals.extend(totals);
        } else {
            whole.push(result);
        }
    }
    assert_eq!(next, 0, "the last part is missing");
    whole
}

fn fits(parts: &[Results]) -> bool {
    parts.iter().all(|p| {
        let message = p.encode().unwrap();
        message.len() <= PART && Results::decode(&message).unwrap() == *p
    })
}

fn repeated<T: Clone>(list: &[T], times: usize) -> Vec<T> {
    list.iter().cycle().take(list.len() * times).cloned().collect()
}

fn grown(times: &[usize]) -> Results {
    let mut results = Results { results: Vec::new(), ..samples::results() };
    for (seq, times) in (0..).zip(times) {
        let Answer { questions, pairs, facts, totals } = samples::answer();
        let answer = Answer {
            questions: repeated(&questions, (*times).min(2)),
            pairs: repeated(&pairs, *times),
            facts: repeated(&facts, *times),
            totals: repeated(&totals, *times),
        };
        let first = samples::results().results.remove(0);
        results.results.push(LookupResult { seq, part: Part::WHOLE, answer, ..first });
    }
    results
}

proptest! {
    #![proptest_config(crate::cases(16))]

    #[test]
    fn parts_fit_and_join_to_the_whole(times in vec(prop_oneof![4 => 0usize..4, 1 => 30usize..300], 0..24)) {
        let whole = grown(&times);
        let parts = whole.clone().split(SENDING).unwrap();
        prop_assert!(fits(&parts));
        prop_assert_eq!(joined(&parts), whole.results);
    }
}

#[test]
fn small_results_stay_in_one_message_and_parts_are_full() {
    let whole = samples::results();
    assert_eq!(whole.clone().split(SENDING).unwrap(), [whole]);
    assert!(grown(&[]).split(SENDING).unwrap().is_empty());
    let size: usize =
        grown(&[2; 200]).split(SENDING).unwrap().iter().map(|p| p.encode().unwrap().len()).sum();
    let parts = grown(&[2; 200]).split(SENDING).unwrap().len();
    assert!(parts <= size / (PART - 16 * 1024) + 1, "{parts} parts for {size} octets");
}

/// Counts take more octets as they grow.
#[test]
fn a_part_that_is_just_full_fits() {
    for times in 278..288 {
        assert!(fits(&grown(&[times]).split(SENDING).unwrap()), "{times}");
    }
}

#[test]
fn a_record_that_fits_nowhere_is_an_error() {
    let mut whole = grown(&[1]);
    let subject = samples::kinds().remove(0);
    let value = FactValue::Text("x".repeat(PART));
    whole.results[0].answer.facts.push(Fact { subject, name: FactName::Text, value, personal: false });
    assert!(matches!(whole.split(SENDING), Err(Error::TooLarge(_))));
}
