//! Limits per upstream (I6): never above its rate or concurrency, nothing before
//! Retry-After; and the circuit breaker that spares one which is down.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

pub mod breaker;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod lease;
mod memory;
mod redis;

pub use self::redis::Redis;
pub use lease::{BLOCK, Lease};
pub use memory::Memory;

/// The longest Retry-After that is obeyed; more is a broken header.
pub const LONGEST_PENALTY: Duration = Duration::from_secs(86_400);

/// What one upstream bears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Questions a second: no window of one second ever sees more (a fraction is rounded
    /// up there, and kept in the long run). `None` for no limit.
    pub rate_per_s: Option<f64>,
    /// Questions that may go at once after a pause. It is taken out of the rate: steadily
    /// `rate - (burst - 1)` go in a second.
    pub burst: u32,
    /// Questions open at a time. `None` for no limit.
    pub concurrency: Option<u32>,
}

impl Limit {
    /// No limit.
    pub const NONE: Limit = Limit { rate_per_s: None, burst: 1, concurrency: None };

    /// A rate with the burst that timers of a millisecond need to reach it: 20 ms of it,
    /// which costs 2 % of the steady rate.
    pub fn new(rate_per_s: Option<f64>, concurrency: Option<u32>) -> Self {
        let burst = rate_per_s.map_or(1.0, |r| (r / 50.0).clamp(1.0, f64::from(u32::MAX)));
        Self { rate_per_s, burst: burst as u32, concurrency }
    }
}

/// Grants questions to upstreams.
#[async_trait]
pub trait Limiter: Send + Sync + 'static {
    /// Waits for the upstream's turn, first come, first served. Of the limits that were asked
    /// with, the strictest rate and the fewest places hold, until the upstream is forgotten.
    /// Cancel safe: a cancelled wait takes nothing.
    async fn acquire(&self, upstream: &str, limit: &Limit) -> Permit;

    /// Leases up to `wanted` questions (at least one) of the next tenth of a second, without
    /// regard to places. It does not wait for the upstream's turn, so those who lease have no
    /// order. Cancel safe: what it may have leased lapses.
    async fn lease(&self, upstream: &str, limit: &Limit, wanted: u32) -> Lease;

    /// Nothing is granted before `until` (Retry-After); never shortened. Holds from when
    /// the call returns.
    async fn penalise(&self, upstream: &str, until: Instant);

    /// Until when nothing is granted, as far as known; whoever has a deadline before it
    /// need not wait.
    fn penalised_until(&self, upstream: &str) -> Option<Instant>;
}

/// One question that may be asked now; its place is free again once this is dropped.
#[must_use = "a dropped permit frees its place"]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn Send + Sync>>);

impl Permit {
    /// A permit that holds no place.
    pub const FREE: Permit = Permit(None);

    /// A permit whose place is freed by dropping `place`.
    pub fn holding(place: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(place)))
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
