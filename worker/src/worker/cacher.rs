//! Writes cache entries in batches. It may lag behind the results, bounded: what does not
//! fit is dropped, since the cache is never needed to finish a job.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::cache::{Cache, Key};
use tokio::sync::mpsc;

/// Entries in one write.
const BATCH: usize = 256;

/// What the cache takes: key, value, time to live.
pub(super) type Entry = (Key, Bytes, Duration);

/// Writes until the last sender is gone and everything is written.
pub(super) async fn run(cache: Arc<dyn Cache>, mut entries: mpsc::Receiver<Entry>) {
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        cache.put(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await;
    }
}
