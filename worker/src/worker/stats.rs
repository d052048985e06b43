//! Counters of a worker. Every count only grows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a worker has done so far.
#[derive(Debug, Default)]
pub struct Stats {
    /// Tasks taken.
    pub tasks: AtomicU64,
    /// Tasks that could not be read; they were set aside.
    pub damaged: AtomicU64,
    /// Lookups answered.
    pub lookups: AtomicU64,
    /// Questions sent to the resolver.
    pub dns_questions: AtomicU64,
    /// HTTP requests sent.
    pub http_requests: AtomicU64,
    /// Lookups answered from the cache.
    pub cached: AtomicU64,
    /// Lookups whose code panicked.
    pub panicked: AtomicU64,
    /// Children started, for tasks that came again.
    pub children: AtomicU64,
    /// Children that died of what they looked up.
    pub child_deaths: AtomicU64,
    /// Lookups that kill whoever does them: set aside as dead.
    pub poisoned: AtomicU64,
    /// Result messages sent.
    pub messages: AtomicU64,
    /// Results that nobody waits for any more.
    pub unroutable: AtomicU64,
    /// Cache entries that were dropped because the cache was slow.
    pub uncached: AtomicU64,
}

pub(super) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Relaxed);
}
