//! A world of usual size is small: this test has a process of its own, so that nothing else counts.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]
#![cfg(target_os = "linux")]

use kudzu_simnet::{World, WorldSpec};

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_world_takes_less_than_twenty_megabytes() {
    let before = resident_kib();
    let world = World::generate(&WorldSpec::default());
    let after = resident_kib();
    assert!(!world.seeds().is_empty());
    assert!(after - before < 20 * 1024, "{} KiB", after - before);
}
