//! How long an answer is kept (RFC 2308, RFC 9520).

use std::time::Duration;

use crate::outcome::{Answer, End, Verdict};

/// Found: the least the records say, within these.
pub const FOUND: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(86_400));
/// Nothing there: what the SOA says, within these; RFC 2308 section 5 advises at most 1 to 3 h.
pub const EMPTY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(900));
/// Failed (RFC 9520 section 3.2: at least 1 s). It must be over when the coordinator asks again
/// in a later round, so it is the least that is allowed.
pub const FAILED: Duration = Duration::from_secs(1);
/// Failed in every later round as well (RFC 9520 section 3.2: longer each time, at most 5 min).
pub const SETTLED: Duration = Duration::from_secs(30);
/// Found, where the source tells no time.
pub const FOUND_DEFAULT: Duration = Duration::from_secs(3600);
/// Nothing there, where the source tells no time.
pub const EMPTY_DEFAULT: Duration = Duration::from_secs(300);

/// How long one verdict is kept. `told` is the least time the records tell, or the SOA's
/// negative one. `None`: not at all, for what was not asked says nothing of the upstream.
pub fn of_verdict(verdict: Verdict, told: Option<Duration>) -> Option<Duration> {
    let within = |(low, high): (Duration, Duration), default| told.unwrap_or(default).clamp(low, high);
    match verdict.end() {
        End::Found => Some(within(FOUND, FOUND_DEFAULT)),
        End::Empty => Some(within(EMPTY, EMPTY_DEFAULT)),
        // What a source tells is how long a good answer lasts.
        End::Failed => Some(FAILED),
        End::Throttled | End::Skipped | End::Dead => None,
    }
}

/// How long a whole answer is kept: the least of its questions. `None` where a question is
/// not to be kept, for an entry holds all questions of a lookup.
pub fn of_answer(answer: &Answer, told: Option<Duration>) -> Option<Duration> {
    let times: Option<Vec<_>> = answer.questions.iter().map(|q| of_verdict(q.verdict, told)).collect();
    times?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Question;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn times_are_clamped_by_end() {
        let cases = [
            (Verdict::Found, 1, 30),
            (Verdict::Found, 3600, 3600),
            (Verdict::Found, 999_999, 86_400),
            (Verdict::NoData, 0, 5),
            (Verdict::NxDomain, 60, 60),
            (Verdict::NotFound, 86_400, 900),
            (Verdict::ServFail, 0, 1),
            (Verdict::Timeout, 86_400, 1),
        ];
        for (verdict, told, kept) in cases {
            assert_eq!(of_verdict(verdict, Some(S(told))), Some(S(kept)), "{verdict} {told}");
        }
    }

    #[test]
    fn every_verdict_has_a_rule_and_what_was_not_asked_is_not_kept() {
        for verdict in Verdict::ALL {
            let kept = of_verdict(verdict, None);
            let (low, high) = match verdict.end() {
                End::Found => FOUND,
                End::Empty => EMPTY,
                End::Failed => (FAILED, FAILED),
                End::Throttled | End::Skipped | End::Dead => {
                    assert_eq!(kept, None, "{verdict}");
                    continue;
                }
            };
            assert!((low..=high).contains(&kept.unwrap()), "{verdict}");
        }
    }

    #[test]
    fn an_answer_lives_as_long_as_its_shortest_question() {
        let answer = |verdicts: &[Verdict]| Answer {
            questions: (0..)
                .zip(verdicts)
                .map(|(index, v)| Question { index, verdict: *v, tries: 1, rtt_us: 1, upstream: 0 })
                .collect(),
            ..Answer::default()
        };
        use Verdict::{Breaker, Found, NoData, Timeout};
        assert_eq!(of_answer(&answer(&[Found, NoData]), Some(S(7200))), Some(S(900)));
        assert_eq!(of_answer(&answer(&[Found, NoData, Timeout]), Some(S(7200))), Some(FAILED));
        assert_eq!(of_answer(&answer(&[Found, Breaker]), None), None);
        assert_eq!(of_answer(&answer(&[]), None), None);
    }
}
