//! Data packs: the embedded lists are whole, look-ups find the narrowest entry.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write as _;
use std::path::Path;

use kudzu_shared::observable::Observable;
use kudzu_shared::packs::{ListClass, PackError, Packs};
use kudzu_shared::time::parse_time;
use proptest::prelude::*;

fn class(packs: &Packs, text: &str) -> Option<ListClass> {
    let item = Observable::parse(text).unwrap();
    packs.lookup(item.as_ref()).map(|l| l.class)
}

fn written(json: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(json.as_bytes()).unwrap();
    file
}

fn list(name: &str, class: &str, kind: &str, entries: &str) -> tempfile::NamedTempFile {
    written(&format!(
        r#"{{"name": "{name}", "class": "{class}", "type": "{kind}", "version": 3,
            "matching_attributes": ["ip-dst"], "list": {entries}}}"#
    ))
}

#[test]
fn embedded_lists_are_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packs");
    let mut files = 0;
    let versions = Packs::builtin().versions();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "txt") {
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let read =
                versions.iter().find(|v| v.name == name).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(text.contains(&format!("\n# entries: {}\n", read.entries)), "{name}");
            assert!(text.contains("\n# licence: CC0-1.0\n"), "{name}");
            let date = read.date.as_deref().unwrap_or_else(|| panic!("{name} has no date"));
            assert!(text.contains(&format!("\n# date: {date}\n")), "{name}");
            assert!(date.len() == 10 && parse_time(date).is_some(), "{name}: {date}");
            assert_eq!(read.sha256.len(), 64);
            assert!(!read.version.is_empty() && !read.source.is_empty());
        }
    }
    assert_eq!(versions.len(), files);
    for class in ListClass::ALL {
        assert!(versions.iter().any(|v| v.class == class), "no list for {class}");
        assert_eq!(class.as_str().parse(), Ok(class));
    }
}

#[test]
fn embedded_lists_are_found() {
    for (text, expected) in [
        ("104.16.1.1", Some(ListClass::Cdn)),
        ("104.16.0.0/14", Some(ListClass::Cdn)),
        ("2606:4700::1", Some(ListClass::Cdn)),
        ("1.1.1.1", Some(ListClass::PublicResolver)),
        ("8.8.8.8", Some(ListClass::PublicResolver)),
        ("host.duckdns.org", Some(ListClass::DynamicDns)),
        ("ns1.above.com", Some(ListClass::Parking)),
        ("bit.ly", Some(ListClass::UrlShortener)),
        ("https://bit.ly/x", Some(ListClass::UrlShortener)),
        ("https://u@bit.ly:8443/x", Some(ListClass::UrlShortener)),
        ("http://[2606:4700::1]/", Some(ListClass::Cdn)),
        ("http://104.16.1.1:80/", Some(ListClass::Cdn)),
        ("x@0-mail.com", Some(ListClass::MailProvider)),
        ("shop.myportfolio.com", Some(ListClass::SharedHosting)),
        ("192.0.2.1", None),
        ("0.0.0.0/0", None),
        ("2001:db8::1", None),
        ("kudzu-nobody-has-this.com", None),
        ("com.", None),
        ("AS13335", None),
        ("d41d8cd98f00b204e9800998ecf8427e", None),
    ] {
        assert_eq!(class(Packs::builtin(), text), expected, "{text}");
    }
}

#[test]
fn the_narrowest_entry_counts_then_the_first_list() {
    let wide = list("wide", "cloud", "cidr", r#"["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]"#);
    let narrow = list("narrow", "sinkhole", "cidr", r#"["192.0.2.64/26", "192.0.2.77", "192.0.2.0/24"]"#);
    let below = list("below", "dynamic-dns", "hostname", r#"[".example.com", "*.wild.example.net"]"#);
    let exact = list(
        "exact",
        "mail-provider",
        "string",
        r#"["www.example.com", "192.0.2.200", "Bücher.example.com", "rare.example.net"]"#,
    );
    let popular =
        list("popular", "popular", "string", r#"["b.example.com", "rare.example.net", "p.example.net"]"#);
    let packs = Packs::empty()
        .with_file(wide.path())
        .and_then(|p| p.with_file(narrow.path()))
        .and_then(|p| p.with_file(below.path()))
        .and_then(|p| p.with_file(exact.path()))
        .and_then(|p| p.with_file(popular.path()))
        .unwrap();
    for (text, expected) in [
        ("192.0.2.1", Some(ListClass::Cloud)),
        ("192.0.2.64", Some(ListClass::Sinkhole)),
        ("192.0.2.127", Some(ListClass::Sinkhole)),
        ("192.0.2.128", Some(ListClass::Cloud)),
        ("192.0.2.200", Some(ListClass::MailProvider)),
        ("192.0.2.0/25", Some(ListClass::Cloud)),
        ("192.0.2.64/27", Some(ListClass::Sinkhole)),
        ("192.0.2.0/23", None),
        ("192.0.3.0", None),
        ("198.51.100.7", Some(ListClass::Cloud)),
        ("198.51.100.8", None),
        ("2001:db8:1::/48", Some(ListClass::Cloud)),
        ("2001:db9::", None),
        ("example.com", Some(ListClass::DynamicDns)),
        ("a.example.com", Some(ListClass::DynamicDns)),
        ("www.example.com", Some(ListClass::MailProvider)),
        ("a.www.example.com", Some(ListClass::DynamicDns)),
        ("bücher.example.com", Some(ListClass::MailProvider)),
        ("b.example.com", Some(ListClass::DynamicDns)),
        ("rare.example.net", Some(ListClass::MailProvider)),
        ("p.example.net", Some(ListClass::Popular)),
        ("a.p.example.net", None),
        ("notexample.com", None),
        ("a.wild.example.net", Some(ListClass::DynamicDns)),
    ] {
        assert_eq!(class(&packs, text), expected, "{text}");
    }
    let version = &packs.versions()[0];
    assert_eq!((&*version.name, &*version.version, version.entries), ("wide", "3", 3));
    assert_eq!(version.date, None);
}

#[test]
fn a_version_that_is_a_date_is_the_date() {
    for (version, date) in [
        ("20251223", Some("2025-12-23")),
        ("\"20251223\"", Some("2025-12-23")),
        ("20251323", None),
        ("12345678", None),
        ("2", None),
        ("\"2025-12-23\"", None),
    ] {
        let file = written(&format!(
            r#"{{"name": "l", "class": "cdn", "type": "cidr", "version": {version}, "list": []}}"#
        ));
        let packs = Packs::empty().with_file(file.path()).unwrap();
        assert_eq!(packs.versions()[0].date.as_deref(), date, "{version}");
    }
}

#[test]
fn lists_of_ones_own_come_after_the_built_in_ones() {
    let ours = list("ours", "cdn", "cidr", r#"["192.0.2.0/24", "1.1.1.1"]"#);
    let packs = Packs::load(&[ours.path().to_owned()]).unwrap();
    assert_eq!(packs.versions().len(), Packs::builtin().versions().len() + 1);
    assert_eq!(class(&packs, "192.0.2.1"), Some(ListClass::Cdn));
    assert_eq!(class(&packs, "1.1.1.1"), Some(ListClass::PublicResolver));
    assert_eq!(Packs::load(&[]).unwrap().versions(), Packs::builtin().versions());
    // Every failure names the file.
    let bad = list("l", "cdn", "cidr", r#"["1.2.3.4/33"]"#);
    for path in [bad.path(), Path::new("/nonexistent/list.json")] {
        let error = Packs::load(&[path.to_owned()]).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn bad_lists_are_refused_by_name() {
    let refused = |file: tempfile::NamedTempFile| Packs::empty().with_file(file.path()).unwrap_err();
    assert!(matches!(refused(written("{")), PackError::Json { .. }));
    assert!(matches!(refused(written("\0\u{1b}")), PackError::Json { .. }));
    assert!(matches!(refused(list("l", "cdn", "regex", r#"["a.*"]"#)), PackError::Type { .. }));
    assert!(matches!(refused(list("l", "x", "cidr", r#"["1.2.3.4"]"#)), PackError::Class { .. }));
    for (kind, entry) in
        [("cidr", "1.2.3.4/33"), ("cidr", "example.com"), ("hostname", "com"), ("string", "")]
    {
        let error = refused(list("l", "cdn", kind, &format!("[\"{entry}\"]")));
        assert!(matches!(error, PackError::Entry { number: 1, .. }), "{error:?}");
    }
    assert!(matches!(Packs::empty().with_file("/nonexistent/list.json"), Err(PackError::Read { .. })));
    let twice = list("cloudflare", "cdn", "cidr", "[]");
    assert!(matches!(Packs::builtin().clone().with_file(twice.path()), Err(PackError::Twice(_))));
}

proptest! {
    /// Against a plain scan: of the blocks around an address, the longest prefix.
    #[test]
    fn spans_agree_with_a_scan(
        blocks in prop::collection::vec((any::<u8>(), 24u8..=32), 1..30),
        octets in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let texts: Vec<String> = blocks.iter().map(|(o, l)| format!("\"192.0.2.{o}/{l}\"")).collect();
        let files: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(n, t)| list(&format!("l{n}"), "cdn", "cidr", &format!("[{t}]")))
            .collect();
        let packs = files.iter().try_fold(Packs::empty(), |p, f| p.with_file(f.path())).unwrap();
        for octet in octets {
            let same = |o: u8, l: u8| (u32::from(o) ^ u32::from(octet)) >> (32 - l) == 0;
            let around = blocks.iter().enumerate().filter(|(_, (o, l))| same(*o, *l));
            let best = around.max_by_key(|(n, (_, l))| (*l, std::cmp::Reverse(*n))).map(|(n, _)| format!("l{n}"));
            let item = Observable::parse(&format!("192.0.2.{octet}")).unwrap();
            prop_assert_eq!(packs.lookup(item.as_ref()).map(|l| l.list.to_owned()), best);
        }
    }

    #[test]
    fn any_file_is_read_or_refused(text in "(?s).{0,80}") {
        let file = written(&text);
        prop_assert!(Packs::empty().with_file(file.path()).is_err());
    }
}
