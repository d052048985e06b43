use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

fn n(text: &str) -> Box<[u8]> {
    let mut wire: Vec<u8> = Vec::new();
    for label in text.split('.') {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire.into()
}

fn alias(from: &str, to: &str) -> Record {
    Record { name: n(from), rtype: RecordType::CNAME, class: DNSClass::IN, ttl: 60, data: Data::Name(n(to)) }
}

fn a(owner: &str, last: u8) -> Record {
    Record {
        name: n(owner),
        rtype: RecordType::A,
        class: DNSClass::IN,
        ttl: 60,
        data: Data::A(Ipv4Addr::new(192, 0, 2, last)),
    }
}

fn question(text: &str) -> Question {
    Question { token: 7, name: n(text), qtype: RecordType::A }
}

/// A response with the given flags, the question, and raw sections.
fn response(q: &Question, flags: [u8; 2], counts: [u16; 3], sections: &[u8]) -> Vec<u8> {
    let mut m = vec![0, 1, flags[0], flags[1], 0, 1];
    counts.iter().for_each(|c| m.extend(c.to_be_bytes()));
    m.extend(&q.name[..]);
    m.extend(u16::from(q.qtype).to_be_bytes());
    m.extend([0, 1]);
    m.extend(sections);
    m
}

#[test]
fn a_chain_in_any_order() {
    let mut records = vec![a("c", 1), alias("b", "c"), a("x", 9), alias("a", "b"), a("c", 2)];
    for _ in 0..records.len() {
        records.rotate_left(1);
        let q = n("a");
        let chain = chain(&q, RecordType::A, &records);
        assert_eq!(chain.links.iter().map(|l| &*l.name).collect::<Vec<_>>(), [&*n("a"), &*n("b")]);
        assert_eq!((chain.found.len(), chain.end, chain.is_loop), (2, &*n("c"), false));
    }
}

/// RFC 2181 section 10.1 allows neither; both are seen.
#[test]
fn two_aliases_of_a_name_and_an_address_beside_one() {
    let q = n("a");
    for records in [
        vec![alias("a", "b"), alias("a", "c"), a("b", 1), a("c", 2)],
        vec![alias("a", "b"), a("a", 1), a("b", 2)],
    ] {
        let chain = chain(&q, RecordType::A, &records);
        assert!(!chain.found.is_empty() && !chain.is_loop, "{records:?}");
    }
}

#[test]
fn loops_and_long_chains_keep_what_they_have() {
    for (records, links) in [
        (vec![alias("a", "a")], 1),
        (vec![alias("a", "b"), alias("b", "a")], 2),
        (vec![alias("a", "b"), alias("b", "c"), alias("c", "b")], 3),
    ] {
        let q = n("a");
        let chain = chain(&q, RecordType::A, &records);
        assert!(chain.is_loop && !chain.is_cut);
        assert_eq!(chain.links.len(), links);
    }
    for (len, cut) in [(11, false), (12, true)] {
        let names: Vec<String> = (0..=len).map(|i| format!("n{i}")).collect();
        let mut records: Vec<Record> = names.windows(2).map(|w| alias(&w[0], &w[1])).collect();
        records.push(a(names.last().unwrap(), 1));
        let q = n("n0");
        let chain = chain(&q, RecordType::A, &records);
        assert_eq!((chain.links.len(), chain.is_cut, chain.found.is_empty()), (11, cut, cut));
    }
}

#[test]
fn verdicts() {
    let q = question("a");
    let ns = [&n("z")[..], &[0, 2, 0, 1, 0, 0, 0, 9, 0, 4], &n("ns")[..]].concat();
    let soa =
        |zone: &[u8]| [zone, &[0, 6, 0, 1, 0, 0, 1, 0, 0, 22], &[0, 0], &[0; 16], &[0, 0, 0, 9]].concat();
    let alias = [&n("a")[..], &[0, 5, 0, 1, 0, 0, 0, 9, 0, 3], &n("b")].concat();
    let short = [&n("a")[..], &[0, 1, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3]].concat();
    let good = [&n("a")[..], &[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]].concat();
    let cases = [
        ([0x81, 0x80], [0, 0, 0], vec![], Verdict::NoData),
        ([0x81, 0x83], [0, 1, 0], soa(&n("z")), Verdict::NxDomain),
        ([0x81, 0x82], [0, 0, 0], vec![], Verdict::ServFail),
        ([0x81, 0x85], [0, 0, 0], vec![], Verdict::Refused),
        ([0x81, 0x84], [0, 0, 0], vec![], Verdict::FormErr),
        ([0x80, 0x00], [0, 1, 0], ns.clone(), Verdict::Lame),
        ([0x80, 0x80], [0, 1, 0], ns, Verdict::NoData),
        ([0x81, 0x80], [1, 0, 0], short.clone(), Verdict::Malformed),
        ([0x81, 0x80], [2, 0, 0], [short, good.clone()].concat(), Verdict::Found),
        ([0x81, 0x80], [9, 0, 0], vec![], Verdict::Malformed),
        // Part of an answer section once looked like all of it.
        ([0x81, 0x80], [2, 0, 0], good.clone(), Verdict::Malformed),
        ([0x81, 0x80], [2, 0, 0], [&good[..], &good[..9]].concat(), Verdict::Malformed),
        ([0x81, 0x82], [2, 0, 0], good.clone(), Verdict::ServFail),
        ([0x81, 0x80], [1, 0, 7], good, Verdict::Found),
        // An alias without its end: a resolver has looked, another server has not.
        ([0x81, 0x80], [1, 0, 0], alias.clone(), Verdict::NoData),
        ([0x85, 0x00], [1, 0, 0], alias.clone(), Verdict::Lame),
        ([0x85, 0x00], [1, 1, 0], [&alias[..], &soa(&n("b"))].concat(), Verdict::NoData),
        ([0x85, 0x00], [1, 1, 0], [&alias[..], &soa(&n("z"))].concat(), Verdict::Lame),
    ];
    for (flags, counts, sections, expected) in cases {
        let read = read(&q, &response(&q, flags, counts, &sections)).unwrap();
        assert_eq!(read.reply.verdict, expected, "{flags:?} {counts:?}");
        assert_eq!(read.reply.token, 7);
    }
    // The SOA of a zone that does not hold the name says nothing of it.
    for (zone, ttl) in [(n("z"), None), (n("a"), Some(9)), (Box::from([0]), Some(9))] {
        let negative = read(&q, &response(&q, [0x81, 0x83], [0, 1, 0], &soa(&zone))).unwrap();
        assert_eq!(negative.reply.negative_ttl, ttl);
    }
}

#[test]
fn what_is_cut_off_is_partial() {
    let q = question("a");
    let good = [&n("a")[..], &[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]].concat();
    for (flags, counts, partial) in [
        ([0x81, 0x80], [1, 0, 0], false),
        ([0x81, 0x80], [1, 1, 1], false),
        ([0x81, 0x80], [4000, 0, 0], true),
        ([0x83, 0x80], [1, 0, 0], true),
    ] {
        let m = response(&q, flags, counts, &good);
        let udp = read(&q, &m).unwrap();
        assert_eq!((udp.is_partial(), udp.reply.records.len()), (partial, 1), "{flags:?} {counts:?}");
        let tcp = over_tcp(read(&q, &m));
        let (verdict, records) = match (partial, udp.truncated) {
            (false, _) => (Verdict::Found, 1),
            (true, false) => (Verdict::Malformed, 1),
            (true, true) => (Verdict::Truncated, 0),
        };
        assert_eq!((tcp.verdict, tcp.records.len(), tcp.transport), (verdict, records, Transport::Tcp));
    }
}

#[test]
fn what_is_no_answer_to_the_question() {
    let q = question("a");
    let good = response(&q, [0x81, 0x80], [0, 0, 0], &[]);
    assert!(read(&q, &good).is_some());
    assert!(read(&question("b"), &good).is_none());
    assert!(read(&Question { qtype: RecordType::NS, ..q.clone() }, &good).is_none());
    let with = |at: usize, octet: u8| {
        let mut m = good.clone();
        m[at] = octet;
        m
    };
    for bad in
        [with(2, 0x01), with(2, 0x89), with(5, 2), with(5, 0), good[..11].to_vec(), good[..14].to_vec()]
    {
        assert!(read(&q, &bad).is_none());
    }
    // Upper case comes back from servers that mirror it.
    assert!(read(&q, &with(13, b'A')).is_some());
    let bare = read(&q, &[0, 1, 0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert!(bare.bare && bare.reply.verdict == Verdict::FormErr);
}

#[test]
fn edns_carries_the_upper_rcode_and_the_extended_error() {
    let q = question("a");
    let opt = [&[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 10][..], &[0, 9, 0, 0], &[0, 15, 0, 2, 0, 22]].concat();
    let read = read(&q, &response(&q, [0x81, 0x80], [0, 0, 1], &opt)).unwrap();
    assert_eq!((read.reply.rcode, read.reply.ede), (Some(ResponseCode::BADVERS), Some(22)));
    assert_eq!(read.reply.verdict, Verdict::FormErr);
}

proptest! {
    #[test]
    fn never_panics(tail in proptest::collection::vec(any::<u8>(), 0..400), flags: [u8; 2], counts: [u16; 3]) {
        let q = question("www.example.com");
        let _ = read(&q, &tail);
        let _ = read(&q, &response(&q, flags, counts, &tail));
    }

    #[test]
    fn a_chain_ends(edges in proptest::collection::vec((0_u8..16, 0_u8..16), 0..40)) {
        let records: Vec<Record> =
            edges.iter().map(|(f, t)| alias(&format!("n{f}"), &format!("n{t}"))).collect();
        let q = n("n0");
        prop_assert!(chain(&q, RecordType::A, &records).links.len() <= MAX_LINKS);
    }
}
