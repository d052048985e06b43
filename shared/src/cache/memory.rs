//! The cache within one process.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use moka::ops::compute::{CompResult, Op};
use tokio::time::Instant;

use super::{Cache, Key};

/// What an entry costs beyond its key and value: moka's own records, measured roughly.
const OVERHEAD: usize = 160;
/// Leases held at a time, of all keys; beyond it the oldest lapse early.
const LEASES: u64 = 262_144;

/// A cache bounded by octets; what it evicts is a miss.
#[derive(Debug, Clone)]
pub struct Memory {
    values: moka::sync::Cache<Key, Value>,
    leases: moka::sync::Cache<Key, Value>,
}

#[derive(Debug, Clone)]
struct Value {
    body: Bytes,
    ttl: Duration,
    /// Decides; moka's own expiry, on a clock that tests cannot hold, only frees memory.
    until: Instant,
}

struct Lifetime;

impl moka::Expiry<Key, Value> for Lifetime {
    fn expire_after_create(&self, _: &Key, value: &Value, _: std::time::Instant) -> Option<Duration> {
        Some(value.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        value: &Value,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(value.ttl)
    }
}

impl Memory {
    /// A cache of at most this many octets.
    pub fn new(octets: u64) -> Self {
        let weigh = |key: &Key, value: &Value| {
            u32::try_from(key.len() + value.body.len() + OVERHEAD).unwrap_or(u32::MAX)
        };
        let values = moka::sync::Cache::builder().max_capacity(octets).weigher(weigh);
        let leases = moka::sync::Cache::builder().max_capacity(LEASES);
        Self { values: values.expire_after(Lifetime).build(), leases: leases.expire_after(Lifetime).build() }
    }
}

impl Value {
    fn new(body: Bytes, ttl: Duration) -> Self {
        // A year is for ever here, and keeps the sum within what an instant can hold.
        let ttl = ttl.min(Duration::from_secs(365 * 86_400));
        Self { body, ttl, until: Instant::now() + ttl }
    }

    fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

#[async_trait]
impl Cache for Memory {
    async fn get(&self, keys: &[Key]) -> Vec<Option<Bytes>> {
        let fresh = |key| self.values.get(key).filter(Value::is_fresh).map(|v| v.body);
        keys.iter().map(fresh).collect()
    }

    async fn put(&self, entries: Vec<(Key, Bytes, Duration)>) {
        for (key, body, ttl) in entries {
            if !ttl.is_zero() {
                self.values.insert(key, Value::new(body, ttl));
            }
        }
    }

    async fn lease(&self, key: &Key, ttl: Duration) -> bool {
        let done = self.leases.entry_by_ref(key).and_compute_with(|held| match held {
            Some(held) if held.value().is_fresh() => Op::Nop,
            _ => Op::Put(Value::new(Bytes::new(), ttl)),
        });
        !matches!(done, CompResult::StillNone(_) | CompResult::Unchanged(_))
    }

    async fn release(&self, keys: &[Key]) {
        keys.iter().for_each(|key| self.leases.invalidate(key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::conformance;

    #[tokio::test(start_paused = true)]
    async fn keeps_the_promises() {
        conformance::all(Arc::new(Memory::new(64 << 20))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn is_bounded_by_octets() {
        let cache = Memory::new(1 << 20);
        let keys: Vec<Key> = (0..4096).map(|n: u32| Bytes::from(n.to_string())).collect();
        let body = Bytes::from(vec![0; 1024]);
        for key in &keys {
            cache.put(vec![(key.clone(), body.clone(), Duration::from_secs(60))]).await;
        }
        cache.values.run_pending_tasks();
        assert!(cache.values.weighted_size() <= 1 << 20);
        let kept = cache.get(&keys).await.into_iter().flatten().count();
        assert!((1..=1024).contains(&kept), "{kept}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_all_of_it_is_a_miss() {
        let cache = Memory::new(1000);
        let key = Bytes::from_static(b"k");
        cache.put(vec![(key.clone(), Bytes::from(vec![0; 4096]), Duration::from_secs(60))]).await;
        cache.values.run_pending_tasks();
        assert_eq!(cache.get(&[key]).await, [None]);
    }
}
