//! How many questions a server has at a time: as many as bring more, fewer where it loses.
//!
//! The window doubles each round while that brings a quarter more answers, then stays near
//! the least that brought them, and looks now and then whether more would. So a queue before
//! the server never grows for nothing. Where more is lost than is borne, it is cut for a
//! short trial, far below what gets through: if that loses less, it was too much, and is half
//! as much from then on, growing again by and by; if not, the way loses by itself, and asking
//! less would only take longer. Every limit it learns expires.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::pace::LEAST_SHARE;
use super::rtt::Rtt;

/// Questions at a time before anything is known: what the usual receive buffer holds.
const FIRST: f64 = 256.0;
/// Never fewer, or nothing could be learnt.
const LEAST: f64 = 8.0;
/// A round is at least this long: shorter ones measure the scheduler.
const ROUND: Duration = Duration::from_millis(10);
/// How finely sends are told apart by when they went.
const STEP: Duration = Duration::from_millis(2);
/// Loss that is borne.
const BORNE: f64 = 0.02;
/// Rounds that bring no more before the window is thought to be wide enough.
const STALE: u8 = 2;
/// When a steady window is widened for a look: soon, for what held answers back may be over, and
/// twice as late each time that a look brings nothing.
const SOON: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_secs(2);
/// When a cut rate grows by a quarter.
const REGROW: Duration = Duration::from_millis(500);
/// The part of the window that a trial leaves at most: a queue that was full must drain.
const TRIAL: f64 = 0.125;
/// How long a loss counts as the way's own.
const TOLERATED: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The first rounds: answers to what was sent in them have only begun to come.
    Warm { rounds: u8 },
    /// Doubles while that brings more than `best` answers a second; `at` brought those.
    Start { best: f64, at: f64, stale: u8 },
    /// Stays, until a look at more.
    Steady { look: Instant, pause: Duration },
    /// A round at more; how long it stayed before.
    Look { rate: f64, size: f64, pause: Duration },
    /// Cut, to see whether less is lost; what was before.
    Trial { loss: f64, size: f64, share: f64 },
}

/// The sends of the first half of some time. When that is over, their fate is known: what
/// is lost is known later than what is answered, and the two must be of the same sends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cohort {
    /// Steps of the window: the first, and where it ends.
    first: u32,
    stop: Option<u32>,
    half: Instant,
    end: Instant,
    answered: u32,
    lost: u32,
}

impl Cohort {
    fn new(first: u32, now: Instant, timeout: Duration) -> Self {
        let (half, end) = (now + timeout, now + 2 * timeout + ROUND);
        Self { first, stop: None, half, end, answered: 0, lost: 0 }
    }

    fn holds(&self, step: u32) -> bool {
        let at = step.wrapping_sub(self.first);
        at < self.stop.map_or(u32::MAX / 2, |stop| stop.wrapping_sub(self.first))
    }
}

/// What one server is given.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    size: f64,
    most: f64,
    /// Sends that may still be answered, by the step they went in, with its begin. After the
    /// time that answers take, those of a step no longer count, long before they are given
    /// up: what a lossy way has lost is not before the server.
    steps: VecDeque<(Instant, u32)>,
    /// Number of the first of these steps.
    first: u32,
    pending: u32,
    /// Of the rate; 1 unless it was cut.
    share: f64,
    /// When what was cut grows by a quarter, and how far the window does.
    regrow: Option<(Instant, f64)>,
    /// Where a cut window goes back to, twice as wide each round: all at once would be a burst
    /// that overflows what holds a queue, and is lost as too much was.
    back: f64,
    phase: Phase,
    round: Round,
    cohort: Cohort,
    tolerated: (f64, Option<Instant>),
}

#[derive(Debug, Clone, Copy)]
struct Round {
    begin: Instant,
    answered: u32,
    /// The window kept something back.
    limited: bool,
}

impl Window {
    pub(crate) fn new(most: Option<u32>, now: Instant) -> Self {
        let most = most.map_or(f64::from(u16::MAX), f64::from).max(1.0);
        Self {
            size: FIRST.min(most),
            most,
            steps: VecDeque::from([(now, 0)]),
            first: 0,
            pending: 0,
            share: 1.0,
            regrow: None,
            back: 0.0,
            phase: Phase::Warm { rounds: 0 },
            round: Round { begin: now, answered: 0, limited: false },
            cohort: Cohort::new(0, now, Rtt::default().timeout(0)),
            tolerated: (0.0, None),
        }
    }

    /// Whether one more may be sent.
    pub(crate) fn has_room(&mut self) -> bool {
        let room = f64::from(self.pending) < self.size.max(1.0);
        self.round.limited |= !room;
        room
    }

    /// The share of its rate that the server gets.
    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    /// Questions it may have at a time.
    pub(crate) fn size(&self) -> u32 {
        self.size as u32
    }

    /// Counts a send in; says in which step it went.
    pub(crate) fn sent(&mut self) -> u32 {
        self.pending += 1;
        if let Some((_, count)) = self.steps.back_mut() {
            *count += 1;
        }
        self.now_step()
    }

    /// A send of this step needs no answer any more.
    pub(crate) fn withdrawn(&mut self, step: u32) {
        let at = step.wrapping_sub(self.first) as usize;
        if let Some((_, count @ 1..)) = self.steps.get_mut(at) {
            *count -= 1;
            self.pending -= 1;
        }
    }

    /// A send was answered.
    pub(crate) fn answered(&mut self, step: u32) {
        self.withdrawn(step);
        self.round.answered += 1;
        self.cohort.answered += u32::from(self.cohort.holds(step));
    }

    fn now_step(&self) -> u32 {
        self.first.wrapping_add(self.steps.len() as u32 - 1)
    }

    /// A send was given up, or the server said that it will not.
    pub(crate) fn lost(&mut self, step: u32) {
        self.cohort.lost += u32::from(self.cohort.holds(step));
    }

    /// A send that had been given up was answered after all.
    pub(crate) fn late(&mut self, step: u32) {
        self.round.answered += 1;
        if self.cohort.holds(step) {
            self.cohort.lost = self.cohort.lost.saturating_sub(1);
            self.cohort.answered += 1;
        }
    }

    /// Begins anew, as with a server that was away.
    pub(crate) fn restart(&mut self, now: Instant) {
        let fresh = Self::new(Some(self.most as u32), now);
        let (steps, first, pending) = (std::mem::take(&mut self.steps), self.first, self.pending);
        *self = Self { steps, first, pending, ..fresh };
        self.cohort.first = self.now_step();
    }

    /// Looks at the round, if it is over: at most once for each mean round-trip time.
    pub(crate) fn turn(&mut self, now: Instant, rtt: &Rtt) {
        let (mean, timeout) = (rtt.mean().unwrap_or_default(), rtt.timeout(0));
        if self.steps.back().is_none_or(|(begin, _)| *begin + STEP <= now) {
            self.write_off(now, rtt.spread().max(2 * STEP));
        }
        let lasted = now.duration_since(self.round.begin);
        if lasted < (mean + mean / 4).max(ROUND) {
            return;
        }
        let round = std::mem::replace(&mut self.round, Round { begin: now, answered: 0, limited: false });
        let rate = f64::from(round.answered) / lasted.as_secs_f64();
        if let Some((at, size)) = self.regrow
            && at <= now
        {
            self.share = (self.share * 1.25).min(1.0);
            if self.back <= self.size {
                self.size = self.size.max((self.size * 1.25).min(size));
            }
            self.regrow = (self.share < 1.0 || self.size < size).then_some((now + REGROW, size));
        }
        if self.back > self.size {
            self.size = (2.0 * self.size).min(self.back);
        }
        let number = self.now_step();
        // A pause makes timeouts long. A trial must not last as long: where they are short again,
        // one that begins now is over sooner.
        let sooner = Cohort::new(number, now, timeout);
        if matches!(self.phase, Phase::Trial { .. }) && sooner.end < self.cohort.end {
            self.cohort = sooner;
        }
        if self.cohort.stop.is_none() && self.cohort.half <= now {
            self.cohort.stop = Some(number);
        }
        if self.cohort.end <= now {
            let of = std::mem::replace(&mut self.cohort, Cohort::new(number, now, timeout));
            self.judge(f64::from(of.answered + of.lost), f64::from(of.lost), now);
        }
        // On its way back it grows anyhow, which says nothing of what more would bring.
        if round.limited && self.back <= self.size {
            self.grow(rate, now);
        }
        self.size = self.size.clamp(LEAST.min(self.most), self.most);
    }

    /// A new step begins; those that are over for longer than answers take no longer count.
    fn write_off(&mut self, now: Instant, spread: Duration) {
        self.steps.push_back((now, 0));
        // A step ends as the next one begins.
        while let Some((end, _)) = self.steps.get(1)
            && *end + spread <= now
            && let Some((_, count)) = self.steps.pop_front()
        {
            self.first = self.first.wrapping_add(1);
            self.pending -= count;
        }
    }

    /// Begins a trial where more is lost than is borne, or ends one.
    fn judge(&mut self, sends: f64, lost: f64, now: Instant) {
        if self.tolerated.1.is_some_and(|until| until <= now) {
            self.tolerated = (0.0, None);
        }
        if let Phase::Trial { loss, size, share } = self.phase {
            (self.back, self.share) = (size, share);
            if lost > chance(sends * BORNE) {
                self.tolerated = (1.25 * lost / sends, Some(now + TOLERATED));
            } else {
                self.back /= 2.0;
                self.share = (share * (1.0 - loss).min(0.5)).max(LEAST_SHARE);
            }
            self.regrow = Some((now + REGROW, size));
            self.phase = Phase::Steady { look: now + LOOK, pause: LOOK };
        } else if lost > chance(sends * (BORNE + self.tolerated.0)) {
            let loss = lost / sends;
            self.phase = Phase::Trial { loss, size: self.size.max(self.back), share: self.share };
            self.back = 0.0;
            self.regrow = None;
            // Far below what gets through: a server that has too much then loses nothing.
            let cut = TRIAL.min(0.7 * (1.0 - loss));
            self.size = (self.size * cut).max(LEAST);
            self.share = (self.share * cut).max(LEAST_SHARE);
        }
    }

    fn grow(&mut self, rate: f64, now: Instant) {
        match self.phase {
            Phase::Warm { rounds } if rounds + 1 < STALE => {
                self.phase = Phase::Warm { rounds: rounds + 1 };
            }
            Phase::Warm { .. } => {
                self.phase = Phase::Start { best: rate, at: self.size, stale: 0 };
                self.size *= 2.0;
            }
            Phase::Start { best, .. } if rate >= 1.25 * best => {
                self.phase = Phase::Start { best: rate, at: self.size, stale: 0 };
                self.size *= 2.0;
            }
            Phase::Start { best, at, stale } if stale + 1 < STALE => {
                self.phase = Phase::Start { best, at, stale: stale + 1 };
            }
            Phase::Start { at, .. } => {
                self.size = 1.25 * at;
                self.phase = Phase::Steady { look: now + SOON, pause: SOON };
            }
            Phase::Steady { look, pause } if look <= now => {
                self.phase = Phase::Look { rate, size: self.size, pause };
                self.size *= 1.5;
            }
            Phase::Look { rate: before, size, pause } => {
                if rate >= 1.25 * before {
                    // Nearly all of what was more came back: it is far from wide enough.
                    self.phase = Phase::Start { best: rate, at: self.size, stale: 0 };
                    self.size *= 2.0;
                } else if rate >= 1.1 * before {
                    self.phase = Phase::Start { best: rate, at: self.size, stale: STALE - 1 };
                } else {
                    self.size = size;
                    let pause = (2 * pause).min(LOOK);
                    self.phase = Phase::Steady { look: now + pause, pause };
                }
            }
            Phase::Steady { .. } | Phase::Trial { .. } => {}
        }
    }
}

/// More than this hardly happens by chance where so many are expected.
fn chance(expected: f64) -> f64 {
    expected + 4.0 * expected.sqrt() + 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A server whose machine stood still answers late and loses, and is as quick as before after
    /// so many more rounds. How long the trial takes that comes of it.
    fn trial(late: u32) -> Duration {
        let (mut rtt, mut now) = (Rtt::default(), Instant::now());
        let mut window = Window::new(None, now);
        for n in 0..40 {
            rtt.sample(MS * if n % 2 == 0 { 50 } else { 700 });
        }
        assert!(rtt.timeout(0) >= MS * 1000);
        let pass = |window: &mut Window, rtt: &Rtt, now: &mut Instant, lost: bool| {
            for _ in 0..20 {
                let step = window.sent();
                if lost { window.lost(step) } else { window.answered(step) }
            }
            *now += MS * 10;
            window.turn(*now, rtt);
        };
        while !matches!(window.phase, Phase::Trial { .. }) {
            pass(&mut window, &rtt, &mut now, true);
        }
        let (begin, mut rounds) = (now, 0);
        while matches!(window.phase, Phase::Trial { .. }) {
            if rounds >= late {
                rtt.sample(MS * 50);
            }
            rounds += 1;
            pass(&mut window, &rtt, &mut now, false);
        }
        now - begin
    }

    #[test]
    fn what_held_answers_back_for_a_while_does_not_keep_the_window_small() {
        let (mut rtt, begin) = (Rtt::default(), Instant::now());
        (0..40).for_each(|_| rtt.sample(MS * 10));
        let mut window = Window::new(None, begin);
        let mut now = begin;
        // Whoever answers is busy with something else at first.
        let rounds = |window: &mut Window, now: &mut Instant, most: u32, until: Instant| {
            while *now < until {
                let mut steps = Vec::new();
                while window.has_room() && steps.len() < 100_000 {
                    steps.push(window.sent());
                }
                for (n, step) in steps.into_iter().enumerate() {
                    if (n as u32) < most { window.answered(step) } else { window.withdrawn(step) }
                }
                *now += MS * 13;
                window.turn(*now, &rtt);
            }
        };
        rounds(&mut window, &mut now, 200, begin + MS * 200);
        assert!(matches!(window.phase, Phase::Steady { .. }) && window.size() < 1_000, "{window:?}");
        rounds(&mut window, &mut now, u32::MAX, begin + MS * 1_000);
        assert!(window.size() > 10_000, "{}", window.size());
        // Where more brings nothing, looks become rare.
        rounds(&mut window, &mut now, 10_000, begin + MS * 12_000);
        assert!(matches!(window.phase, Phase::Steady { pause: LOOK, .. } | Phase::Look { pause: LOOK, .. }));
    }

    #[test]
    fn a_trial_after_a_pause_is_as_short_as_answers_are() {
        let long = trial(u32::MAX);
        assert!(long >= MS * 2000, "{long:?}: nothing to cut");
        assert!(trial(0) <= MS * 600, "{:?}", trial(0));
        for late in [50, 150, 200, 240, 290] {
            assert!(trial(late) <= long, "{:?}, {late} rounds late", trial(late));
        }
    }
}
