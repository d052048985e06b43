//! The cache seam: answers by key, with a time to live. Never needed to finish a job:
//! any error is a miss.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod entry;
mod key;
mod memory;
mod redis;
pub mod ttl;

pub use self::redis::Redis;
pub use key::{KeyPrefix, Partition, SCHEMA};
pub use memory::Memory;

/// A cache key: schema, partition, source digest and observable, as bytes.
pub type Key = Bytes;

/// A cache. Every method is cancel safe; a cancelled write may or may not have happened.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// The values of the keys, in their order. An error is a miss.
    async fn get(&self, keys: &[Key]) -> Vec<Option<Bytes>>;

    /// Stores values. Errors are counted and dropped; a time to live of zero stores nothing.
    async fn put(&self, entries: Vec<(Key, Bytes, Duration)>);

    /// Whether the caller is the one to ask about this key for now: false while another
    /// holds the lease, which lapses by itself. An error grants it, because asking twice is
    /// better than not at all. Leases do not meet values under the same key.
    async fn lease(&self, key: &Key, ttl: Duration) -> bool;

    /// Ends leases before they lapse: the next asker has them. Errors are dropped, and without
    /// a lease nothing happens. Only the holder calls it; where its lease has lapsed it may
    /// end another's, and one more asks.
    async fn release(&self, keys: &[Key]);
}
