use proptest::prelude::*;

use super::*;

fn rr(owner: &[u8], rtype: RecordType, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut r = owner.to_vec();
    r.extend(u16::from(rtype).to_be_bytes());
    r.extend([0, 1]);
    r.extend(ttl.to_be_bytes());
    r.extend((data.len() as u16).to_be_bytes());
    r.extend(data);
    r
}

fn walk(message: &[u8], n: u16) -> (Vec<Record>, u16) {
    let mut w = Walk::new(message, 0, [n, 0, 0]);
    let all = w.by_ref().map(|(_, r)| r).collect();
    (all, w.broken)
}

const OWNER: &[u8] = b"\x01A\x00";

#[test]
fn every_typed_view() {
    let soa = [&b"\x02ns\x00\x04host\x00"[..], &[0, 0, 0, 9], &[0; 12], &[0, 0, 1, 0]].concat();
    let m = [
        rr(OWNER, RecordType::A, 5, &[192, 0, 2, 1]),
        rr(OWNER, RecordType::AAAA, 1 << 31, &[0; 16]),
        rr(OWNER, RecordType::NS, 1, b"\x02NS\xc0\x00"),
        rr(OWNER, RecordType::MX, 1, b"\x00\x0a\x00"),
        rr(OWNER, RecordType::TXT, 1, b"\x01a\x00\x02bc"),
        rr(OWNER, RecordType::SOA, 1, &soa),
        rr(OWNER, RecordType::CAA, 1, b"xyz"),
    ]
    .concat();
    let (all, broken) = walk(&m, 7);
    assert_eq!(broken, 0);
    let data: Vec<Data> = all.iter().map(|r| r.data.clone()).collect();
    assert_eq!(data[0], Data::A(Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(data[1], Data::Aaaa(Ipv6Addr::UNSPECIFIED));
    assert_eq!(all[1].ttl, 0);
    assert_eq!(data[2], Data::Name(b"\x02ns\x01a\x00".as_slice().into()));
    assert_eq!(data[3], Data::Mx(10, b"\x00".as_slice().into()));
    assert_eq!(
        data[4],
        Data::Txt(vec![b"a".as_slice().into(), b"".as_slice().into(), b"bc".as_slice().into()])
    );
    let Data::Soa(soa) = &data[5] else { panic!("{:?}", data[5]) };
    assert_eq!((soa.serial, soa.minimum), (9, 256));
    assert_eq!(data[6], Data::Raw(b"xyz".as_slice().into()));
    assert!(all.iter().all(|r| &*r.name == b"\x01a\x00"));
}

#[test]
fn a_broken_record_costs_itself_only() {
    let m = [
        rr(OWNER, RecordType::A, 1, &[1, 2, 3]),
        rr(OWNER, RecordType::NS, 1, b"\x02ns\x00\x00"),
        rr(OWNER, RecordType::TXT, 1, b"\x05a"),
        rr(OWNER, RecordType::A, 1, &[1, 2, 3, 4]),
    ]
    .concat();
    let (all, broken) = walk(&m, 4);
    assert_eq!((all.len(), broken), (4, 3));
    assert!(matches!(all[0].data, Data::Broken(_)));
    assert_eq!(all[3].data, Data::A(Ipv4Addr::new(1, 2, 3, 4)));
}

#[test]
fn a_length_past_the_end_loses_the_rest_and_says_so() {
    let mut m =
        [rr(OWNER, RecordType::A, 1, &[1, 2, 3, 4]), rr(OWNER, RecordType::A, 1, &[1, 2, 3, 4])].concat();
    let at = m.len() - 5;
    m[at] = 200;
    let (all, broken) = walk(&m, 5);
    assert_eq!((all.len(), broken), (1, 4));
}

proptest! {
    #[test]
    fn never_panics(message in proptest::collection::vec(any::<u8>(), 0..600), at in 0_usize..600, counts: [u16; 3]) {
        let mut walk = Walk::new(&message, at, counts);
        let n = walk.by_ref().count();
        prop_assert!(n <= message.len() + 1);
    }
}
