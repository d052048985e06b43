use kudzu_shared::pair::Relation;

use super::super::certs;
use super::*;

fn answer(body: &str, limit: usize) -> (Verdict, Vec<String>, Found) {
    let key = Observable::parse("a.example").unwrap();
    let mut found = Found::default();
    let verdict = parse(&key, &certs::parse(body.as_bytes()).unwrap(), limit, &mut found);
    found.settle(limit);
    let text = found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
    (verdict, text, found)
}

#[test]
fn a_certificate_and_its_other_names() {
    let print = "ab".repeat(32);
    let body = format!(
        r#"[{{"id":1,"issuer_name":"CA","name_value":"a.example\nb.example","serial_number":"1","sha256":"{print}",
            "not_before":"2024-01-01T00:00:00"}}]"#
    );
    let (verdict, pairs, found) = answer(&body, 10);
    assert_eq!(verdict, Verdict::Found);
    assert_eq!(
        pairs,
        [
            format!("a.example named-in-certificate {print}"),
            format!("{print} certificate-name a.example"),
            format!("{print} certificate-name b.example")
        ]
    );
    assert_eq!(found.facts.len(), 2);
}

#[test]
fn without_a_fingerprint_the_names_are_tied_to_the_one_asked() {
    let body = r#"[{"id":1,"name_value":"a.example\nb.example","serial_number":"1"}]"#;
    assert_eq!(answer(body, 10).1, ["a.example certificate-name b.example"]);
    assert_eq!(answer("[]", 10).0, Verdict::NoData);
    assert_eq!(answer(r#"[{"id":1,"name_value":"a.example"}]"#, 10).0, Verdict::NoData);
    assert_eq!(answer(r#"[{"id":1,"name_value":"<script>"}]"#, 10).0, Verdict::Malformed);
    assert_eq!(answer(r#"[{"error":"busy"}]"#, 10).0, Verdict::Malformed);
}

#[test]
fn many_certificates_are_capped_with_their_total() {
    let row = |i: u32| {
        format!(r#"{{"id":{i},"name_value":"a.example","serial_number":"{i}","sha256":"{i:064x}"}}"#)
    };
    let body = format!("[{}]", (0..20).map(row).collect::<Vec<_>>().join(","));
    let (_, _, found) = answer(&body, 5);
    let ties = found.pairs.iter().filter(|p| p.relation == Relation::NamedInCertificate).count();
    assert_eq!((ties, found.totals[0].total), (5, 20));
}
