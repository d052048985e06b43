//! How large a window is: as large as who answers can carry. What goes beyond that waits in
//! queues, before the lookups of every other job, and is asked again when a coordinator dies.
//!
//! Of one task at a time it is measured how long its first answer takes. While that is about
//! as long as it ever was, nothing waits; what it takes longer is what stands before it (as
//! TCP Vegas does with segments).

use rustc_hash::FxHashSet;

use super::ticket::Ticket;

/// The least that a window shrinks to.
const LEAST: u32 = 2_048;
/// Milliseconds that a task may wait before the window shrinks, and below which it grows.
const LONG: u64 = 150;
const SHORT: u64 = 75;
/// Milliseconds after which another task is looked at: this one may be lost.
const LOST: u64 = 5_000;

/// The size of a window.
#[derive(Debug)]
pub struct Pace {
    most: u32,
    size: u32,
    /// The task that is looked at: when it left, and its lookups.
    probe: Option<(u64, FxHashSet<Ticket>)>,
    /// The least that one took, in milliseconds.
    base: u64,
    /// The window was full since it was looked at last.
    full: bool,
}

impl Pace {
    /// A window of this size, whatever comes.
    pub fn fixed(size: u32) -> Self {
        Self { most: size, size, probe: None, base: u64::MAX, full: false }
    }

    /// One that begins small, and is at most of this size.
    pub fn adaptive(most: u32) -> Self {
        Self { size: most.min(LEAST), ..Self::fixed(most) }
    }

    /// Questions that may be outstanding.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Takes note that there was no room.
    pub fn is_full(&mut self) {
        self.full = true;
    }

    /// Takes note of a task that leaves.
    pub fn left(&mut self, now: u64, lookups: &[(Ticket, u32)]) {
        let stands = |(since, _): &(u64, _)| now.saturating_sub(*since) < LOST;
        if self.most > LEAST && !self.probe.as_ref().is_some_and(stands) {
            self.probe = Some((now, lookups.iter().map(|(ticket, _)| *ticket).collect()));
        }
    }

    /// Takes note of an answer.
    pub fn came(&mut self, now: u64, lookup: Ticket) {
        let Some((since, _)) = self.probe.take_if(|(_, lookups)| lookups.contains(&lookup)) else { return };
        let took = now.saturating_sub(since);
        self.base = self.base.min(took);
        let waited = took - self.base;
        if waited > LONG {
            self.size = (self.size / 4 * 3).max(LEAST);
        } else if waited < SHORT && self.full {
            self.size = (self.size / 2 * 3).min(self.most);
        }
        self.full = false;
    }

    /// Forgets what was sent: nothing comes of it.
    pub fn forget(&mut self) {
        self.probe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window's worth is asked at a time, of who answers so many in a millisecond, each
    /// after so long; the seed alone at first. The size it comes to.
    fn settle(most: u32, rate: u64, latency: u64) -> u32 {
        let mut pace = Pace::adaptive(most);
        let mut now = 0;
        for task in 0..2_000 {
            pace.is_full();
            pace.left(now, &[(task, 1)]);
            now += if task == 0 { latency } else { latency.max(u64::from(pace.size()) / rate) };
            pace.came(now, task);
        }
        pace.size()
    }

    #[test]
    fn who_carries_all_gets_all() {
        assert_eq!(settle(16_384, 1_000, 50), 16_384);
        // However long each takes.
        assert_eq!(settle(16_384, 100, 2_000), 16_384);
    }

    #[test]
    fn what_waits_is_bounded() {
        for rate in [10_u32, 20, 30] {
            let size = settle(16_384, rate.into(), 50);
            let wait = size / rate;
            assert!((100..=260).contains(&wait), "{rate} a millisecond: {size} wait for {wait} ms");
        }
        assert_eq!(settle(16_384, 1, 50), LEAST);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut pace = Pace::adaptive(16_384);
        for task in 0..100 {
            pace.left(u64::from(task) * 100, &[(task, 1)]);
            pace.came(u64::from(task) * 100 + 50, task);
        }
        assert_eq!(pace.size(), LEAST);
    }

    #[test]
    fn a_small_window_stays() {
        assert_eq!(settle(100, 1, 50), 100);
        assert_eq!(Pace::fixed(77).size(), 77);
    }
}
