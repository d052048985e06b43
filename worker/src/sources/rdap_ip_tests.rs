use serde_json::json;

use super::*;

#[test]
fn paths_and_servers() {
    let built = |text: &str| build(&Observable::parse(text).unwrap()).unwrap();
    assert_eq!(built("192.0.2.1"), (Wanted::Ip([192, 0, 2, 1].into()), "ip/192.0.2.1".into()));
    assert_eq!(built("2001:db8::/32").1, "ip/2001:db8::/32");
    assert!(build(&Observable::from_asn(1)).is_none());
}

#[test]
fn a_block_with_its_holder() {
    let key = Observable::parse("192.0.2.9").unwrap();
    let object = json!({
        "objectClassName": "ip network", "cidr0_cidrs": [{"v4prefix": "192.0.2.0", "length": 24}],
        "name": "BULLET-NET", "country": "NL", "arin_originas0_originautnums": [64500, -1],
        "entities": [
            {"roles": ["registrant"], "vcardArray": ["vcard", [["org", {}, "text", "Bullet Ltd"]]]},
            {"roles": ["abuse"], "vcardArray": ["vcard", [["email", {}, "text", "abuse@bullet.example"]]]}],
    });
    let mut found = Found::default();
    assert_eq!(parse(&key, &object, &mut found), Verdict::Found);
    found.settle(100);
    let pairs: Vec<String> =
        found.pairs.iter().map(|p| format!("{} {} {}", p.key, p.relation, p.value)).collect();
    assert_eq!(
        pairs,
        [
            "192.0.2.9 within-netblock 192.0.2.0/24",
            "192.0.2.9 announced-by AS64500",
            "192.0.2.0/24 registered-by Bullet Ltd",
            "192.0.2.0/24 abuse-mailbox abuse@bullet.example",
            "192.0.2.0/24 announced-by AS64500",
        ]
    );
    assert_eq!(found.facts.len(), 2);
}

#[test]
fn junk_is_no_answer() {
    let key = Observable::parse("192.0.2.9").unwrap();
    for object in [
        json!({"objectClassName": "domain"}),
        json!({}),
        json!({"startAddress": "192.0.2.0", "endAddress": "192.0.2.255"}),
        json!({"objectClassName": "ip network"}),
        json!({"objectClassName": "ip network", "startAddress": "198.51.100.0", "endAddress": "198.51.100.255"}),
    ] {
        assert_eq!(parse(&key, &object, &mut Found::default()), Verdict::Malformed, "{object}");
    }
}
