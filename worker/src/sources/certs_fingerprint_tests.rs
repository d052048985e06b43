use kudzu_shared::config;

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
    assert_eq!(answer(&format!("[{}]", row(&other))), (Verdict::Malformed, 0));
    // A service need not repeat the fingerprint.
    assert_eq!(answer(r#"[{"id":1,"name_value":"a.example"}]"#), (Verdict::Found, 1));
    assert_eq!(answer("[]"), (Verdict::NoData, 0));
}

#[test]
fn crt_sh_is_not_asked_what_it_cannot_say() {
    let unavailable = |url: &str| {
        let settings = config::Certs { url: Some(url.into()), ..config::Certs::default() };
        CertsFingerprint::new(Arc::new(Service::new(&settings))).info.unavailable
    };
    assert!(unavailable("https://crt.sh/").unwrap().contains("crt.sh"));
    assert_eq!(unavailable("https://certs.example/"), None);
}
