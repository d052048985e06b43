//! The corpus of hostile inputs: each is read or refused as the file says.

use kudzu_shared::observable::Observable;

/// `«hex»` becomes octets, `«text*n»` the text n times, where pairs of hex digits with one
/// above `7f` first are octets too.
fn octets(line: &str) -> Vec<u8> {
    let hex = |text: &str| -> Option<Vec<u8>> {
        let pairs = text.as_bytes().chunks(2).map(|p| std::str::from_utf8(p).ok());
        pairs.map(|p| u8::from_str_radix(p.filter(|p| p.len() == 2)?, 16).ok()).collect()
    };
    let mut out = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('«') {
        out.extend_from_slice(before.as_bytes());
        let (inner, tail) = after.split_once('»').unwrap_or((after, ""));
        match inner.rsplit_once('*').and_then(|(text, n)| Some((text, n.parse::<usize>().ok()?))) {
            Some((text, n)) => {
                let piece = hex(text).filter(|h| h.first().is_some_and(|b| *b > 0xbf));
                out.extend(piece.unwrap_or_else(|| text.into()).repeat(n));
            }
            None => out.extend(hex(inner).unwrap_or_default()),
        }
        rest = tail;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[test]
fn every_input_ends_as_expected() {
    let corpus = include_str!("corpus/observables.txt");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for line in corpus.lines().filter(|l| !l.starts_with('#')) {
        let (expected, input) = line.split_once(' ').unwrap_or((line, ""));
        let got = match Observable::parse_bytes(&octets(input)) {
            Ok(read) => read.kind().to_string(),
            Err(error) => {
                assert!(error.to_string().len() < 700, "{error}");
                assert!(!error.to_string().chars().any(kudzu_shared::escape::is_hidden));
                "refused".to_owned()
            }
        };
        seen += 1;
        if got != expected {
            wrong.push(format!("{line}: {got}"));
        }
    }
    assert!(seen >= 200);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
