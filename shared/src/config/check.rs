//! What types cannot say: ranges, URLs, names, and settings that belong together.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::check_service;
use super::cluster::Archive;
use super::layers::Layers;
use super::sections::{Config, DeclaredSource, Dns};
use crate::observable::{Kind, Name, Observable};
use crate::pair::Relation;

/// What built-in sources are called, or begin with.
const BUILT_IN: [&str; 6] = ["certs", "dns", "pairs", "parts", "pdns", "rdap"];
/// A day: no timeout is longer.
pub(super) const DAY_MS: u64 = 86_400_000;

/// Fills in what depends on other settings, and notes what cannot be.
pub(super) fn check(config: &mut Config, layers: &mut Layers) {
    if config.dns.own {
        if !layers.is_set("dns.rate") {
            config.dns.rate = None;
        }
        if !layers.is_set("dns.in_flight") {
            config.dns.in_flight = Dns::OWN_IN_FLIGHT;
        }
    }
    for url in [&mut config.pdns.url, &mut config.certs.url] {
        *url = url.take().filter(|u| !u.trim().is_empty());
    }
    archive(&mut config.archive, layers);
    dns(config, layers);
    services(config, layers);
    engine(config, layers);
    for name in config.pairs.keys() {
        instance_name(layers, &format!("pairs.{name}"), name);
    }
    for file in config.packs.files.iter().filter(|f| !f.is_file()) {
        layers.complain("packs.files", format!("there is no file {}", file.display()));
    }
    check_service::check(config, layers);
    policy(config, layers);
    for (name, source) in &config.sources {
        declared(layers, &format!("sources.{name}"), name, source);
    }
}

fn dns(config: &Config, layers: &mut Layers) {
    let dns = &config.dns;
    if let Some(r) = dns.rate {
        rate(layers, "dns.rate", r);
    }
    within(layers, "dns.in_flight", dns.in_flight, 1..=60_000);
    within(layers, "dns.timeout_ms", dns.timeout_ms, 1..=60_000);
    within(layers, "dns.attempts", dns.attempts, 1..=8);
    let zones =
        [("origin_zone", &dns.origin_zone), ("origin6_zone", &dns.origin6_zone), ("as_zone", &dns.as_zone)];
    for (key, zone) in zones {
        if Name::from_text(zone).is_none() {
            layers.complain(&format!("dns.{key}"), format!("{zone:?} is no DNS name"));
        }
    }
}

fn services(config: &Config, layers: &mut Layers) {
    let Config { rdap, pdns, certs, .. } = config;
    url(layers, "rdap.bootstrap", &rdap.bootstrap);
    for (key, given) in [("pdns.url", &pdns.url), ("certs.url", &certs.url)] {
        if let Some(given) = given {
            url(layers, key, given);
        }
    }
    if pdns.user.is_some() != pdns.password.is_some() {
        layers.complain("pdns", "user and password belong together: give both, or none".into());
    }
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if pdns.header.is_empty() || !pdns.header.chars().all(token) {
        layers.complain("pdns.header", "is no name of a header: write \"X-Api-Key\"".into());
    }
    if !pdns.rdata_path.chars().all(|c| token(c) || c == '/') {
        layers.complain("pdns.rdata_path", "is no path: write \"rdata\", or \"\" for none".into());
    }
    let plain = |key: &super::Secret| key.expose().chars().all(|c| (' '..='~').contains(&c));
    if pdns.api_key.as_ref().is_some_and(|key| !plain(key)) {
        layers.complain("pdns.api_key", "has characters that no header takes".into());
    }
    upstream(layers, "rdap", rdap.rate, rdap.in_flight, rdap.timeout_ms);
    upstream(layers, "pdns", pdns.rate, pdns.in_flight, pdns.timeout_ms);
    upstream(layers, "certs", certs.rate, certs.in_flight, certs.timeout_ms);
    within(layers, "pdns.rows", pdns.rows, 1..=1_000_000);
}

fn engine(config: &Config, layers: &mut Layers) {
    let Config { http, worker, coordinator, .. } = config;
    within(layers, "http.max_body", http.max_body, 1024..=1 << 30);
    within(layers, "http.breaker_after_ms", http.breaker_after_ms, 0..=DAY_MS);
    within(layers, "http.max_redirects", http.max_redirects, 0..=10);
    if http.user_agent.is_empty() || http.user_agent.chars().any(|c| !(' '..='~').contains(&c)) {
        layers.complain("http.user_agent", "write one line of printable ASCII".into());
    }
    within(layers, "worker.lookups", worker.lookups, 1..=1_000_000);
    within(layers, "worker.http_lookups", worker.http_lookups, 1..=100_000);
    within(layers, "worker.hold_ms", worker.hold_ms, 1_000..=86_400_000);
    within(layers, "coordinator.window", coordinator.window, 1..=10_000_000);
    within(layers, "coordinator.task_questions", coordinator.task_questions, 1..=256);
    within(layers, "coordinator.task_delay_ms", coordinator.task_delay_ms, 0..=10_000);
    within(layers, "coordinator.rounds", coordinator.rounds, 0..=5);
    within(layers, "coordinator.redispatch_ms", coordinator.redispatch_ms, 100..=DAY_MS);
}

fn archive(archive: &mut Archive, layers: &mut Layers) {
    for text in [&mut archive.endpoint, &mut archive.access_key] {
        *text = text.take().filter(|t| !t.trim().is_empty());
    }
    archive.secret_key = archive.secret_key.take().filter(|s| !s.expose().trim().is_empty());
    if let Err(e) = archive.place() {
        layers.complain("archive.url", e.to_string());
    }
    if let Some(endpoint) = &archive.endpoint {
        url(layers, "archive.endpoint", endpoint);
        let is_plain = url::Url::parse(endpoint).is_ok_and(|u| u.scheme() == "http");
        if is_plain && !archive.allow_http {
            let what = "http is not encrypted: use https, or set allow_http = true";
            layers.complain("archive.endpoint", what.into());
        }
    }
    if archive.access_key.is_some() != archive.secret_key.is_some() {
        layers.complain("archive", "access_key and secret_key belong together: give both, or none".into());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if archive.region.is_empty() || !archive.region.chars().all(plain) {
        layers.complain("archive.region", "is no region: write \"us-east-1\"".into());
    }
    within(layers, "archive.retention_days", archive.retention_days, 0..=36_500);
}

fn policy(config: &Config, layers: &mut Layers) {
    let policy = &config.policy;
    for (key, texts) in [("own_assets", &policy.own_assets), ("exclude", &policy.exclude)] {
        for text in texts {
            if let Err(e) = Observable::parse(text) {
                layers.complain(&format!("policy.{key}"), e.to_string());
            }
        }
    }
}

fn declared(layers: &mut Layers, key: &str, name: &str, source: &DeclaredSource) {
    instance_name(layers, key, name);
    if BUILT_IN.contains(&name) {
        layers.complain(key, "is the name of built-in sources: choose another".into());
    }
    headers(layers, &format!("{key}.headers"), source);
    upstream(layers, key, source.rate, source.in_flight, source.timeout_ms);
    let template = source.url.replace("{key}", "x").replace("{api_key}", "x");
    url(layers, &format!("{key}.url"), &template);
    if !source.url.contains("{key}") {
        layers.complain(&format!("{key}.url"), "has no {key}: write it where the observable goes".into());
    }
    let texts = source.headers.values().map(super::Secret::expose).chain([source.url.as_str()]);
    let wanted = texts.into_iter().any(|t| t.contains("{api_key}"));
    if wanted != source.api_key.is_some() {
        layers.complain(
            key,
            "api_key and {api_key} (in url or headers) belong together: give both, or none".into(),
        );
    }
    if source.takes.is_empty() {
        layers.complain(&format!("{key}.takes"), format!("is empty: name some of {}", kinds()));
    }
    for kind in source.takes.iter().filter(|k| Kind::from_name(k).is_none()) {
        layers.complain(&format!("{key}.takes"), format!("{kind:?} is no kind: use some of {}", kinds()));
    }
    if Relation::from_name(&source.relation).is_none() {
        let known = Relation::ALL.map(Relation::as_str).join(", ");
        layers.complain(
            &format!("{key}.relation"),
            format!("{:?} is no relation: use one of {known}", source.relation),
        );
    }
    if !source.value.is_empty() && !source.value.starts_with('/') {
        layers.complain(&format!("{key}.value"), "is no JSON pointer: write \"/data/names\"".into());
    }
}

/// Names and values as RFC 9110 sections 5.1 and 5.5 have them. No value is repeated: it may
/// be a credential.
fn headers(layers: &mut Layers, key: &str, source: &DeclaredSource) {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let visible = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
    for (name, value) in &source.headers {
        if name.is_empty() || !name.bytes().all(token) {
            layers.complain(key, format!("{name:?} is no name of a header"));
        }
        let api_key = source.api_key.as_ref().filter(|_| value.expose().contains("{api_key}"));
        let texts = [Some(value), api_key];
        if !texts.into_iter().flatten().all(|t| t.expose().bytes().all(visible)) {
            layers.complain(key, format!("the value of {name:?} is not one line of printable ASCII"));
        }
    }
}

fn kinds() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}

fn upstream(layers: &mut Layers, key: &str, per_second: f64, in_flight: u32, timeout_ms: u64) {
    rate(layers, &format!("{key}.rate"), per_second);
    within(layers, &format!("{key}.in_flight"), in_flight, 1..=10_000);
    within(layers, &format!("{key}.timeout_ms"), timeout_ms, 1..=DAY_MS);
}

fn rate(layers: &mut Layers, key: &str, given: f64) {
    if given.is_nan() || given < 1e-4 {
        layers.complain(key, format!("{given} is no rate: write questions a second, or inf for no limit"));
    }
}

pub(super) fn within<T: PartialOrd + Display>(
    layers: &mut Layers,
    key: &str,
    given: T,
    range: RangeInclusive<T>,
) {
    if !range.contains(&given) {
        layers.complain(key, format!("{given} is not in {} to {}", range.start(), range.end()));
    }
}

pub(super) fn url(layers: &mut Layers, key: &str, given: &str) {
    // The text is not repeated: it may hold a credential.
    match url::Url::parse(given) {
        Err(e) => layers.complain(key, format!("is no URL ({e}): write \"https://host/path\"")),
        Ok(u) if !matches!(u.scheme(), "http" | "https") => {
            layers.complain(key, format!("scheme {:?} is not known: use https or http", u.scheme()));
        }
        Ok(u) if !u.username().is_empty() || u.password().is_some() => {
            layers.complain(key, "holds a user or password: give these by their own keys".into());
        }
        Ok(_) => {}
    }
}

fn instance_name(layers: &mut Layers, key: &str, name: &str) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        layers.complain(key, "use lower-case letters, digits, - and _ in the name".into());
    }
}
