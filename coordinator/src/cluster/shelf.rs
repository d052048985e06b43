//! What the archive keeps of jobs, and where. Only put-if-absent is relied on.
//!
//! ```text
//! jobs/<id>/record                   what was accepted; without it there is no job
//! jobs/<id>/epoch/<n>                who took the job over for the nth time
//! jobs/<id>/excused/<n>              that it is not the job that ended this one
//! jobs/<id>/journal/<n>-<segment>    outcomes that this one accepted
//! jobs/<id>/cancel                   somebody wants no more of it
//! jobs/<id>/result/<n>/tree-<piece>  the tree that this one made, candidates beside it
//! jobs/<id>/end                      which of them counts
//! open/<id>                          the job has no end yet: for the sweep, and only a hint
//! tenants/<tenant>/<ms>-<id>         the tenant's jobs by the time of their submission
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::archive::sealed::{create_sealed, get_sealed};
use kudzu_shared::archive::{self, Archive, Put};
use kudzu_shared::job::JobId;
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{Record, RecordError};

/// Why what the archive keeps of a job cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An object is whole and yet not what it should be.
    #[error("{0:?} in the archive is not what it should be")]
    Content(String, #[source] serde_json::Error),
}

impl ShelfError {
    /// A piece of a tree is not there.
    pub fn missing(id: JobId, epoch: u32, piece: u32) -> Self {
        archive::Error::Damaged(piece_path(id, epoch, piece), "it is missing".into()).into()
    }

    /// Whether it will be the same the next time: what is there is damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            ShelfError::Archive(e) => matches!(e, archive::Error::Damaged(..)),
            ShelfError::Record(_) | ShelfError::Content(..) => true,
        }
    }

    /// Whether another version wrote what this one cannot read: it is whole.
    pub fn is_foreign(&self) -> bool {
        matches!(self, ShelfError::Record(_))
    }
}

/// A take-over of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What the coordinator calls itself.
    pub owner: String,
    /// Where others reach it.
    pub address: Option<String>,
    /// When, milliseconds since 1970.
    pub claimed_ms: i64,
    /// Unlike any other's: of two who claim at once, each knows its own.
    pub nonce: u64,
    /// Segments of the journal that were there.
    pub segments: usize,
    /// How many times in a row the job was taken over without any new segment.
    pub stalled: u32,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The take-over whose result counts.
    pub epoch: u32,
    /// `complete`, `partial` or `dead`.
    pub state: EndState,
    /// Why it is partial (`deadline`, `cancelled`), or dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, milliseconds since 1970.
    pub ended_ms: i64,
    /// Its result; a dead job has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultRecord>,
}

/// The last state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndState {
    /// Every lookup that the tree demands has ended by itself.
    Complete,
    /// Some were ended by the deadline or by a cancel.
    Partial,
    /// It cannot be run.
    Dead,
}

/// What a result comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// SHA-256 of the canonical tree, in hex.
    pub sha256: String,
    /// Nodes in the tree.
    pub nodes: u64,
    /// Pairs in the tree.
    pub edges: u64,
    /// Stubs in the tree.
    pub stubs: u64,
    /// Objects that the tree lies in.
    pub pieces: u32,
    /// Where the job stood at its end.
    pub progress: Value,
    /// Figures outside the canonical bytes.
    pub figures: Value,
    /// What was asked, by source.
    pub coverage: Value,
}

/// Observables from which on a record is kept in memory for a while: who follows such a job would
/// have megabytes read again with every look.
const LARGE: usize = 1_000;
/// Octets of these, roughly, and how long: a job that is purged is known for so long elsewhere.
const KEPT: u64 = 64 << 20;
const WHILE: Duration = Duration::from_secs(10);
/// Octets of an observable in a record that was read, roughly.
const ITEM: usize = 160;

/// The archive as jobs use it. Clones share it.
#[derive(Clone)]
pub struct Shelf {
    archive: Arc<dyn Archive>,
    records: Cache<JobId, Arc<Record>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf")
    }
}

type Got<T> = Result<T, ShelfError>;

impl Shelf {
    /// On an archive.
    pub fn new(archive: Arc<dyn Archive>) -> Self {
        let octets =
            |_: &JobId, record: &Arc<Record>| u32::try_from(record.observables() * ITEM).unwrap_or(u32::MAX);
        let records = Cache::builder().max_capacity(KEPT).weigher(octets).time_to_live(WHILE).build();
        Self { archive, records }
    }

    /// Writes the record of a job, unless there is one of this id.
    pub async fn create_record(&self, id: JobId, record: &Record) -> Got<Put> {
        let body = record.encode().map_err(|e| ShelfError::Content(record_path(id), e))?;
        Ok(create_sealed(&*self.archive, &record_path(id), &body).await?)
    }

    /// The record of a job, if there is a job of this id.
    pub async fn record(&self, id: JobId) -> Got<Option<Arc<Record>>> {
        if let Some(record) = self.records.get(&id) {
            return Ok(Some(record));
        }
        let Some(bytes) = get_sealed(&*self.archive, &record_path(id)).await? else { return Ok(None) };
        let record = Arc::new(Record::decode(id, &bytes)?);
        if record.observables() >= LARGE {
            self.records.insert(id, Arc::clone(&record));
        }
        Ok(Some(record))
    }

    /// Notes a job for the sweep, and in its tenant's list.
    pub async fn open(&self, id: JobId, record: &Record) -> Got<()> {
        let index = format!("tenants/{}/{:013}-{id}", record.tenant, record.submitted_ms.max(0));
        self.archive.create(&index, Bytes::new()).await?;
        self.archive.create(&format!("open/{id}"), Bytes::new()).await?;
        Ok(())
    }

    /// Takes a job from the sweep's list.
    pub async fn close(&self, id: JobId) -> Got<()> {
        Ok(self.archive.delete(&format!("open/{id}")).await?)
    }

    /// Jobs that may have no end yet, with the age of the note in milliseconds since 1970.
    pub async fn open_jobs(&self) -> Got<Vec<(JobId, i64)>> {
        let notes = self.archive.ages("open").await?;
        Ok(notes.iter().filter_map(|(path, at)| Some((last(path).parse().ok()?, *at))).collect())
    }

    /// A tenant's jobs, the newest first: when they were submitted, and which.
    pub async fn jobs_of(&self, tenant: &str) -> Got<Vec<(i64, JobId)>> {
        let notes = self.archive.list(&format!("tenants/{tenant}")).await?;
        let read = |path: &String| {
            let (ms, id) = last(path).split_once('-')?;
            Some((ms.parse().ok()?, id.parse().ok()?))
        };
        Ok(notes.iter().rev().filter_map(read).collect())
    }

    /// The tenants that have jobs.
    pub async fn tenants(&self) -> Got<Vec<String>> {
        Ok(self.archive.folders("tenants").await?)
    }

    /// Claims a take-over, unless somebody has.
    pub async fn claim(&self, id: JobId, epoch: u32, claim: &Claim) -> Got<Put> {
        let path = epoch_path(id, epoch);
        let body = serde_json::to_vec(claim).map_err(|e| ShelfError::Content(path.clone(), e))?;
        let put = create_sealed(&*self.archive, &path, &body).await?;
        if put == Put::Exists && self.claimed(id, epoch).await?.is_some_and(|c| c.nonce == claim.nonce) {
            return Ok(Put::Created); // The answer to the first try was lost.
        }
        Ok(put)
    }

    /// Who claimed a take-over.
    pub async fn claimed(&self, id: JobId, epoch: u32) -> Got<Option<Claim>> {
        self.json(epoch_path(id, epoch)).await
    }

    /// The last take-over; 0 where nobody has taken the job yet.
    pub async fn last_epoch(&self, id: JobId) -> Got<u32> {
        let claims = self.archive.list(&format!("jobs/{id}/epoch")).await?;
        Ok(claims.iter().filter_map(|path| last(path).parse().ok()).max().unwrap_or(0))
    }

    /// Whether somebody has claimed this take-over.
    pub async fn is_claimed(&self, id: JobId, epoch: u32) -> Got<bool> {
        Ok(self.archive.get(&epoch_path(id, epoch)).await?.is_some())
    }

    /// Notes that a take-over is not ended by the job itself: its owner left it, or was seen to wait for
    /// others.
    pub async fn excuse(&self, id: JobId, epoch: u32) -> Got<()> {
        self.archive.create(&format!("jobs/{id}/excused/{epoch:06}"), Bytes::new()).await?;
        Ok(())
    }

    /// Whether that was noted.
    pub async fn is_excused(&self, id: JobId, epoch: u32) -> Got<bool> {
        Ok(self.archive.get(&format!("jobs/{id}/excused/{epoch:06}")).await?.is_some())
    }

    /// Writes a segment of the journal.
    pub async fn append(&self, id: JobId, epoch: u32, segment: u32, body: &[u8]) -> Got<()> {
        let path = format!("jobs/{id}/journal/{epoch:06}-{segment:06}");
        create_sealed(&*self.archive, &path, body).await?;
        Ok(())
    }

    /// The segments of a journal, in order.
    pub async fn segments(&self, id: JobId) -> Got<Vec<String>> {
        Ok(self.archive.list(&format!("jobs/{id}/journal")).await?)
    }

    /// A segment of a journal.
    pub async fn segment(&self, path: &str) -> Got<Option<Bytes>> {
        Ok(get_sealed(&*self.archive, path).await?)
    }

    /// Notes that a job shall end.
    pub async fn cancel(&self, id: JobId) -> Got<()> {
        self.archive.create(&format!("jobs/{id}/cancel"), Bytes::new()).await?;
        Ok(())
    }

    /// Whether a job shall end.
    pub async fn is_cancelled(&self, id: JobId) -> Got<bool> {
        Ok(self.archive.get(&format!("jobs/{id}/cancel")).await?.is_some())
    }

    /// Writes a piece of a tree.
    pub async fn put_piece(&self, id: JobId, epoch: u32, piece: u32, body: &[u8]) -> Got<()> {
        create_sealed(&*self.archive, &piece_path(id, epoch, piece), body).await?;
        Ok(())
    }

    /// A piece of a tree.
    pub async fn piece(&self, id: JobId, epoch: u32, piece: u32) -> Got<Option<Bytes>> {
        Ok(get_sealed(&*self.archive, &piece_path(id, epoch, piece)).await?)
    }

    /// Writes the candidates of a result, as JSON.
    pub async fn put_candidates(&self, id: JobId, epoch: u32, body: &[u8]) -> Got<()> {
        create_sealed(&*self.archive, &candidates_path(id, epoch), body).await?;
        Ok(())
    }

    /// The candidates of a result, as JSON.
    pub async fn candidates(&self, id: JobId, epoch: u32) -> Got<Option<Bytes>> {
        Ok(get_sealed(&*self.archive, &candidates_path(id, epoch)).await?)
    }

    /// Ends a job, unless it has ended; gives the end that counts.
    pub async fn end(&self, id: JobId, end: &Ended) -> Got<Ended> {
        let path = end_path(id);
        let body = serde_json::to_vec(end).map_err(|e| ShelfError::Content(path.clone(), e))?;
        match create_sealed(&*self.archive, &path, &body).await? {
            Put::Created => Ok(end.clone()),
            Put::Exists => Ok(self.ended(id).await?.unwrap_or_else(|| end.clone())),
        }
    }

    /// Whether a job has ended; one whose end is damaged has, too.
    pub async fn has_ended(&self, id: JobId) -> Got<bool> {
        match self.ended(id).await {
            Ok(end) => Ok(end.is_some()),
            Err(error) if error.is_damage() => {
                tracing::error!(%error, job = %id, "the end of a job is damaged");
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// How a job ended, if it has.
    pub async fn ended(&self, id: JobId) -> Got<Option<Ended>> {
        self.json(end_path(id)).await
    }

    /// Removes all that there is of a job; the record last, so that a half-removed job is
    /// found again.
    pub async fn remove(&self, tenant: &str, submitted_ms: i64, id: JobId) -> Got<usize> {
        self.records.invalidate(&id);
        let mut paths = self.archive.list(&format!("jobs/{id}")).await?;
        paths.sort_by_key(|path| *path == record_path(id));
        for path in &paths {
            self.archive.delete(path).await?;
        }
        self.close(id).await?;
        self.archive.delete(&format!("tenants/{tenant}/{:013}-{id}", submitted_ms.max(0))).await?;
        Ok(paths.len())
    }

    async fn json<T: DeserializeOwned>(&self, path: String) -> Got<Option<T>> {
        let Some(bytes) = get_sealed(&*self.archive, &path).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| ShelfError::Content(path, e))
    }
}

fn record_path(id: JobId) -> String {
    format!("jobs/{id}/record")
}

fn end_path(id: JobId) -> String {
    format!("jobs/{id}/end")
}

fn epoch_path(id: JobId, epoch: u32) -> String {
    format!("jobs/{id}/epoch/{epoch:06}")
}

fn piece_path(id: JobId, epoch: u32, piece: u32) -> String {
    format!("jobs/{id}/result/{epoch:06}/tree-{piece:05}")
}

fn candidates_path(id: JobId, epoch: u32) -> String {
    format!("jobs/{id}/result/{epoch:06}/candidates")
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
