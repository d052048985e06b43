use super::super::certs;
use super::*;

fn answer(rows: &str) -> (Verdict, usize) {
    let key = Observable::parse_as(Kind::X509Certificate, &"ab".repeat(32)).unwrap();
    let mut found = Found::default();
    let verdict = parse(&key, certs::parse(rows.as_bytes()).unwrap(), &mut found);
    (verdict, found.pairs.len())
}

#[test]
fn rows_of_this_certificate_only() {
    let (mine, other) = ("ab".repeat(32), "cd".repeat(32));
    let row = |sha: &str| {
        format!(
            r#"{{"id":1,"name_value":"a.example\nb.example","serial_number":"{}","sha256":"{sha}"}}"#,
            &sha[..4]
        )
    };
    assert_eq!(answer(&format!("[{}]", row(&mine))), (Verdict::Found, 2));
    assert_eq!(answer(&format!("[{},{}]", row(&mine), row(&other))), (Verdict::Found, 2));
    assert_eq!(answer(&format!("[{}]", row(&other))), (Verdict::NoData, 0));
    // crt.sh does not repeat the fingerprint.
    assert_eq!(answer(r#"[{"id":1,"name_value":"a.example"}]"#), (Verdict::Found, 1));
    assert_eq!(answer("[]"), (Verdict::NoData, 0));
}
