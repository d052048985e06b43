//! Outcomes that earlier runs of a job have taken and journaled: they are not asked again.

use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{Answer, Verdict};
use kudzu_shared::wire::{Ask, Results};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::core::parts::Parts;
use crate::core::ticket;

/// Which ask of the plan, in which round, about what.
type Question = (u8, u8, Observable);

/// Answers by what they answer; of several to the same the first stands, as it did.
#[derive(Debug, Default)]
pub struct Known {
    asks: Vec<Ask>,
    answers: FxHashMap<Question, Answer>,
    parts: Parts<Question>,
}

impl Known {
    /// Nothing yet, of a plan with these asks.
    pub fn new(asks: Vec<Ask>) -> Self {
        Self { asks, ..Self::default() }
    }

    /// Takes in what a run took, in the order in which it did. What is of no ask of the plan
    /// is passed over.
    pub fn add(&mut self, results: Results) {
        let place = |ask: &Ask| self.asks.iter().position(|a| a == ask).and_then(|at| u8::try_from(at).ok());
        let places: Vec<Option<u8>> = results.asks.iter().map(place).collect();
        for result in results.results {
            let Some(ask) = places.get(usize::from(result.ask)).copied().flatten() else { continue };
            let question = (ask, ticket::round(result.seq), result.key);
            if self.answers.contains_key(&question) {
                continue;
            }
            if let Some(whole) = self.parts.add(question.clone(), result.part, result.answer) {
                self.answers.insert(question, whole);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Forgets the lookups of which some question ended with a verdict that does not stand: of
    /// several rounds the last one counts.
    pub fn retain(&mut self, stands: impl Fn(Verdict) -> bool) {
        let mut last: FxHashMap<(u8, &Observable, u8), (u8, Verdict)> = FxHashMap::default();
        for ((ask, round, key), answer) in &self.answers {
            for question in &answer.questions {
                let said = last.entry((*ask, key, question.index)).or_insert((*round, question.verdict));
                if said.0 < *round {
                    *said = (*round, question.verdict);
                }
            }
        }
        let failed = last.into_iter().filter(|(_, (_, verdict))| !stands(*verdict));
        let failed: FxHashSet<(u8, Observable)> =
            failed.map(|((ask, key, _), _)| (ask, key.clone())).collect();
        self.answers.retain(|(ask, _, key), _| !failed.contains(&(*ask, key.clone())));
    }

    /// Takes in what another job has learned, where this one knows nothing.
    pub fn join(&mut self, other: Known) {
        for (question, answer) in other.answers {
            self.answers.entry(question).or_insert(answer);
        }
    }

    /// Gives the answer to these questions (bit by index) of a lookup, once, with what later
    /// rounds have added, and the last of these rounds: nobody waits for them a second time.
    /// One that leaves out some of the questions is none.
    pub fn take(&mut self, ask: u8, round: u8, key: &Observable, questions: u32) -> Option<(u8, Answer)> {
        if self.answers.is_empty() {
            return None;
        }
        let mut question = (ask, round, key.clone());
        let mut answer = self.answers.remove(&question)?;
        let said = answer.questions.iter().filter(|q| q.index < 32).fold(0, |all, q| all | 1 << q.index);
        if questions & !said != 0 {
            return None;
        }
        loop {
            question.1 += 1;
            let Some(later) = self.answers.remove(&question) else { break };
            answer.questions.retain(|q| later.questions.iter().all(|l| l.index != q.index));
            answer.questions.extend(later.questions);
            answer.pairs.extend(later.pairs);
            answer.facts.extend(later.facts);
            answer.totals.extend(later.totals);
        }
        Some((question.1 - 1, answer))
    }
}

#[cfg(test)]
mod tests {
    use kudzu_shared::job::JobId;
    use kudzu_shared::outcome::{Part, Question};
    use kudzu_shared::wire::LookupResult;

    use super::*;

    fn ask(source: &str) -> Ask {
        Ask { source: source.into(), types: vec![1], limit: 10 }
    }

    fn results(source: &str, key: &str, round: u8, part: Part, verdict: Verdict, index: u8) -> Results {
        let question = Question { index, verdict, tries: 1, rtt_us: 1, upstream: 0 };
        let result = LookupResult {
            seq: ticket::of(77, round),
            ask: 0,
            key: Observable::parse(key).unwrap(),
            observed_ms: 1,
            cached: false,
            part,
            answer: Answer { questions: vec![question], ..Answer::default() },
        };
        Results {
            job: JobId(1),
            epoch: 1,
            worker: "w".into(),
            asks: vec![ask(source)],
            upstreams: vec![String::new()],
            results: vec![result],
        }
    }

    #[test]
    fn the_first_answer_stands_and_is_given_once() {
        let key = Observable::parse("a.example").unwrap();
        let mut known = Known::new(vec![ask("x"), ask("y")]);
        known.add(results("y", "a.example", 0, Part::WHOLE, Verdict::Timeout, 0));
        known.add(results("y", "a.example", 0, Part::WHOLE, Verdict::Found, 0));
        known.add(results("y", "a.example", 1, Part::WHOLE, Verdict::NoData, 0));
        known.add(results("z", "a.example", 0, Part::WHOLE, Verdict::Found, 0));
        assert_eq!(known.len(), 2);
        assert_eq!(known.take(0, 0, &key, 1), None);
        let (round, answer) = known.take(1, 0, &key, 1).unwrap();
        let verdicts: Vec<Verdict> = answer.questions.iter().map(|q| q.verdict).collect();
        assert_eq!((round, verdicts), (1, vec![Verdict::NoData]), "the later round says it");
        assert_eq!(known.take(1, 0, &key, 1), None);
        assert!(known.is_empty());
    }

    #[test]
    fn what_failed_is_forgotten_and_what_a_later_round_brought_is_not() {
        let mut known = Known::new(vec![ask("x")]);
        for (key, verdicts) in [
            ("good.example", &[Verdict::Found][..]),
            ("mended.example", &[Verdict::Timeout, Verdict::NoData]),
            ("bad.example", &[Verdict::Timeout, Verdict::ServFail]),
        ] {
            for (round, verdict) in (0..).zip(verdicts) {
                known.add(results("x", key, round, Part::WHOLE, *verdict, 0));
            }
        }
        known.retain(|v| matches!(v, Verdict::Found | Verdict::NoData));
        let mut round = |key| known.take(0, 0, &Observable::parse(key).unwrap(), 1).map(|(round, _)| round);
        assert_eq!(
            ["good.example", "mended.example", "bad.example"].map(&mut round),
            [Some(0), Some(1), None]
        );
        assert!(known.is_empty());
    }

    #[test]
    fn an_answer_in_parts_is_known_once_it_is_whole() {
        let key = Observable::parse("a.example").unwrap();
        let mut known = Known::new(vec![ask("x")]);
        let part = |sending, index| Part { sending, index, of: 2 };
        known.add(results("x", "a.example", 0, part(1, 0), Verdict::Found, 0));
        known.add(results("x", "a.example", 0, part(2, 1), Verdict::Found, 1));
        assert!(known.is_empty());
        known.add(results("x", "a.example", 0, part(2, 0), Verdict::Found, 0));
        assert_eq!(known.take(0, 0, &key, 0b11).unwrap().1.questions.len(), 2);
    }

    #[test]
    fn an_answer_to_other_questions_is_none() {
        let key = Observable::parse("a.example").unwrap();
        let mut known = Known::new(vec![ask("x")]);
        known.add(results("x", "a.example", 0, Part::WHOLE, Verdict::Found, 0));
        assert_eq!(known.take(0, 0, &key, 0b11), None);
    }
}
