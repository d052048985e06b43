//! How many tasks a lane takes at a time: enough for the lookups that may be in flight, and few
//! more, so that other workers find something to do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often it is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// For each lookup that may be in flight, lookups in hand: while some are asked, others wait here
/// and not at the broker.
const IN_HAND: u64 = 2;
/// The fewest tasks at a time, and the most.
const TASKS: (u64, u64) = (2, 512);

/// What a lane has been given so far.
#[derive(Debug, Default)]
pub(super) struct Given {
    tasks: AtomicU64,
    lookups: AtomicU64,
}

impl Given {
    /// One more task.
    pub(super) fn add(&self, lookups: usize) {
        self.tasks.fetch_add(1, Relaxed);
        self.lookups.fetch_add(lookups as u64, Relaxed);
    }
}

/// Follows the size of tasks.
#[derive(Debug)]
pub(super) struct Capacity {
    /// Lookups that may be in flight.
    slots: u64,
    prefetch: u16,
    /// Tasks and lookups at the last look.
    last: (u64, u64),
}

impl Capacity {
    pub(super) fn new(slots: usize, prefetch: u16) -> Self {
        Self { slots: slots as u64, prefetch, last: (0, 0) }
    }

    /// The prefetch that fits the tasks since the last look, where it is another one.
    pub(super) fn look(&mut self, given: &Given) -> Option<u16> {
        let now = (given.tasks.load(Relaxed), given.lookups.load(Relaxed));
        let (tasks, lookups) = (now.0 - self.last.0, now.1 - self.last.1);
        // Few tasks say little.
        if tasks < 4 {
            return None;
        }
        self.last = now;
        let fits = (IN_HAND * self.slots * tasks).div_ceil(lookups.max(1)).clamp(TASKS.0, TASKS.1);
        let fits = u16::try_from(fits).unwrap_or(u16::MAX);
        // Each change costs the broker a consumer.
        let far = fits.abs_diff(self.prefetch) > self.prefetch / 4;
        far.then(|| {
            self.prefetch = fits;
            fits
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_fits_the_slots() {
        let (given, mut capacity) = (Given::default(), Capacity::new(1_000, 512));
        assert_eq!(capacity.look(&given), None, "nothing is known yet");
        (0..10).for_each(|_| given.add(250));
        assert_eq!(capacity.look(&given), Some(8));
        (0..10).for_each(|_| given.add(240));
        assert_eq!(capacity.look(&given), None, "much the same");
        (0..10).for_each(|_| given.add(2));
        assert_eq!(capacity.look(&given), Some(512));
        (0..10).for_each(|_| given.add(100_000));
        assert_eq!(capacity.look(&given), Some(2));
    }
}
