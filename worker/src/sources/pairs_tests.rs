use std::io::Write as _;

use kudzu_shared::wire::Ask;
use proptest::prelude::*;

use super::*;

fn load(text: &[u8]) -> Result<Pairs, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    Pairs::load("mine", file.path()).map_err(|e| e.to_string())
}

fn answer(set: &Pairs, key: &str) -> (Verdict, Vec<String>) {
    let key = Observable::parse(key).unwrap();
    let ask = Ask { source: "pairs.mine".into(), types: vec![], limit: 10 };
    let mut found = Found::default();
    let verdict = set.answer(&Asked { key: &key, ask: &ask, questions: 1 }, &mut found);
    (verdict, found.pairs.iter().map(|p| format!("{} {}", p.relation, p.value)).collect())
}

#[test]
fn csv_both_ways() {
    let set = load(
        b"\xef\xbb\xbfkey,relation,value,first_seen,last_seen\r\n# comment\n\na.example,resolves-to,192.0.2.1,2024-01-01,\n\
          \"hxxp://a[.]example/x,y\",related-to,a.example\na.example,name-server,ns.example,100,200\n",
    )
    .unwrap();
    assert_eq!(set.info().name, "pairs.mine");
    let (verdict, pairs) = answer(&set, "a.example");
    assert_eq!(verdict, Verdict::Found);
    assert_eq!(pairs, ["resolves-to 192.0.2.1", "name-server ns.example", "related-to http://a.example/x,y"]);
    assert_eq!(answer(&set, "192.0.2.1").1, ["hosted-name a.example"]);
    assert_eq!(answer(&set, "ns.example").1, ["name-server-of a.example"]);
    assert_eq!(answer(&set, "b.example").0, Verdict::NotFound);
    assert_eq!(set.of(&Observable::parse("ns.example").unwrap())[0].last_seen, Some(200));
}

#[test]
fn common_output_format() {
    let set = load(b"{\"rrname\":\"a.example\",\"rrtype\":\"A\",\"rdata\":\"192.0.2.1\",\"time_last\":9}\n")
        .unwrap();
    assert_eq!(answer(&set, "a.example").1, ["seen-on 192.0.2.1"]);
    assert_eq!(answer(&set, "192.0.2.1").1, ["hosted-name a.example"]);
}

#[test]
fn a_bad_line_is_named() {
    for (text, line, what) in [
        (&b"a.example,resolves-to,192.0.2.1\na.example,likes,b.example"[..], 2, "no relation"),
        (b"a.example,resolves-to", 1, "2 fields"),
        (b"a.example,host,\"b.example", 1, "quote"),
        (b"\n\na..b,host,c.example", 3, "empty label"),
        (b"a.example,host,b.example,yesterday", 1, "no time"),
        (b"a.example,host,\xff.example", 1, "UTF-8"),
        (b"{\"rrname\":\"a.b\"}", 1, "Common Output Format"),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.contains(&format!("line {line}:")) && error.contains(what), "{error}");
    }
    assert!(load(&[b'a'; 70_000]).unwrap_err().contains("longer than"));
    assert!(Pairs::load("x", Path::new("/does/not/exist")).is_err());
}

#[test]
fn the_digest_follows_the_content() {
    let (a, b) = (load(b"a.b,host,c.d").unwrap(), load(b"a.b,host,c.e").unwrap());
    assert_ne!(a.info().digest, b.info().digest);
    assert_eq!(a.info().digest, load(b"a.b,host,c.d\n").unwrap().info().digest);
}

proptest! {
    #[test]
    fn never_panics(text in "(?s).{0,200}") {
        let _ = csv(&text);
        let _ = Loader::default().line(text.as_bytes());
    }
}
