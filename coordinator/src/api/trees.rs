//! Trees of ended jobs, read for those who ask for parts of them. The last ones are kept.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use kudzu_shared::job::JobId;
use kudzu_shared::observable::{Kind, Observable};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::problem::Problem;
use crate::cluster::result;
use crate::cluster::shelf::{Ended, ResultRecord, Shelf};
use crate::tree::read::{Read, ReadError};
use crate::tree::shown::Shown as _;

/// Nodes and pairs of one tree that is opened here, and of all that are kept: about 100 bytes each.
const ONE: u64 = 6_000_000;
const ALL: u64 = 8_000_000;
/// Pieces that wait to be read.
const WAITING: usize = 2;

/// A tree that was read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) tree: Read,
    /// How many nodes hang below each.
    pub(super) below: Vec<u32>,
    /// Records of candidates, by node.
    pub(super) candidates: HashMap<u32, Value>,
}

/// The trees that were asked for last.
#[derive(Debug)]
pub(super) struct Trees {
    kept: Mutex<VecDeque<(JobId, Arc<Opened>)>>,
    /// One is read at a time: it is heavy, and many may ask for the same.
    reading: Semaphore,
}

impl Trees {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default(), reading: Semaphore::new(1) }
    }

    /// The tree of a job that has ended: it never changes. Cancel safe: what was read is lost.
    pub(super) async fn get(
        &self,
        shelf: &Shelf,
        id: JobId,
        end: &Ended,
        record: &ResultRecord,
    ) -> Result<Arc<Opened>, Problem> {
        if let Some(kept) = self.kept(id) {
            return Ok(kept);
        }
        let size = record.nodes.saturating_add(record.edges);
        if size > ONE {
            return Err(Problem::too_large_here(size));
        }
        let _turn = self.reading.acquire().await;
        if let Some(kept) = self.kept(id) {
            return Ok(kept);
        }
        let candidates = shelf.candidates(id, end.epoch).await?;
        let candidates = candidates.ok_or_else(|| Problem::damaged("the candidates are missing"))?;
        let (tx, rx) = mpsc::channel(WAITING);
        // Heavy on the processor, so beside the runtime's threads.
        let reading = tokio::task::spawn_blocking(move || open(rx, &candidates));
        let mut pieces = pin!(result::pieces(shelf.clone(), id, end.epoch, record.pieces));
        while let Some(piece) = pieces.next().await {
            if tx.send(piece?).await.is_err() {
                break;
            }
        }
        drop(tx);
        let opened = reading.await.map_err(|_| Problem::damaged("its tree cannot be read"))?;
        let opened = opened.map_err(|error| {
            tracing::error!(%error, job = %id, "a tree in the archive is damaged");
            Problem::damaged("the log of the coordinator names the line")
        })?;
        Ok(self.keep(id, Arc::new(opened)))
    }

    fn kept(&self, id: JobId) -> Option<Arc<Opened>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(of, _)| *of == id)?;
        let found = kept.remove(at)?;
        let opened = Arc::clone(&found.1);
        kept.push_front(found);
        Some(opened)
    }

    fn keep(&self, id: JobId, opened: Arc<Opened>) -> Arc<Opened> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((id, Arc::clone(&opened)));
        let mut size: u64 = 0;
        let fits = kept.iter().take_while(|(_, tree)| {
            size += tree.tree.size();
            size <= ALL
        });
        let fits = fits.count().max(1);
        kept.truncate(fits);
        opened
    }
}

fn open(mut pieces: mpsc::Receiver<Bytes>, candidates: &[u8]) -> Result<Opened, ReadError> {
    let mut tree = Read::default();
    while let Some(piece) = pieces.blocking_recv() {
        tree.take(&piece)?;
    }
    let tree = tree.end()?;
    let mut below = vec![0_u32; tree.count() as usize];
    for n in (0..tree.count()).rev() {
        // Parents come before their children.
        if let Some(parent) = tree.node(n).parent {
            below[parent as usize] += below[n as usize] + 1;
        }
    }
    let all: Vec<Value> = serde_json::from_slice(candidates).unwrap_or_default();
    let place = |c: &Value| {
        let kind = Kind::from_name(c["kind"].as_str()?)?;
        tree.find(&Observable::parse_as(kind, c["value"].as_str()?).ok()?)
    };
    let candidates = all.into_iter().filter_map(|c| Some((place(&c)?, c))).collect();
    Ok(Opened { tree, below, candidates })
}
