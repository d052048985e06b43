use kudzu_dns::{DNSClass, Record, Verdict as Dns};
use kudzu_shared::wire::Ask;
use proptest::prelude::*;

use super::*;

fn parse(key: &str, text: &[u8]) -> (Verdict, Vec<String>, Vec<String>) {
    let source = DnsOrigin::new(&config::Dns::default());
    let key = Observable::parse(key).unwrap();
    let ask = Ask { source: "dns.origin".into(), types: vec![], limit: 100 };
    let asked = Asked { key: &key, ask: &ask, questions: 1 };
    let name = source.build(&asked).remove(0).name;
    let strings = text.chunks(255).map(Into::into).collect();
    let records =
        vec![Record { name, rtype: RecordType::TXT, class: DNSClass::IN, ttl: 60, data: Data::Txt(strings) }];
    let mut found = Found::default();
    let verdict = source.parse(&asked, 0, &Reply { records, ..Reply::failed(0, Dns::Found) }, &mut found);
    found.settle(100);
    let pairs = found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
    (verdict, pairs, found.facts.iter().map(|f| format!("{} {:?}", f.subject, f.value)).collect())
}

#[test]
fn questions_by_kind() {
    let source = DnsOrigin::new(&config::Dns::default());
    let name = |key: &str| {
        let key = Observable::parse(key).unwrap();
        Name::from_wire(&source.question_name(&key).unwrap()).unwrap().to_string()
    };
    assert_eq!(name("192.0.2.1"), "1.2.0.192.origin.asn.cymru.com");
    assert!(name("2001:db8::1").ends_with("8.b.d.0.1.0.0.2.origin6.asn.cymru.com"));
    assert_eq!(name("AS64500"), "as64500.asn.cymru.com");
}

#[test]
fn origin_prefix_and_country() {
    let (verdict, pairs, facts) = parse("192.0.2.1", b"64500 64501 | 192.0.2.0/24 | us | arin | 1991-01-01");
    assert_eq!(verdict, Verdict::Found);
    assert_eq!(
        pairs,
        [
            "192.0.2.1 within-netblock 192.0.2.0/24",
            "192.0.2.1 announced-by AS64500",
            "192.0.2.1 announced-by AS64501",
            "192.0.2.0/24 announced-by AS64500",
            "192.0.2.0/24 announced-by AS64501",
        ]
    );
    assert_eq!(facts, ["192.0.2.0/24 Text(\"US\")"]);
}

#[test]
fn the_name_of_an_as() {
    let (verdict, pairs, facts) =
        parse("AS64500", b"64500 | US | arin | 2001-01-01 | EXAMPLE-AS - Example, US");
    assert_eq!((verdict, pairs.len()), (Verdict::Found, 0));
    assert_eq!(facts, ["AS64500 Text(\"EXAMPLE-AS - Example, US\")", "AS64500 Text(\"US\")"]);
    assert_eq!(parse("AS64500", b"64501 | US | arin | x | OTHER").0, Verdict::Malformed);
}

#[test]
fn answers_about_others_and_junk_are_not_nothing() {
    for text in [&b"64500 | 198.51.100.0/24 | US"[..], b"", b"|||||", b"x | 192.0.2.0/33 | US", b"64500"] {
        assert_eq!(parse("192.0.2.1", text).0, Verdict::Malformed, "{text:?}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        parse("192.0.2.1", &text);
        parse("AS64500", &text);
    }
}
