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
    let rows = parse(body, 10, Told { total: Some(7), more: false });
    assert_eq!((rows.all.len(), rows.bad, rows.missing), (2, 2, 3));
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
    let rows = parse(list, 10, Told::default());
    assert_eq!((rows.all.len(), rows.bad, rows.missing), (1, 1, 0));
    assert_eq!(parse(b"", 1, Told::default()), Rows::default());
    assert_eq!(parse(b"[", 1, Told::default()).bad, 1);
}

/// Rows beyond the limit were lost where the service gave no total.
#[test]
fn what_is_not_read_is_counted() {
    let line = "{\"rrname\":\"a.example\",\"rrtype\":\"A\",\"rdata\":\"192.0.2.1\"}";
    let (lines, list) = ([line; 5].join("\n"), format!("[{}]", [line; 5].join(",")));
    for body in [lines, list] {
        let missing = |limit, total, more| {
            let rows = parse(body.as_bytes(), limit, Told { total, more });
            assert_eq!(rows.all.len(), limit.min(5));
            rows.missing
        };
        assert_eq!(missing(2, None, false), 3);
        assert_eq!(missing(2, Some(3), false), 3);
        assert_eq!(missing(2, Some(9), true), 7);
        assert_eq!(missing(9, None, true), 1);
        assert_eq!(missing(9, None, false), 0);
    }
}

#[test]
fn an_address_in_front_is_the_data() {
    let rows =
        read_line(br#"{"rrname":"192.0.2.1","rrtype":"A","rdata":["a.example","b.example"]}"#).unwrap();
    let mut found = Found::default();
    rows.iter().for_each(|r| r.forward(&mut found));
    let pairs: Vec<String> =
        found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
    assert_eq!(pairs, ["a.example seen-on 192.0.2.1", "b.example seen-on 192.0.2.1"]);
    assert!(read_line(br#"{"rrname":"192.0.2.1","rrtype":"A","rdata":"192.0.2.2"}"#).is_none());
}

#[test]
fn how_a_row_bears_on_a_key() {
    let bearing = |rtype: &str, data: &str| {
        let line = serde_json::json!({"rrname": "a.example", "rrtype": rtype, "rdata": data}).to_string();
        let row = read_line(line.as_bytes()).unwrap().remove(0);
        ["a.example", "b.example"].map(|key| row.bearing(&Observable::parse(key).unwrap()))
    };
    use Bearing::{About, Foreign, Unreadable, Unused};
    assert_eq!(bearing("TXT", "x"), [Unused, Unused]);
    assert_eq!(bearing("A", "192.0.2.1"), [About, Foreign]);
    assert_eq!(bearing("NS", "b.example"), [About, About]);
    assert_eq!(bearing("MX", "0 ."), [About, Foreign]);
    assert_eq!(bearing("A", "junk"), [Unreadable, Unreadable]);
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
    let row =
        read_line(br#"{"rrname":"user.example","rrtype":"NS","rdata":"ns.example"}"#).unwrap().remove(0);
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
        let _ = parse(&body, 100, Told::default());
        let rtype = ["A", "AAAA", "NS", "CNAME", "MX", "SOA"][t];
        let line = serde_json::json!({"rrname": text, "rrtype": rtype, "rdata": text, "time_first": 1e300});
        for row in read_line(line.to_string().as_bytes()).into_iter().flatten() {
            row.forward(&mut Found::default());
            row.bearing(&Observable::from_asn(1));
        }
        let _ = values(rtype, &text);
    }
}

/// As a service documents it: asked for `circl.lu`, what is data stands in front in all rows.
#[test]
fn an_answer_that_is_swapped_is_swapped_in_all_its_rows() {
    let body = br#"{"rrname":"ns1.eurodns.com","rrtype":"NS","rdata":"circl.lu"}
{"rrname":"10 cppy.circl.lu","rrtype":"MX","rdata":"circl.lu"}
{"rrname":"185.194.93.14","rrtype":"A","rdata":"circl.lu"}"#;
    let rows = parse(body, 10, Told::default());
    assert_eq!((rows.all.len(), rows.bad), (3, 0));
    let mut found = Found::default();
    rows.all.iter().for_each(|r| r.forward(&mut found));
    let said: Vec<String> =
        found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation.as_str(), p.value)).collect();
    assert_eq!(
        said,
        [
            "circl.lu name-server ns1.eurodns.com",
            "circl.lu mail-exchange cppy.circl.lu",
            "circl.lu seen-on 185.194.93.14"
        ]
    );
}
