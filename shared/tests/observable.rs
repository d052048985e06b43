//! Observables: what is read, how it is normalised, what is refused and with which advice.

use kudzu_shared::observable::defang::defang;
use kudzu_shared::observable::{Kind, Name, Observable, Reason};

/// Input, kind, canonical text.
const READ: &[(&str, Kind, &str)] = &[
    // Names: case, dots, UTS 46 (non-transitional), what DNS allows and host names do not.
    ("Example.COM", Kind::DomainName, "example.com"),
    ("  example.com.\t", Kind::DomainName, "example.com"),
    ("com.", Kind::DomainName, "com"),
    ("_dmarc.example.com", Kind::DomainName, "_dmarc.example.com"),
    ("*.example.com", Kind::DomainName, "*.example.com"),
    ("1and1.com", Kind::DomainName, "1and1.com"),
    ("-a-.b--c.example.com", Kind::DomainName, "-a-.b--c.example.com"),
    ("straße.de", Kind::DomainName, "xn--strae-oqa.de"),
    ("BÜCHER.example.com", Kind::DomainName, "xn--bcher-kva.example.com"),
    ("例え。テスト", Kind::DomainName, "xn--r8jz45g.xn--zckzah"),
    ("_x.bücher.de", Kind::DomainName, "_x.xn--bcher-kva.de"),
    ("exa\u{ad}mple.com", Kind::DomainName, "example.com"),
    ("ＥＸＡＭＰＬＥ．ＣＯＭ", Kind::DomainName, "example.com"),
    ("xn--bcher-kva.example.com", Kind::DomainName, "xn--bcher-kva.example.com"),
    ("xn--zz--zz.example.com", Kind::DomainName, "xn--zz--zz.example.com"),
    ("a\\032b\\046c.example.com", Kind::DomainName, "a\\032b\\046c.example.com"),
    ("\\065.example.com", Kind::DomainName, "a.example.com"),
    ("4.3.2.1.in-addr.arpa", Kind::DomainName, "4.3.2.1.in-addr.arpa"),
    ("0/25.2.0.192.in-addr.arpa", Kind::DomainName, "0\\04725.2.0.192.in-addr.arpa"),
    // Addresses: RFC 5952 text, mapped IPv4.
    ("192.0.2.1", Kind::Ipv4Addr, "192.0.2.1"),
    ("2001:0DB8:0:0:0::1", Kind::Ipv6Addr, "2001:db8::1"),
    ("2001:db8:0:0:1:0:0:1", Kind::Ipv6Addr, "2001:db8::1:0:0:1"),
    ("[2001:db8::1]", Kind::Ipv6Addr, "2001:db8::1"),
    ("::", Kind::Ipv6Addr, "::"),
    ("[::]", Kind::Ipv6Addr, "::"),
    ("::ffff:192.0.2.1", Kind::Ipv4Addr, "192.0.2.1"),
    ("::ffff:c000:201", Kind::Ipv4Addr, "192.0.2.1"),
    // Blocks: host bits cleared.
    ("192.0.2.77/24", Kind::Netblock, "192.0.2.0/24"),
    ("192.0.2.1/32", Kind::Netblock, "192.0.2.1/32"),
    ("2001:db8:1:2::3/48", Kind::Netblock, "2001:db8:1::/48"),
    ("::ffff:192.0.2.9/120", Kind::Netblock, "192.0.2.0/24"),
    ("0.0.0.0/0", Kind::Netblock, "0.0.0.0/0"),
    ("::/0", Kind::Netblock, "::/0"),
    // AS numbers.
    ("AS64500", Kind::AutonomousSystem, "AS64500"),
    ("as 64500", Kind::AutonomousSystem, "AS64500"),
    ("ASN4200000000", Kind::AutonomousSystem, "AS4200000000"),
    ("AS1.10", Kind::AutonomousSystem, "AS65546"),
    // E-mail.
    ("John.Doe@Example.COM", Kind::EmailAddr, "John.Doe@example.com"),
    ("mailto:x@bücher.de", Kind::EmailAddr, "x@xn--bcher-kva.de"),
    ("o'neil+tag@example.com.", Kind::EmailAddr, "o'neil+tag@example.com"),
    ("jürgen@example.com", Kind::EmailAddr, "jürgen@example.com"),
    // URLs.
    ("HTTP://Example.COM", Kind::Url, "http://example.com/"),
    ("https://example.com:443/a/../b?q=1#f", Kind::Url, "https://example.com/b?q=1#f"),
    ("http://example.com./x", Kind::Url, "http://example.com/x"),
    ("http://bücher.de/ä", Kind::Url, "http://xn--bcher-kva.de/%C3%A4"),
    ("http://[2001:DB8::1]/x", Kind::Url, "http://[2001:db8::1]/x"),
    ("http://[::1]:8080/", Kind::Url, "http://[::1]:8080/"),
    ("http://0x7f.1/", Kind::Url, "http://127.0.0.1/"),
    ("http://user:pw@example.com/", Kind::Url, "http://user:pw@example.com/"),
    ("http://example.com/?re=[.]com", Kind::Url, "http://example.com/?re=[.]com"),
    ("http://a_b.example.com/", Kind::Url, "http://a_b.example.com/"),
    // Hashes and fingerprints.
    ("D41D8CD98F00B204E9800998ECF8427E", Kind::File, "d41d8cd98f00b204e9800998ecf8427e"),
    ("md5:d41d8cd98f00b204e9800998ecf8427e", Kind::File, "d41d8cd98f00b204e9800998ecf8427e"),
    ("01234567890123456789012345678901", Kind::File, "01234567890123456789012345678901"),
    (
        "cert:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        Kind::X509Certificate,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    (
        "DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09",
        Kind::X509Certificate,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    (
        "sha1 Fingerprint=DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09",
        Kind::X509Certificate,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    ),
    (
        "sha256:E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55",
        Kind::X509Certificate,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        Kind::File,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    ("identity:  Example   Corp. ", Kind::Identity, "Example Corp."),
];

#[test]
fn reads_and_normalises() {
    for (text, kind, canonical) in READ {
        let read = Observable::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((read.kind(), &*read.to_string()), (*kind, *canonical), "{text}");
        assert_eq!(Observable::parse(&read.to_input()), Ok(read.clone()), "input form of {text}");
        assert_eq!(Observable::parse_as(*kind, &read.to_input()), Ok(read.clone()), "as {kind}: {text}");
        assert_eq!(Observable::parse_bytes(text.as_bytes()), Ok(read.clone()));
        assert_eq!(Observable::parse(&defang(&read)).is_ok(), !matches!(kind, Kind::Identity), "{text}");
    }
}

/// Input, and a part of the message that says what to do.
const REFUSED: &[(&str, &str)] = &[
    ("", "empty"),
    (" \t\r\n", "empty"),
    ("999.1.1.1", "0 to 255"),
    ("1.2.3", "four numbers"),
    ("1.2.3.4.5", "four numbers"),
    ("01.2.3.4", "leading zeros"),
    ("1.2.3.4:80", "port"),
    ("[2001:db8::1]:80", "port"),
    ("example.com:443", "port"),
    ("fe80::1%eth0", "zone"),
    ("fe80::1%eth0/64", "zone"),
    ("2001:db8::1::2", "IPv6"),
    ("12345::", "IPv6"),
    ("[2001:db8::1", "IPv6"),
    ("1.2.3.4/33", "0 to 32"),
    ("2001:db8::/129", "0 to 128"),
    ("1.2.3.4/", "0 to 32"),
    ("1.2.3.0/255.255.255.0", "0 to 32"),
    ("a..b", "two dots"),
    (".example.com", "two dots"),
    ("example.com..", "two dots"),
    (".", "two dots"),
    ("localhost", "one label"),
    ("com", "one label"),
    ("example.123", "IPv4"),
    ("a.0x7f", "IPv4"),
    ("64500", "AS64500"),
    ("AS4294967296", "4294967295"),
    ("AS1.2.3", "4294967295"),
    ("AS1.65536", "4294967295"),
    ("exa mple.com", "one observable a line"),
    ("example.com # note", "one observable a line"),
    ("example.com/path", "http://"),
    ("exa,mple.com", "`,`"),
    ("exa\"mple.com", "`\""),
    ("a\\999.com", "\\255"),
    ("a\\x.com", "\\255"),
    ("a\u{202e}b.com", "UTS 46"),
    ("a\0b.com", "NUL"),
    ("a\x1b[31m.com", "U+001B"),
    ("a\u{85}b.com", "U+0085"),
    ("gopher://example.com/", "http, https"),
    ("http://", "not a URL"),
    ("http://exa mple.com/", "white space"),
    ("http://999.1.1.1/", "not a URL"),
    ("http://localhost/", "one label"),
    ("a@b@example.com", "local@domain"),
    ("@example.com", "local@domain"),
    ("a..b@example.com", "local@domain"),
    ("\"a b\"@example.com", "local@domain"),
    ("John <john@example.com>", "local@domain"),
    ("a@[192.0.2.1]", "domain name after"),
    ("a@localhost", "one label"),
    ("d41d8cd98f00b204e9800998ecf8427e00", "MD5 has 32"),
    ("md5:da39a3ee5e6b4b0d3255bfef95601890afd80709", "md5 has 32"),
    ("md5:xyz", "hexadecimal"),
    ("cert:abcd", "SHA-256"),
    ("cert:", "SHA-256"),
    ("identity: \t ", "empty"),
];

#[test]
fn refuses_with_advice() {
    for (text, advice) in REFUSED {
        let error = Observable::parse(text).expect_err(text);
        assert!(error.to_string().contains(advice), "{text:?}: {error}");
        assert!(error.input().chars().count() <= 80);
        assert!(!error.to_string().chars().any(kudzu_shared::escape::is_hidden));
    }
}

#[test]
fn limits_of_names() {
    let label = "a".repeat(63);
    assert!(Observable::parse(&format!("{label}.com")).is_ok());
    let long = Observable::parse(&format!("{label}a.com")).unwrap_err();
    assert_eq!(*long.reason(), Reason::LongLabel(64));
    // 3 * 64 + 62 + 1 = 255 octets on the wire, and one more.
    assert!(Observable::parse(&format!("{label}.{label}.{label}.{}", &label[..61])).is_ok());
    let long = Observable::parse(&format!("{label}.{label}.{label}.{}", &label[..62])).unwrap_err();
    assert_eq!(*long.reason(), Reason::LongName(256));
    let three_hundred = format!("{}com", "abcdefghi.".repeat(30));
    assert!(matches!(Observable::parse(&three_hundred).unwrap_err().reason(), Reason::LongName(_)));
}

#[test]
fn raw_lines() {
    assert_eq!(Observable::parse_bytes(b"\xef\xbb\xbfexample.com\r\n"), Observable::parse("example.com"));
    let error = Observable::parse_bytes(b"caf\xe9.com").unwrap_err();
    assert_eq!(*error.reason(), Reason::NotUtf8(3));
    let utf16 = Observable::parse_bytes(b"\xff\xfee\0x\0").unwrap_err();
    assert_eq!(*utf16.reason(), Reason::Nul);
    let huge = vec![b'a'; 10 << 20];
    let error = Observable::parse_bytes(&huge).unwrap_err();
    assert_eq!(*error.reason(), Reason::TooLong(10 << 20));
    assert!(error.to_string().len() < 300);
    assert!(Observable::parse(&"é".repeat(5 << 20)).unwrap_err().to_string().len() < 400);
    assert!(Observable::parse_bytes(&vec![0xff; 10 << 20]).is_err());
}

#[test]
fn a_known_kind_needs_no_prefix() {
    let read = |kind, text| Observable::parse_as(kind, text).map(|o| o.to_string());
    assert_eq!(read(Kind::AutonomousSystem, "64500").as_deref(), Ok("AS64500"));
    assert_eq!(read(Kind::AutonomousSystem, "1.10").as_deref(), Ok("AS65546"));
    assert_eq!(read(Kind::Identity, "Example Corp").as_deref(), Ok("Example Corp"));
    let sha1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    assert_eq!(read(Kind::X509Certificate, sha1).as_deref(), Ok(sha1));
    for (kind, text) in [
        (Kind::DomainName, "192.0.2.1"),
        (Kind::Ipv4Addr, "2001:db8::1"),
        (Kind::Ipv6Addr, "192.0.2.1"),
        (Kind::Netblock, "192.0.2.1"),
        (Kind::Url, "example.com"),
        (Kind::EmailAddr, "example.com"),
        (Kind::File, "example.com"),
        (Kind::X509Certificate, "example.com"),
        (Kind::AutonomousSystem, "+1"),
    ] {
        assert!(Observable::parse_as(kind, text).is_err(), "{kind} {text}");
    }
}

#[test]
fn identities_from_outside_are_cleaned() {
    let read = Observable::from_identity(" a\0b\u{7}  c\n").unwrap();
    assert_eq!(read.to_string(), "a b c");
    assert_eq!(Observable::from_identity("\n\0"), None);
    assert_eq!(Observable::from_identity(&"é".repeat(4000)).unwrap().wire().len(), 1024);
}

#[test]
fn special_purposes_are_told() {
    for (text, purpose) in [
        ("10.1.2.3", Some("private-use")),
        ("172.31.255.255", Some("private-use")),
        ("172.32.0.0", None),
        ("192.168.0.0/24", Some("private-use")),
        ("192.168.0.0/15", None),
        ("127.0.0.1", Some("loopback")),
        ("::1", Some("loopback")),
        ("::", Some("unspecified")),
        ("::ffff:127.0.0.1", Some("loopback")),
        ("169.254.169.254", Some("cloud-metadata")),
        ("169.254.1.1", Some("link-local")),
        ("fe80::1", Some("link-local")),
        ("fd00:ec2::254", Some("cloud-metadata")),
        ("fc00::1", Some("unique-local")),
        ("100.64.0.1", Some("shared-address-space")),
        ("192.0.2.1", Some("documentation")),
        ("2001:db8::/48", Some("documentation")),
        ("198.19.0.1", Some("benchmarking")),
        ("224.0.0.1", Some("multicast")),
        ("ff02::1", Some("multicast")),
        ("255.255.255.255", Some("limited-broadcast")),
        ("240.0.0.1", Some("reserved")),
        ("0.1.2.3", Some("this-network")),
        ("64:ff9b::7f00:1", Some("ipv4-translation")),
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("0.0.0.0/0", None),
        ("::/0", None),
        ("localhost.", Some("localhost")),
        ("a.localhost", Some("localhost")),
        ("printer.local", Some("multicast-dns")),
        ("a.test", Some("testing")),
        ("a.invalid", Some("invalid")),
        ("a.example", Some("documentation")),
        ("abc.onion", Some("onion")),
        ("router.home.arpa", Some("home-network")),
        ("1.0.0.127.in-addr.arpa", None),
        ("example.com", None),
        ("localhost.com", None),
        ("http://127.0.0.1/", Some("loopback")),
        ("http://[::1]/", Some("loopback")),
        ("root@router.local", Some("multicast-dns")),
        ("AS64500", None),
    ] {
        let read = Observable::parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read.special_purpose(), purpose, "{text}");
    }
}

#[test]
fn hosts_of_urls_and_mailboxes() {
    for (text, host) in [
        ("http://u@example.com:81/x", "example.com"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("http://192.0.2.1/", "192.0.2.1"),
        ("a@example.com", "example.com"),
    ] {
        assert_eq!(Observable::parse(text).unwrap().host(), Some(Observable::parse(host).unwrap()));
    }
    assert_eq!(Observable::parse("example.com").unwrap().host(), None);
}

#[test]
fn names_mean_nothing_to_their_reader() {
    let name = Name::from_labels([&b"=a.b\\c d/[.]<x>\x1b\xff"[..], b"com"]).unwrap();
    let text = "\\061a\\046b\\092c\\032d\\047\\091\\046\\093\\060x\\062\\027\\255.com";
    assert_eq!(name.to_string(), text);
    assert_eq!(Observable::parse(text), Ok(Observable::from_name(&name)));
}

/// Computed independently, in Python, by
/// `uuid.uuid5(NS, json.dumps(properties, separators=(",", ":"), sort_keys=True))`; the
/// library stix2 gives the same.
#[test]
fn ids_are_those_of_stix() {
    for (text, id) in [
        ("198.51.100.3", "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"),
        ("example.com", "domain-name--bedb4899-d24b-5401-bc86-8f6b4cc18ec7"),
        ("AS15139", "autonomous-system--3aa27478-50b5-5ab8-9da9-cdc12b657fff"),
        ("john@example.com", "email-addr--7165e2a9-671f-585d-b1e1-ca59c671d934"),
        ("https://example.com/research/index.html", "url--47c3cf9a-5027-5bf0-997a-017c7edc7c55"),
        ("2001:0db8:85a3::8a2e:0370:7334", "ipv6-addr--f5344921-72d2-5619-945d-8757bca4b7cd"),
        (
            "fe90a7e910cb3a4739bed9180e807e93fa70c90f25a8915476f5e4bfbac681db",
            "file--b91bcf06-0d11-5a89-9c3a-8d4279aefe56",
        ),
        ("d41d8cd98f00b204e9800998ecf8427e", "file--02fff920-f614-527c-81d1-6353633a6d21"),
        (
            "cert:fe90a7e910cb3a4739bed9180e807e93fa70c90f25a8915476f5e4bfbac681db",
            "x509-certificate--b91bcf06-0d11-5a89-9c3a-8d4279aefe56",
        ),
        ("a\\032b.example.com", "domain-name--21020cfd-ddb4-5433-989f-9be5ef3567b7"),
    ] {
        assert_eq!(Observable::parse(text).unwrap().id(), id);
    }
    let block = Observable::parse("192.0.2.0/24").unwrap();
    assert!(block.id().starts_with("netblock--") && block.id().len() == 46);
    assert_ne!(block.id(), Observable::parse("192.0.2.0/25").unwrap().id());
}
