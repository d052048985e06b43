//! Answers of upstreams in `tests/corpus`, real ones in form, empty, broken and hostile ones.
//! A file's name says who reads it and what it comes to: `<source>-<end>-<what>`.

use std::path::Path;
use std::sync::OnceLock;

use kudzu_shared::config::{Config, DeclaredSource};
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::wire::Ask;
use proptest::prelude::*;

use super::pdns::rows::{self, Rows, Told};
use super::rdap::MAX_VALUES;
use super::{Asked, Found, certs, json};
use super::{certs_fingerprint, certs_name, declared, pdns_addr, pdns_name, pdns_rdata};
use super::{rdap_autnum, rdap_domain, rdap_entity, rdap_ip};

/// A file: its name, who reads it, and what is in it.
struct Answer {
    name: String,
    source: String,
    end: String,
    body: Vec<u8>,
}

fn corpus() -> &'static [Answer] {
    static ALL: OnceLock<Vec<Answer>> = OnceLock::new();
    ALL.get_or_init(load)
}

fn load() -> Vec<Answer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut all = Vec::new();
    for form in ["rdap", "cof", "crtsh", "declared"] {
        for entry in std::fs::read_dir(folder.join(form)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut words = name.split('-');
            let (source, end) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
            all.push(Answer { name, source, end, body: std::fs::read(path).unwrap() });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn key(kind: Kind, text: &str) -> Observable {
    Observable::parse_as(kind, text).unwrap()
}

/// What a source makes of a body.
fn read(source: &str, body: &[u8]) -> (Verdict, Found) {
    let mut found = Found::default();
    let f = &mut found;
    let object = || json::object(body, MAX_VALUES);
    let cof = |kind, text: &str, f: &mut Found, parse: fn(&Asked<'_>, &Rows, &mut Found) -> Verdict| {
        let ask = Ask { source: "pdns".into(), types: vec![], limit: 100 };
        let asked = Asked { key: &key(kind, text), ask: &ask, questions: 1 };
        parse(&asked, &rows::parse(body, 100, Told::default()), f)
    };
    let verdict = match source {
        "domain" => object().map(|o| rdap_domain::parse(&key(Kind::DomainName, "evil.example"), &o, f)),
        "ip" => object().map(|o| rdap_ip::parse(&key(Kind::Ipv4Addr, "192.0.2.9"), &o, f)),
        "autnum" => object().map(|o| rdap_autnum::parse(&Observable::from_asn(64500), 64500, &o, f)),
        "entity" => Ok(rdap_entity::parse(&key(Kind::EmailAddr, "jo@evil.example"), body, f)),
        "name" => Ok(cof(Kind::DomainName, "a.example", f, pdns_name::parse)),
        "addr" => Ok(cof(Kind::Ipv4Addr, "192.0.2.1", f, pdns_addr::parse)),
        "rdata" => Ok(cof(Kind::DomainName, "ns.example", f, pdns_rdata::parse)),
        "certs" => certs::parse(body).map(|all| {
            let key = key(Kind::DomainName, "a.example");
            certs_name::parse(&key, &all, 100, f)
        }),
        "fingerprint" => certs::parse(body).map(|all| {
            let key = key(Kind::X509Certificate, &"ab".repeat(32));
            certs_fingerprint::parse(&key, all, f)
        }),
        "declared" => Ok(source_of_names().parse(&key(Kind::DomainName, "a.example"), body, f)),
        other => panic!("no source {other:?}"),
    };
    (verdict.unwrap_or_else(|verdict| verdict), found)
}

fn source_of_names() -> declared::Declared {
    let text = "[sources.x]\nurl = \"https://x.example/{key}\"\ntakes = [\"domain-name\"]\nvalue = \"/data/names\"\n";
    let config = Config::parse(Path::new("k.toml"), text).unwrap();
    let settings: &DeclaredSource = &config.sources["x"];
    declared::Declared::new("x", settings)
}

/// What holds of every answer: found is something, nothing else brings anything, and what
/// cannot be read is not nothing (I2).
fn check(source: &str, body: &[u8]) -> Result<(), TestCaseError> {
    let (verdict, mut found) = read(source, body);
    prop_assert_eq!(verdict == Verdict::Found, !found.is_empty(), "{} {}", source, verdict);
    if verdict.end() == End::Empty {
        let is_json = |text: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
        let lines = matches!(source, "name" | "addr" | "rdata") && !body.trim_ascii_start().starts_with(b"[");
        let readable = if lines {
            let full = |l: &&[u8]| !l.trim_ascii().is_empty();
            body.split(|b| *b == b'\n').filter(full).all(|l| is_json(l.trim_ascii()))
        } else {
            is_json(body)
        };
        prop_assert!(readable, "{} is empty", source);
    }
    found.settle(10);
    Ok(())
}

#[test]
fn each_answer_comes_to_what_its_name_says() {
    let all = corpus();
    assert!(all.len() >= 40, "{}", all.len());
    for Answer { name, source, end, body } in all {
        let (verdict, found) = read(source, body);
        let said = match verdict {
            Verdict::Found => "found",
            Verdict::NoData | Verdict::NotFound => "empty",
            Verdict::Malformed => "malformed",
            Verdict::Limit => "limit",
            other => panic!("{name}: {other}"),
        };
        assert_eq!(said, end.as_str(), "{name}: {:?}", found.pairs);
        check(source, body).unwrap();
    }
}

/// One change to a body.
#[derive(Debug, Clone)]
enum Change {
    Flip(u8),
    Cut(u8),
    Repeat(u8),
    End,
    Insert(&'static str),
}

fn changes() -> impl Strategy<Value = Vec<(f64, Change)>> {
    let words =
        vec!["null", "[", "]", "{", "}", "\"", ",", ":", "0", "-1", "1e999", "\\u0000", "\u{202e}", "\n"];
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Flip),
        (1_u8..40).prop_map(Change::Cut),
        (1_u8..40).prop_map(Change::Repeat),
        Just(Change::End),
        proptest::sample::select(words).prop_map(Change::Insert),
    ];
    proptest::collection::vec((0.0..1.0, change), 1..6)
}

fn change(body: &mut Vec<u8>, changes: &[(f64, Change)]) {
    for (place, change) in changes {
        let at = (body.len() as f64 * place) as usize;
        let until = |n: u8| body.len().min(at + usize::from(n));
        match change {
            Change::Flip(bits) => body.iter_mut().skip(at).take(1).for_each(|b| *b ^= bits),
            Change::Cut(n) => drop(body.drain(at..until(*n))),
            Change::Repeat(n) => {
                let again = body[at..until(*n)].to_vec();
                body.splice(at..at, again);
            }
            Change::End => body.truncate(at),
            Change::Insert(word) => drop(body.splice(at..at, word.bytes())),
        }
    }
}

proptest! {
    #[test]
    fn no_answer_panics_or_hides_what_it_is(pick in any::<proptest::sample::Index>(), edits in changes()) {
        let Answer { source, body, .. } = pick.get(corpus());
        let mut body = body.clone();
        change(&mut body, &edits);
        check(source, &body)?;
    }
}
