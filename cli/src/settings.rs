//! Settings from all layers; flags are the last.

use std::path::Path;

use kudzu_shared::config::{Config, Process};

use crate::args::Global;
use crate::args::job::EngineArgs;
use crate::exit::Failure;

/// Reads the settings with what the flags say on top.
///
/// # Errors
/// Every problem at once, as a usage error.
pub fn load(global: &Global, engine: &EngineArgs) -> Result<Config, Failure> {
    let overrides = overrides(&global.settings, engine)?;
    Config::load(global.config.as_deref(), &Process, &overrides).map_err(bad)
}

/// Every problem of the settings, a line each.
pub fn bad(errors: kudzu_shared::config::ConfigErrors) -> Failure {
    Failure::usage(format!("the settings cannot be used\n{errors}"))
}

/// The file the settings come from, where there is one.
pub fn file(global: &Global) -> Option<std::path::PathBuf> {
    global.config.clone().or_else(|| Config::default_file(&Process))
}

fn overrides(settings: &[String], engine: &EngineArgs) -> Result<Vec<(String, String)>, Failure> {
    let mut overrides = Vec::new();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::usage(format!("--set {setting}: write KEY=VALUE, as in dns.rate=50")))?;
        overrides.push((key.trim().to_owned(), value.to_owned()));
    }
    for pair in &engine.pairs {
        let (name, path) = pair
            .split_once('=')
            .filter(|(name, path)| !name.is_empty() && !name.contains('.') && !path.is_empty())
            .ok_or_else(|| Failure::usage(format!("--pairs {pair}: write NAME=FILE, as in mine=seen.csv")))?;
        if !Path::new(path).is_file() {
            return Err(Failure::usage(format!("--pairs {pair}: there is no file {path}")));
        }
        // Quoted, so that a file called 1 stays text.
        overrides.push((format!("pairs.{name}"), toml::Value::String(path.into()).to_string()));
    }
    if !engine.resolver.is_empty() {
        overrides.push(("dns.resolvers".into(), engine.resolver.join(",")));
    }
    if let Some(window) = engine.window {
        overrides.push(("coordinator.window".into(), window.to_string()));
    }
    Ok(overrides)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn flags_become_settings() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let engine = EngineArgs {
            resolver: vec!["192.0.2.53".into(), "[2001:db8::53]:5353".into()],
            pairs: vec![format!("mine={}", file.path().display())],
            window: Some(77),
            ..EngineArgs::default()
        };
        let overrides = overrides(&["dns.timeout_ms=900".into()], &engine).unwrap();
        let config = Config::load(None, &HashMap::<String, String>::new(), &overrides).unwrap();
        assert_eq!(config.dns.resolvers.len(), 2);
        assert_eq!(config.dns.timeout_ms, 900);
        assert_eq!(config.coordinator.window, 77);
        assert_eq!(config.pairs["mine"], file.path());
    }

    #[test]
    fn bad_flags_say_how_to_write_them() {
        for (settings, pairs, why) in [
            (vec!["dns.rate"], vec![], "KEY=VALUE"),
            (vec![], vec!["mine"], "NAME=FILE"),
            (vec![], vec!["mine=/no/such/file"], "no file"),
        ] {
            let engine =
                EngineArgs { pairs: pairs.into_iter().map(str::to_owned).collect(), ..EngineArgs::default() };
            let settings: Vec<String> = settings.into_iter().map(str::to_owned).collect();
            let failed = overrides(&settings, &engine).unwrap_err();
            assert!(failed.text().contains(why), "{}", failed.text());
        }
    }
}
