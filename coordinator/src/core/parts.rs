//! Answers that come in parts: put together by sending, in whatever order they come.

use std::hash::Hash;

use kudzu_shared::outcome::{Answer, Part};
use rustc_hash::FxHashMap;

/// Sendings of one lookup that are gathered at a time; the oldest gives way.
const SENDINGS: usize = 4;

/// The parts of one sending.
#[derive(Debug)]
struct Gathering {
    sending: u64,
    of: u16,
    /// Those that came, by index.
    parts: Vec<(u16, Answer)>,
}

/// Answers of which parts are missing, by what they answer.
#[derive(Debug)]
pub struct Parts<K>(FxHashMap<K, Vec<Gathering>>);

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<K: Hash + Eq + Clone> Parts<K> {
    /// Adds a part; gives the answer once it is whole, and forgets whatever else was
    /// gathered for its lookup.
    pub fn add(&mut self, lookup: K, part: Part, answer: Answer) -> Option<Answer> {
        if part.of <= 1 {
            self.0.remove(&lookup);
            return Some(answer);
        }
        let sendings = self.0.entry(lookup.clone()).or_default();
        let known = sendings.iter().position(|g| g.sending == part.sending);
        let at = known.unwrap_or_else(|| {
            if sendings.len() == SENDINGS {
                sendings.remove(0);
            }
            sendings.push(Gathering { sending: part.sending, of: part.of, parts: Vec::new() });
            sendings.len() - 1
        });
        let Gathering { of, parts, .. } = &mut sendings[at];
        // A part that came before says the same.
        if let Err(place) = parts.binary_search_by_key(&part.index, |p| p.0) {
            parts.insert(place, (part.index, answer));
        }
        if parts.len() < usize::from(*of) {
            return None;
        }
        let whole = std::mem::take(parts).into_iter().map(|p| p.1).reduce(merge);
        self.0.remove(&lookup);
        whole
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn merge(mut whole: Answer, part: Answer) -> Answer {
    whole.questions.extend(part.questions);
    whole.pairs.extend(part.pairs);
    whole.facts.extend(part.facts);
    whole.totals.extend(part.totals);
    whole
}

#[cfg(test)]
mod tests {
    use kudzu_shared::outcome::{Question, Verdict};

    use super::*;

    fn says(n: u8) -> Answer {
        let question = Question { index: n, verdict: Verdict::Found, tries: 1, rtt_us: 1, upstream: 0 };
        Answer { questions: vec![question], ..Answer::default() }
    }

    fn part(sending: u64, index: u16, of: u16) -> Part {
        Part { sending, index, of }
    }

    fn indices(answer: Option<Answer>) -> Option<Vec<u8>> {
        answer.map(|a| a.questions.iter().map(|q| q.index).collect())
    }

    #[test]
    fn parts_come_in_any_order_and_twice() {
        let mut parts = Parts::default();
        for index in [2, 0, 2] {
            assert_eq!(parts.add(7, part(9, index, 3), says(index as u8)), None);
        }
        assert_eq!(indices(parts.add(7, part(9, 1, 3), says(1))), Some(vec![0, 1, 2]));
        assert!(parts.0.is_empty());
    }

    #[test]
    fn two_sendings_are_never_mixed() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(7, part(1, 0, 2), says(10)), None);
        assert_eq!(parts.add(7, part(2, 1, 2), says(21)), None);
        assert_eq!(parts.add(8, part(1, 1, 2), says(81)), None);
        assert_eq!(indices(parts.add(7, part(2, 0, 2), says(20))), Some(vec![20, 21]));
        assert_eq!(indices(parts.add(7, Part::WHOLE, says(5))), Some(vec![5]));
        assert_eq!(parts.0.len(), 1);
    }

    #[test]
    fn what_is_gathered_is_bounded() {
        let mut parts = Parts::default();
        for sending in 0..1_000 {
            assert_eq!(parts.add(7, part(sending, 0, 2), says(0)), None);
        }
        assert_eq!(parts.0[&7u32].len(), SENDINGS);
    }
}
