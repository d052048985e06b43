//! The kudzu command: arguments, the assembly of all parts in one process, and what people
//! and scripts read.

pub mod allocator;
mod allowance;
pub mod args;
mod chunks;
mod cluster;
mod command;
pub mod console;
mod embedded;
pub mod exit;
pub mod files;
mod health;
mod indicators;
pub mod interrupt;
mod job;
mod off;
mod plan;
mod progress;
mod remote;
mod resolvers;
mod results;
mod settings;
mod simulated;
mod truth;
mod view;

/// Version, commit and profile: which build this is.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("KUDZU_COMMIT"),
    ", profile ",
    env!("KUDZU_PROFILE"),
    ")"
);

pub use args::Cli;
pub use command::run;
