use serde_json::json;

use super::*;

fn key(text: &str) -> Observable {
    Observable::parse(text).unwrap()
}

#[test]
fn a_registration() {
    let object = json!({
        "objectClassName": "domain", "ldhName": "Evil.Example", "status": ["client hold"],
        "events": [
            {"eventAction": "registration", "eventDate": "2024-05-06T07:08:09Z"},
            {"eventAction": "last update of RDAP database", "eventDate": "2025-01-01T00:00:00Z"},
            {"eventAction": "expiration", "eventDate": "never"}],
        "nameservers": [{"ldhName": "NS1.host.example."}, {"ldhName": ""}, 3],
        "entities": [
            {"roles": ["registrant"], "vcardArray": ["vcard", [["fn", {}, "text", "Jo"], ["email", {}, "text", "jo@e.example"]]]},
            {"roles": ["registrar"], "vcardArray": ["vcard", [["fn", {}, "text", "Cheap Names"]]],
             "entities": [{"roles": ["abuse"], "vcardArray": ["vcard", [["email", {}, "text", "abuse@cheap.example"]]]}]}],
    });
    let mut found = Found::default();
    assert_eq!(parse(&key("evil.example"), &object, &mut found), Verdict::Found);
    found.settle(100);
    let pairs: Vec<String> = found.pairs.iter().map(|p| format!("{} {}", p.relation, p.value)).collect();
    assert_eq!(
        pairs,
        [
            "name-server ns1.host.example",
            "registered-by Jo",
            "registrar Cheap Names",
            "contact-mailbox jo@e.example",
            "abuse-mailbox abuse@cheap.example"
        ]
    );
    let personal: Vec<bool> = found.pairs.iter().map(|p| p.personal).collect();
    assert_eq!(personal, [false, true, false, true, false]);
    assert_eq!(found.facts.len(), 2);
}

#[test]
fn an_answer_about_another_name_is_none() {
    let object = json!({"objectClassName": "domain", "ldhName": "other.example"});
    assert_eq!(parse(&key("evil.example"), &object, &mut Found::default()), Verdict::Malformed);
    assert_eq!(parse(&key("evil.example"), &json!("x"), &mut Found::default()), Verdict::Malformed);
    for object in [json!({}), json!({"ldhName": "evil.example"}), json!({"objectClassName": "domain"})] {
        assert_eq!(
            parse(&key("evil.example"), &object, &mut Found::default()),
            Verdict::Malformed,
            "{object}"
        );
    }
    let bare = json!({"objectClassName": "domain", "unicodeName": "EVIL.example"});
    assert_eq!(parse(&key("evil.example"), &bare, &mut Found::default()), Verdict::NoData);
}

#[test]
fn paths_hold_plain_names_only() {
    let path = |text: &str| build(&Name::from_text(text).unwrap());
    assert_eq!(path("xn--bcher-kva.example").as_deref(), Some("domain/xn--bcher-kva.example"));
    assert_eq!(path("a/b.example"), None);
    assert_eq!(path("a\\000.example"), None);
}
