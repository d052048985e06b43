//! W3C Trace Context: the `traceparent` that goes with a job through every message.

/// Whether a text is a `traceparent` of version 00 (W3C Trace Context, section 3.2): 55
/// characters in lower case, and neither id all zeros.
pub fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        parts.next().filter(|p| p.len() == length && p.bytes().all(hex))
    };
    let (version, trace, span, flags) = (part(2), part(32), part(16), part(2));
    let some = |id: Option<&str>| id.is_some_and(|id| id.bytes().any(|b| b != b'0'));
    version == Some("00") && some(trace) && some(span) && flags.is_some() && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_told_from_what_is_none() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for odd in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(odd), "{odd}");
        }
    }
}
