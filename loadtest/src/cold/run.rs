//! One command of another program, bounded in time.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::process::Command;

use super::processor;

/// How much of what a failed command said is told.
const TOLD: usize = 2_000;

/// What a command took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Took {
    /// Seconds from its start to its end.
    pub seconds: f64,
    /// Seconds of the processor.
    pub processor: f64,
}

/// Runs a command to its end, and gives what it printed. Dropped, it is killed. Only one may
/// run at a time, or the processor's seconds are those of all.
///
/// # Errors
/// When it cannot be started, fails, or takes too long.
pub async fn run(command: &mut Command, limit: Duration) -> anyhow::Result<(Took, String)> {
    let name = Path::new(command.as_std().get_program()).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let (start, before) = (Instant::now(), processor::waited());
    let child = command.spawn().with_context(|| format!("start {name}"))?;
    let output = tokio::time::timeout(limit, child.wait_with_output()).await;
    let output = output.with_context(|| format!("{name} takes over {} s", limit.as_secs()))?;
    let output = output.with_context(|| format!("wait for {name}"))?;
    let took = Took { seconds: start.elapsed().as_secs_f64(), processor: processor::waited() - before };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.chars().skip(said.chars().count().saturating_sub(TOLD)).collect();
        bail!("{name} failed ({}): {}", output.status, said.trim());
    }
    Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// The first line that a program prints about its version, on either output; `?` where it
/// says nothing.
pub async fn version(program: impl AsRef<Path>, args: &[&str]) -> String {
    let mut command = Command::new(program.as_ref());
    let output = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let Ok(Ok(output)) = output else { return "?".into() };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    said.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_says_why() {
        let limit = Duration::from_secs(60);
        let (took, said) = run(Command::new("echo").arg("a"), limit).await.unwrap();
        assert!(said == "a\n" && took.seconds < 60.0, "{said:?} {took:?}");
        let failed = run(Command::new("sh").args(["-c", "echo no good >&2; exit 4"]), limit).await;
        let failed = format!("{:#}", failed.unwrap_err());
        assert!(failed.contains("no good") && failed.contains('4'), "{failed}");
        let late = run(Command::new("sleep").arg("60"), Duration::from_millis(20)).await;
        assert!(format!("{:#}", late.unwrap_err()).contains("takes over"));
        assert_eq!(version("/no/such/program", &[]).await, "?");
        assert_eq!(version("sh", &["-c", "echo; echo ' b 1'; echo c"]).await, "b 1");
    }
}
