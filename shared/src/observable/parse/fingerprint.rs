//! Hashes of files and fingerprints of certificates, in hexadecimal.

use super::Reason;
use super::strip_prefix_ignore_case;
use crate::observable::{Kind, Observable};

const ALGORITHMS: [(&str, usize); 4] = [("md5", 32), ("sha1", 40), ("sha256", 64), ("sha512", 128)];

/// A hash or fingerprint, where the text is plainly one.
///
/// Plain hex is a file. Hex in pairs with colons between is how certificates are shown.
pub(super) fn detect(text: &str) -> Option<Result<Observable, Reason>> {
    if strip_prefix_ignore_case(text, "cert:").is_some() || shown_by_openssl(text).is_some() || pairs(text) {
        return Some(certificate(text));
    }
    if let Some((_, rest)) = algorithm(text) {
        return Some(if pairs(rest) { certificate(text) } else { file(text) });
    }
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    // Shorter runs of hex digits are single labels or numbers, and refused as such.
    (hex && text.len() >= 32).then(|| file(text))
}

/// A file by its hash, with the algorithm before it or not.
pub(super) fn file(text: &str) -> Result<Observable, Reason> {
    let (expected, digits) = match algorithm(text) {
        Some((found, rest)) => (Some(found), rest),
        None => (None, text),
    };
    let wire = decode(digits)?;
    if let Some((algorithm, expected)) = expected
        && digits.len() != expected
    {
        return Err(Reason::Algorithm { algorithm, expected, digits: digits.len() });
    }
    Observable::from_wire(Kind::File, &wire).ok_or(Reason::HashLength(digits.len()))
}

/// A certificate by SHA-256 or SHA-1 fingerprint, in pairs with colons or plain.
pub(super) fn certificate(text: &str) -> Result<Observable, Reason> {
    let text = strip_prefix_ignore_case(text, "cert:").unwrap_or(text).trim_start();
    let (expected, digits) = match algorithm(text).or_else(|| shown_by_openssl(text)) {
        Some((found, rest)) => (Some(found), rest),
        None => (None, text),
    };
    let digits = if pairs(digits) { digits.replace(':', "") } else { digits.to_owned() };
    let wire = decode(&digits).map_err(|_| Reason::Fingerprint)?;
    if let Some((algorithm, expected)) = expected
        && digits.len() != expected
    {
        return Err(Reason::Algorithm { algorithm, expected, digits: digits.len() });
    }
    Observable::from_wire(Kind::X509Certificate, &wire).ok_or(Reason::Fingerprint)
}

/// `md5:…` and its like: the algorithm with its number of digits, and the rest.
fn algorithm(text: &str) -> Option<((&'static str, usize), &str)> {
    let (name, rest) = text.split_once(':')?;
    let name = name.trim().replace('-', "");
    let found = ALGORITHMS.into_iter().find(|(a, _)| name.eq_ignore_ascii_case(a))?;
    Some((found, rest.trim()))
}

/// `sha256 Fingerprint=AA:BB:…`, as `openssl x509 -fingerprint` prints it.
fn shown_by_openssl(text: &str) -> Option<((&'static str, usize), &str)> {
    let (head, rest) = text.split_once('=')?;
    let name = head.trim().to_ascii_lowercase();
    let name = name.strip_suffix("fingerprint")?.trim();
    let found = ALGORITHMS.into_iter().find(|(a, _)| *a == name)?;
    Some((found, rest.trim()))
}

/// At least 16 octets as `AA:BB:…`; an IPv6 address has 8 groups.
fn pairs(text: &str) -> bool {
    text.len() >= 47 && text.split(':').all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn decode(digits: &str) -> Result<Vec<u8>, Reason> {
    let nibble = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok()).ok_or(Reason::Hex);
    let bytes = digits.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        bytes.iter().try_for_each(|b| nibble(*b).map(|_| ()))?;
        return Err(Reason::HashLength(bytes.len()));
    }
    bytes.chunks_exact(2).map(|c| Ok(nibble(c[0])? << 4 | nibble(c[1])?)).collect()
}
