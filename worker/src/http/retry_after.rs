//! Retry-After (RFC 9110 section 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use kudzu_shared::limits::LONGEST_PENALTY as LONGEST;

/// Reads seconds or an HTTP date. A date that is past means now.
pub(super) fn parse(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time too.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let at = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
    Some(at.saturating_sub(now).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let s = |n| Some(Duration::from_secs(n));
        let now = 784_111_777_000;
        assert_eq!(parse("120", now), s(120));
        assert_eq!(parse(" 0 ", now), s(0));
        assert_eq!(parse("99999999999999999999999", now), s(86_400));
        assert_eq!(parse("Sun, 06 Nov 1994 08:50:37 GMT", now), s(60));
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT", now), s(0));
        assert_eq!(parse("Sun Nov  6 08:50:37 1994", now), s(60));
        assert_eq!(parse("Sat, 06 Nov 1993 08:49:37 GMT", now), s(0));
        for bad in ["", "-1", "1.5", "soon", "06 Nov 1994"] {
            assert_eq!(parse(bad, now), None, "{bad}");
        }
    }
}
