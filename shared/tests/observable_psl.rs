//! Registrable domains by the public suffix list.

use kudzu_shared::observable::Name;
use kudzu_shared::observable::psl::{is_public_suffix, psl_version, public_suffix, registrable};

fn shown(name: Option<Name>) -> Option<String> {
    name.map(|n| n.to_string())
}

#[test]
fn registrable_domains() {
    for (name, suffix, domain) in [
        ("www.example.com", "com", Some("example.com")),
        ("example.com", "com", Some("example.com")),
        ("com", "com", None),
        ("a.b.example.co.uk", "co.uk", Some("example.co.uk")),
        ("co.uk", "co.uk", None),
        ("user.github.io", "github.io", Some("user.github.io")),
        ("a.user.github.io", "github.io", Some("user.github.io")),
        ("www.ck", "ck", Some("www.ck")),
        ("a.b.ck", "b.ck", Some("a.b.ck")),
        ("x.unknown-top", "unknown-top", Some("x.unknown-top")),
        ("a.b.xn--fiqs8s", "xn--fiqs8s", Some("b.xn--fiqs8s")),
        ("WWW.Example.COM", "com", Some("example.com")),
        ("a\\046b.example.com", "com", Some("example.com")),
        ("a\\255.com", "com", Some("a\\255.com")),
    ] {
        let read = Name::from_text(name).unwrap();
        assert_eq!(shown(public_suffix(&read)).as_deref(), Some(suffix), "{name}");
        assert_eq!(shown(registrable(&read)).as_deref(), domain, "{name}");
    }
    let root = Name::from_text(".").unwrap();
    assert_eq!((public_suffix(&root), registrable(&root)), (None, None));
}

#[test]
fn longest_names_fit() {
    let deepest = Name::from_text(&"a.".repeat(127)).unwrap();
    assert_eq!(shown(registrable(&deepest)).as_deref(), Some("a.a"));
}

#[test]
fn suffixes_by_rule_are_told_from_unknown_ones() {
    let is = |text: &str| is_public_suffix(&Name::from_text(text).unwrap());
    assert!(is("com") && is("co.uk") && is("github.io"));
    assert!(!is("example.com") && !is("unknown-top"));
}

#[test]
fn the_version_is_that_of_the_lock_file() {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"psl\"\nversion = \"").unwrap();
    let (version, _) = rest.split_once('"').unwrap();
    assert_eq!(psl_version(), format!("psl {version}"));
}
