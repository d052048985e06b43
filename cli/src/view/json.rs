//! JSON whose texts are as harmless as what people see.

use std::borrow::Cow;
use std::io;

use kudzu_shared::escape;
use serde::Serialize;
use serde_json::Value;

use super::text::defang_words;

/// A value with every text in it in the display form: what it says came from upstream.
///
/// # Errors
/// When it has no JSON form.
pub fn escaped(value: &impl Serialize) -> io::Result<Value> {
    let mut value = serde_json::to_value(value)?;
    change(&mut value, &|text| match escape::terminal(text) {
        Cow::Owned(clean) => Some(clean),
        Cow::Borrowed(_) => None,
    });
    Ok(value)
}

/// A value in which every observable that one could click on is defanged.
pub fn defanged(mut value: Value) -> Value {
    change(&mut value, &|text| Some(defang_words(text)));
    value
}

/// Replaces texts, but not the names of fields, which are ours.
fn change(value: &mut Value, with: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(other) = with(text) {
                *text = other;
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|v| change(v, with)),
        Value::Object(map) => map.values_mut().for_each(|v| change(v, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_escaped_wherever_they_stand() {
        let hostile = json!({ "n": 1.5, "reasons": [{ "text": "a\u{202e}b <b>", "path": ["\u{1b}[31m"] }] });
        let clean = json!({ "n": 1.5, "reasons": [{
            "text": "a\\u{202e}b \\u{3c}b\\u{3e}", "path": ["\\u{1b}[31m"]
        }] });
        assert_eq!(escaped(&hostile).unwrap(), clean);
        let path = json!({ "path": [{ "value": "evil.com" }], "score": 0.5 });
        assert_eq!(defanged(path), json!({ "path": [{ "value": "evil[.]com" }], "score": 0.5 }));
    }
}
