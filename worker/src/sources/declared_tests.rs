use super::*;

fn source(value: &str) -> Declared {
    let text = format!(
        "[sources.mine]\nurl = \"https://api.example/v1/{{key}}?k={{api_key}}\"\ntakes = [\"domain-name\", \"url\"]\n\
         value = \"{value}\"\napi_key = \"s3cret&x\"\n[sources.mine.headers]\nx-token = \"t {{api_key}}\"\n"
    );
    let config = kudzu_shared::config::Config::parse(std::path::Path::new("kudzu.toml"), &text).unwrap();
    Declared::new("mine", &config.sources["mine"])
}

fn answer(pointer: &str, body: &str) -> (Verdict, Vec<String>) {
    let key = Observable::parse("a.example").unwrap();
    let mut found = Found::default();
    let verdict = source(pointer).parse(&key, body.as_bytes(), &mut found);
    (verdict, found.pairs.iter().map(|p| format!("{} {}", p.relation, p.value)).collect())
}

#[test]
fn one_value_or_a_list() {
    assert_eq!(
        answer("/d/ip", r#"{"d":{"ip":"192.0.2.1"}}"#),
        (Verdict::Found, vec!["related-to 192.0.2.1".into()])
    );
    let list = r#"{"d":["b.example",null,64500,{"x":1},"<script>"]}"#;
    assert_eq!(answer("/d", list).1, ["related-to b.example", "related-to AS64500"]);
    assert_eq!(answer("/d", "{}").0, Verdict::Malformed);
    assert_eq!(answer("/d", r#"{"error":"quota"}"#).0, Verdict::Malformed);
    assert_eq!(answer("/d", r#"{"d":null}"#).0, Verdict::NoData);
    assert_eq!(answer("/d", &format!("[{}0]", "0,".repeat(MAX_NODES))).0, Verdict::Limit);
    assert_eq!(answer("/d", r#"{"d":[]}"#).0, Verdict::NoData);
    assert_eq!(answer("/d", r#"{"d":["<script>"]}"#).0, Verdict::Malformed);
    assert_eq!(answer("/d", "<html>").0, Verdict::Malformed);
}

#[test]
fn a_key_stays_in_its_place_and_a_secret_out_of_sight() {
    let source = source("/d");
    let key = Observable::parse("http://a.example/../?k=1#f").unwrap();
    let request = source.build(&key).unwrap();
    assert_eq!(request.url.host_str(), Some("api.example"));
    assert_eq!(request.url.query(), Some("k=s3cret%26x"));
    assert!(request.url.path().starts_with("/v1/http%3A%2F%2Fa.example"));
    assert_eq!(request.headers["x-token"], "t s3cret&x");
    let shown = format!("{source:?} {:?}", source.info());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(source.info().endpoint.as_deref(), Some("https://api.example"));
}

#[test]
fn a_404_is_nothing_only_where_the_settings_say_so() {
    let key = Observable::parse("a.example").unwrap();
    let mut source = source("/d");
    assert!(matches!(source.build(&key).unwrap().missing, Missing::Error));
    source.settings.not_found_is_empty = true;
    assert!(matches!(source.build(&key).unwrap().missing, Missing::Empty));
}

#[test]
fn one_key_is_one_credential() {
    let key = Observable::parse("a.example").unwrap();
    assert_eq!(source("/d").build(&key).unwrap().credential.as_deref(), Some("mine"));
    assert_eq!(source("/d").sharing("first").build(&key).unwrap().credential.as_deref(), Some("first"));
}
