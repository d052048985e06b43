//! The promises of [`Cache`] as scenarios that every back end is held to.
//!
//! A remote cache measures time by its own clock, so the scenarios wait a little.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a scenario fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Cache, Key};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(50);

/// Every scenario, on a cache without `conformance` keys in it.
pub async fn all(cache: Arc<dyn Cache>) {
    values_come_back_in_the_order_of_keys(&*cache).await;
    a_later_value_replaces(&*cache).await;
    values_lapse(&*cache).await;
    binary_keys_and_values_are_kept_apart(&*cache).await;
    a_lease_has_one_holder_and_lapses(&*cache).await;
    a_lease_that_is_released_is_free_at_once(&*cache).await;
    of_racing_askers_one_has_the_lease(Arc::clone(&cache)).await;
    many_at_once(&*cache).await;
}

fn key(name: &str) -> Key {
    Bytes::from(format!("conformance {name}"))
}

async fn get(cache: &dyn Cache, name: &str) -> Option<Bytes> {
    cache.get(&[key(name)]).await.remove(0)
}

/// One answer per key, a miss in its place.
pub async fn values_come_back_in_the_order_of_keys(cache: &dyn Cache) {
    let put = ["a", "b"].map(|n| (key(n), Bytes::from(n), LONG));
    cache.put(put.into()).await;
    let got = cache.get(&["b", "missing", "a", "b"].map(key)).await;
    assert_eq!(got, [Some("b".into()), None, Some("a".into()), Some("b".into())]);
    assert!(cache.get(&[]).await.is_empty());
    cache.put(Vec::new()).await;
}

/// The last write counts, its time to live too.
pub async fn a_later_value_replaces(cache: &dyn Cache) {
    cache.put(vec![(key("twice"), "1".into(), SHORT)]).await;
    cache.put(vec![(key("twice"), "2".into(), LONG)]).await;
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(get(cache, "twice").await.unwrap(), "2");
}

/// After its time to live a value is a miss; without one it is never there.
pub async fn values_lapse(cache: &dyn Cache) {
    cache.put(vec![(key("never"), "x".into(), Duration::ZERO)]).await;
    assert_eq!(get(cache, "never").await, None);
    cache.put(vec![(key("short"), "x".into(), Duration::from_secs(1))]).await;
    assert!(get(cache, "short").await.is_some());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(get(cache, "short").await, None);
    cache.put(vec![(key("ever"), "x".into(), Duration::MAX)]).await;
    assert!(get(cache, "ever").await.is_some());
}

/// Keys and values are octets.
pub async fn binary_keys_and_values_are_kept_apart(cache: &dyn Cache) {
    let keys: Vec<Key> =
        [&b"conformance \0"[..], b"conformance \0\0", b"conformance \xff\n\r", b"conformance  "]
            .map(Bytes::from_static)
            .into();
    let every: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let entries = keys.iter().map(|k| (k.clone(), [&k[..], &every[..]].concat().into(), LONG));
    cache.put(entries.collect()).await;
    for (key, value) in keys.iter().zip(cache.get(&keys).await) {
        assert_eq!(value.unwrap(), [&key[..], &every[..]].concat());
    }
}

/// One holder at a time, per key, apart from values.
pub async fn a_lease_has_one_holder_and_lapses(cache: &dyn Cache) {
    assert!(cache.lease(&key("lease"), Duration::from_secs(1)).await);
    assert!(!cache.lease(&key("lease"), LONG).await);
    assert!(cache.lease(&key("lease 2"), LONG).await);
    assert_eq!(get(cache, "lease").await, None);
    cache.put(vec![(key("lease"), "x".into(), LONG)]).await;
    assert!(!cache.lease(&key("lease"), LONG).await);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(cache.lease(&key("lease"), LONG).await);
    assert!(get(cache, "lease").await.is_some());
}

/// The value under the key stays, and so does another key's lease.
pub async fn a_lease_that_is_released_is_free_at_once(cache: &dyn Cache) {
    cache.release(&[key("never leased")]).await;
    cache.put(vec![(key("released"), "x".into(), LONG)]).await;
    assert!(cache.lease(&key("released"), LONG).await);
    assert!(cache.lease(&key("kept"), LONG).await);
    cache.release(&[key("released"), key("another")]).await;
    assert!(get(cache, "released").await.is_some());
    assert!(cache.lease(&key("released"), LONG).await);
    assert!(!cache.lease(&key("released"), LONG).await);
    assert!(!cache.lease(&key("kept"), LONG).await);
}

/// Of askers at the same time one is told to ask.
pub async fn of_racing_askers_one_has_the_lease(cache: Arc<dyn Cache>) {
    let askers: Vec<_> = (0..16)
        .map(|_| {
            let cache = Arc::clone(&cache);
            crate::task::spawn("asker", async move { cache.lease(&key("race"), LONG).await })
        })
        .collect();
    let mut granted = 0;
    for asker in askers {
        granted += u32::from(asker.await.unwrap());
    }
    assert_eq!(granted, 1);
}

/// A pipeline's worth in one call.
pub async fn many_at_once(cache: &dyn Cache) {
    let keys: Vec<Key> = (0..5000).map(|n| key(&format!("many {n}"))).collect();
    cache.put(keys.iter().map(|k| (k.clone(), k.clone(), LONG)).collect()).await;
    let got = cache.get(&keys).await;
    assert!(keys.iter().zip(&got).all(|(k, v)| v.as_ref() == Some(k)));
}
