//! Names in wire form (RFC 1035 section 3.1), as slices.

use std::net::IpAddr;

/// The longest name, its root label included.
pub const MAX_NAME: usize = 255;
/// The longest label.
pub const MAX_LABEL: usize = 63;
/// The most compression pointers followed in one name: a name has no more labels.
const MAX_POINTERS: u8 = 126;

/// Whether these octets are one uncompressed name and nothing else.
pub fn is_valid(wire: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&len) = wire.get(at) {
        let len = usize::from(len);
        if len > MAX_LABEL || at + 1 + len > MAX_NAME {
            return false;
        }
        at += 1 + len;
        if len == 0 {
            return at == wire.len();
        }
    }
    false
}

/// The labels, the top-level one last, without the root.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&len, tail) = rest.split_first()?;
        let label = tail.get(..usize::from(len)).filter(|l| !l.is_empty())?;
        rest = &tail[usize::from(len)..];
        Some(label)
    })
}

/// The wire form of a name's text, letters in lower case. Labels are octets as they stand;
/// `\DDD` is any octet, and `\` takes its meaning from any other (RFC 1035 section 5.1). A
/// final dot may be left out. `None` where it is no name.
pub fn from_text(text: &str) -> Option<Box<[u8]>> {
    let text = text.as_bytes();
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut start = 0;
    wire.push(0);
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        let octet = match octet {
            b'.' => {
                let len = wire.len() - start - 1;
                // Only the root is a dot alone.
                if len == 0 && text.len() != 1 {
                    return None;
                }
                if len > 0 {
                    wire[start] = u8::try_from(len).ok().filter(|n| usize::from(*n) <= MAX_LABEL)?;
                    start = wire.len();
                    wire.push(0);
                }
                continue;
            }
            b'\\' => match rest {
                [a, b, c, tail @ ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
                    rest = tail;
                    let digits = [a, b, c].into_iter().fold(0_u16, |n, d| n * 10 + u16::from(d - b'0'));
                    u8::try_from(digits).ok()?
                }
                [other, tail @ ..] if !other.is_ascii_digit() => {
                    rest = tail;
                    *other
                }
                _ => return None,
            },
            other => other,
        };
        wire.push(octet.to_ascii_lowercase());
    }
    let len = wire.len() - start - 1;
    if len > 0 {
        wire[start] = u8::try_from(len).ok().filter(|n| usize::from(*n) <= MAX_LABEL)?;
        wire.push(0);
    }
    (!text.is_empty() && wire.len() <= MAX_NAME).then(|| wire.into())
}

/// The text of a name, without the final dot: octets that are no letters, digits, hyphens or
/// underscores as `\DDD`, but for the label `*`. `.` for the root.
pub fn to_text(wire: &[u8]) -> String {
    let mut text = String::with_capacity(wire.len());
    push_text(wire, &mut text);
    text
}

/// The same, appended.
pub fn push_text(wire: &[u8], text: &mut String) {
    let mut any = false;
    for label in labels(wire) {
        if std::mem::replace(&mut any, true) {
            text.push('.');
        }
        for octet in label {
            match octet {
                b'*' if label.len() == 1 => text.push('*'),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(char::from(*octet)),
                other => push_octet(*other, text),
            }
        }
    }
    if !any {
        text.push('.');
    }
}

/// An octet as `\DDD`.
pub(crate) fn push_octet(octet: u8, text: &mut String) {
    text.push('\\');
    text.extend([octet / 100, octet / 10 % 10, octet % 10].map(|d| char::from(b'0' + d)));
}

/// Whether a name is `zone` or below it. Both in lower case.
pub fn is_below(name: &[u8], zone: &[u8]) -> bool {
    let Some(mut left) = name.len().checked_sub(zone.len()) else { return false };
    if !name.ends_with(zone) {
        return false;
    }
    // The end must begin at a label.
    let mut rest = name;
    while left > 0 {
        let Some((&len, tail)) = rest.split_first() else { return false };
        let len = usize::from(len);
        if len + 1 > left {
            return false;
        }
        (left, rest) = (left - len - 1, &tail[len..]);
    }
    true
}

/// The name of an address in the reverse tree (RFC 1035 section 3.5, RFC 3596 section 2.5),
/// in wire form; below `zone` (wire form) instead of the usual one where it is given.
pub fn reverse(ip: IpAddr, zone: Option<&[u8]>) -> Box<[u8]> {
    let mut wire = Vec::with_capacity(80);
    match ip {
        IpAddr::V4(a) => {
            for octet in a.octets().iter().rev() {
                let text = octet.to_string();
                // One to three digits.
                wire.push(text.len() as u8);
                wire.extend(text.bytes());
            }
            wire.extend(zone.unwrap_or(b"\x07in-addr\x04arpa\x00"));
        }
        IpAddr::V6(a) => {
            for octet in a.octets().iter().rev() {
                for nibble in [octet & 15, octet >> 4] {
                    wire.extend([1, b"0123456789abcdef"[usize::from(nibble)]]);
                }
            }
            wire.extend(zone.unwrap_or(b"\x03ip6\x04arpa\x00"));
        }
    }
    wire.into()
}

/// The address whose reverse name this is ([`reverse`] in the usual zone).
pub fn address(wire: &[u8]) -> Option<IpAddr> {
    let mut labels: Vec<&str> =
        labels(wire).map(|label| std::str::from_utf8(label).ok()).collect::<Option<_>>()?;
    labels.reverse();
    let ip: IpAddr = match &labels[..] {
        ["arpa", "in-addr", octets @ ..] if octets.len() == 4 => octets.join(".").parse().ok()?,
        ["arpa", "ip6", nibbles @ ..] if nibbles.len() == 32 => {
            let groups: Vec<String> = nibbles.chunks(4).map(<[&str]>::concat).collect();
            groups.join(":").parse().ok()?
        }
        _ => return None,
    };
    // Other spellings of the labels are other names.
    (*reverse(ip, None) == *wire).then_some(ip)
}

/// Room for a name.
#[derive(Debug, Clone)]
pub struct Buffer {
    octets: [u8; MAX_NAME],
    len: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self { octets: [0; MAX_NAME], len: 0 }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// Reads a name at `at` of a message, following pointers: each must point strictly before
/// the part it ends (so there is no loop), at most 126 of them, at most 255 octets.
///
/// Returns the name uncompressed with letters in lower case, and where its bytes in place
/// end; `None` where it is broken.
pub fn read(message: &[u8], at: usize, out: &mut Buffer) -> Option<usize> {
    out.len = 0;
    let (mut at, mut part, mut end, mut pointers) = (at, at, None, 0_u8);
    loop {
        let len = *message.get(at)?;
        match len & 0xc0 {
            0x00 => {
                let label = message.get(at..at + 1 + usize::from(len))?;
                let room = out.octets.get_mut(out.len..out.len + label.len())?;
                room.copy_from_slice(label);
                // The length is below the letters.
                room.make_ascii_lowercase();
                out.len += label.len();
                at += label.len();
                if len == 0 {
                    return Some(end.unwrap_or(at));
                }
            }
            0xc0 => {
                let to = usize::from(len & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                pointers += 1;
                if to >= part || pointers > MAX_POINTERS {
                    return None;
                }
                end.get_or_insert(at + 2);
                (at, part) = (to, to);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(message: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
        let mut out = Buffer::default();
        read(message, at, &mut out).map(|end| (out.to_vec(), end))
    }

    #[test]
    fn pointers_go_backwards_only() {
        let m = b"\x03wWw\x01a\x00\x03xyz\xc0\x04";
        assert_eq!(at(m, 0), Some((b"\x03www\x01a\x00".to_vec(), 7)));
        assert_eq!(at(m, 7), Some((b"\x03xyz\x01a\x00".to_vec(), 13)));
        for bad in [&b"\xc0\x00"[..], b"\x01a\xc0\x00", b"\xc0\x02\x00", b"\x40", b"\x05ab", b"\xc0", b""] {
            assert_eq!(at(bad, 0), None, "{bad:?}");
        }
        assert_eq!(at(b"\xc0\x02\xc0\x00", 2), None);
    }

    #[test]
    fn text_and_wire() {
        for (text, wire) in [
            (".", &b"\x00"[..]),
            ("a", b"\x01a\x00"),
            ("WWW.example.", b"\x03www\x07example\x00"),
            ("a\\.b.c", b"\x03a.b\x01c\x00"),
            ("\\000\\255x.y", b"\x03\x00\xffx\x01y\x00"),
        ] {
            assert_eq!(from_text(text).as_deref(), Some(wire), "{text}");
        }
        for bad in ["", "..", "a..b", ".a", "a\\", "a\\25", "a\\256", &"a".repeat(64), &"abc.".repeat(64)] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
        assert_eq!(to_text(b"\x03a.b\x01c\x00"), "a\\046b.c");
        assert_eq!((to_text(b"\x00"), to_text(b"\x03wWw\x00")), (".".into(), "wWw".into()));
    }

    #[test]
    fn an_address_and_its_reverse_name() {
        for text in ["192.0.2.10", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.1", "ffff::"] {
            let ip = text.parse().unwrap();
            assert_eq!(address(&reverse(ip, None)), Some(ip), "{text}");
        }
        for text in [
            "a.in-addr.arpa",
            "2.0.192.in-addr.arpa",
            "01.2.0.192.in-addr.arpa",
            "x.10.2.0.192.in-addr.arpa",
            "arpa",
            ".",
        ] {
            assert_eq!(address(&from_text(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn below_means_at_a_label() {
        let name = b"\x03www\x07example\x00";
        for (zone, is) in [
            (&b"\x07example\x00"[..], true),
            (name, true),
            (b"\x00", true),
            (b"\x06xample\x00", false),
            (b"\x03www\x00", false),
            (b"\x01a\x03www\x07example\x00", false),
        ] {
            assert_eq!(is_below(name, zone), is, "{zone:?}");
        }
        // The length of one label is another one's letter.
        assert!(!is_below(b"\x02a\x03www\x00", b"\x03www\x00"));
    }

    #[test]
    fn limits_of_a_name() {
        let mut long = [&[63_u8][..], &[b'a'; 63]].concat().repeat(3);
        long.extend([&[61_u8][..], &[b'b'; 61], &[0]].concat());
        assert_eq!(long.len(), 255);
        assert!(is_valid(&long) && at(&long, 0).is_some());
        long[192] = 62;
        long.insert(193, b'b');
        assert!(!is_valid(&long) && at(&long, 0).is_none());
        assert!(is_valid(b"\0") && !is_valid(b"") && !is_valid(b"\x01a") && !is_valid(b"\0\0"));
    }

    #[test]
    fn many_pointers_are_refused() {
        let mut m = vec![1, b'a', 0];
        let mut to = 0_u16;
        for _ in 0..127 {
            let here = m.len() as u16;
            m.extend((0xc000 | to).to_be_bytes());
            to = here;
        }
        assert!(at(&m, usize::from(to)).is_none());
        assert!(at(&m, usize::from(to) - 2).is_some());
    }
}
