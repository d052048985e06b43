//! Tells the program from which commit and with which profile it is built.

#![expect(clippy::disallowed_methods, reason = "what cargo tells a build script is in its environment")]

use std::env;
use std::path::Path;
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "cli",
    "coordinator",
    "datagram",
    "dns",
    "rust-toolchain.toml",
    "servers",
    "shared",
    "simnet",
    "worker",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=KUDZU_COMMIT");
    // Each commit and each checkout writes a line there.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    // Where somebody changed since what is built: plans and packs are compiled in, too.
    for made_of in SOURCES {
        println!("cargo::rerun-if-changed=../{made_of}");
    }
    // Where the sources come without their history.
    let said = env::var("KUDZU_COMMIT").ok().filter(|commit| !commit.is_empty());
    let sources = SOURCES.map(|made_of| format!("../{made_of}"));
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(sources.iter().map(String::as_str));
    let changed = git(&status).is_some_and(|changes| !changes.is_empty());
    let mark = if changed { "-changed" } else { "" };
    let commit = said.or_else(|| Some(git(&["rev-parse", "--short=12", "HEAD"])? + mark));
    println!("cargo::rustc-env=KUDZU_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=KUDZU_PROFILE={}", profile().as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=KUDZU_TARGET={}", env::var("TARGET").as_deref().unwrap_or("unknown"));
}

/// Cargo names only the profile that one inherits from; the folder has the name itself.
fn profile() -> Option<String> {
    let out = env::var("OUT_DIR").ok()?;
    let mut parts = Path::new(&out).components().rev().map(|c| c.as_os_str().to_string_lossy().into_owned());
    parts.find(|part| part == "build")?;
    parts.next()
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
