use proptest::prelude::*;

use super::*;

#[test]
fn lines_arrays_and_bad_ones() {
    let body = br#"
{"rrname":"A.example.","rrtype":"a","rdata":"192.0.2.1","time_first":100,"time_last":"200"}
not json
{"rrname":"a..b","rrtype":"A","rdata":"192.0.2.1"}
{"rrname":"a.example","rrtype":"MX","rdata":["10 m.example.","m2.example"],"time_first":"2020-01-01T00:00:00Z"}
"#;
    let rows = parse(body, 10, Some(7)).unwrap();
    assert_eq!((rows.all.len(), rows.bad, rows.total), (2, 2, Some(7)));
    let mut found = Found::default();
    rows.all.iter().for_each(|r| r.forward(&mut found));
    let pairs: Vec<String> = found
        .pairs
        .iter()
        .map(|p| format!("{} {} {} {:?} {:?}", p.key, p.relation, p.value, p.first_seen, p.last_seen))
        .collect();
    assert_eq!(
        pairs,
        [
            "a.example seen-on 192.0.2.1 Some(100) Some(200)",
            "a.example mail-exchange m.example Some(1577836800) None",
            "a.example mail-exchange m2.example Some(1577836800) None"
        ]
    );
    let list = br#"[{"rrname":"a.b","rrtype":1,"rdata":"1.2.3.4"},{"x":1}]"#;
    let rows = parse(list, 10, None).unwrap();
    assert_eq!((rows.all.len(), rows.bad), (1, 1));
    assert_eq!(parse(body, 1, None).unwrap().all.len(), 1);
    assert_eq!(parse(b"", 1, None).unwrap(), Rows::default());
}

#[test]
fn soa_and_hostile_values() {
    let values =
        |t: &str, d: &str| values(t, d).into_iter().map(|(r, v)| format!("{r} {v}")).collect::<Vec<_>>();
    assert_eq!(
        values("SOA", "ns.example. host.example.com. 1 2 3 4 5"),
        ["primary-server ns.example", "responsible-mailbox host@example.com"]
    );
    for (t, d) in
        [("A", "not an address"), ("MX", "0 ."), ("NS", "."), ("CNAME", ""), ("TXT", "x"), ("AAAA", "::zz")]
    {
        assert!(values(t, d).is_empty(), "{t} {d}");
    }
    // Escapes of master files are octets, and shown as such.
    assert_eq!(values("NS", "\\027[31m.example"), ["name-server \\027\\09131m.example"]);
}

#[test]
fn rows_say_something_of_their_data() {
    let row = read_line(br#"{"rrname":"user.example","rrtype":"NS","rdata":"ns.example"}"#).unwrap();
    let mut found = Found::default();
    row.backward(&Observable::parse("ns.example").unwrap(), &mut found);
    row.backward(&Observable::parse("other.example").unwrap(), &mut found);
    assert_eq!(found.pairs.len(), 1);
    assert_eq!(found.pairs[0].relation, Relation::NameServerOf);
    assert_eq!(found.pairs[0].value.to_string(), "user.example");
}

proptest! {
    #[test]
    fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,80}", t in 0_usize..6) {
        let _ = parse(&body, 100, None);
        let rtype = ["A", "AAAA", "NS", "CNAME", "MX", "SOA"][t];
        let line = serde_json::json!({"rrname": text, "rrtype": rtype, "rdata": text, "time_first": 1e300});
        if let Some(row) = read_line(line.to_string().as_bytes()) {
            row.forward(&mut Found::default());
        }
        let _ = values(rtype, &text);
    }
}
