//! Questions leased ahead, for who cannot wait for each: every one has its own time, so those
//! that nobody asks lapse by themselves.

use std::time::Duration;

use tokio::time::Instant;

/// How far ahead a rate is leased.
pub const BLOCK: Duration = Duration::from_millis(100);
/// How late a leased question may go.
pub(super) const LATE: Duration = Duration::from_millis(50);
/// How late it may be with the way of the lease. By no more than this is a rate stretched: what
/// is late, some more than others, is in no second more than the rate.
pub(super) const LATEST: Duration = BLOCK;
/// By how much a rate is stretched.
pub(super) const STRETCH: f64 = 1.1;

/// A block of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How many. With none it is worth asking again at `first`.
    pub questions: u32,
    /// When the first may go.
    pub first: Instant,
    /// How much later each next one may.
    pub interval: Duration,
    /// How late each may go, or not at all.
    pub late: Duration,
}

impl Lease {
    /// Nothing before `until`.
    pub fn none(until: Instant) -> Self {
        Self { questions: 0, first: until, interval: Duration::ZERO, late: Duration::ZERO }
    }

    /// Where there is no limit.
    pub(super) fn free(questions: u32, now: Instant) -> Self {
        Self { questions, first: now, interval: Duration::ZERO, late: LATE }
    }
}
