//! Writes cache entries in batches, and gives leases back after them. It may lag behind the
//! results, bounded: what does not fit is dropped, since the cache is never needed to finish
//! a job, and a lease lapses by itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::cache::{Cache, Key};
use tokio::sync::mpsc;

/// Entries that may wait.
pub(super) const BACKLOG: usize = 16_384;
/// Entries in one write, where no leases are given back.
const BATCH: usize = 512;
/// Leases that may wait to be given back.
const LEASES: usize = 65_536;

/// What is done to the cache.
pub(super) enum Entry {
    /// An answer is kept for so long.
    Put(Key, Bytes, Duration),
    /// Leases are to be given back.
    Leases,
}

/// Leases of lookups that have ended. Beside the entries, for who waits for one that is not
/// given back waits half a minute: they are not dropped where entries are.
#[derive(Debug, Default)]
pub(super) struct GivenBack(Mutex<Vec<Key>>);

impl GivenBack {
    fn put(&self, key: Key) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < LEASES {
            keys.push(key);
        }
    }

    fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A lease on a key; dropped, it is given back, after the answer if there is one.
pub(super) struct Lease {
    key: Key,
    given_back: Arc<GivenBack>,
    entries: mpsc::Sender<Entry>,
}

impl Lease {
    pub(super) fn new(key: Key, given_back: Arc<GivenBack>, entries: mpsc::Sender<Entry>) -> Self {
        Self { key, given_back, entries }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.given_back.put(std::mem::take(&mut self.key));
        // Where there is no room it is busy, and looks for leases by itself.
        let _ = self.entries.try_send(Entry::Leases);
    }
}

/// Writes until the last sender is gone and everything is written.
pub(super) async fn run(
    cache: Arc<dyn Cache>,
    given_back: Arc<GivenBack>,
    mut entries: mpsc::Receiver<Entry>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let over = given_back.take();
        let waiting = entries.len();
        if !over.is_empty() && waiting > 0 {
            // Their answers were sent before them: they are written first.
            entries.recv_many(&mut batch, waiting).await;
        }
        let puts = batch.drain(..).filter_map(|entry| match entry {
            Entry::Put(key, value, keep) => Some((key, value, keep)),
            Entry::Leases => None,
        });
        let puts: Vec<_> = puts.collect();
        if !puts.is_empty() {
            cache.put(puts).await;
        }
        if !over.is_empty() {
            cache.release(&over).await;
        }
    }
}
