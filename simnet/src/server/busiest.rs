//! The busiest second.

use std::time::Instant;

/// Milliseconds of a second.
const MILLIS: usize = 1000;

/// Counts what arrived within the last second, to the millisecond.
#[derive(Debug)]
pub(super) struct Busiest {
    begin: Instant,
    /// By millisecond of arrival, over the last second.
    counts: [u64; MILLIS],
    /// The millisecond that was counted last.
    at: u64,
    sum: u64,
}

impl Busiest {
    pub(super) fn new(now: Instant) -> Self {
        Self { begin: now, counts: [0; MILLIS], at: 0, sum: 0 }
    }

    /// Counts some that arrived now; says how many did within the second that ends now.
    pub(super) fn count(&mut self, now: Instant, some: u64) -> u64 {
        let at = now.duration_since(self.begin).as_millis() as u64;
        for old in self.at + 1..=at.min(self.at + MILLIS as u64) {
            self.sum -= std::mem::take(&mut self.counts[old as usize % MILLIS]);
        }
        self.at = at;
        self.counts[at as usize % MILLIS] += some;
        self.sum += some;
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_slides() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut busiest = Busiest::new(begin);
        assert_eq!(busiest.count(at(0), 3), 3);
        assert_eq!(busiest.count(at(500), 4), 7);
        assert_eq!(busiest.count(at(999), 1), 8);
        assert_eq!(busiest.count(at(1000), 1), 6, "what came at 0 is over");
        assert_eq!(busiest.count(at(1500), 0), 2);
        assert_eq!(busiest.count(at(11_500), 2), 2);
    }
}
