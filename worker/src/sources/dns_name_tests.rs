use std::net::Ipv4Addr;

use kudzu_dns::{DNSClass, Verdict as Dns};
use kudzu_shared::wire::Ask;
use proptest::prelude::*;

use super::*;

fn n(text: &str) -> Box<[u8]> {
    Name::from_text(text).unwrap().wire().into()
}

fn rr(owner: &str, rtype: RecordType, data: Data) -> Record {
    Record { name: n(owner), rtype, class: DNSClass::IN, ttl: 60, data }
}

/// The verdict, pairs and facts of one reply to a question about `a.example`.
fn parse(qtype: RecordType, verdict: Dns, records: Vec<Record>) -> (Verdict, Vec<String>, Found) {
    let source = DnsName::new(&config::Dns::default());
    let key = Observable::parse("a.example").unwrap();
    let ask = Ask { source: "dns.name".into(), types: vec![qtype.into()], limit: 100 };
    let asked = Asked { key: &key, ask: &ask, questions: 1 };
    let reply = Reply { records, negative_ttl: Some(30), ..Reply::failed(0, verdict) };
    let mut found = Found::default();
    let verdict = source.parse(&asked, 0, &reply, &mut found);
    let pairs = found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
    (verdict, pairs, found)
}

fn alias(from: &str, to: &str) -> Record {
    rr(from, RecordType::CNAME, Data::Name(n(to)))
}

#[test]
fn the_types_of_the_ask_by_bit() {
    let source = DnsName::new(&config::Dns::default());
    let key = Observable::parse("a.example").unwrap();
    let ask = Ask { source: "dns.name".into(), types: vec![1, 28, 15], limit: 1 };
    let asked = Asked { key: &key, ask: &ask, questions: 0b1111_0101 };
    let built: Vec<(u8, RecordType)> = source.build(&asked).into_iter().map(|q| (q.index, q.qtype)).collect();
    assert_eq!(built, [(0, RecordType::A), (2, RecordType::MX)]);
}

#[test]
fn each_link_has_its_own_key() {
    let a = rr("c.example", RecordType::A, Data::A(Ipv4Addr::new(192, 0, 2, 1)));
    let records = vec![a, alias("b.example", "c.example"), alias("a.example", "b.example")];
    let (verdict, pairs, found) = parse(RecordType::A, Dns::Found, records);
    assert_eq!(verdict, Verdict::Found);
    assert_eq!(
        pairs,
        ["a.example alias-of b.example", "b.example alias-of c.example", "c.example resolves-to 192.0.2.1"]
    );
    assert_eq!(found.ttl.map(|t| t.as_secs()), Some(60));
}

#[test]
fn an_alias_to_nothing_is_a_finding_and_the_end_is_absent() {
    let (verdict, pairs, found) =
        parse(RecordType::A, Dns::NxDomain, vec![alias("a.example", "gone.example")]);
    assert_eq!((verdict, pairs.len()), (Verdict::Found, 1));
    assert_eq!(found.facts[0].name, FactName::NameAbsent);
    assert_eq!(found.facts[0].subject.to_string(), "gone.example");
    let (verdict, pairs, found) = parse(RecordType::A, Dns::NxDomain, vec![]);
    assert_eq!((verdict, pairs.len(), found.facts.len()), (Verdict::NxDomain, 0, 1));
    assert_eq!(found.ttl.map(|t| t.as_secs()), Some(30));
    let (verdict, pairs, _) = parse(RecordType::A, Dns::NoData, vec![alias("a.example", "b.example")]);
    assert_eq!((verdict, pairs.len()), (Verdict::Found, 1));
}

#[test]
fn a_loop_keeps_its_links_and_failures_stay_failures() {
    let records = vec![alias("a.example", "b.example"), alias("b.example", "a.example")];
    let (verdict, pairs, _) = parse(RecordType::A, Dns::Loop, records);
    assert_eq!((verdict, pairs.len()), (Verdict::Loop, 2));
    for dns in [Dns::ServFail, Dns::Refused, Dns::Timeout, Dns::Lame, Dns::Truncated, Dns::Malformed] {
        let (verdict, pairs, _) = parse(RecordType::A, dns, vec![]);
        assert_eq!(verdict.end(), kudzu_shared::outcome::End::Failed);
        assert!(pairs.is_empty());
    }
}

#[test]
fn hosts_and_the_null_mx() {
    let records = vec![rr("a.example", RecordType::MX, Data::Mx(10, n("m.example")))];
    assert_eq!(parse(RecordType::MX, Dns::Found, records).1, ["a.example mail-exchange m.example"]);
    let null = vec![rr("a.example", RecordType::MX, Data::Mx(0, n(".")))];
    assert_eq!(parse(RecordType::MX, Dns::Found, null).0, Verdict::NoData);
    let ns = vec![rr("a.example", RecordType::NS, Data::Name(n("ns.example")))];
    assert_eq!(parse(RecordType::NS, Dns::Found, ns).1, ["a.example name-server ns.example"]);
}

#[test]
fn text_is_spf_or_a_fact() {
    let txt = |s: &[&str]| {
        let strings = s.iter().map(|s| s.as_bytes().into()).collect();
        vec![rr("a.example", RecordType::TXT, Data::Txt(strings))]
    };
    // A value may be cut anywhere between two strings.
    let (verdict, pairs, _) =
        parse(RecordType::TXT, Dns::Found, txt(&["v=spf1 include:_s", "pf.example ip4:192.0.2.0/24"]));
    assert_eq!(verdict, Verdict::Found);
    assert_eq!(pairs, ["a.example spf-include _spf.example", "a.example spf-address 192.0.2.0/24"]);
    let long = "\u{1b}[31m<script>".repeat(40);
    let (verdict, pairs, found) = parse(RecordType::TXT, Dns::Found, txt(&[&long]));
    assert_eq!((verdict, pairs.len()), (Verdict::Found, 0));
    let FactValue::Text(text) = &found.facts[0].value else { panic!("no text") };
    assert!(text.len() <= 255);
    assert_eq!(parse(RecordType::TXT, Dns::Found, txt(&["v=spf1 -all"])).2.facts.len(), 1);
    assert_eq!(parse(RecordType::TXT, Dns::Found, txt(&[""])).0, Verdict::NoData);
}

#[test]
fn the_mailbox_of_a_zone() {
    let text = |rname: &str| mailbox(&n(rname)).map(|m| m.to_string());
    assert_eq!(text("hostmaster.example.com").as_deref(), Some("hostmaster@example.com"));
    assert_eq!(text("jo\\.doe.example.com").as_deref(), Some("jo.doe@example.com"));
    assert_eq!(text("."), None);
    assert_eq!(text("com"), None);
    assert_eq!(text("a\\000b.example.com"), None);
    let (mname, rname) = (n("ns.example"), n("host.b.example"));
    let soa = Soa { mname, rname, serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 };
    let (_, pairs, _) =
        parse(RecordType::SOA, Dns::Found, vec![rr("a.example", RecordType::SOA, Data::Soa(Box::new(soa)))]);
    assert_eq!(
        pairs,
        ["a.example primary-server ns.example", "a.example responsible-mailbox host@b.example"]
    );
}

proptest! {
    #[test]
    fn no_answer_panics(tail in proptest::collection::vec(any::<u8>(), 0..300), types in 0_usize..7, n in 0_u16..9) {
        let qtype = TYPES[types];
        let question = kudzu_dns::Question { token: 0, name: b"\x01a\x07example\x00".as_slice().into(), qtype };
        let mut m = vec![0, 0, 0x81, 0x80, 0, 1, 0, n as u8, 0, 0, 0, 0];
        m.extend(&question.name[..]);
        m.extend(u16::from(qtype).to_be_bytes());
        m.extend([0, 1]);
        m.extend(&tail);
        let reply = Reply::from_message(&question, &m).unwrap();
        parse(qtype, reply.verdict, reply.records);
    }

    #[test]
    fn no_mailbox_panics(rname in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = mailbox(&rname);
    }
}
