//! The coordinator: from a job to its tree and its ranked candidates.
//!
//! [`core`] is a state machine without I/O, [`tree`] is `T(job, outcomes)`, [`rank`] ranks,
//! [`run`] is the loop around them, [`cluster`] makes jobs of a
//! cluster durable, and [`api`] is how one asks for them.

pub mod api;
pub mod cluster;
pub mod core;
mod hex;
pub mod model;
pub mod plan;
pub mod rank;
pub mod run;
pub mod tree;

pub use run::{Coordinator, Handle, Job, StartOptions, SubmitError};
