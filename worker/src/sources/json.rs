//! JSON of upstreams, bounded before it is built: eight mebibytes of `[0,0,…` would become
//! hundreds of mebibytes of values.

use std::fmt;

use kudzu_shared::outcome::Verdict;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// An object of at most so many values, told by its punctuation (that in texts counts too).
pub(super) fn object(body: &[u8], most: usize) -> Result<Value, Verdict> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Verdict::Malformed);
    }
    value(body, most)
}

/// Anything, within the same bound.
pub(super) fn value(body: &[u8], most: usize) -> Result<Value, Verdict> {
    if body.iter().filter(|b| matches!(b, b',' | b'[' | b'{')).count() > most {
        return Err(Verdict::Limit);
    }
    serde_json::from_slice(body).map_err(|_| Verdict::Malformed)
}

/// Hands over the elements of an array, one by one and as they stand. `None` where the body
/// is no array; what was handed over until then is of no use.
pub(super) fn each<'a>(body: &'a [u8], take: impl FnMut(&'a RawValue)) -> Option<()> {
    let mut body = serde_json::Deserializer::from_slice(body);
    body.deserialize_seq(Elements(take)).ok()?;
    body.end().ok()
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_values_is_not_built() {
        let flood = format!("{{\"a\":[{}0]}}", "0,".repeat(1000));
        assert_eq!(object(flood.as_bytes(), 1000).unwrap_err(), Verdict::Limit);
        assert!(object(flood.as_bytes(), 2000).is_ok());
        assert_eq!(object(b"[0]", 1000).unwrap_err(), Verdict::Malformed);
        assert_eq!(object(b"{", 1000).unwrap_err(), Verdict::Malformed);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(value(deep.as_bytes(), 20_000).unwrap_err(), Verdict::Malformed);
    }

    #[test]
    fn elements_come_as_they_stand() {
        let mut all = Vec::new();
        assert!(each(br#" [1, {"a": [2]} ,"x"] "#, |raw| all.push(raw.get())).is_some());
        assert_eq!(all, ["1", r#"{"a": [2]}"#, "\"x\""]);
        for bad in [&b"{}"[..], b"[1", b"[1] x", b"", b"[\xff]"] {
            assert!(each(bad, |_| ()).is_none());
        }
    }
}
