//! Worlds from files: the documented example, and files that cannot be used.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

use std::io::Write;
use std::path::Path;

use kudzu_simnet::{LoadError, Name, Rcode, World, rtype};

fn example() -> World {
    World::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/world.json")).unwrap()
}

fn ask(world: &World, name: &str, qtype: u16) -> (Rcode, usize) {
    let mut out = Vec::new();
    let verdict = world.dns(Name::from_text(name).unwrap().as_wire(), qtype, &mut out);
    (verdict.rcode, out.len())
}

fn load(text: &str) -> Result<World, LoadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    World::load(file.path())
}

#[test]
fn the_documented_example_loads() {
    let world = example();
    assert_eq!(world.as_of(), 1_780_272_000);
    assert_eq!(world.seeds(), ["198.51.100.7"]);
    assert_eq!(ask(&world, "shop.example", rtype::A), (Rcode::NoError, 1));
    assert_eq!(ask(&world, "www.shop.example", rtype::A), (Rcode::NoError, 2));
    assert_eq!(ask(&world, "any.shop.example", rtype::A), (Rcode::NoError, 1));
    assert_eq!(ask(&world, "any.shop.example", rtype::MX), (Rcode::NoError, 0));
    assert_eq!(ask(&world, "any.login-shop.example", rtype::A), (Rcode::NxDomain, 0));
    assert_eq!(ask(&world, "deep.broken.example", rtype::A), (Rcode::ServFail, 0));
    assert_eq!(ask(&world, "7.100.51.198.in-addr.arpa", rtype::PTR), (Rcode::NoError, 1));
    assert_eq!(ask(&world, "8.100.51.198.in-addr.arpa", rtype::PTR), (Rcode::NxDomain, 0));
}

#[test]
fn its_other_sources_answer() {
    let world = example();
    let rows = world.pdns("198.51.100.7", 1);
    assert_eq!((rows.rows.len(), rows.total), (1, 4));
    assert_eq!(world.pdns("rdata/ns1.shop.example", 10).rows.len(), 1);
    assert_eq!(world.registered_by("ada@mailer.example"), ["login-shop.example"]);
    assert!(world.registered_by("contact@privacy.example").is_empty());
    assert_eq!(world.network("198.51.100.200".parse().unwrap()).unwrap().asn, 64500);
    assert_eq!(world.autnum(64500).unwrap().holder.org, "Hoster GmbH");
    assert_eq!(world.entity("org1").unwrap().email, "noc@hoster.example");
    assert_eq!(world.certs("login-shop.example").len(), 1);
    assert_eq!(world.certs("%.login-shop.example").len(), 1);
    assert_eq!(world.truth().planned.len(), 1);
}

#[test]
fn faults_in_a_file_are_named_with_their_place() {
    let cases = [
        ("{", "line 1"),
        ("{}", "line 1"),
        (r#"{"as_of": "soon"}"#, "as_of: \"soon\" is not a time"),
        (r#"{"as_of": 1, "zonse": {}}"#, "line 1"),
        (
            r#"{"as_of": 1, "zones": {"a.b": {"A": ["1.2.3"]}}}"#,
            "zones.\"a.b\".A[0]: \"1.2.3\" is not an IPv4 address",
        ),
        (r#"{"as_of": 1, "zones": {"a..b": {}}}"#, "is not a domain name"),
        (
            r#"{"as_of": 1, "networks": [{"cidr": "10.0.0.1/8", "name": "", "asn": 1, "registered": 1}]}"#,
            "networks[0].cidr",
        ),
        (
            r#"{"as_of": 1, "certificates": [{"sha256": "12", "names": [], "not_before": 1, "not_after": 2}]}"#,
            "certificates[0].sha256",
        ),
    ];
    for (text, expected) in cases {
        let message = load(text).unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
    }
    let row = |fields: &str| format!(r#"{{"as_of": 1, "pdns": [{{"rrname": "a.b", {fields}}}]}}"#);
    let times = r#""time_first": 5, "time_last": 6"#;
    let cases = [
        (row(&format!(r#""rrtype": "WKS", "rdata": "x", {times}"#)), "pdns[0].rdata"),
        (row(&format!(r#""rrtype": "A", "rdata": "1.2.3", {times}"#)), "pdns[0].rdata"),
        (row(&format!(r#""rrtype": "NS", "rdata": "a..b", {times}"#)), "pdns[0].rdata"),
        (row(&format!(r#""rrtype": "A", "rdata": "192.0.2.1", {times}, "sensor": "x""#)), "line 1"),
        (row(r#""rrtype": "A", "rdata": "192.0.2.1", "time_first": 9, "time_last": 6"#), "pdns[0].time_last"),
        (
            row(r#""rrtype": "A", "rdata": "192.0.2.1", "time_first": 1, "time_last": 1780185600000"#),
            "pdns[0].time_last",
        ),
        (r#"{"as_of": 9223372036854775807}"#.to_owned(), "as_of"),
        (r#"{"as_of": 1, "totals": {"a..b": 5}}"#.to_owned(), "totals.\"a..b\""),
        (r#"{"as_of": 1, "zones": {"bücher.example": {}}}"#.to_owned(), "is not a domain name"),
        (r#"{"as_of": 1, "zones": {"a.b": {"NS": ["bücher.example"]}}}"#.to_owned(), "NS[0]"),
        (r#"{"as_of": 1, "truth": {"seed": 1, "sedes": []}}"#.to_owned(), "line 1"),
        (r#"{"as_of": 1, "truth": {"planned": [{"domain": "a.b", "tie": []}]}}"#.to_owned(), "line 1"),
        (
            r#"{"as_of": 1, "truth": {"decoys": [{"domain": "a.b", "kind": "popular-ns", "x": 1}]}}"#
                .to_owned(),
            "line 1",
        ),
        (
            r#"{"as_of": 1, "registrations": {"a.b": {"registrar": "", "registered": 1, "expires": 2,
                "registrant": {"mail": ""}}}}"#
                .to_owned(),
            "line 2",
        ),
        (
            r#"{"as_of": 1, "registrations": {"a.b": {"registrar": "", "registered": 1, "expires": 2,
                "nameservers": ["a..b"]}}}"#
                .to_owned(),
            "nameservers[0]",
        ),
        (
            format!(
                r#"{{"as_of": 1, "certificates": [{{"sha256": "{}", "names": ["ü.b"], "not_before": 1, "not_after": 2}}]}}"#,
                "0".repeat(64)
            ),
            "certificates[0].names[0]",
        ),
        (
            format!(r#"{{"as_of": 1, "zones": {{"a.b": {{"TXT": ["{}"]}}}}}}"#, "x".repeat(65_300)),
            "65,000 octets",
        ),
    ];
    for (text, expected) in cases {
        let message = load(&text).unwrap_err().to_string();
        assert!(message.contains(expected), "{text:.300}: {message}");
    }
    let missing = World::load(Path::new("/nonexistent/world.json")).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/world.json"));
}

#[test]
fn other_spellings_are_the_same_thing() {
    let world = load(
        r#"{"as_of": 1, "totals": {"2001:DB8:0::7": 40, "rdata/NS.Example.": 50, "Shop.Example": 60}, "pdns": [
            {"rrname": "Shop.Example.", "rrtype": "aaaa", "rdata": "2001:DB8::0007", "time_first": 1, "time_last": 2},
            {"rrname": "shop.example", "rrtype": "NS", "rdata": "NS.example.", "time_first": 1, "time_last": 2},
            {"rrname": "shop.example", "rrtype": "MX", "rdata": "10  Mail.Example", "time_first": 1, "time_last": 2}
        ]}"#,
    )
    .unwrap();
    let asked = |query: &str| {
        let answer = world.pdns(query, 9);
        (answer.rows.len(), answer.total)
    };
    assert_eq!(asked("2001:db8::7"), (1, 40));
    assert_eq!(asked("rdata/ns.example"), (1, 50));
    assert_eq!(asked("rdata/mail.example"), (1, 1));
    assert_eq!(asked("shop.example"), (3, 60));
}
