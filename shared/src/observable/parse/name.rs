//! Domain names: RFC 1035 limits, UTS 46 for letters outside ASCII, `\DDD` for octets.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::Reason;
use crate::observable::Name;
use crate::observable::name::{MAX_LABEL, MAX_NAME};

/// Reads a refanged name. A dot at its end is left out; it allows a single label.
pub(super) fn parse(text: &str) -> Result<Name, Reason> {
    let ascii = to_ascii(text)?;
    let (body, absolute) = match ascii.strip_suffix('.') {
        Some(body) => (body, true),
        None => (&*ascii, false),
    };
    if body.is_empty() {
        return Err(Reason::EmptyLabel);
    }
    if let Some(reason) = misread(body) {
        return Err(reason);
    }
    let labels = body.split('.').map(label).collect::<Result<Vec<_>, _>>()?;
    if labels.len() < 2 && !absolute {
        return Err(Reason::SingleLabel);
    }
    if labels.last().is_some_and(|l| numeric(l)) {
        return Err(Reason::NumericTld);
    }
    let octets = labels.iter().map(|l| l.len() + 1).sum::<usize>() + 1;
    if octets > MAX_NAME {
        return Err(Reason::LongName(octets));
    }
    Name::from_labels(labels.iter().map(|l| &**l)).ok_or(Reason::LongName(octets))
}

/// UTS 46, non-transitional, for names with letters outside ASCII. A name in ASCII is a
/// DNS name already: underscores, leading digits and A-labels that no registry would take
/// are all in use.
fn to_ascii(text: &str) -> Result<Cow<'_, str>, Reason> {
    if text.is_ascii() {
        return Ok(Cow::Borrowed(text));
    }
    if text.contains('\\') {
        return Err(Reason::Octet);
    }
    Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, DnsLength::Ignore)
        .map_err(|_| Reason::Idna)
}

/// Texts that are something else than a name with a wrong character.
fn misread(body: &str) -> Option<Reason> {
    if body.contains('/') && !body.to_ascii_lowercase().ends_with(".arpa") {
        return Some(Reason::NoScheme);
    }
    let (_, port) = body.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_port.then_some(Reason::Port)
}

fn label(text: &str) -> Result<Cow<'_, [u8]>, Reason> {
    let octets =
        if text.contains('\\') { Cow::Owned(unescape(text)?) } else { Cow::Borrowed(text.as_bytes()) };
    if octets.is_empty() {
        return Err(Reason::EmptyLabel);
    }
    if octets.len() > MAX_LABEL {
        return Err(Reason::LongLabel(octets.len()));
    }
    // RFC 2317 puts slashes into names of the reverse tree; `misread` left only those.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'\\' | b'/');
    if text != "*"
        && let Some(bad) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(plain))
    {
        return Err(Reason::NameChar(crate::escape::terminal(&bad.to_string()).into_owned()));
    }
    Ok(octets)
}

fn unescape(text: &str) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        rest = tail;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let digits = rest.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or(Reason::Octet)?;
        let value = digits.iter().fold(0u16, |n, d| n * 10 + u16::from(d - b'0'));
        out.push(u8::try_from(value).map_err(|_| Reason::Octet)?);
        rest = &rest[3..];
    }
    Ok(out)
}

/// Whether a last label is no top-level domain: it has no letter, or makes the name a number
/// to URL parsers (WHATWG, "ends in a number").
fn numeric(label: &[u8]) -> bool {
    let hex = label.strip_prefix(b"0x").or_else(|| label.strip_prefix(b"0X"));
    !label.iter().any(u8::is_ascii_alphabetic) || hex.is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit))
}
