use kudzu_shared::config;
use kudzu_shared::observable::Observable;
use kudzu_shared::wire::Ask;

use super::super::pdns::rows::{self, Told};
use super::*;

fn answer(body: &str, total: Option<u64>) -> (Verdict, Found) {
    let key = Observable::parse("a.example").unwrap();
    let ask = Ask { source: "pdns.name".into(), types: vec![], limit: 10 };
    let asked = Asked { key: &key, ask: &ask, questions: 1 };
    let mut found = Found::default();
    let verdict = parse(&asked, &rows::parse(body.as_bytes(), 10, Told { total, more: false }), &mut found);
    (verdict, found)
}

const BODY: &str = "{\"rrname\":\"a.example\",\"rrtype\":\"A\",\"rdata\":\"192.0.2.1\"}\n{\"rrname\":\"b.example\",\"rrtype\":\"CNAME\",\"rdata\":\"a.example\"}";

#[test]
fn rows_of_the_key_and_the_true_total() {
    let (verdict, found) = answer(BODY, Some(1000));
    assert_eq!(verdict, Verdict::Found);
    let pairs: Vec<String> = found.pairs.iter().map(|p| format!("{} {}", p.relation, p.value)).collect();
    assert_eq!(pairs, ["seen-on 192.0.2.1"]);
    // One row of two was of the key; 998 were not sent.
    assert_eq!((found.totals[0].relation, found.totals[0].total), (Relation::SeenOn, 999));
    assert!(answer(BODY, Some(2)).1.totals.is_empty());
}

#[test]
fn nothing_is_not_the_same_as_nothing_readable() {
    assert_eq!(answer("", Some(0)).0, Verdict::NoData);
    assert_eq!(answer("<html>busy</html>", None).0, Verdict::Malformed);
    assert_eq!(answer("", Some(9)).0, Verdict::Limit);
    let row = |owner: &str, rtype: &str, data: &str| {
        let line = serde_json::json!({"rrname": owner, "rrtype": rtype, "rdata": data});
        answer(&line.to_string(), None).0
    };
    assert_eq!(row("a.example", "TXT", "v=spf1"), Verdict::NoData);
    assert_eq!(row("a.example", "A", "?"), Verdict::Malformed);
    assert_eq!(row("other.example", "A", "192.0.2.99"), Verdict::Malformed);
}

#[test]
fn the_question_is_one_path() {
    let settings =
        config::Pdns { url: Some("https://p.example/pdns/query/".into()), ..config::Pdns::default() };
    let request = Service::new(&settings).build(&["a.example"], 7).unwrap();
    assert_eq!(request.url.as_str(), "https://p.example/pdns/query/a.example");
    assert_eq!(request.headers["dribble-paginate-count"], "7");
    assert!(Service::new(&config::Pdns::default()).info("x", "y", vec![], vec![]).unavailable.is_some());
}
