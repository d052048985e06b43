//! What the parts of kudzu share: domain types, wire messages, and the seams
//! (broker, cache, archive, limits, clock) with their memory back ends.
//!
//! Nothing here knows a source, a tree or a command. See `docs/ARCHITECTURE.md`.

pub mod archive;
pub mod broker;
pub mod cache;
pub mod config;
pub mod escape;
pub mod fact;
pub mod job;
pub mod limits;
pub mod marking;
pub mod metrics;
pub mod observable;
pub mod outcome;
pub mod packs;
pub mod pair;
pub mod redis;
pub mod rtype;
pub mod source;
pub mod task;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod wire;
