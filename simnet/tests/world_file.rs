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
    assert_eq!((rows.rows.len(), rows.total), (1, 2400));
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
    let missing = World::load(Path::new("/nonexistent/world.json")).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/world.json"));
}
