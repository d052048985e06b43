//! Why something is in a result: read from the canonical tree alone.

pub mod file;
pub mod ways;
