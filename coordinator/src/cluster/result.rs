//! The result of a job on its way into the archive, and out of it.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use kudzu_shared::job::JobId;
use tokio::sync::mpsc;

use super::shelf::{ResultRecord, Shelf, ShelfError};
use crate::model::JobResult;
use crate::tree::write::Written;

/// Octets of a tree in one object.
const PIECE: usize = 4 << 20;
/// Pieces that wait to be written.
const WAITING: usize = 2;

/// Nodes of a tree whose memory is worth the time to give it back.
const LARGE: u64 = 100_000;

/// Why a result is not in the archive.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// The archive.
    #[error("write the result of job {0}")]
    Archive(JobId, #[source] ShelfError),
    /// It cannot be written as text.
    #[error("write the result of job {0}")]
    Write(JobId, #[source] io::Error),
    /// The code that writes it failed.
    #[error("the result of job {0} could not be written")]
    Panicked(JobId),
}

/// Writes a result under a take-over; it counts only once the job's end says so. Calls
/// `give_memory_back` when one of 100,000 nodes or more is no longer in memory.
///
/// # Errors
/// When the archive fails.
pub async fn write(
    shelf: &Shelf,
    id: JobId,
    epoch: u32,
    result: JobResult,
    give_memory_back: fn(),
) -> Result<ResultRecord, ResultError> {
    let (tx, mut pieces) = mpsc::channel::<Bytes>(WAITING);
    // Heavy on the processor, so beside the runtime's threads.
    let result = Arc::new(result);
    let ranking = tokio::task::spawn_blocking({
        let result = Arc::clone(&result);
        move || serde_json::to_vec(result.candidates())
    });
    let writing = tokio::task::spawn_blocking(move || {
        // Most trees are far smaller than a piece.
        let mut out = Pieces { tx, buffer: Vec::new() };
        let written = result.tree.write_ndjson(&mut out, result.partial)?;
        out.flush_piece()?;
        record(&result, &written)
    });
    let failed = |e| ResultError::Archive(id, e);
    let mut count = 0;
    while let Some(piece) = pieces.recv().await {
        shelf.put_piece(id, epoch, count, &piece).await.map_err(failed)?;
        count += 1;
    }
    let written = writing.await.map_err(|_| ResultError::Panicked(id))?;
    let record = written.map_err(|e| ResultError::Write(id, e))?;
    let ranked = ranking.await.map_err(|_| ResultError::Panicked(id))?;
    let candidates = ranked.map_err(|e| ResultError::Write(id, e.into()))?;
    let given_back = async {
        // Nobody holds the result any more. Waited for, so that the next job finds the memory.
        if record.nodes >= LARGE {
            super::give_memory_back(give_memory_back).await;
        }
    };
    let (put, ()) = tokio::join!(shelf.put_candidates(id, epoch, &candidates), given_back);
    put.map_err(failed)?;
    Ok(ResultRecord { pieces: count, ..record })
}

fn record(result: &JobResult, written: &Written) -> io::Result<ResultRecord> {
    Ok(ResultRecord {
        sha256: written.hex(),
        nodes: written.nodes,
        edges: written.edges,
        stubs: written.stubs,
        pieces: 0,
        progress: serde_json::to_value(&result.progress)?,
        figures: serde_json::to_value(&result.figures)?,
        coverage: serde_json::to_value(&result.coverage)?,
    })
}

/// Cuts what is written into pieces, at the ends of lines.
struct Pieces {
    tx: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
}

impl Pieces {
    fn flush_piece(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let next = if self.buffer.len() < PIECE { Vec::new() } else { Vec::with_capacity(PIECE) };
        let piece = std::mem::replace(&mut self.buffer, next);
        self.tx.blocking_send(piece.into()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Most of what comes leaves room.
        if self.buffer.len() + bytes.len() < PIECE {
            self.buffer.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        // A line is written before a piece is cut, so that no piece ends within one.
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            self.buffer.extend_from_slice(line);
            if self.buffer.len() >= PIECE && line.ends_with(b"\n") {
                self.flush_piece()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The pieces of a tree, in order. One that is missing or damaged is an error, and the last.
pub fn pieces(
    shelf: Shelf,
    id: JobId,
    epoch: u32,
    count: u32,
) -> impl Stream<Item = Result<Bytes, ShelfError>> {
    futures::stream::unfold(Some(0), move |at| {
        let shelf = shelf.clone();
        async move {
            let at = at.filter(|at| *at < count)?;
            let piece = match shelf.piece(id, epoch, at).await {
                Ok(Some(piece)) => Ok(piece),
                Ok(None) => Err(ShelfError::missing(id, epoch, at)),
                Err(error) => Err(error),
            };
            let next = piece.is_ok().then_some(at + 1);
            Some((piece, next))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_end_with_lines() {
        let (tx, mut rx) = mpsc::channel(100);
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let all: Vec<u8> = line.iter().copied().cycle().take(10_000 * 1000).collect();
        let whole = all.clone();
        let writing = tokio::task::spawn_blocking(move || {
            let mut out = Pieces { tx, buffer: Vec::new() };
            for part in all.chunks(7_777) {
                out.write_all(part).unwrap();
            }
            out.flush_piece().unwrap();
        });
        let mut back = Vec::new();
        let mut count = 0;
        while let Some(piece) = rx.recv().await {
            assert!(piece.ends_with(b"\n") && piece.len() < PIECE + 1_001);
            back.extend_from_slice(&piece);
            count += 1;
        }
        writing.await.unwrap();
        assert_eq!((back == whole, count), (true, 3));
    }
}
