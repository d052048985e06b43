//! Domain names in wire form.

use std::borrow::Borrow;
use std::fmt;

/// A domain name as it is on the wire, with the root's zero octet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The longest wire form that RFC 1035 allows.
    pub const MAX_WIRE: usize = 255;

    /// Reads presentation form, with `\DDD` and `\x` escapes; `None` when it is not a name.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() || text == "." {
            return (text == ".").then(Self::root);
        }
        let mut wire = vec![0];
        let mut start = 0;
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => {
                    close_label(&mut wire, start)?;
                    start = wire.len();
                    wire.push(0);
                    continue;
                }
                b'\\' => {
                    let first = bytes.next()?;
                    if first.is_ascii_digit() {
                        let (second, third) = (bytes.next()?, bytes.next()?);
                        if !second.is_ascii_digit() || !third.is_ascii_digit() {
                            return None;
                        }
                        let code = [first, second, third]
                            .iter()
                            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
                        wire.push(u8::try_from(code).ok()?);
                    } else {
                        wire.push(first);
                    }
                }
                other => wire.push(other),
            }
        }
        if wire.len() - start > 1 {
            close_label(&mut wire, start)?;
            wire.push(0);
        }
        (wire.len() <= Self::MAX_WIRE).then(|| Self(wire.into()))
    }

    /// Takes a checked wire form as it is.
    pub(crate) fn from_wire(wire: Vec<u8>) -> Self {
        debug_assert!(wire.len() <= Self::MAX_WIRE && wire.last() == Some(&0));
        Self(wire.into())
    }

    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// The wire form.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The name with one more label in front; the name itself when that would be too long.
    #[must_use]
    pub fn child(&self, label: &[u8]) -> Self {
        if label.is_empty() || label.len() > 63 || label.len() + 1 + self.0.len() > Self::MAX_WIRE {
            return self.clone();
        }
        let mut wire = Vec::with_capacity(label.len() + 1 + self.0.len());
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
        wire.extend_from_slice(&self.0);
        Self(wire.into())
    }

    /// The same name with ASCII letters in lower case.
    #[must_use]
    pub fn lowercase(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }
}

impl fmt::Display for Name {
    /// Writes presentation form without the final dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(&self.0))
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn close_label(wire: &mut [u8], start: usize) -> Option<()> {
    let length = wire.len() - start - 1;
    if length == 0 || length > 63 {
        return None;
    }
    wire[start] = length as u8;
    Some(())
}

/// Presentation form of a wire name.
pub(crate) fn text(wire: &[u8]) -> String {
    let mut out = String::with_capacity(wire.len());
    for label in labels(wire) {
        if !out.is_empty() {
            out.push('.');
        }
        for byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    out.push('\\');
                    out.push(char::from(*byte));
                }
                0x21..=0x7e => out.push(char::from(*byte)),
                other => out.push_str(&format!("\\{other:03}")),
            }
        }
    }
    if out.is_empty() { ".".to_owned() } else { out }
}

/// The labels of a wire name, without the root.
pub(crate) fn labels(wire: &[u8]) -> Labels<'_> {
    Labels { rest: wire }
}

/// See [`labels`].
#[derive(Clone, Debug)]
pub(crate) struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, tail) = self.rest.split_first()?;
        let length = usize::from(*length);
        if length == 0 || length > tail.len() {
            return None;
        }
        let (label, rest) = tail.split_at(length);
        self.rest = rest;
        Some(label)
    }
}

/// The name without its first label.
pub(crate) fn parent(wire: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*wire.first()?);
    if length == 0 { None } else { wire.get(length + 1..) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree() {
        for text in ["example.com", "a.b.c.de", "\\001\\255x.net", "dot\\.ted.org", "."] {
            let name = Name::from_text(text).unwrap();
            assert_eq!(name.to_string(), text);
        }
        assert_eq!(Name::from_text("www.example.com.").unwrap().as_wire(), b"\x03www\x07example\x03com\0");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        let deep = "abcdefg.".repeat(40);
        for text in ["", "a..b", ".a", long.as_str(), deep.as_str(), "\\300.com", "a\\"] {
            assert!(Name::from_text(text).is_none(), "{text}");
        }
    }
}
