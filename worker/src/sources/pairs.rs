//! `pairs.<name>`: a local set of pairs from a file, answered by key in both directions.
//!
//! Two formats, told apart by the first character: the Common Output Format of passive DNS,
//! one JSON object a line; or CSV, `key,relation,value[,first_seen,last_seen]` with an
//! optional heading, quotes as in RFC 4180 (without line breaks inside), times in RFC 3339
//! or as seconds. Lines that start with `#` and empty ones are left out.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::SourceInfo;
use kudzu_shared::time::{UnixSeconds, parse_time};

use super::pdns::rows::read_line;
use super::{Asked, Found, LocalSource, Source, Work};

/// The longest line.
const MAX_LINE: u64 = 64 * 1024;

/// Why a file cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("read {path:?}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path:?} line {line}: {what}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// A loaded set: sorted, so that a key's pairs stand together.
#[derive(Debug)]
pub struct Pairs {
    info: SourceInfo,
    sorted: Vec<Pair>,
}

impl Pairs {
    /// Loads a file.
    ///
    /// # Errors
    /// The first line that cannot be read, by its number.
    pub fn load(name: &str, path: &Path) -> Result<Self, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(read)?);
        let mut set = Loader::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let n = file.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(read)?;
            if n == 0 {
                break;
            }
            let bad = |what: String| LoadError::Line { path: path.to_owned(), line: number, what };
            if n as u64 > MAX_LINE {
                return Err(bad(format!("longer than {MAX_LINE} octets")));
            }
            let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
            set.line(line.trim_ascii()).map_err(bad)?;
        }
        Ok(set.finish(name, path))
    }

    fn of(&self, key: &Observable) -> &[Pair] {
        let begin = self.sorted.partition_point(|p| p.key < *key);
        let rest = &self.sorted[begin..];
        &rest[..rest.partition_point(|p| p.key == *key)]
    }
}

impl Source for Pairs {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn work(&self) -> Work<'_> {
        Work::Local(self)
    }
}

impl LocalSource for Pairs {
    fn answer(&self, asked: &Asked<'_>, found: &mut Found) -> Verdict {
        let pairs = self.of(asked.key);
        found.pairs.extend_from_slice(pairs);
        if pairs.is_empty() { Verdict::NotFound } else { Verdict::Found }
    }
}

#[derive(Debug, Default)]
struct Loader {
    pairs: Vec<Pair>,
    digest: u64,
    is_json: Option<bool>,
}

impl Loader {
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
        let first = self.is_json.is_none();
        let is_json = *self.is_json.get_or_insert(line[0] == b'{');
        if is_json {
            let rows = read_line(line).ok_or("no row of the Common Output Format (rrname, rrtype, rdata)")?;
            let mut found = Found::default();
            rows.iter().for_each(|row| row.forward(&mut found));
            self.pairs.append(&mut found.pairs);
        } else if !(first && is_heading(text)) {
            self.pairs.push(csv(text)?);
        }
        // The answers depend on the text, so the cache's key does.
        self.digest = super::digest([format!("{:x}", self.digest).as_str(), text]);
        Ok(())
    }

    fn finish(self, name: &str, path: &Path) -> Pairs {
        let back = |p: &Pair| Pair {
            key: p.value.clone(),
            relation: reverse(p.relation),
            value: p.key.clone(),
            ..p.clone()
        };
        let mut sorted: Vec<Pair> = self.pairs.iter().map(back).collect();
        sorted.extend(self.pairs);
        sorted.sort_unstable();
        sorted.dedup();
        let mut takes: Vec<Kind> = sorted.iter().map(|p| p.key.kind()).collect();
        takes.sort_unstable();
        takes.dedup();
        let mut returns: Vec<Relation> = sorted.iter().map(|p| p.relation).collect();
        returns.sort_unstable();
        returns.dedup();
        let doc = format!("{} pairs of a local file, both ways", sorted.len());
        let info = SourceInfo::local(format!("pairs.{name}"), doc, takes, returns);
        let endpoint = Some(path.display().to_string());
        let info = SourceInfo { endpoint, digest: self.digest, ..info };
        Pairs { info, sorted }
    }
}

fn is_heading(line: &str) -> bool {
    line.to_ascii_lowercase().replace(['"', ' '], "").starts_with("key,relation,value")
}

fn csv(line: &str) -> Result<Pair, String> {
    let fields = fields(line).ok_or("a quote that does not end")?;
    let (key, relation, value, times) = match fields.as_slice() {
        [key, relation, value, times @ ..] if times.len() <= 2 => (key, relation, value, times),
        _ => return Err(format!("{} fields: write key,relation,value[,first_seen,last_seen]", fields.len())),
    };
    let relation = Relation::from_name(relation.trim()).ok_or_else(|| {
        let known = Relation::ALL.map(Relation::as_str).join(", ");
        format!("{relation:?} is no relation: use one of {known}")
    })?;
    let read = |text: &str| Observable::parse(text).map_err(|e| e.to_string());
    let at = |i: usize| times.get(i).map_or(Ok(None), |t| time(t));
    Ok(Pair::new(read(key)?, relation, read(value)?).seen(at(0)?, at(1)?))
}

fn time(text: &str) -> Result<Option<UnixSeconds>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let read = text.parse().ok().or_else(|| parse_time(text));
    read.map(Some).ok_or_else(|| format!("{text:?} is no time: write RFC 3339 or seconds since 1970"))
}

/// Fields of one CSV line; `None` where a quote does not end.
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut all, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut field)),
            _ => field.push(c),
        }
    }
    all.push(field);
    (!quoted).then_some(all)
}

/// What a pair says the other way round.
fn reverse(relation: Relation) -> Relation {
    match relation {
        Relation::ResolvesTo | Relation::SeenOn => Relation::HostedName,
        Relation::HostedName => Relation::SeenOn,
        Relation::AliasOf => Relation::AliasFrom,
        Relation::AliasFrom => Relation::AliasOf,
        Relation::NameServer => Relation::NameServerOf,
        Relation::NameServerOf => Relation::NameServer,
        Relation::MailExchange => Relation::MailExchangeOf,
        Relation::MailExchangeOf => Relation::MailExchange,
        Relation::NamedInCertificate => Relation::CertificateName,
        Relation::CertificateName => Relation::NamedInCertificate,
        Relation::ContactMailbox => Relation::RegistrantOf,
        Relation::RegistrantOf => Relation::ContactMailbox,
        _ => Relation::RelatedTo,
    }
}

#[cfg(test)]
#[path = "pairs_tests.rs"]
mod tests;
