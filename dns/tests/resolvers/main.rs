//! Resolvers against scripted servers: what every back end keeps, and what the UDP back end
//! does beyond.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bursts;
mod check;
mod conformance;
mod failures;
mod limits;
mod mock;
mod truncation;
