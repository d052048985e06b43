//! The plan of a job: built in or from a file, with what the flags change.

use std::path::Path;

use anyhow::Context as _;
use kudzu_coordinator::plan::{Plan, covers as matches};
use kudzu_shared::config::Config;
use kudzu_shared::source::SourceInfo;

use crate::args::job::PlanArgs;
use crate::exit::Failure;

/// A plan file longer than this is none.
const MAX_FILE: u64 = 1024 * 1024;

/// The plan that the flags ask for, checked against the sources there are.
///
/// # Errors
/// When there is no such plan, the file is broken, or a source does not exist.
pub fn choose(
    args: &PlanArgs,
    default: &str,
    catalogue: &[SourceInfo],
    config: &Config,
) -> Result<Plan, Failure> {
    let mut plan = read(args.plan.as_deref().unwrap_or(default))?;
    known("--source", &args.source, catalogue)?;
    known("--no-source", &args.no_source, catalogue)?;
    // What somebody gave by hand is meant to be asked.
    let by_hand = |s: &SourceInfo| s.name.starts_with("pairs.") || config.sources.contains_key(&s.name);
    plan.narrow(catalogue, &args.source, &args.no_source, by_hand);
    if plan.asks.is_empty() {
        return Err(Failure::usage("no source is left to ask: check --source and --no-source"));
    }
    let budgets = &mut plan.budgets;
    budgets.depth = args.depth.unwrap_or(budgets.depth);
    budgets.nodes = args.nodes.unwrap_or(budgets.nodes);
    budgets.fan_out = args.fan_out.unwrap_or(budgets.fan_out);
    budgets.questions = args.questions.or(budgets.questions);
    let deadline = args.deadline.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    budgets.deadline_ms = deadline.or(budgets.deadline_ms);
    plan.check(catalogue).map_err(|e| Failure::Usage(e.into()))?;
    Ok(plan)
}

fn read(name: &str) -> Result<Plan, Failure> {
    if let Some(plan) = Plan::builtin(name) {
        return Ok(plan);
    }
    let path = Path::new(name);
    let looks_like_a_file = path.extension().is_some() || path.components().count() > 1;
    if !looks_like_a_file && !path.is_file() {
        let built_in = Plan::NAMES.join(", ");
        return Err(Failure::usage(format!(
            "there is no plan {name:?}: built in are {built_in}; or give the path of a TOML file"
        )));
    }
    let text = file(path).map_err(Failure::Usage)?;
    Plan::parse(&text, name).map_err(|e| Failure::Usage(e.into()))
}

fn file(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("read plan {shown}"))?.len();
    anyhow::ensure!(size <= MAX_FILE, "plan {shown} has {size} octets; no plan has more than {MAX_FILE}");
    std::fs::read_to_string(path).with_context(|| format!("read plan {shown}"))
}

fn known(flag: &str, patterns: &[String], catalogue: &[SourceInfo]) -> Result<(), Failure> {
    let none = |pattern: &&String| !catalogue.iter().any(|s| matches(pattern, &s.name));
    let odd: Vec<_> = patterns.iter().filter(none).map(String::as_str).collect();
    if odd.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = catalogue.iter().map(|s| s.name.as_str()).collect();
    Err(Failure::usage(format!(
        "{flag}: there is no source {}; there are {}",
        odd.join(", "),
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_a_source_or_its_group() {
        assert!(matches("dns", "dns.name") && matches("dns.name", "dns.name"));
        assert!(!matches("dn", "dns.name") && !matches("dns.name", "dns.names"));
    }

    #[test]
    fn unknown_and_broken_plans_are_usage_errors() {
        let unknown = read("quick").unwrap_err();
        assert!(unknown.text().contains("fast, infra, deep"), "{}", unknown.text());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "depth = [").unwrap();
        let broken = read(&path.display().to_string()).unwrap_err();
        assert!(broken.text().contains("mine.toml"), "{}", broken.text());
        assert!(matches!(broken, Failure::Usage(_)) && matches!(unknown, Failure::Usage(_)));
        assert!(read("no/such.toml").unwrap_err().text().contains("read plan no/such.toml"));
    }
}
