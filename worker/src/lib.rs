//! The worker: takes tasks, looks up, caches, answers.
//!
//! [`registry`] lists the sources; [`Worker`] runs them over a broker, a cache, a limiter
//! and a resolver, whichever back ends these have.

pub mod http;
pub mod sources;
mod worker;

pub use sources::{Registry, registry};
pub use worker::{
    ChildCommand, ChildError, ChildWorker, Error, ResolverError, Stats, Worker, WorkerConfig, queue,
    start_resolver, tie, upstreams,
};
