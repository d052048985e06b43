//! How long a server takes, and how long to wait for it (RFC 6298).

use std::time::Duration;

/// Before anything is known, as Unbound has it.
const UNKNOWN: Duration = Duration::from_millis(400);
/// Below this a pause of either machine would look like a loss.
const LEAST: Duration = Duration::from_millis(100);
/// Beyond this another server is the better hope.
const MOST: Duration = Duration::from_millis(1500);

/// Smoothed round-trip time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rtt {
    /// Mean and variation; `None` before the first sample.
    smoothed: Option<(Duration, Duration)>,
}

impl Rtt {
    /// Takes a sample in. It must belong to the send that was answered (Karn's algorithm):
    /// every send has an ID of its own, so it does.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (rtt, rtt / 2),
            Some((mean, variation)) => {
                let off = mean.abs_diff(rtt);
                ((mean * 7 + rtt) / 8, (variation * 3 + off) / 4)
            }
        });
    }

    /// The mean; `None` before the first sample.
    pub(crate) fn mean(&self) -> Option<Duration> {
        self.smoothed.map(|(mean, _)| mean)
    }

    /// After how long hardly any answer comes any more.
    pub(crate) fn spread(&self) -> Duration {
        self.smoothed.map_or(UNKNOWN, |(mean, variation)| mean + variation * 4).min(MOST)
    }

    /// After how long a question is sent again, to whomever; doubled each time.
    pub(crate) fn timeout(&self, sends_before: u32) -> Duration {
        (self.spread().max(LEAST) * 2_u32.saturating_pow(sends_before.min(4))).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_samples_and_keeps_its_bounds() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!((rtt.mean(), rtt.timeout(0), rtt.timeout(2)), (None, UNKNOWN, MOST));
        (0..50).for_each(|_| rtt.sample(ms(40)));
        assert_eq!((rtt.mean().unwrap(), rtt.timeout(0), rtt.timeout(1)), (ms(40), LEAST, LEAST * 2));
        (0..50).for_each(|i| rtt.sample(ms(if i % 2 == 0 { 20 } else { 420 })));
        assert!((ms(600)..=ms(1200)).contains(&rtt.timeout(0)), "{:?}", rtt.timeout(0));
        (0..50).for_each(|_| rtt.sample(ms(9000)));
        assert_eq!(rtt.timeout(0), MOST);
    }
}
