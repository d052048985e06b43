use proptest::prelude::*;

use super::*;

const FINGERPRINT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn row(id: u64, serial: &str, names: &str, sha256: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "id": id, "issuer_name": "C=US, O=CA", "common_name": "One.example", "name_value": names,
        "not_before": "2024-01-02T03:04:05", "not_after": "2024-04-01T00:00:00", "serial_number": serial, "sha256": sha256,
    })
}

fn read(rows: &[serde_json::Value]) -> Vec<Certificate> {
    parse(serde_json::Value::from(rows.to_vec()).to_string().as_bytes()).unwrap()
}

#[test]
fn precertificate_and_certificate_are_one() {
    let other = FINGERPRINT.replace('a', "b");
    let all = read(&[
        row(1, "05", "*.two.example\nOne.example", Some(&other)),
        row(2, "05", "one.example\nthree.example", Some(FINGERPRINT)),
        row(3, "06", "one.example", None),
    ]);
    assert_eq!(all.len(), 2);
    let cert = all.iter().find(|c| c.node.is_some()).unwrap();
    assert_eq!(cert.node.as_ref().unwrap().to_string(), FINGERPRINT);
    let names: Vec<String> = cert.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["one.example", "two.example", "three.example"]);
    assert_eq!(cert.not_before, Some(1_704_164_645));
}

#[test]
fn hostile_names_are_left_out() {
    let all = read(&[row(
        1,
        "",
        "\u{1b}[31m.example\njo@mail.example\n192.0.2.1\n<b>.example\nlocal\n..\nok.example",
        None,
    )]);
    let names: Vec<String> = all[0].names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["ok.example", "one.example"]);
}

#[test]
fn what_is_no_list_is_malformed_and_a_bad_row_is_left_out() {
    for bad in ["", "{}", "<html>", "[1,2]"] {
        assert_eq!(parse(bad.as_bytes()), Err(Verdict::Malformed), "{bad}");
    }
    assert_eq!(parse(b"[]").unwrap(), vec![]);
    assert_eq!(read(&[row(1, "1", "a.b", None), serde_json::json!(7)]).len(), 1);
}

/// Each row used to sort all names of its certificate anew: minutes for one body.
#[test]
fn many_rows_of_one_certificate_cost_no_more_than_others() {
    let rows: Vec<_> = (0..30_000).map(|i| row(i, "1", &format!("h{i}.example"), None)).collect();
    let begin = std::time::Instant::now();
    let all = read(&rows);
    assert_eq!((all.len(), all[0].names.len()), (1, MAX_NAMES));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn a_flood_of_rows_is_refused() {
    let flood = format!("[{}{{}}]", "{},".repeat(MAX_ROWS));
    assert_eq!(parse(flood.as_bytes()), Err(Verdict::Limit));
}

#[test]
fn rows_without_serial_and_number_are_not_one() {
    let bare = |names: &str| serde_json::json!({"name_value": names});
    assert_eq!(read(&[bare("a.example"), bare("b.example")]).len(), 2);
}

#[test]
fn the_query_is_escaped() {
    let service =
        Service::new(&config::Certs { url: Some("https://crt.example/".into()), ..config::Certs::default() });
    let url = service.build("a&b=c").unwrap().url;
    assert_eq!(url.as_str(), "https://crt.example/?q=a%26b%3Dc&output=json");
}

proptest! {
    #[test]
    fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..300), text in "(?s).{0,200}") {
        let _ = parse(&body);
        let rows = [serde_json::json!({"name_value": text, "not_before": text, "sha256": text, "serial_number": text})];
        let _ = read(&rows);
    }
}
