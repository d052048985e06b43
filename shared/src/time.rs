//! Time as kudzu counts it: wall-clock seconds for what sources report, and a clock seam.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::temporal::DateTimePrinter;

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

/// RFC 3339 text in UTC, to the second; a time before year 1 or beyond 9999 is clamped.
pub fn rfc3339(at: UnixSeconds) -> String {
    let mut text = Vec::new();
    push_rfc3339(&mut text, at);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends what [`rfc3339`] gives, without an allocation of its own.
pub fn push_rfc3339(out: &mut Vec<u8>, at: UnixSeconds) {
    const PRINTER: DateTimePrinter = DateTimePrinter::new();
    // Up to the last time jiff has, 26 h before the end of year 9999.
    let latest = jiff::Timestamp::MAX.as_second();
    if let Ok(t) = jiff::Timestamp::from_second(at.clamp(-62_135_596_800, latest)) {
        // Writing to a vector cannot fail.
        let _ = PRINTER.print_timestamp(&t, out);
    }
}

/// Reads RFC 3339 text. Without an offset it is UTC; a date alone is its midnight.
pub fn parse_time(text: &str) -> Option<UnixSeconds> {
    let text = text.trim();
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(t.as_second());
    }
    // What has an offset or a zone and cannot be read with it must not be read without.
    let (_, clock) = text.split_once(['T', 't', ' ']).unwrap_or_default();
    if text.contains('[') || clock.contains(['+', '-', 'Z', 'z']) {
        return None;
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_an_offset() {
        let noon = 1_772_366_400;
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", noon),
            ("2026-03-01T13:00:00+01:00", noon),
            ("2026-03-01T07:00:00.75-05:00", noon),
            // The time of day was once lost here.
            ("2026-03-01T12:00:00", noon),
            ("2026-03-01 12:00:00", noon),
            (" 2026-03-01 12:00:00.999 ", noon),
            ("2026-03-01T17:45:10", noon + 20_710),
            ("2026-03-01T12:00", noon),
            ("2026-03-01", noon - 43_200),
            ("1969-12-31T23:59:59", -1),
        ] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_same_text_either_way() {
        for at in [i64::MIN, -62_135_596_801, -1, 0, 1_772_366_400, 253_402_300_799, i64::MAX] {
            let mut text = b"at ".to_vec();
            push_rfc3339(&mut text, at);
            assert_eq!(String::from_utf8_lossy(&text), format!("at {}", rfc3339(at)));
        }
        for (at, text) in [
            (i64::MIN, "0001-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (1_772_366_400, "2026-03-01T12:00:00Z"),
            // Such a time once had no text at all.
            (253_402_300_799, "9999-12-30T22:00:00Z"),
            (i64::MAX, "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(rfc3339(at), text);
        }
    }

    #[test]
    fn what_is_no_time() {
        for bad in [
            "",
            "now",
            "12:00",
            "2026",
            "2026-03",
            "2026-02-30",
            "2026-03-01T25:00:00",
            "2026-03-01T12:00:00[Europe/Berlin]",
            "2026-03-01[Europe/Berlin]",
            "2026-03-01T12:00:00+99:00",
            "9999-12-31T23:59:59-23:00",
            "1772366400",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for at in [-1, 0, 1_772_366_400, 253_402_300_799] {
            assert_eq!(parse_time(&rfc3339(at.min(253_402_207_200))), Some(at.min(253_402_207_200)));
        }
        assert_eq!(rfc3339(i64::MIN), "0001-01-01T00:00:00Z");
    }
}
