//! What the tests of the coordinator share: tiny seeded worlds and jobs in them, `T` as a
//! second implementation, and a driver that checks the invariants at every step.
#![allow(dead_code, reason = "each test target uses its part")]

pub mod answer;
pub mod case;
pub mod checks;
pub mod cluster;
pub mod compare;
pub mod driver;
pub mod outcome;
pub mod reference;
pub mod render;
pub mod rng;
pub mod service;
pub mod world;

use std::ops::Range;

/// Replays one world, or one order of it: `KUDZU_TEST_SEED=17` or `KUDZU_TEST_SEED=17:4`.
pub const SEED: &str = "KUDZU_TEST_SEED";
/// Runs another number of worlds: `KUDZU_TEST_WORLDS=20000`.
pub const WORLDS: &str = "KUDZU_TEST_WORLDS";

#[expect(clippy::disallowed_methods, reason = "which case to replay is no configuration of kudzu")]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The worlds to run: those of the test, or what [`SEED`] and [`WORLDS`] say.
pub fn worlds(default: u64) -> Range<u64> {
    if let Some(seed) = var(SEED) {
        let world = seed.split(':').next().and_then(|s| s.parse().ok()).expect("a number");
        return world..world + 1;
    }
    0..var(WORLDS).map_or(default, |n| n.parse().expect("a number"))
}

/// The orders to run in each world.
pub fn orders(default: u64) -> Range<u64> {
    match var(SEED).and_then(|s| s.split_once(':').map(|(_, o)| o.parse().expect("a number"))) {
        Some(order) => order..order + 1,
        None => 0..default,
    }
}
