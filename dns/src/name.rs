//! Names in wire form (RFC 1035 section 3.1), as slices.

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

/// Reads a name at `at` of a message, following pointers: each must point strictly before
/// the part it ends (so there is no loop), at most 126 of them, at most 255 octets.
///
/// Returns the name uncompressed with letters in lower case, and where its bytes in place
/// end; `None` where it is broken.
pub fn read(message: &[u8], at: usize, out: &mut Vec<u8>) -> Option<usize> {
    out.clear();
    let (mut at, mut part, mut end, mut pointers) = (at, at, None, 0_u8);
    loop {
        let len = *message.get(at)?;
        match len & 0xc0 {
            0x00 => {
                let label = message.get(at..at + 1 + usize::from(len))?;
                if out.len() + label.len() > MAX_NAME {
                    return None;
                }
                out.push(len);
                out.extend(label[1..].iter().map(u8::to_ascii_lowercase));
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
        let mut out = Vec::new();
        read(message, at, &mut out).map(|end| (out, end))
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
