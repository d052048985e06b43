//! Writes cache entries in batches, and gives leases back after them. It may lag behind the
//! results, bounded: what does not fit is dropped, since the cache is never needed to finish
//! a job, and a lease lapses by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::cache::{Cache, Key};
use tokio::sync::mpsc;

/// Entries in one write.
const BATCH: usize = 256;

/// What is done to the cache, in this order for one key.
pub(super) enum Entry {
    /// An answer is kept for so long.
    Put(Key, Bytes, Duration),
    /// Its lookup has ended.
    Release(Key),
}

/// A lease on a key; dropped, it is given back, after the answer if there is one.
pub(super) struct Lease {
    key: Key,
    entries: mpsc::Sender<Entry>,
}

impl Lease {
    pub(super) fn new(key: Key, entries: mpsc::Sender<Entry>) -> Self {
        Self { key, entries }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.entries.try_send(Entry::Release(std::mem::take(&mut self.key)));
    }
}

/// Writes until the last sender is gone and everything is written.
pub(super) async fn run(cache: Arc<dyn Cache>, mut entries: mpsc::Receiver<Entry>) {
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let (mut puts, mut over) = (Vec::new(), Vec::new());
        for entry in batch.drain(..) {
            match entry {
                Entry::Put(key, value, keep) => puts.push((key, value, keep)),
                Entry::Release(key) => over.push(key),
            }
        }
        if !puts.is_empty() {
            cache.put(puts).await;
        }
        for key in over {
            cache.release(&key).await;
        }
    }
}
