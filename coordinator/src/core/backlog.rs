//! How long the work takes that waits for workers: what these are scaled by.
//!
//! A scaler takes the seconds for what is to be worked off, and makes the workers so many times
//! as many as they are over its target. So they count what more workers could do sooner: of
//! what a rate limit holds back, no more than it lets through in a while. Work is counted in
//! questions, as windows and limits are: a lookup may be one or twelve.

/// Seconds of busy time that an answer counts for, roughly.
const LATELY: f64 = 30.0;
/// Seconds without work after which a rate is forgotten: the workers that achieved it may be gone
/// by then, and a rate that is sixteen times too high takes minutes of work to come down.
const REMEMBERED: f64 = 60.0;
/// Of a source with a limit so many seconds' worth count at most: half of the usual target, so
/// that one that is answered at its limit never asks for more, whatever the rate is off by.
const LIMITED: f64 = 5.0;
/// Questions a second that one worker carries, however slow the answers: a source that allows no
/// more keeps a worker, and is no reason for another one.
const SLOW: f64 = 20.0;
/// The least that is told while anything waits, and the most.
const LEAST: f64 = 0.1;
const MOST: f64 = 3_600.0;

/// Lookups without an outcome, and their questions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// Lookups.
    pub lookups: u64,
    /// Questions of these.
    pub questions: u64,
}

impl std::ops::AddAssign for Open {
    fn add_assign(&mut self, other: Self) {
        self.lookups = self.lookups.saturating_add(other.lookups);
        self.questions = self.questions.saturating_add(other.questions);
    }
}

/// How quickly a class is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flow {
    /// Questions answered a second, lately; 0 where none ever was.
    pub rate: f64,
    /// Seconds for which work has waited without any answer.
    pub quiet: f64,
}

/// Learns how quickly a class is answered. Only time in which something waited counts: an idle
/// class is not a slow one, and of one that is idle for long nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Speed {
    answers: f64,
    busy: f64,
    quiet: f64,
    idle: f64,
}

impl Speed {
    /// Takes note of a span of time: what was answered in it, and whether anything waits.
    pub fn sample(&mut self, seconds: f64, answered: u64, waits: bool) {
        let silent = |is: bool, so_far: f64| if answered == 0 && is { so_far + seconds } else { 0.0 };
        (self.quiet, self.idle) = (silent(waits, self.quiet), silent(!waits, self.idle));
        if self.idle > REMEMBERED {
            (self.answers, self.busy) = (0.0, 0.0);
        }
        // Before the first answer there is nothing to be slow: workers may only be starting.
        if answered > 0 || waits && self.answers > 0.0 {
            let kept = (-seconds / LATELY).exp();
            self.answers = self.answers * kept + answered as f64;
            self.busy = self.busy * kept + seconds;
        }
    }

    /// What was learnt.
    pub fn flow(&self) -> Flow {
        let rate = if self.busy > 0.0 { self.answers / self.busy } else { 0.0 };
        Flow { rate, quiet: self.quiet }
    }
}

/// What waits for one upstream, or for sources that share its limit, over the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waiting {
    /// Its lookups.
    pub open: Open,
    /// Questions a second that it allows, where it has a limit.
    pub limit: Option<f64>,
}

impl Waiting {
    /// The questions that more workers could have answered sooner.
    fn counted(&self) -> f64 {
        let most = self.limit.map_or(f64::INFINITY, |limit| limit * LIMITED);
        most.min(self.open.questions as f64)
    }

    fn is_slow(&self) -> bool {
        self.limit.is_some_and(|limit| limit <= SLOW)
    }
}

/// Seconds of work that wait in one class. 0 where nothing waits and only there; never less for
/// more that waits; never more than an hour.
pub fn seconds(waiting: &[Waiting], flow: Flow) -> f64 {
    if waiting.iter().all(|w| w.open.lookups == 0) {
        return 0.0;
    }
    let (slow, quick): (Vec<&Waiting>, Vec<&Waiting>) = waiting.iter().partition(|w| w.is_slow());
    let time = |all: &[&Waiting]| {
        let questions: f64 = all.iter().map(|w| w.counted()).sum();
        if questions > 0.0 && flow.rate > 0.0 { questions / flow.rate } else { 0.0 }
    };
    // Where nothing is answered, each second of that says more of how it stands than any rate.
    let quiet = if quick.iter().any(|w| w.open.lookups > 0) { flow.quiet } else { 0.0 };
    (time(&quick).max(quiet) + time(&slow).min(LIMITED)).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lookups: u64, limit: Option<f64>) -> Waiting {
        Waiting { open: Open { lookups, questions: lookups }, limit }
    }

    fn at(rate: f64) -> Flow {
        Flow { rate, quiet: 0.0 }
    }

    prop_compose! {
        fn any_waiting()(
            lookups in prop_oneof![Just(0), 0..100_000_u64, any::<u64>()],
            each in 1..12_u64,
            limit in proptest::option::of(prop_oneof![0.0..50.0, 0.0..1e9, Just(f64::MIN_POSITIVE)]),
        ) -> Waiting {
            Waiting { open: Open { lookups, questions: lookups.saturating_mul(each) }, limit }
        }
    }

    prop_compose! {
        fn any_flow()(
            rate in prop_oneof![Just(0.0), Just(f64::MIN_POSITIVE), 0.0..1e6, Just(f64::MAX)],
            quiet in prop_oneof![Just(0.0), 0.0..1e9, Just(f64::MAX)],
        ) -> Flow {
            Flow { rate, quiet }
        }
    }

    proptest! {
        #[test]
        fn it_is_finite_and_nothing_only_where_nothing_waits(
            waiting in proptest::collection::vec(any_waiting(), 0..6), flow in any_flow(),
        ) {
            let seconds = seconds(&waiting, flow);
            prop_assert!(seconds.is_finite() && seconds <= MOST);
            prop_assert_eq!(seconds == 0.0, waiting.iter().all(|w| w.open.lookups == 0));
        }

        #[test]
        fn it_is_never_less_for_more_that_waits(
            waiting in proptest::collection::vec(any_waiting(), 1..6), flow in any_flow(),
            which: proptest::sample::Index, more in 0..1_000_000_u64, each in 1..12_u64,
        ) {
            let before = seconds(&waiting, flow);
            let mut after = waiting.clone();
            let which = which.index(after.len());
            after[which].open += Open { lookups: more, questions: more * each };
            let after = seconds(&after, flow);
            prop_assert!(after >= before * (1.0 - 1e-9), "{} after {}", after, before);
        }

        #[test]
        fn whatever_is_sampled_is_a_rate(
            samples in proptest::collection::vec(
                (0.0..100.0, prop_oneof![Just(0), 0..100_000_u64, any::<u64>()], any::<bool>()), 0..40,
            ),
        ) {
            let mut speed = Speed::default();
            for (seconds, answered, waits) in samples {
                speed.sample(seconds, answered, waits);
                let Flow { rate, quiet } = speed.flow();
                prop_assert!(rate.is_finite() && rate >= 0.0 && quiet.is_finite() && quiet >= 0.0);
            }
        }
    }

    #[test]
    fn it_is_what_waits_by_the_rate() {
        assert_eq!(seconds(&[of(50_000, None)], at(1_000.0)), 50.0);
        assert_eq!(seconds(&[of(1, None)], at(1e6)), LEAST);
    }

    #[test]
    fn while_nobody_answers_it_grows_by_the_second() {
        let mut speed = Speed::default();
        assert_eq!(seconds(&[of(7, None)], speed.flow()), LEAST, "enough to wake the first worker");
        (0..40).for_each(|_| speed.sample(0.5, 0, true));
        assert_eq!(seconds(&[of(7, None)], speed.flow()), 20.0);
        // What it took to start says nothing of how quick they are.
        speed.sample(0.5, 500, true);
        assert_eq!(speed.flow(), at(1_000.0));
        // They die.
        (0..40).for_each(|_| speed.sample(0.5, 0, true));
        assert!(seconds(&[of(7, None)], speed.flow()) >= 20.0);
        assert!(speed.flow().rate < 600.0);
    }

    #[test]
    fn idle_time_does_not_slow_it_down() {
        let mut speed = Speed::default();
        (0..10).for_each(|_| speed.sample(1.0, 1_000, true));
        (0..60).for_each(|_| speed.sample(1.0, 0, false));
        assert!((speed.flow().rate - 1_000.0).abs() < 1e-6, "{speed:?}");
    }

    #[test]
    fn the_rate_of_workers_that_may_be_gone_is_forgotten() {
        let mut speed = Speed::default();
        (0..100).for_each(|_| speed.sample(1.0, 16_000, true));
        (0..90).for_each(|_| speed.sample(1.0, 0, false));
        assert_eq!(speed.flow(), at(0.0));
        // One worker of sixteen is left.
        (0..5).for_each(|_| speed.sample(1.0, 0, true));
        assert_eq!(speed.flow(), Flow { rate: 0.0, quiet: 5.0 });
        (0..5).for_each(|_| speed.sample(1.0, 1_000, true));
        assert!((speed.flow().rate - 1_000.0).abs() < 1e-6, "{speed:?}");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut speed = Speed::default();
        (0..300).for_each(|_| speed.sample(1.0, 1_000, true));
        (0..300).for_each(|_| speed.sample(1.0, 10, true));
        assert!((10.0..11.0).contains(&speed.flow().rate), "{speed:?}");
    }

    #[test]
    fn at_its_limit_a_source_asks_for_no_more_workers() {
        // A million lookups wait for resolvers that allow 8,000 questions a second.
        let open = Open { lookups: 1_000_000, questions: 6_000_000 };
        let waiting = [Waiting { open, limit: Some(8_000.0) }];
        assert_eq!(seconds(&waiting, at(8_000.0)), LIMITED);
        // Far from it, it asks for so many as bring it there.
        assert_eq!(seconds(&waiting, at(800.0)), 10.0 * LIMITED);
    }

    #[test]
    fn slow_sources_keep_a_worker_and_ask_for_no_other() {
        let certs = of(10_000, Some(1.0));
        for flow in [at(0.01), at(1.0), Flow { rate: 0.0, quiet: 900.0 }] {
            assert!((LEAST..=LIMITED).contains(&seconds(&[certs], flow)));
        }
        // Beside others they neither hide nor multiply what these ask for.
        assert_eq!(seconds(&[certs, of(4_000, None)], at(100.0)), 40.0 + 0.05);
    }
}
