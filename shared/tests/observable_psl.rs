//! Registrable and registered domains by the public suffix list.

use kudzu_shared::observable::Name;
use kudzu_shared::observable::psl::{is_registered, psl_version, registrable};

fn shown(name: Option<Name>) -> Option<String> {
    name.map(|n| n.to_string())
}

#[test]
fn registrable_domains() {
    for (name, domain) in [
        ("www.example.com", Some("example.com")),
        ("example.com", Some("example.com")),
        ("com", None),
        ("a.b.example.co.uk", Some("example.co.uk")),
        ("co.uk", None),
        ("user.github.io", Some("user.github.io")),
        ("a.user.github.io", Some("user.github.io")),
        ("www.ck", Some("www.ck")),
        ("a.b.ck", Some("a.b.ck")),
        ("x.unknown-top", Some("x.unknown-top")),
        ("a.b.xn--fiqs8s", Some("b.xn--fiqs8s")),
        ("WWW.Example.COM", Some("example.com")),
        ("a\\046b.example.com", Some("example.com")),
        ("a\\255.com", Some("a\\255.com")),
    ] {
        let read = Name::from_text(name).unwrap();
        assert_eq!(shown(registrable(&read)).as_deref(), domain, "{name}");
    }
    assert_eq!(registrable(&Name::from_text(".").unwrap()), None);
}

#[test]
fn what_is_below_a_private_suffix_is_not_registered() {
    let is = |text: &str| is_registered(&Name::from_text(text).unwrap());
    for yes in ["duckdns.org", "github.io", "example.com", "example.co.uk", "blogspot.com", "x.unknown"] {
        assert!(is(yes), "{yes}");
    }
    for no in ["evil.duckdns.org", "x.github.io", "www.example.com", "co.uk", "com", "a.b.amazonaws.com", "."]
    {
        assert!(!is(no), "{no}");
    }
}

#[test]
fn longest_names_fit() {
    let deepest = Name::from_text(&"a.".repeat(127)).unwrap();
    assert_eq!(shown(registrable(&deepest)).as_deref(), Some("a.a"));
}

#[test]
fn the_version_is_that_of_the_lock_file() {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once("name = \"psl\"\nversion = \"").unwrap();
    let (version, _) = rest.split_once('"').unwrap();
    assert_eq!(psl_version(), format!("psl {version}"));
}
