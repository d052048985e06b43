use proptest::prelude::*;
use serde_json::json;

use super::*;

fn pairs(found: &mut Found) -> Vec<String> {
    found.settle(100);
    found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect()
}

#[test]
fn ranges_become_blocks() {
    let text = |o: &Value| blocks(o).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(&json!({"startAddress": "192.0.2.0", "endAddress": "192.0.2.255"})), ["192.0.2.0/24"]);
    assert_eq!(
        text(&json!({"startAddress": "192.0.2.0", "endAddress": "192.0.3.127"})),
        ["192.0.2.0/24", "192.0.3.0/25"]
    );
    assert_eq!(text(&json!({"startAddress": "2001:db8::", "endAddress": "2001:db8::1"})), ["2001:db8::/127"]);
    for bad in [
        json!({"startAddress": "192.0.2.9", "endAddress": "192.0.2.0"}),
        json!({"startAddress": "192.0.2.9", "endAddress": "::"}),
        json!({"cidr0_cidrs": [{"v4prefix": "192.0.2.0", "length": 99}]}),
    ] {
        assert!(text(&bad).is_empty());
    }
}

#[test]
fn a_block_that_does_not_hold_the_key_is_no_answer() {
    let key = Observable::parse("198.51.100.1").unwrap();
    let mut found = Found::default();
    let other = json!({"cidr0_cidrs": [{"v4prefix": "192.0.2.0", "length": 24}], "name": "X"});
    assert!(!network(&key, &other, &mut found));
    assert!(found.is_empty());
}

#[test]
fn what_is_redacted_is_said_and_not_shown() {
    let key = Observable::parse("x.example").unwrap();
    let entity = json!({"roles": ["registrant"], "vcardArray": ["vcard", [
        ["fn", {}, "text", "Jo Doe"], ["org", {}, "text", "Evil Ltd"], ["email", {}, "text", "jo@evil.example"]]]});
    let mut found = Found::default();
    domain(
        &key,
        &json!({"entities": [entity], "redacted": [
        {"name": {"description": "Registrant Email"}, "method": "replacementValue"},
        {"name": {"type": "Registrant Name"}, "method": "emptyValue"},
        {"name": {"description": "Tech Name"}}]}),
        &mut found,
    );
    assert_eq!(pairs(&mut found), ["x.example registered-by Evil Ltd"]);
    assert!(found.facts.iter().any(|f| f.name == FactName::Redacted));
    assert!(found.pairs[0].personal);
}

#[test]
fn a_privacy_service_is_no_holder() {
    let key = Observable::parse("x.example").unwrap();
    let entity = json!({"roles": ["registrant"], "vcardArray": ["vcard", [
        ["fn", {}, "text", "Domain Admin"], ["org", {}, "text", "Privacy Protect, LLC"],
        ["email", {}, "text", "contact@service.example"]]]});
    let mut found = Found::default();
    domain(&key, &json!({"entities": [entity]}), &mut found);
    assert!(pairs(&mut found).is_empty());
    assert_eq!(found.facts.len(), 1);
}

/// Any JSON, with the field names that the parser looks at.
fn any_json() -> impl Strategy<Value = Value> {
    let names = proptest::sample::select(vec![
        "entities",
        "roles",
        "vcardArray",
        "events",
        "eventAction",
        "eventDate",
        "status",
        "nameservers",
        "ldhName",
        "redacted",
        "name",
        "description",
        "cidr0_cidrs",
        "v4prefix",
        "length",
        "startAddress",
        "endAddress",
    ]);
    let texts = proptest::sample::select(vec![
        "registrant",
        "abuse",
        "fn",
        "email",
        "192.0.2.0",
        "registration",
        "\u{202e}x",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        texts.prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn never_panics(object in any_json()) {
        let mut found = Found::default();
        domain(&Observable::parse("x.example").unwrap(), &object, &mut found);
        network(&Observable::parse("192.0.2.1").unwrap(), &object, &mut found);
        autnum(&Observable::from_asn(1), &object, &mut found);
        found.settle(10);
    }
}
