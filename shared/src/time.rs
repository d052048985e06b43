//! Time as kudzu counts it: wall-clock seconds for what sources report, and a clock seam.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
pub type UnixSeconds = i64;

/// Where wall-clock time comes from; durations are measured elsewhere, on monotonic time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// RFC 3339 text in UTC, to the second; a time beyond year 9999 is clamped.
pub fn rfc3339(at: UnixSeconds) -> String {
    let clamped = at.clamp(-62_135_596_800, 253_402_300_799);
    jiff::Timestamp::from_second(clamped).map(|t| t.to_string()).unwrap_or_default()
}

/// Reads RFC 3339 text, or a date alone (midnight UTC).
pub fn parse_time(text: &str) -> Option<UnixSeconds> {
    let text = text.trim();
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(t.as_second());
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}
