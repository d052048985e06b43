//! Settings: layers, places of errors, secrets, the example file.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kudzu_shared::config::{Archive, Config, ConfigErrors, Dns, Origin, REDACTED, Secret};
use kudzu_shared::marking::{Pap, Tlp};

type Env = HashMap<String, String>;

fn env(vars: &[(&str, &str)]) -> Env {
    vars.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn flags(flags: &[(&str, &str)]) -> Vec<(String, String)> {
    flags.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(Path::new("k.toml"), text)
}

fn load(file: &str, vars: &[(&str, &str)], over: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.toml");
    std::fs::write(&path, file).unwrap();
    Config::load(Some(&path), &env(vars), &flags(over))
}

/// The errors as text, without the folder.
fn errors(result: Result<Config, ConfigErrors>) -> Vec<String> {
    let text = result.unwrap_err().to_string();
    text.lines().map(|l| l.find("k.toml").map_or(l, |at| &l[at..]).to_owned()).collect()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kudzu.example.toml")
}

#[test]
fn the_example_is_the_defaults() {
    let config = Config::load(Some(&example()), &Env::new(), &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.dns.limit().rate_per_s, Some(1000.0));
}

/// What the example only shows is right as well, and no key is missing from it.
#[test]
fn the_example_names_every_key() {
    let text = std::fs::read_to_string(example()).unwrap();
    let shown: String = text
        .lines()
        .map(|l| {
            let bare = l.trim_start_matches("# ");
            let is_setting =
                bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(k, _)| !k.contains(' '));
            if is_setting { format!("{bare}\n") } else { "\n".into() }
        })
        .collect();
    let full = parse(&shown).unwrap();
    assert!(full.pdns.password.is_some() && full.pairs.contains_key("mine"));
    assert_eq!(full.sources["example"].in_flight, 2);
    for (section, keys) in full.dump().parse::<toml::Table>().unwrap() {
        for key in keys.as_table().unwrap().keys() {
            let named = [format!("{key} ="), format!(".{key}]"), format!(".{key}.")];
            assert!(named.iter().any(|n| shown.contains(n)), "{section}.{key}");
        }
    }
}

#[test]
fn later_layers_count_more() {
    let file = "[dns]\nattempts = 4\ntimeout_ms = 4\nin_flight = 4\n";
    let vars = [("KUDZU_DNS__TIMEOUT_MS", "5"), ("KUDZU_DNS__IN_FLIGHT", "5"), ("HOME", "/")];
    let config = load(file, &vars, &[("dns.in_flight", "6")]).unwrap();
    let Dns { attempts, timeout_ms, in_flight, .. } = config.dns;
    assert_eq!((attempts, timeout_ms, in_flight), (4, 5, 6));
    assert_eq!(config.rdap, Config::default().rdap);
}

#[test]
fn text_from_outside_gets_the_type_of_its_key() {
    let vars = [
        ("KUDZU_DNS__RESOLVERS", "192.0.2.53, 2001:db8::53,[2001:db8::54]:5353"),
        ("KUDZU_DNS__OWN", "true"),
        ("KUDZU_RDAP__RATE", "7"),
        ("KUDZU_PDNS__URL", "https://pdns.example/q/"),
        ("KUDZU_PDNS__USER", "12"),
        ("KUDZU_PDNS__PASSWORD", "1.50"),
        ("KUDZU_SOURCES__X__API_KEY", "\"abc\""),
        ("KUDZU_SOURCES__X__HEADERS__X-KEY", "'{api_key}'"),
        ("KUDZU_POLICY__TLP", "amber+strict"),
        ("KUDZU_POLICY__OWN_ASSETS", r#"["a.example", "b.example"]"#),
        ("KUDZU_PAIRS__MINE", "7"),
        ("KUDZU_SOURCES__X__URL", "https://x.example/{key}"),
        ("KUDZU_SOURCES__X__TAKES", "domain-name,ipv4-addr"),
        ("KUDZU_SOURCES__X__VALUE", "/a"),
        ("KUDZU_LOG", "debug"),
    ];
    let config = Config::load(Some(&example()), &env(&vars), &flags(&[("policy.pap", "red")])).unwrap();
    let resolvers: Vec<_> = config.dns.resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(resolvers, ["192.0.2.53:53", "[2001:db8::53]:53", "[2001:db8::54]:5353"]);
    assert_eq!(config.rdap.rate, 7.0);
    assert_eq!(config.pdns.user.as_deref(), Some("12"));
    assert_eq!(config.pdns.password.as_ref().map(Secret::expose), Some("1.50"));
    // Quotes belong to a secret: it is no TOML.
    let x = &config.sources["x"];
    assert_eq!(x.api_key.as_ref().map(Secret::expose), Some("\"abc\""));
    assert_eq!(x.headers["x-key"].expose(), "'{api_key}'");
    assert_eq!((config.policy.tlp, config.policy.pap), (Tlp::AmberStrict, Pap::Red));
    assert_eq!(config.policy.own_assets, ["a.example", "b.example"]);
    assert_eq!(config.pairs["mine"], Path::new("7"));
    assert_eq!(config.sources["x"].takes, ["domain-name", "ipv4-addr"]);
}

#[test]
fn own_resolvers_are_uncapped_unless_told() {
    let dns = parse("[dns]\nown = true").unwrap().dns;
    assert_eq!(dns, Dns { ..Dns::own(Vec::new()) });
    let dns = parse("[dns]\nown = true\nrate = 5\nin_flight = 6").unwrap().dns;
    assert_eq!((dns.rate, dns.in_flight), (Some(5.0), 6));
    let dns = parse("[dns]\nrate = inf").unwrap().dns;
    assert_eq!(dns.rate, Some(f64::INFINITY));
}

#[test]
fn every_error_is_told_at_once_with_its_place() {
    let file = "\
[dns]
resolvers = [\"192.0.2.1\", \"resolver.example\", \"1.2.3\"]
atempts = 3
rate = 0.0
in_flight = \"many\"

[rdpa]
enabled = true

[certs]
url = \"https://user:pw@crt.example/\"

[coordinator]
window = 0

[pairs]
\"My Pairs\" = \"x\"
";
    let vars = [
        ("KUDZU_WORKER__LOOKUPS", "-1"),
        ("KUDZU_POLICY__PAP", "blue"),
        ("KUDZU_NOPE__X", "1"),
        ("KUDZU_PDNS_USER", "me"),
    ];
    let found = errors(load(file, &vars, &[("http.max_redirects", "99")]));
    let expected = [
        "k.toml:2: dns.resolvers: no address: \"resolver.example\", \"1.2.3\"; write",
        "k.toml:3: dns.atempts: unknown field `atempts`, expected one of `resolvers`",
        "k.toml:4: dns.rate: 0 is no rate",
        "k.toml:5: dns.in_flight: invalid type: string \"many\", expected u32",
        "k.toml:7: rdpa: unknown field `rdpa`, expected one of `dns`",
        "k.toml:11: certs.url: holds a user or password",
        "k.toml:14: coordinator.window: 0 is not in 1 to 10000000",
        "k.toml:17: pairs.My Pairs: use lower-case letters",
        "environment variable KUDZU_WORKER__LOOKUPS: worker.lookups: ",
        "environment variable KUDZU_POLICY__PAP: policy.pap: PAP \"blue\" is not known",
        "environment variable KUDZU_NOPE__X: nope: unknown field `nope`",
        "environment variable KUDZU_PDNS_USER: is no setting: write KUDZU_PDNS__USER",
        "flag: http.max_redirects: 99 is not in 0 to 10",
    ];
    for line in expected {
        assert!(found.iter().any(|f| f.starts_with(line)), "{line}\nnot in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn a_redis_is_one_sentinels_or_a_cluster() {
    let from = |url: &str| load("", &[("KUDZU_REDIS__URL", url)], &[]);
    for url in ["rediss://u:p@h:1/2", "redis-sentinel://h,[::1]:2/m", "redis-cluster://h:1,i:2"] {
        assert_eq!(from(url).unwrap().redis.url.unwrap().expose(), url);
    }
    for (url, told) in [
        ("http://u:SECRET@h", "is no URL of Redis: write redis://HOST:PORT"),
        ("redis-sentinel://u:SECRET@h,i", "names no master: write redis-sentinel://HOST"),
        ("redis-cluster://u:SEC/RET@h", "has a host that is none: write HOST:PORT"),
    ] {
        let found = errors(from(url));
        let told = format!("environment variable KUDZU_REDIS__URL: redis.url: {told}");
        assert!(found.len() == 1 && found[0].starts_with(&told), "{found:?}");
        assert!(!found[0].contains("SEC"), "{found:?}");
    }
}

#[test]
fn broken_toml_is_told_by_line() {
    let found = errors(parse("[dns]\nown = yes\n\n[rdap\nenabled = true\n"));
    assert!(found.iter().any(|f| f.starts_with("k.toml:2: ")), "{found:?}");
    assert!(found.iter().any(|f| f.starts_with("k.toml:4: ")), "{found:?}");
    let twice = errors(parse("[dns]\nown = true\nown = true\n"));
    assert!(twice[0].starts_with("k.toml:3: "), "{twice:?}");
    assert!(errors(parse("dns = 3\npairs = []"))[0].starts_with("k.toml:1: dns: invalid type"));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let missing = Config::load(Some(Path::new("/nowhere/k.toml")), &Env::new(), &[]).unwrap_err();
    assert_eq!(missing.0[0].origin, Origin::File("/nowhere/k.toml".into(), None));
    let folder = tempfile::tempdir().unwrap();
    assert!(Config::load(Some(folder.path()), &Env::new(), &[]).is_err());
    let noise = folder.path().join("noise.toml");
    std::fs::write(&noise, b"\xff\xfe").unwrap();
    assert!(Config::load(Some(&noise), &Env::new(), &[]).is_err());
    std::fs::write(&noise, vec![b'#'; 2 << 20]).unwrap();
    assert!(Config::load(Some(&noise), &Env::new(), &[]).unwrap_err().to_string().contains("larger"));
}

#[test]
fn the_file_of_the_user_is_found() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("kudzu");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("kudzu.toml"), "[dns]\nattempts = 7\n[pairs]\na = \"x/a.csv\"\n").unwrap();
    let vars = env(&[("XDG_CONFIG_HOME", home.path().to_str().unwrap())]);
    let config = Config::load(None, &vars, &[]).unwrap();
    assert_eq!(config.dns.attempts, 7);
    assert_eq!(config.pairs["a"], folder.join("x/a.csv"));
    assert_eq!(Config::load(None, &Env::new(), &[]).unwrap(), Config::default());
}

#[test]
fn secrets_are_in_no_output() {
    let file = "\
[pdns]
url = \"https://pdns.example/\"
user = \"u\"
password = \"hunter2\"
[sources.x]
url = \"https://x.example/{key}\"
takes = [\"domain-name\"]
value = \"/a\"
headers = { Authorization = \"Bearer hunter2 {api_key}\" }
api_key = \"hunter2\"
";
    let config = parse(file).unwrap();
    assert_eq!(config.sources["x"].headers["Authorization"].expose(), "Bearer hunter2 {api_key}");
    for shown in [config.dump(), format!("{config:?}"), format!("{config:#?}")] {
        assert!(shown.contains(REDACTED) && !shown.contains("hunter2"), "{shown}");
    }
    for (from, to) in [("\"hunter2\"", "[\"hunter2\"]"), ("\"hunter2\"", "4112")] {
        let failed = parse(&file.replace(from, to)).unwrap_err().to_string();
        assert!(!failed.contains("hunter2") && !failed.contains("4112"), "{failed}");
    }
    let files = [
        "[certs]\nurl = \"hunter2\"",
        "[sources.x]\nheaders = \"Authorization: hunter2\"",
        "[sources.x]\nheaders = { Authorization = [\"hunter2\"], X = 4112 }",
        "[sources]\nx = \"hunter2, expected nothing\"",
        "sources = \"hunter2\"\npdns = \"hunter2\"",
        "sources = 4112\npdns = 4112",
        "[pdns]\nrate = \"hunter2\"\nuser = 4112",
    ];
    for text in files {
        let failed = parse(text).unwrap_err().to_string();
        assert!(!failed.contains("hunter2") && !failed.contains("4112"), "{failed}");
    }
    for (name, text) in [
        ("KUDZU_SOURCES__X__HEADERS", "Authorization: Bearer hunter2"),
        ("KUDZU_SOURCES__X__HEADERS", "{ Authorization = [\"hunter2\"] }"),
        ("KUDZU_SOURCES__X__HEADERS", "4112"),
        ("KUDZU_SOURCES__X", "{ api_key = \"hunter2\""),
        ("KUDZU_SOURCES__X", "4112"),
        ("KUDZU_PDNS__RATE", "hunter2"),
    ] {
        let failed = load("", &[(name, text)], &[]).unwrap_err().to_string();
        assert!(!failed.contains("hunter2") && !failed.contains("4112"), "{failed}");
        assert!(failed.contains("expected"), "{failed}");
    }
}

#[test]
fn what_a_job_would_refuse_is_told() {
    let found = errors(parse(
        "[policy]\nexclude = [\"bank.example\", \"not a thing\"]\nown_assets = [\"10.0.0.0/99\"]\n\
         [packs]\nfiles = [\"nowhere.json\"]\n\
         [sources.parts]\nurl = \"https://x.example/{key}\"\ntakes = [\"domain-name\"]\nvalue = \"\"\n\
         headers = { \"X Key\" = \"v\", Two = \"hunter2\\nX: y\", Good = \"v\" }\n\
         [sources.y]\nurl = \"https://x.example/{key}\"\ntakes = [\"domain-name\"]\nvalue = \"\"\n\
         headers = { Key = \"{api_key}\" }\napi_key = \"hunter2\\u00e4\"\n",
    ));
    for part in [
        "k.toml:2: policy.exclude: `not a thing`: ",
        "k.toml:3: policy.own_assets: `10.0.0.0/99`: ",
        "k.toml:5: packs.files: there is no file nowhere.json",
        "k.toml:6: sources.parts: is the name of built-in sources",
        "k.toml:10: sources.parts.headers: \"X Key\" is no name of a header",
        "k.toml:10: sources.parts.headers: the value of \"Two\" is not one line",
        "k.toml:15: sources.y.headers: the value of \"Key\" is not one line",
    ] {
        assert!(found.iter().any(|f| f.starts_with(part)), "{part}\nnot in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 7, "{}", found.join("\n"));
    assert!(!found.join("").contains("hunter2"));
}

#[test]
fn files_of_lists_are_relative_to_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("k.toml");
    std::fs::write(&path, "[packs]\nfiles = [\"ours.json\"]\n").unwrap();
    std::fs::write(folder.path().join("ours.json"), "{}").unwrap();
    let config = Config::load(Some(&path), &Env::new(), &[]).unwrap();
    assert_eq!(config.packs.files, [folder.path().join("ours.json")]);
    let given = folder.path().join("ours.json");
    let config = load("", &[("KUDZU_PACKS__FILES", given.to_str().unwrap())], &[]).unwrap();
    assert_eq!(config.packs.files, [given]);
}

#[test]
fn a_dump_is_read_again() {
    let mut config = parse("[dns]\nown = true\nresolvers = [\"::1\"]\n[policy]\ntlp = \"green\"").unwrap();
    assert_eq!(parse(&config.dump()).unwrap(), config);
    config = Config::default();
    assert_eq!(parse(&config.dump()).unwrap(), config);
}

#[test]
fn declared_sources_are_checked() {
    let found = errors(parse(
        "[sources.X]\nurl = \"https://x.example/{api_key}\"\ntakes = [\"name\"]\nrelation = \"near\"\nvalue = \"a\"\n\
         [sources.y]\ntakes = []\n[sources.z]\nurl = \"ftp://z.example/{key}\"\ntakes = []\nvalue = \"\"\nrate = nan\n",
    ));
    for part in [
        "k.toml:1: sources.X: use lower-case",
        "k.toml:2: sources.X.url: has no {key}",
        "k.toml:1: sources.X: api_key and {api_key}",
        "k.toml:3: sources.X.takes: \"name\" is no kind",
        "k.toml:4: sources.X.relation: \"near\" is no relation",
        "k.toml:5: sources.X.value: is no JSON pointer",
        "k.toml:6: sources.y: missing field `url`",
        "k.toml:9: sources.z.url: scheme \"ftp\"",
        "k.toml:10: sources.z.takes: is empty",
        "k.toml:12: sources.z.rate: NaN is no rate",
    ] {
        assert!(found.iter().any(|f| f.starts_with(part)), "{part}\nnot in\n{}", found.join("\n"));
    }
}

#[test]
fn the_archive_is_checked() {
    let found = errors(parse(
        "[archive]\nurl = \"s3://key:hunter2@bucket\"\nendpoint = \"http://s3.example\"\naccess_key = \"k\"\n\
         region = \"\"\nretention_days = 50000\n",
    ));
    for part in [
        "k.toml:2: archive.url: is no name of a bucket",
        "k.toml:3: archive.endpoint: http is not encrypted: use https, or set allow_http = true",
        "k.toml:1: archive: access_key and secret_key belong together",
        "k.toml:5: archive.region: is no region",
        "k.toml:6: archive.retention_days: 50000 is not in 0 to 36500",
    ] {
        assert!(found.iter().any(|f| f.starts_with(part)), "{part}\nnot in\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 5, "{}", found.join("\n"));
    assert!(!found.join("").contains("hunter2"));
    for url in ["ftp://x", "file:archive", "s3://", "s3://b/../c"] {
        let found = errors(parse(&format!("[archive]\nurl = \"{url}\"")));
        assert!(found[0].starts_with("k.toml:2: archive.url: ") && found.len() == 1, "{found:?}");
    }
    let found = errors(parse("[archive]\nendpoint = \"ftp://x\"\nsecret_key = 4112"));
    assert!(found.len() == 2 && !found.join("").contains("4112"), "{found:?}");
}

#[test]
fn the_archive_may_come_from_the_environment() {
    let vars = [
        ("KUDZU_ARCHIVE__URL", "s3://bucket/kudzu"),
        ("KUDZU_ARCHIVE__ENDPOINT", "http://127.0.0.1:9000"),
        ("KUDZU_ARCHIVE__ALLOW_HTTP", "true"),
        ("KUDZU_ARCHIVE__ACCESS_KEY", "4112"),
        ("KUDZU_ARCHIVE__SECRET_KEY", "1.50"),
        ("KUDZU_ARCHIVE__RETENTION_DAYS", "0"),
    ];
    let config = load("", &vars, &[]).unwrap();
    assert_eq!(config.archive.access_key.as_deref(), Some("4112"));
    assert_eq!(config.archive.secret_key.as_ref().map(Secret::expose), Some("1.50"));
    assert_eq!((config.archive.allow_http, config.archive.retention()), (true, None));
    assert!(!config.dump().contains("1.50"));
    // Empty is as good as not set.
    let empty = ["ENDPOINT", "ACCESS_KEY", "SECRET_KEY"].map(|key| format!("KUDZU_ARCHIVE__{key}"));
    let config = load("", &empty.each_ref().map(|name| (name.as_str(), "")), &[]).unwrap();
    assert_eq!(config.archive, Archive::default());
}
