//! Timers, in buckets of a tick.

use std::time::{Duration, Instant};

/// A timer is late by up to this.
const TICK: Duration = Duration::from_millis(4);
/// Buckets; what is further off waits its rounds.
const BUCKETS: usize = 1024;

/// A question's slot, and the generation that it must still have.
pub(super) type Timer = (u32, u32);

/// A timed ring: setting a timer and letting it fall are a few instructions, whatever their
/// number.
#[derive(Debug)]
pub(super) struct Ring {
    begin: Instant,
    /// The next tick to be looked at.
    tick: u64,
    buckets: Vec<Vec<(u64, Timer)>>,
    len: usize,
}

impl Ring {
    pub(super) fn new(now: Instant) -> Self {
        Self { begin: now, tick: 0, buckets: vec![Vec::new(); BUCKETS], len: 0 }
    }

    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        let after = at.duration_since(self.begin).as_nanos().div_ceil(TICK.as_nanos());
        let tick = u64::try_from(after).unwrap_or(u64::MAX).max(self.tick);
        self.buckets[(tick % BUCKETS as u64) as usize].push((tick, timer));
        self.len += 1;
    }

    /// Moves the timers that are due to `due`.
    pub(super) fn expire(&mut self, now: Instant, due: &mut Vec<Timer>) {
        let last = (now.duration_since(self.begin).as_nanos() / TICK.as_nanos()) as u64;
        // After a long pause every bucket is looked at once.
        let first = self.tick.max((last + 1).saturating_sub(BUCKETS as u64));
        if self.len > 0 {
            for tick in first..=last {
                let bucket = &mut self.buckets[(tick % BUCKETS as u64) as usize];
                let before = due.len();
                bucket.retain(|(at, timer)| {
                    let later = *at > last;
                    if !later {
                        due.push(*timer);
                    }
                    later
                });
                self.len -= due.len() - before;
            }
        }
        self.tick = self.tick.max(last + 1);
    }

    /// When one may be due.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let some = |tick: &u64| !self.buckets[(tick % BUCKETS as u64) as usize].is_empty();
        let tick = (self.tick..self.tick + BUCKETS as u64).find(some)?;
        Some(self.begin + Duration::from_nanos((TICK.as_nanos() as u64).saturating_mul(tick)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every timer falls once, never early, and at the first look after its tick.
        #[test]
        fn timers_fall_once_and_in_time(
            timers in prop::collection::vec(0_u64..20_000, 1..100),
            looks in prop::collection::vec(0_u64..3000, 1..40),
        ) {
            let begin = Instant::now();
            let at = |ms: u64| begin + Duration::from_millis(ms);
            let mut ring = Ring::new(begin);
            timers.iter().enumerate().for_each(|(i, ms)| ring.set(at(*ms), (i as u32, 0)));
            let (mut now, mut fallen) = (0, Vec::new());
            for step in looks.into_iter().chain([25_000]) {
                now += step;
                let before = fallen.len();
                if let Some(next) = ring.next() {
                    let left = (0..timers.len() as u32).filter(|i| !fallen.contains(&(*i, 0)));
                    let due = left.map(|i| at(timers[i as usize])).min().unwrap();
                    prop_assert!(next <= due + TICK);
                }
                ring.expire(at(now), &mut fallen);
                for (i, _) in &fallen[before..] {
                    prop_assert!(timers[*i as usize] <= now);
                }
                for (i, ms) in timers.iter().enumerate() {
                    prop_assert!(fallen.contains(&(i as u32, 0)) || ms + 4 > now);
                }
            }
            prop_assert_eq!(fallen.len(), timers.len());
            prop_assert!(ring.next().is_none());
        }
    }
}
