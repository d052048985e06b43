//! A rate that no window of a second exceeds (GCRA, as ITU-T I.371 has it).

/// How far a rate is cut at most.
pub(crate) const LEAST_SHARE: f64 = 0.05;

/// One question each `step`, up to `early` ahead, both in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    step: f64,
    early: f64,
    /// When the bucket is full again, nanoseconds since the begin.
    full_at: f64,
}

impl Pace {
    /// A burst of 20 ms, so that timers of a millisecond reach the rate. It is taken out of
    /// the rate: a window of a second holds at most `burst - 1 + ceil(1 s / step)`.
    /// `None` for a rate without an end.
    pub(crate) fn of(rate: f64) -> Option<Self> {
        let rate = Some(rate).filter(|r| r.is_finite())?.max(1e-4);
        let burst = (rate / 50.0).floor().max(1.0);
        let step = (1e9 / (rate - burst + 1.0)).ceil();
        Some(Self { step, early: step * (burst - 1.0), full_at: 0.0 })
    }

    /// Whether one may go now.
    ///
    /// # Errors
    /// When one may, in nanoseconds since the begin.
    pub(crate) fn ready(&self, now_ns: u64) -> Result<(), u64> {
        let due = self.full_at - self.early;
        if due <= now_ns as f64 { Ok(()) } else { Err(due.ceil() as u64) }
    }

    /// Takes one, at a share (from [`LEAST_SHARE`] to 1) of the rate.
    pub(crate) fn take(&mut self, now_ns: u64, share: f64) {
        self.full_at = self.full_at.max(now_ns as f64) + self.step / share.clamp(LEAST_SHARE, 1.0);
    }

    /// Gives one back that was taken at a share and not used.
    pub(crate) fn give_back(&mut self, share: f64) {
        self.full_at -= self.step / share.clamp(LEAST_SHARE, 1.0);
    }

    /// Takes the next turn, however late it is: when that is, nanoseconds since the begin.
    pub(crate) fn reserve(&mut self, now_ns: u64) -> u64 {
        let due = self.ready(now_ns).err().unwrap_or(now_ns);
        self.take(now_ns, 1.0);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_a_second_is_above_the_rate() {
        for (rate, share) in [(1, 1.0), (3, 1.0), (10, 1.0), (1000, 1.0), (50_000, 1.0), (1000, 0.25)] {
            let mut pace = Pace::of(f64::from(rate)).unwrap();
            let (mut now, mut sent) = (0_u64, Vec::new());
            while sent.len() < 5 * rate as usize {
                match pace.ready(now) {
                    Ok(()) => {
                        pace.take(now, share);
                        sent.push(now);
                    }
                    // Timers are late, by up to two milliseconds.
                    Err(due) => now = due + sent.len() as u64 % 3 * 1_000_000,
                }
            }
            let (mut from, mut most) = (0, 0);
            for (i, at) in sent.iter().enumerate() {
                while sent[from] + 1_000_000_000 <= *at {
                    from += 1;
                }
                most = most.max(i + 1 - from);
            }
            assert!(most <= rate as usize, "{most} at {rate}");
            let seconds = *sent.last().unwrap() as f64 / 1e9;
            let reached = sent.len() as f64 / seconds.max(1e-9) / f64::from(rate);
            assert!(reached >= 0.9 * share, "{reached} of {rate}");
        }
        assert!(Pace::of(f64::INFINITY).is_none());
    }
}
