//! Unix seconds and their RFC 3339 text.

use jiff::Timestamp;

/// One day in seconds.
pub(crate) const DAY: i64 = 86_400;

/// The present of a generated world: 2026-06-01T00:00:00Z.
pub(crate) const GENERATED_NOW: i64 = 1_780_272_000;

/// Writes RFC 3339 in UTC; times out of range are written as the epoch.
pub(crate) fn rfc3339(at: i64) -> String {
    Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Reads RFC 3339, with or without a zone, or a bare date.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_second());
    }
    let zoned = if text.contains('T') { format!("{text}Z") } else { format!("{text}T00:00:00Z") };
    zoned.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back() {
        assert_eq!(rfc3339(GENERATED_NOW), "2026-06-01T00:00:00Z");
        assert_eq!(parse("2026-06-01T00:00:00Z"), Some(GENERATED_NOW));
        assert_eq!(parse("2026-06-01"), Some(GENERATED_NOW));
        assert_eq!(parse("soon"), None);
    }
}
