//! The core without I/O: what a job knows, and what is to be done next.
//!
//! Architecture invariant: nothing in here knows tokio, a socket, a clock or randomness.

mod ahead;
pub mod backlog;
pub mod chunk;
mod edge;
pub mod facts;
pub mod intern;
pub mod job;
mod pace;
pub(crate) mod parts;
pub mod planted;
pub mod queue;
mod report;
pub mod store;
pub mod ticket;
