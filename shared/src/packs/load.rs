//! Reads lists: the embedded text files, and JSON files in the MISP warninglist schema.

use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::host::Wire;
use super::{ListClass, PackError, PackVersion, Packs};
use crate::escape;
use crate::observable::{Kind, Observable, ParseError};

/// The embedded lists; where two have the same entry, the first one counts.
pub(super) const EMBEDDED: [&str; 19] = [
    include_str!("../../packs/sinkholes.txt"),
    include_str!("../../packs/sinkhole-names.txt"),
    include_str!("../../packs/parking-domain.txt"),
    include_str!("../../packs/parking-domain-ns.txt"),
    include_str!("../../packs/public-dns.txt"),
    include_str!("../../packs/cloudflare.txt"),
    include_str!("../../packs/fastly.txt"),
    include_str!("../../packs/akamai.txt"),
    include_str!("../../packs/stackpath.txt"),
    include_str!("../../packs/mail-hosts.txt"),
    include_str!("../../packs/ovh-cluster.txt"),
    include_str!("../../packs/amazon-aws.txt"),
    include_str!("../../packs/google-gcp.txt"),
    include_str!("../../packs/microsoft-azure.txt"),
    include_str!("../../packs/dynamic-dns.txt"),
    include_str!("../../packs/url-shortener.txt"),
    include_str!("../../packs/open-platforms.txt"),
    include_str!("../../packs/disposable-email.txt"),
    include_str!("../../packs/popular.txt"),
];

/// The largest file that is read, in octets; the largest MISP list has 20 MB.
const MAX_FILE: u64 = 64 << 20;

/// How the entries of a list match.
#[derive(Clone, Copy)]
enum Match {
    Block,
    Below,
    Exact,
}

impl Match {
    fn named(list: &str, name: &str) -> Result<Self, PackError> {
        match name {
            "cidr" => Ok(Match::Block),
            "hostname" | "substring" => Ok(Match::Below),
            "string" => Ok(Match::Exact),
            _ => Err(PackError::Type { list: list.to_owned(), kind: shown(name) }),
        }
    }
}

fn shown(text: &str) -> String {
    escape::shorten(text, 80).into_owned()
}

fn class(list: &str, name: &str) -> Result<ListClass, PackError> {
    name.parse().map_err(|()| PackError::Class { list: list.to_owned(), class: shown(name) })
}

fn digest(octets: &[u8]) -> String {
    Sha256::digest(octets).iter().map(|b| format!("{b:02x}")).collect()
}

/// The date that a version is, as most of the MISP lists have it: YYYYMMDD.
fn date(version: &str) -> Option<String> {
    let plain = version.len() == 8 && version.bytes().all(|b| b.is_ascii_digit());
    let date = jiff::civil::Date::strptime("%Y%m%d", version).ok().filter(|d| plain && d.year() >= 2000)?;
    Some(date.to_string())
}

/// Adds an embedded list.
pub(super) fn text(packs: &mut Packs, text: &str) -> Result<(), PackError> {
    let field = |key: &'static str| {
        let line = text.lines().take_while(|l| l.starts_with('#')).find_map(|l| {
            let (found, value) = l.strip_prefix("# ")?.split_once(": ")?;
            (found == key).then_some(value)
        });
        line.ok_or_else(|| PackError::Header { list: shown(text.lines().next().unwrap_or_default()), key })
    };
    let name = field("name")?;
    let how = Match::named(name, field("type")?)?;
    let version = PackVersion {
        name: name.to_owned(),
        class: class(name, field("class")?)?,
        version: field("version")?.to_owned(),
        date: Some(field("date")?.to_owned()),
        source: field("source")?.to_owned(),
        entries: 0,
        sha256: digest(text.as_bytes()),
    };
    let lines = || text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    add(packs, version, how, lines())
}

#[derive(Deserialize)]
struct Misp {
    name: String,
    class: String,
    #[serde(rename = "type")]
    kind: String,
    version: serde_json::Value,
    #[serde(default)]
    source: Option<String>,
    list: Vec<String>,
}

/// Adds a list from a file.
pub(super) fn file(packs: &mut Packs, path: &Path) -> Result<(), PackError> {
    let failed = |source| PackError::Read { path: path.to_owned(), source };
    let mut octets = Vec::new();
    std::fs::File::open(path).and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut octets)).map_err(failed)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(PackError::Size { path: path.to_owned(), max: MAX_FILE });
    }
    let misp: Misp = serde_json::from_slice(&octets)
        .map_err(|e| PackError::Json { path: path.to_owned(), reason: shown(&e.to_string()) })?;
    let name = shown(misp.name.trim());
    let number = match misp.version {
        serde_json::Value::String(text) => shown(&text),
        other => shown(&other.to_string()),
    };
    let version = PackVersion {
        class: class(&name, &misp.class)?,
        date: date(&number),
        version: number,
        source: misp.source.as_deref().map_or_else(|| shown(&path.to_string_lossy()), shown),
        entries: 0,
        sha256: digest(&octets),
        name,
    };
    let how = Match::named(&version.name, &misp.kind)?;
    add(packs, version, how, misp.list.iter().map(String::as_str))
}

fn add<'a>(
    packs: &mut Packs,
    mut version: PackVersion,
    how: Match,
    entries: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), PackError> {
    if packs.lists.iter().any(|l| l.name == version.name) {
        return Err(PackError::Twice(version.name));
    }
    // Lists are given on the command line: there are never 65,536.
    let list = u16::try_from(packs.lists.len()).map_err(|_| PackError::Twice(version.name.clone()))?;
    if !matches!(how, Match::Block) {
        let (names, octets) = entries.clone().fold((0, 0), |(n, o), e| (n + 1, o + e.len() + 2));
        packs.names.reserve(names, octets);
    }
    for (at, entry) in entries.enumerate() {
        let refused = |source| PackError::Entry { list: version.name.clone(), number: at + 1, source };
        add_entry(packs, list, how, entry).map_err(refused)?;
        version.entries += 1;
    }
    packs.lists.push(version);
    Ok(())
}

fn add_entry(packs: &mut Packs, list: u16, how: Match, entry: &str) -> Result<(), ParseError> {
    match how {
        Match::Block => {
            let wire = block(entry)?;
            packs.add_block(&wire, list);
        }
        Match::Below | Match::Exact => {
            let below = matches!(how, Match::Below);
            let text = if below { entry.trim().trim_start_matches(['*', '.']) } else { entry.trim() };
            if let Some(wire) = plain(text) {
                packs.names.add(wire.as_slice(), list, below);
                return Ok(());
            }
            let item = Observable::parse(text)?;
            match item.kind() {
                Kind::DomainName => packs.names.add(item.wire(), list, below),
                _ => {
                    let wire = block(text)?;
                    packs.add_block(&wire, list);
                }
            }
        }
    }
    Ok(())
}

/// A name as nearly all entries are: what the parser would only pass on.
fn plain(text: &str) -> Option<Wire> {
    let octet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let top = text.rsplit_once('.')?.1;
    (text.bytes().all(octet) && top.starts_with(|c: char| c.is_ascii_lowercase())).then(|| Wire::of(text))?
}

/// A block, or an address as the block that it is alone in.
fn block(entry: &str) -> Result<Vec<u8>, ParseError> {
    let entry = entry.trim();
    if entry.contains('/') {
        return Observable::parse_as(Kind::Netblock, entry).map(|o| o.wire().to_vec());
    }
    let kind = if entry.contains(':') { Kind::Ipv6Addr } else { Kind::Ipv4Addr };
    let mut wire = Observable::parse_as(kind, entry)?.wire().to_vec();
    wire.push(if wire.len() == 4 { 32 } else { 128 });
    Ok(wire)
}
