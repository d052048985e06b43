//! What cannot be in the sections of a cluster's processes.

use super::check::{DAY_MS, url, within};
use super::layers::Layers;
use super::sections::Config;
use super::service::{Auth, is_tenant};
use crate::redis::Place;
use crate::telemetry::otlp::PATH;
use crate::time::parse_time;

pub(super) fn check(config: &mut Config, layers: &mut Layers) {
    for secret in [&mut config.broker.url, &mut config.redis.url, &mut config.client.token] {
        *secret = secret.take().filter(|s| !s.expose().trim().is_empty());
    }
    let scheme = |url: &super::Secret, of: &[&str]| of.iter().any(|s| url.expose().starts_with(s));
    // What is wrong with a URL is not quoted: it holds a password.
    if config.broker.url.as_ref().is_some_and(|u| !scheme(u, &["amqp://", "amqps://"])) {
        let what = "is no URL of RabbitMQ: write amqp://USER:PASSWORD@HOST:PORT/VHOST";
        layers.complain("broker.url", what.into());
    }
    if let Some(Err(error)) = config.redis.url.as_ref().map(|u| Place::parse(u.expose())) {
        layers.complain("redis.url", error.to_string());
    }
    url(layers, "client.url", &config.client.url);
    telemetry(config, layers);
    api(config, layers);
    let coordinator = &config.coordinator;
    within(layers, "coordinator.jobs", coordinator.jobs, 1..=200);
    within(layers, "coordinator.open", coordinator.open, 1..=1_000_000);
    within(layers, "coordinator.hold_ms", coordinator.hold_ms, 1_000..=DAY_MS);
    within(layers, "coordinator.sweep_ms", coordinator.sweep_ms, 100..=DAY_MS);
}

fn telemetry(config: &mut Config, layers: &mut Layers) {
    let otlp = &mut config.telemetry.otlp;
    *otlp = otlp.take().filter(|u| !u.trim().is_empty());
    let Some(otlp) = otlp else { return };
    url(layers, "telemetry.otlp", otlp);
    let Ok(read) = url::Url::parse(otlp) else { return };
    if read.path().trim_end_matches('/').ends_with(PATH) {
        let what = format!("ends in {PATH}, which is added to it: write \"http://HOST:4318\"");
        layers.complain("telemetry.otlp", what);
    }
    if read.query().or(read.fragment()).is_some() {
        let what = "has more than a path: write \"http://HOST:4318\"";
        layers.complain("telemetry.otlp", what.into());
    }
}

fn api(config: &Config, layers: &mut Layers) {
    let api = &config.api;
    within(layers, "api.max_body", api.max_body, 1024..=1 << 30);
    within(layers, "api.timeout_ms", api.timeout_ms, 100..=DAY_MS);
    within(layers, "api.connections", api.connections, 1..=100_000);
    if let Some(advertise) = &api.advertise {
        url(layers, "api.advertise", advertise);
    }
    if api.auth == Auth::Off && !api.listen.ip().is_loopback() {
        let what = "without tokens only a loopback address may be listened on: set api.tokens, or listen on 127.0.0.1";
        layers.complain("api.auth", what.into());
    }
    for (name, token) in &api.tokens {
        let key = |field: &str| format!("api.tokens.{name}.{field}");
        let hex = token.sha256.len() == 64 && token.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            let what = "is no SHA-256 in hex: kudzu token makes a token and its digest";
            layers.complain(&key("sha256"), what.into());
        }
        tenant(layers, &key("tenant"), &token.tenant);
        if token.scopes.is_empty() {
            layers.complain(&key("scopes"), "is empty: write some of \"read\", \"submit\", \"admin\"".into());
        }
        if token.expires.as_deref().is_some_and(|at| parse_time(at).is_none()) {
            layers.complain(&key("expires"), "is no time: write 2027-01-01".into());
        }
    }
    for name in config.tenants.keys() {
        tenant(layers, &format!("tenants.{name}"), name);
    }
}

fn tenant(layers: &mut Layers, key: &str, name: &str) {
    if !is_tenant(name) {
        layers.complain(key, "is no name of a tenant: write a-z, 0-9, - and _, at most 64".into());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use crate::config::Config;

    #[test]
    fn a_collector_is_named_by_its_base() {
        let otlp = |url: &str| {
            Config::parse(Path::new("k.toml"), &format!("[telemetry]\notlp = \"{url}\""))
                .map(|c| c.telemetry.otlp)
        };
        assert_eq!(otlp("http://collector:4318").unwrap().as_deref(), Some("http://collector:4318"));
        assert_eq!((otlp("").unwrap(), Config::default().telemetry.otlp), (None, None));
        for (url, why) in [
            ("collector:4318", "scheme \"collector\" is not known"),
            ("4318", "is no URL"),
            ("grpc://collector:4317", "scheme \"grpc\" is not known"),
            ("https://hunter2:x@collector", "holds a user or password"),
            ("http://collector:4318/v1/traces/", "ends in v1/traces, which is added to it"),
            ("http://collector/?key=hunter2", "has more than a path"),
        ] {
            let found = otlp(url).unwrap_err().to_string();
            assert!(found.starts_with(&format!("k.toml:2: telemetry.otlp: {why}")), "{found}");
            assert!(found.lines().count() == 1 && !found.contains("hunter2"), "{found}");
        }
        let vars =
            HashMap::from([("KUDZU_TELEMETRY__OTLP".to_owned(), "https://otlp.example/kudzu".to_owned())]);
        let config = Config::load(None, &vars, &[]).unwrap();
        assert_eq!(config.telemetry.otlp.as_deref(), Some("https://otlp.example/kudzu"));
    }
}
