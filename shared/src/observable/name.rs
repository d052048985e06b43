//! DNS names in wire form (RFC 1035 section 3.1): any octet is legal in a label.

use std::fmt;

/// A DNS name: wire form, ASCII letters in lower case, at most 255 octets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// The longest name on the wire, the root's zero octet included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;

impl Name {
    /// From uncompressed wire form that ends in the root label. Letters are folded.
    ///
    /// `None` where a label is longer than 63 octets, the name longer than 255, or the
    /// end is missing or early.
    pub fn from_wire(wire: &[u8]) -> Option<Self> {
        if wire.len() > MAX_NAME {
            return None;
        }
        let mut at = 0;
        loop {
            let len = usize::from(*wire.get(at)?);
            if len > MAX_LABEL {
                return None;
            }
            at += 1 + len;
            if len == 0 {
                break;
            }
        }
        (at == wire.len()).then(|| Self(wire.to_ascii_lowercase().into()))
    }

    /// From labels, the top-level one last. `None` where a limit is passed or a label empty.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut wire = Vec::with_capacity(32);
        for label in labels {
            if label.is_empty() || label.len() > MAX_LABEL {
                return None;
            }
            // The length was checked above; 63 fits.
            wire.push(u8::try_from(label.len()).ok()?);
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        wire.push(0);
        (wire.len() <= MAX_NAME).then(|| Self(wire.into()))
    }

    /// From master-file text (RFC 1035 section 5.1): `\DDD` and `\X` are read, a trailing
    /// dot is allowed, no IDNA is done. `None` where it is no name.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = if text == "." { "" } else { text };
        let mut labels: Vec<Vec<u8>> = vec![Vec::new()];
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&b) = bytes.get(at) {
            at += 1;
            let octet = match b {
                b'.' => {
                    labels.push(Vec::new());
                    continue;
                }
                b'\\' => {
                    let (octet, used) = unescape(bytes.get(at..)?)?;
                    at += used;
                    octet
                }
                _ => b,
            };
            labels.last_mut()?.push(octet);
        }
        if labels.last().is_some_and(Vec::is_empty) {
            labels.pop();
        }
        Self::from_labels(labels.iter().map(Vec::as_slice))
    }

    /// The wire form, the root label's zero included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels, the top-level one last, without the root.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let len = usize::from(*self.0.first()?);
        (len > 0).then(|| Self(self.0[1 + len..].into()))
    }

    /// Whether this name is `zone` or below it.
    pub fn is_within(&self, zone: &Name) -> bool {
        let (mut at, own) = (0, &self.0);
        while own.len() - at >= zone.0.len() {
            if own[at..] == *zone.0 {
                return true;
            }
            match own[at] {
                0 => return false,
                len => at += 1 + usize::from(len),
            }
        }
        false
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_wire(&self.0, f)
    }
}

/// The labels of a name in wire form.
#[derive(Debug, Clone)]
pub struct Labels<'a>(&'a [u8]);

impl<'a> Labels<'a> {
    /// Over uncompressed wire form; stops at the root label or at the first broken one.
    pub fn of(wire: &'a [u8]) -> Self {
        Self(wire)
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.0.split_first()?;
        if len == 0 {
            return None;
        }
        let label = rest.get(..usize::from(len))?;
        self.0 = &rest[usize::from(len)..];
        Some(label)
    }
}

fn unescape(rest: &[u8]) -> Option<(u8, usize)> {
    match *rest.first()? {
        d if d.is_ascii_digit() => {
            let digits = rest.get(..3)?;
            let text = std::str::from_utf8(digits).ok()?;
            Some((text.parse().ok()?, 3))
        }
        other => Some((other, 1)),
    }
}

/// Writes wire form as text: no trailing dot (the root is `.`); letters, digits, `-`, `_`
/// and a label `*` as they are, every other octet as `\DDD`.
///
/// A dot in a label is `\046`, never `\.`: that is a defanged dot to whoever reads it next,
/// and brackets, slashes or formula signs in a hostile name mean nothing to anyone.
pub fn fmt_wire(wire: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if wire == [0] {
        return f.write_str(".");
    }
    let mut first = true;
    for label in Labels::of(wire) {
        if !std::mem::take(&mut first) {
            f.write_str(".")?;
        }
        for &b in label {
            match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    write!(f, "{}", char::from(b))?;
                }
                b'*' if label.len() == 1 => f.write_str("*")?,
                _ => write!(f, "\\{b:03}")?,
            }
        }
    }
    Ok(())
}
