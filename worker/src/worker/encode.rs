//! Results as messages.

use bytes::Bytes;
use kudzu_shared::outcome::{Answer, Question, Verdict};
use kudzu_shared::wire::{Error, LookupResult, PART, Results};

/// Messages of a size that brokers like. An answer that is too large to be sent at all is
/// replaced by the verdict `limit`, and its neighbours are not touched: a result that cannot
/// be sent would be asked for again without end.
pub(super) fn encode(whole: Results, sending: u64) -> Result<Vec<Bytes>, Error> {
    // Nearly always; parts need a copy, for the case that they cannot be made.
    if let Ok(message) = whole.encode()
        && message.len() <= PART
    {
        return Ok(vec![message]);
    }
    split(whole.clone(), sending).or_else(|error| {
        tracing::error!(%error, "an answer is too large to be sent");
        let each = whole.results.iter().map(|result| alone(&whole, result.clone(), sending));
        Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
    })
}

fn split(results: Results, sending: u64) -> Result<Vec<Bytes>, Error> {
    results.split(sending)?.iter().map(Results::encode).collect()
}

/// Messages of one result, with what it refers to and nothing else.
fn alone(whole: &Results, mut result: LookupResult, sending: u64) -> Result<Vec<Bytes>, Error> {
    let asks = whole.asks.get(usize::from(result.ask)).cloned().into_iter().collect();
    result.ask = 0;
    let mut upstreams = Vec::new();
    for question in &mut result.answer.questions {
        let name = whole.upstreams.get(usize::from(question.upstream)).cloned().unwrap_or_default();
        let at = upstreams.iter().position(|u| *u == name).unwrap_or_else(|| {
            upstreams.push(name);
            upstreams.len() - 1
        });
        question.upstream = u16::try_from(at).unwrap_or(u16::MAX);
    }
    let limit = |q: &Question| Question { verdict: Verdict::Limit, ..*q };
    let questions = result.answer.questions.iter().map(limit).collect();
    let bare =
        LookupResult { answer: Answer { questions, ..Answer::default() }, key: result.key.clone(), ..result };
    let (job, epoch, worker) = (whole.job, whole.epoch, whole.worker.clone());
    let mut results = Results { job, epoch, worker, asks, upstreams, results: vec![result] };
    // No part of this sending has left yet, so that what stands for it is whole.
    split(results.clone(), sending).or_else(|_| {
        results.results = vec![bare];
        split(results, sending)
    })
}

#[cfg(test)]
mod tests {
    use kudzu_shared::fact::{Fact, FactName, FactValue};
    use kudzu_shared::job::JobId;
    use kudzu_shared::observable::Observable;
    use kudzu_shared::outcome::Part;
    use kudzu_shared::wire::Ask;

    use super::*;

    fn result(seq: u32, facts: Vec<Fact>) -> LookupResult {
        let question = Question { index: 0, verdict: Verdict::Found, tries: 1, rtt_us: 1, upstream: 1 };
        LookupResult {
            seq,
            ask: 1,
            key: Observable::from_asn(seq),
            observed_ms: 0,
            cached: false,
            part: Part::WHOLE,
            answer: Answer { questions: vec![question], facts, ..Answer::default() },
        }
    }

    fn whole(results: Vec<LookupResult>) -> Results {
        let ask = |name: &str| Ask { source: name.into(), types: vec![], limit: 1 };
        Results {
            job: JobId(1),
            epoch: 1,
            worker: "w".into(),
            asks: vec![ask("other"), ask("mine")],
            upstreams: vec!["other".into(), "mine".into()],
            results,
        }
    }

    fn text(octets: usize) -> Fact {
        let value = FactValue::Text("x".repeat(octets));
        Fact { subject: Observable::from_asn(1), name: FactName::Text, value, personal: false }
    }

    fn sent(results: Vec<LookupResult>) -> Vec<Results> {
        let messages = encode(whole(results), 7).unwrap();
        messages.iter().map(|m| Results::decode(m).unwrap()).collect()
    }

    #[test]
    fn an_answer_that_cannot_be_sent_costs_itself() {
        let all = sent(vec![result(1, vec![text(10)]), result(2, vec![text(PART)]), result(3, vec![])]);
        let shown: Vec<(u32, Verdict, usize)> = all
            .iter()
            .flat_map(|m| &m.results)
            .map(|r| (r.seq, r.answer.questions[0].verdict, r.answer.facts.len()))
            .collect();
        assert_eq!(shown, [(1, Verdict::Found, 1), (2, Verdict::Limit, 0), (3, Verdict::Found, 0)]);
        for message in &all {
            let result = &message.results[0];
            assert_eq!(message.asks[usize::from(result.ask)].source, "mine");
            assert_eq!(message.upstreams[usize::from(result.answer.questions[0].upstream)], "mine");
            assert_eq!(result.part, Part::WHOLE);
        }
    }

    #[test]
    fn a_large_answer_comes_in_parts_of_one_sending() {
        let all = sent(vec![result(1, (0..3).map(|_| text(PART / 2)).collect()), result(2, vec![])]);
        let parts: Vec<Part> =
            all.iter().flat_map(|m| &m.results).filter(|r| r.seq == 1).map(|r| r.part).collect();
        assert!(parts.len() > 1);
        let numbered = |(i, p): (usize, &Part)| {
            (p.sending, usize::from(p.index), usize::from(p.of)) == (7, i, parts.len())
        };
        assert!(parts.iter().enumerate().all(numbered));
    }
}
