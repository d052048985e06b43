//! `kudzu config`

use std::io::Write as _;

use kudzu_shared::packs::Packs;
use serde_json::json;

use crate::args::job::{EngineArgs, PolicyArgs};
use crate::args::{Config, ConfigAction, Global, ListFormat};
use crate::exit::{End, Failure, Outcome};
use crate::{console, embedded, job, settings};

pub fn run(global: &Global, args: &Config) -> Outcome {
    let config = settings::load(global, &EngineArgs::default())?;
    if let ConfigAction::Check { .. } = args.action {
        usable(&config)?;
    }
    let from = settings::file(global).map(|p| p.display().to_string());
    let text = match args.action {
        ConfigAction::Check { format: ListFormat::Text } => {
            let from = from.unwrap_or_else(|| "no file, defaults and environment only".into());
            format!("the settings can be used ({from})\n")
        }
        ConfigAction::Check { format: ListFormat::Json } => {
            format!("{}\n", json!({ "ok": true, "file": from }))
        }
        ConfigAction::Dump { format: ListFormat::Text } => config.dump(),
        ConfigAction::Dump { format: ListFormat::Json } => {
            format!("{:#}\n", serde_json::to_value(&config).map_err(anyhow::Error::new)?)
        }
    };
    let mut out = console::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(End::Complete)
}

/// What types do not tell of the settings: lists of observables, and files of pairs and lists.
fn usable(config: &kudzu_shared::config::Config) -> Result<(), Failure> {
    let policy = job::policy(&PolicyArgs::default(), config).err();
    let packs = Packs::load(&config.packs.files).err().map(|e| Failure::Usage(e.into()));
    let (_, broken) = embedded::registry_with_broken(config);
    let encrypted = kudzu_worker::upstreams(&config.dns).err();
    let encrypted = encrypted.map(|e| Failure::Usage(anyhow::Error::new(e).context("dns.encrypted")));
    let all = policy.iter().chain(&packs).chain(&encrypted).chain(broken.iter().map(|(_, why)| why));
    let all: Vec<String> = all.map(Failure::text).collect();
    if all.is_empty() { Ok(()) } else { Err(Failure::usage(all.join("\n"))) }
}
