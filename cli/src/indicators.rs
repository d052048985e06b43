//! Indicators from arguments, files and standard input: each bad one is named with its
//! place, and none costs the others.

use std::fmt;
use std::io::{self, BufRead};
use std::path::Path;

use anyhow::Context as _;
use kudzu_shared::escape;
use kudzu_shared::observable::{Kind, Observable, parse};

use crate::exit::Failure;

/// Octets of a line that are kept; a longer one is no indicator anyhow.
const KEPT: usize = parse::MAX_TEXT;
/// Bad indicators that are shown one by one.
const SHOWN: usize = 20;

/// Where an indicator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Argument, from 1.
    Argument(usize),
    /// Line, from 1.
    Line(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(n) => write!(f, "argument {n}"),
            Self::Line(n) => write!(f, "line {n}"),
        }
    }
}

/// A text that is no indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Where it stands.
    pub place: Place,
    /// What it starts with.
    pub text: String,
    /// What is wrong, and what to do.
    pub why: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

/// A line of a file: its indicator, or what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// As it was written, escaped and shortened.
    pub text: String,
    /// What it says.
    pub indicator: Result<Observable, Bad>,
}

/// Reads indicators line by line, in bounded memory.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    allow_private: bool,
}

impl<R: BufRead> Lines<R> {
    /// A reader of lines; special-purpose indicators are bad unless allowed.
    pub fn new(reader: R, allow_private: bool) -> Self {
        Self { reader, number: 0, allow_private }
    }

    /// The next line that is neither empty nor a comment.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut line = Vec::new();
            let Some(length) = self.raw(&mut line)? else { return Ok(None) };
            let place = Place::Line(self.number);
            if length > KEPT {
                let text = escape::shorten(&String::from_utf8_lossy(&line[..200]), 80).into_owned();
                let why = format!(
                    "`{text}`: {length} octets are too long for one indicator (at most {KEPT}): write one a line"
                );
                let bad = Bad { place, text: text.clone(), why };
                return Ok(Some(Line { number: self.number, text, indicator: Err(bad) }));
            }
            let said = without_comment(&line).trim_ascii();
            if said.is_empty() {
                continue;
            }
            let text = escape::shorten(&String::from_utf8_lossy(said), 200).into_owned();
            let indicator = check(Observable::parse_bytes(said), self.allow_private).map_err(|why| Bad {
                place,
                text: text.clone(),
                why,
            });
            return Ok(Some(Line { number: self.number, text, indicator }));
        }
    }

    /// How many lines [`Self::next_line`] would give; what they say is not looked at.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn count(mut self) -> io::Result<usize> {
        let (mut line, mut count) = (Vec::new(), 0);
        loop {
            line.clear();
            let Some(length) = self.raw(&mut line)? else { return Ok(count) };
            count += usize::from(length > KEPT || !without_comment(&line).trim_ascii().is_empty());
        }
    }

    /// One line, cut to what is kept; its length, or `None` at the end.
    fn raw(&mut self, line: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let mut length = 0;
        loop {
            let piece = match self.reader.fill_buf() {
                Ok(piece) => piece,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if piece.is_empty() {
                if length == 0 {
                    return Ok(None);
                }
                break;
            }
            let end = piece.iter().position(|b| *b == b'\n');
            let part = &piece[..end.unwrap_or(piece.len())];
            line.extend_from_slice(&part[..part.len().min(KEPT.saturating_sub(line.len()))]);
            length += part.len();
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(length))
    }
}

/// A `#` at the start or after white space begins a comment; one within a URL does not.
fn without_comment(line: &[u8]) -> &[u8] {
    let starts = |at: usize| at == 0 || line[at - 1].is_ascii_whitespace();
    let comment = line.iter().enumerate().position(|(at, b)| *b == b'#' && starts(at));
    &line[..comment.unwrap_or(line.len())]
}

fn check(parsed: Result<Observable, parse::ParseError>, allow_private: bool) -> Result<Observable, String> {
    let observable = parsed.map_err(|e| e.to_string())?;
    match observable.special_purpose() {
        Some(purpose) if !allow_private => Err(format!(
            "`{}`: special purpose ({purpose}): asking tells nothing or reaches into the own network; \
             give --allow-private to ask all the same",
            escape::terminal(&observable.to_string())
        )),
        _ => Ok(observable),
    }
}

/// The good indicators and the bad ones.
#[derive(Debug, Default)]
pub struct Read {
    /// In the order given.
    pub good: Vec<Observable>,
    /// In the order given.
    pub bad: Vec<Bad>,
}

impl Read {
    /// Reads arguments; `-` stands for the lines of `stdin`.
    ///
    /// # Errors
    /// Those of `stdin`.
    pub fn arguments(arguments: &[String], stdin: impl BufRead, allow_private: bool) -> io::Result<Self> {
        let mut read = Self::default();
        let mut lines = Lines::new(stdin, allow_private);
        for (at, text) in arguments.iter().enumerate() {
            if text == "-" {
                while let Some(line) = lines.next_line()? {
                    read.add(line.indicator);
                }
                continue;
            }
            let shown = escape::shorten(text, 80).into_owned();
            let place = Place::Argument(at + 1);
            read.add(check(Observable::parse(text), allow_private).map_err(|why| Bad {
                place,
                text: shown,
                why,
            }));
        }
        Ok(read)
    }

    fn add(&mut self, indicator: Result<Observable, Bad>) {
        match indicator {
            Ok(good) => self.good.push(good),
            Err(bad) => self.bad.push(bad),
        }
    }

    /// The good ones; the bad ones are told.
    ///
    /// # Errors
    /// When none is good.
    pub fn into_good(self, tell: impl Fn(&str)) -> Result<Vec<Observable>, Failure> {
        let told: Vec<String> = self.bad.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = self.bad.len().saturating_sub(SHOWN);
        if self.good.is_empty() {
            let mut text = "no indicator to start from".to_owned();
            for line in told {
                text.push('\n');
                text.push_str(&line);
            }
            if more > 0 {
                text.push_str(&format!("\nand {more} more bad ones"));
            }
            if self.bad.is_empty() {
                text.push_str(": the input is empty; give a domain name, an address or a URL");
            }
            return Err(Failure::usage(text));
        }
        for line in told {
            tell(&format!("left out: {line}"));
        }
        if more > 0 {
            tell(&format!("left out: {more} more bad ones"));
        }
        Ok(self.good)
    }
}

/// A name stands for all below it: `*.example.com` means the same, and a name with a star for
/// a label would cover nothing.
fn below(item: Observable) -> Observable {
    let parent = || item.name()?.parent();
    match (item.kind(), item.wire()) {
        (Kind::DomainName, [1, b'*', ..]) => {
            parent().map_or_else(|| item.clone(), |p| Observable::from_name(&p))
        }
        _ => item,
    }
}

/// Reads a list of observables that policy is made of (scope, exclusions, own assets).
///
/// # Errors
/// Names every bad one.
pub fn list<'a>(what: &str, texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Observable>, Failure> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for text in texts {
        match Observable::parse(text) {
            Ok(observable) => good.push(below(observable)),
            Err(error) => bad.push(format!("{what}: {error}")),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(Failure::usage(bad.join("\n"))) }
}

/// Reads such a list from a file.
///
/// # Errors
/// When it cannot be read, or names every bad line.
pub fn file(what: &str, path: &Path) -> Result<Vec<Observable>, Failure> {
    let open = || std::fs::File::open(path).with_context(|| format!("{what}: open {}", path.display()));
    let mut lines = Lines::new(io::BufReader::new(open().map_err(Failure::Usage)?), true);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let read = |e| Failure::Failed(anyhow::Error::new(e).context(format!("{what}: read {}", path.display())));
    while let Some(line) = lines.next_line().map_err(read)? {
        match line.indicator {
            Ok(observable) => good.push(below(observable)),
            Err(error) => bad.push(format!("{what}: {}, {error}", path.display())),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(Failure::usage(bad.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(text, false);
        std::iter::from_fn(|| lines.next_line().unwrap()).collect()
    }

    #[test]
    fn comments_and_empty_lines_are_passed_over_and_counted() {
        let read = lines(b"# a list\n\n evil.com  # first\nhxxp://evil[.]com/#part\n\n");
        let texts: Vec<_> =
            read.iter().map(|l| (l.number, l.indicator.as_ref().unwrap().to_string())).collect();
        assert_eq!(texts, [(3, "evil.com".into()), (4, "http://evil.com/#part".into())]);
    }

    #[test]
    fn a_long_line_is_named_by_its_length_and_costs_no_memory() {
        let mut text = vec![b'a'; 10_000_000];
        text.extend_from_slice(b"\nevil.com\n");
        let read = lines(&text);
        let bad = read[0].indicator.as_ref().unwrap_err();
        assert!(bad.why.contains("10000000 octets"), "{bad}");
        assert!(bad.why.len() < 300);
        assert_eq!(read[1].number, 2);
        assert!(read[1].indicator.is_ok());
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        let long = "a.".repeat(150) + "com";
        let table: [(&[u8], &str); 8] = [
            (b"999.1.1.1", "not an IPv4 address"),
            (b"a..b", "two dots"),
            (b"evil\0.com", "NUL"),
            (b"\xff\xfe.com", "not UTF-8"),
            (long.as_bytes(), "255 on the wire"),
            (b"10.1.2.3", "--allow-private"),
            (b"localhost.", "--allow-private"),
            (b"two words", "white space"),
        ];
        for (text, why) in table {
            let read = lines(text);
            let bad = read[0].indicator.as_ref().unwrap_err();
            assert!(bad.to_string().contains(why), "{bad}");
            assert!(bad.to_string().starts_with("line 1: "), "{bad}");
        }
    }

    #[test]
    fn arguments_and_lines_mix() {
        let arguments = ["1.1.1.1".to_owned(), "-".to_owned(), "a..b".to_owned()];
        let read = Read::arguments(&arguments, &b"evil.com"[..], false).unwrap();
        assert_eq!(read.good.len(), 2);
        assert!(read.bad[0].to_string().starts_with("argument 3: `a..b`: "));
    }

    #[test]
    fn nothing_good_is_a_usage_error_that_names_all() {
        let read = Read::arguments(&["a..b".to_owned(), String::new()], &b""[..], false).unwrap();
        let failed = read.into_good(|_| {}).unwrap_err();
        let text = failed.text();
        assert!(text.contains("argument 1") && text.contains("argument 2: empty"), "{text}");
        assert!(matches!(failed, Failure::Usage(_)));
    }

    #[test]
    fn a_star_in_a_list_stands_for_the_name_below_it() {
        let good = list("--own-assets", ["*.corp.com", "corp.net"]).unwrap();
        assert_eq!(good.iter().map(ToString::to_string).collect::<Vec<_>>(), ["corp.com", "corp.net"]);
    }

    #[test]
    fn lists_name_every_bad_entry() {
        let failed = list("--scope", ["evil.com", "a..b", "10.0.0.0/99"]).unwrap_err().text();
        assert_eq!(failed.lines().count(), 2, "{failed}");
    }
}
