use kudzu_dns::{DNSClass, Record, Verdict as Dns};
use kudzu_shared::observable::{Name, Observable};
use kudzu_shared::wire::Ask;

use super::*;

fn reverse(text: &str) -> String {
    Name::from_wire(&kudzu_dns::name::reverse(text.parse().unwrap(), None)).unwrap().to_string()
}

fn rr(owner: &[u8], rtype: RecordType, target: &str) -> Record {
    let data = Data::Name(Name::from_text(target).unwrap().wire().into());
    Record { name: owner.into(), rtype, class: DNSClass::IN, ttl: 60, data }
}

fn parse(verdict: Dns, records: Vec<Record>) -> (Verdict, Vec<String>) {
    let source = DnsAddr::new(&config::Dns::default());
    let key = Observable::parse("192.0.2.5").unwrap();
    let ask = Ask { source: "dns.addr".into(), types: vec![], limit: 100 };
    let asked = Asked { key: &key, ask: &ask, questions: 1 };
    assert_eq!(source.build(&asked)[0].qtype, RecordType::PTR);
    let mut found = Found::default();
    let verdict = source.parse(&asked, 0, &Reply { records, ..Reply::failed(0, verdict) }, &mut found);
    (verdict, found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect())
}

#[test]
fn reverse_names() {
    assert_eq!(reverse("192.0.2.150"), "150.2.0.192.in-addr.arpa");
    let v6 = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
    assert_eq!(reverse("4321:0:1:2:3:4:567:89ab"), v6);
}

#[test]
fn classless_delegations_are_followed() {
    let owner = kudzu_dns::name::reverse("192.0.2.5".parse().unwrap(), None);
    let sub = Name::from_text("5.0/25.2.0.192.in-addr.arpa").unwrap();
    let records = vec![
        rr(sub.wire(), RecordType::PTR, "one.example"),
        rr(&owner, RecordType::CNAME, "5.0/25.2.0.192.in-addr.arpa"),
        rr(sub.wire(), RecordType::PTR, "two.example"),
        rr(sub.wire(), RecordType::PTR, "."),
        rr(b"\x05other\x00", RecordType::PTR, "liar.example"),
    ];
    let (verdict, pairs) = parse(Dns::Found, records);
    assert_eq!(verdict, Verdict::Found);
    assert_eq!(pairs, ["192.0.2.5 reverse-name one.example", "192.0.2.5 reverse-name two.example"]);
}

#[test]
fn a_loop_and_a_pointer_to_nothing() {
    let owner = kudzu_dns::name::reverse("192.0.2.5".parse().unwrap(), None);
    let itself = vec![rr(&owner, RecordType::CNAME, "5.2.0.192.in-addr.arpa")];
    assert_eq!(parse(Dns::Loop, itself), (Verdict::Loop, vec![]));
    assert_eq!(parse(Dns::Found, vec![rr(&owner, RecordType::PTR, ".")]), (Verdict::NoData, vec![]));
    assert_eq!(parse(Dns::NxDomain, vec![]), (Verdict::NxDomain, vec![]));
}
