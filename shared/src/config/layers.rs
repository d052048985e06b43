//! One layer over the other, with the origin of each key.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde_path_to_error::Segment;
use toml::Value;
use toml::de::DeTable;

use super::error::{ConfigErrors, Origin, Problem};
use super::sections::Config;
use super::vars::Vars;

/// Sections in which secrets may stand.
const GUARDED: [&str; 6] = ["archive", "broker", "client", "pdns", "redis", "sources"];
const PREFIX: &str = "KUDZU_";
/// A file longer than this is none of settings.
const MAX_FILE: u64 = 1024 * 1024;

type KeyPath = Vec<String>;

/// The merged settings before they have types.
#[derive(Debug, Default)]
pub(super) struct Layers {
    table: toml::Table,
    origins: BTreeMap<KeyPath, Origin>,
    /// Other readings of a text from the environment or a flag, where its type is not known.
    readings: HashMap<KeyPath, Vec<Value>>,
    problems: Vec<Problem>,
}

impl Layers {
    pub(super) fn file(&mut self, path: &Path) {
        let size = std::fs::metadata(path).map(|m| m.len());
        let text = match size {
            Ok(n) if n > MAX_FILE => Err(format!("larger than {MAX_FILE} octets")),
            Ok(_) => std::fs::read_to_string(path).map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        match text {
            Ok(text) => self.text(path, &text),
            Err(why) => {
                self.problem(Origin::File(path.to_owned(), None), "", format!("cannot be read: {why}"))
            }
        }
    }

    pub(super) fn text(&mut self, path: &Path, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        for e in &errors {
            let line = e.span().map(|s| line_of(text, s.start));
            self.problem(Origin::File(path.to_owned(), line), "", e.message().to_owned());
        }
        if errors.is_empty() {
            note_lines(document.get_ref(), &mut Vec::new(), &mut |key, at| {
                self.origins.insert(key, Origin::File(path.to_owned(), Some(line_of(text, at))));
            });
            // It was parsed above, so this finds no further fault.
            self.table = toml::from_str(text).unwrap_or_default();
            self.resolve_paths(path);
        }
    }

    /// Relative paths in a file are relative to it.
    fn resolve_paths(&mut self, file: &Path) {
        let Some(folder) = file.parent() else { return };
        let resolve = |value: &mut Value| {
            if let Value::String(text) = value {
                *text = folder.join(PathBuf::from(&*text)).to_string_lossy().into_owned();
            }
        };
        if let Some(Value::Table(pairs)) = self.table.get_mut("pairs") {
            pairs.iter_mut().for_each(|(_, value)| resolve(value));
        }
        let files = self.table.get_mut("packs").and_then(|packs| packs.get_mut("files"));
        if let Some(Value::Array(files)) = files {
            files.iter_mut().for_each(resolve);
        }
    }

    pub(super) fn environment(&mut self, vars: &dyn Vars) {
        for (name, text) in vars.all() {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            if !key.contains("__") {
                self.one_underscore(&name, key);
                continue;
            }
            let path: KeyPath = key.split("__").map(str::to_ascii_lowercase).collect();
            self.set(path, &text, Origin::Variable(name));
        }
    }

    /// A variable that would be a setting with two underscores is told, not passed over.
    fn one_underscore(&mut self, name: &str, key: &str) {
        let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
        let Some((section, rest)) = key.split_once('_') else { return };
        if defaults.contains_key(&section.to_ascii_lowercase()) && !rest.is_empty() {
            let what = format!("is no setting: write {PREFIX}{section}__{rest}, with two underscores");
            self.problem(Origin::Variable(name.to_owned()), "", what);
        }
    }

    pub(super) fn overrides(&mut self, overrides: &[(String, String)]) {
        for (key, text) in overrides {
            self.set(key.split('.').map(str::to_owned).collect(), text, Origin::Flag);
        }
    }

    fn set(&mut self, path: KeyPath, text: &str, origin: Origin) {
        if path.iter().any(String::is_empty) {
            return self.problem(origin, &path.join("."), "a part of the key is empty".into());
        }
        let defaults = toml::Table::try_from(Config::default()).unwrap_or_default();
        let mut readings = if is_text(&path) {
            vec![Value::String(text.to_owned())]
        } else {
            readings(find(&defaults, &path), text)
        };
        put(&mut self.table, &path, readings.remove(0));
        self.readings.insert(path.clone(), readings);
        self.origins.insert(path, origin);
    }

    /// The settings with their types. What cannot be read is noted, and taken out so that
    /// the next problem is found too.
    pub(super) fn resolve(&mut self) -> Config {
        let mut first: HashMap<KeyPath, String> = HashMap::new();
        loop {
            let value = Value::Table(self.table.clone());
            let failed = match serde_path_to_error::deserialize::<_, Config>(value) {
                Ok(config) => return config,
                Err(failed) => failed,
            };
            let keys = failed.path().iter().map_while(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            });
            let path: KeyPath = keys.collect();
            let what = without_values(&path, failed.inner().message().trim());
            if let Some(next) = self.readings.get_mut(&path).filter(|r| !r.is_empty()).map(|r| r.remove(0)) {
                put(&mut self.table, &path, next);
                first.entry(path).or_insert(what);
                continue;
            }
            // Of several readings the first is the likeliest, so its error is the one to tell.
            let what = first.remove(&path).unwrap_or(what);
            self.complain(&path.join("."), what);
            if !remove(&mut self.table, &path) {
                return Config::default();
            }
        }
    }

    /// Whether any layer sets the key.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.origins.contains_key(&key.split('.').map(str::to_owned).collect::<KeyPath>())
    }

    /// Notes a problem at a key.
    pub(super) fn complain(&mut self, key: &str, what: String) {
        let path: KeyPath = key.split('.').map(str::to_owned).collect();
        let origin = self.origin(&path).cloned().unwrap_or(Origin::Default);
        self.problem(origin, key, what);
    }

    /// Where a key was set, or the nearest table above it, or else something below it.
    fn origin(&self, path: &[String]) -> Option<&Origin> {
        let above = (1..=path.len()).rev().find_map(|n| self.origins.get(&path[..n]));
        let below = || self.origins.iter().find(|(key, _)| key.starts_with(path)).map(|(_, origin)| origin);
        above.or_else(below)
    }

    fn problem(&mut self, origin: Origin, key: &str, what: String) {
        self.problems.push(Problem { origin, key: key.to_owned(), what });
    }

    /// Every problem, those of the file in its order.
    pub(super) fn finish(mut self) -> Result<(), ConfigErrors> {
        self.problems.sort_by_key(|p| match p.origin {
            Origin::File(_, line) => (0, line),
            _ => (1, None),
        });
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigErrors(self.problems)) }
    }
}

/// Keys without a default whose value is a text, whatever it looks like: a password may be
/// a number, or have quotes.
fn is_text(path: &[String]) -> bool {
    match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pdns", key] => matches!(key, "url" | "user" | "password" | "api_key" | "header" | "rdata_path"),
        ["archive", key] => matches!(key, "url" | "endpoint" | "region" | "access_key" | "secret_key"),
        ["broker" | "redis", "url"] | ["client", "url" | "token"] | ["api", "listen" | "advertise"] => true,
        ["telemetry", "otlp"] => true,
        ["api", "tokens", _, key] => matches!(key, "tenant" | "sha256" | "expires"),
        ["sources", _, key] => {
            matches!(key, "url" | "relation" | "value" | "api_key" | "max_tlp" | "marking")
        }
        ["sources", _, "headers", _] => true,
        _ => false,
    }
}

/// Where secrets may stand, an error of the wrong type must not quote what it found.
fn without_values(path: &[String], what: &str) -> String {
    let guarded = path.first().is_none_or(|section| GUARDED.contains(&section.as_str()));
    let quoted = ["invalid type: ", "invalid value: "].iter().find(|p| what.starts_with(**p));
    match quoted.zip(what.rsplit_once(", expected ")) {
        Some((start, (found, expected))) if guarded => {
            let kind = found[start.len()..].split(['`', '"']).next().unwrap_or_default().trim();
            format!("{start}{kind}, expected {expected}")
        }
        _ => what.to_owned(),
    }
}

/// How a text may be meant, the likeliest first, by what the default at its place is.
fn readings(default: Option<&Value>, text: &str) -> Vec<Value> {
    let plain = Value::String(text.to_owned());
    let literal = toml::from_str::<toml::Table>(&format!("v = {text}")).ok().and_then(|mut t| t.remove("v"));
    let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    let list = Value::Array(parts.map(|p| Value::String(p.to_owned())).collect());
    match default {
        Some(Value::String(_)) => vec![plain],
        Some(Value::Array(_)) => vec![literal.filter(Value::is_array).unwrap_or(list)],
        Some(_) => vec![literal.unwrap_or(plain)],
        None => literal.into_iter().chain([plain, list]).collect(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count()
}

fn note_lines(table: &DeTable<'_>, path: &mut KeyPath, note: &mut dyn FnMut(KeyPath, usize)) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        note(path.clone(), key.span().start);
        if let Some(inner) = value.get_ref().as_table() {
            note_lines(inner, path, note);
        }
        path.pop();
    }
}

fn find<'a>(table: &'a toml::Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(first)?;
    if rest.is_empty() { Some(value) } else { find(value.as_table()?, rest) }
}

fn put(table: &mut toml::Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(toml::Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(toml::Table::new());
            }
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn remove(table: &mut toml::Table, path: &[String]) -> bool {
    match path {
        [] => false,
        [last] => table.remove(last).is_some(),
        [first, rest @ ..] => {
            table.get_mut(first).and_then(Value::as_table_mut).is_some_and(|inner| remove(inner, rest))
        }
    }
}
