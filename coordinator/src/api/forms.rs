//! A result in a form that people and other programs read, streamed while it is made.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use kudzu_shared::job::JobId;
use kudzu_shared::task;
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use super::views::Job;
use crate::cluster::result;
use crate::cluster::shelf::{Ended, ResultRecord};

/// Octets that are sent at a time.
const PIECE: usize = 64 << 10;
/// Pieces that wait for their reader.
const WAITING: usize = 2;
/// How long a reader may take for one piece, and for all: what it waits for holds memory.
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The canonical lines.
    #[default]
    Ndjson,
    /// One document: the lines, the candidates, and the figures.
    Json,
    /// One row a node.
    Csv,
    /// As a terminal shows it, without colours.
    Text,
}

/// How a result is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    /// Its form.
    pub format: Form,
    /// Whether observables are defanged: in text and rows, for people.
    pub defang: bool,
    /// Whether the text shows every node.
    pub full: bool,
}

/// A result as the archive has it.
pub struct Kept<'a> {
    /// Its job, at its end.
    pub job: &'a Job,
    /// The candidates, as JSON.
    pub candidates: &'a [u8],
    /// What was asked, and what came of it.
    pub coverage: &'a Value,
    /// The canonical lines, in pieces.
    pub lines: &'a mut dyn Iterator<Item = io::Result<Bytes>>,
}

/// The forms beside the canonical lines.
pub trait Forms: Send + Sync {
    /// Writes a result. Blocks.
    ///
    /// # Errors
    /// Those of the lines and of the writer, and where what is kept makes no sense.
    fn write(&self, wanted: Wanted, kept: Kept<'_>, out: &mut dyn Write) -> io::Result<()>;
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Form::Ndjson => "application/x-ndjson",
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8",
            Form::Text => "text/plain; charset=utf-8",
        }
    }
}

/// The answer with the result of a job in a form.
pub(super) async fn respond(
    api: &Api,
    (id, end, record): (JobId, Ended, ResultRecord),
    job: Job,
    wanted: Wanted,
) -> Result<Response, Problem> {
    if wanted.defang && matches!(wanted.format, Form::Ndjson | Form::Json) {
        return Err(Problem::malformed("defang is for people: ask for format=text or format=csv"));
    }
    let shelf = api.cluster.shelf();
    // The first piece is read before anything is said: what is damaged is not served.
    shelf.piece(id, end.epoch, 0).await?.ok_or_else(|| Problem::damaged("the tree is missing"))?;
    let pieces = result::pieces(shelf.clone(), id, end.epoch, record.pieces);
    let body = if wanted.format == Form::Ndjson {
        Body::from_stream(pieces)
    } else {
        let busy = || Problem::unavailable("busy", "enough results are written for others now", 2);
        let turn = Arc::clone(&api.writing).try_acquire_owned().map_err(|_| busy())?;
        let candidates = shelf.candidates(id, end.epoch).await?;
        let candidates = candidates.ok_or_else(|| Problem::damaged("the candidates are missing"))?;
        let (tx, mut rx) = mpsc::channel(WAITING);
        let feed = task::spawn("lines", async move {
            let mut pieces = std::pin::pin!(pieces);
            while let Some(piece) = pieces.next().await {
                if tx.send(piece.map_err(io::Error::other)).await.is_err() {
                    break;
                }
            }
        });
        let (out, written) = mpsc::channel(WAITING);
        let whole = Arc::new(AtomicBool::new(false));
        let forms = Arc::clone(&api.forms);
        let runtime = Handle::current();
        let done = Arc::clone(&whole);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut lines = std::iter::from_fn(|| rx.blocking_recv());
            let kept =
                Kept { job: &job, candidates: &candidates, coverage: &record.coverage, lines: &mut lines };
            let until = Instant::now() + LONGEST;
            let mut page = Page { out, runtime, until, buffer: Vec::with_capacity(PIECE) };
            match forms.write(wanted, kept, &mut page).and_then(|()| page.flush()) {
                Ok(()) => done.store(true, SeqCst),
                Err(error) => tracing::warn!(%error, job = %id, "a result is not sent whole"),
            }
        });
        // The lines are fed for as long as somebody reads. What is cut off ends with an error, and
        // so whoever reads it knows.
        let pieces = futures::stream::unfold(Some((written, feed)), move |open| {
            let whole = Arc::clone(&whole);
            async move {
                let (mut written, feed) = open?;
                match written.recv().await {
                    Some(piece) => Some((io::Result::Ok(piece), Some((written, feed)))),
                    None if whole.load(SeqCst) => None,
                    None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
                }
            }
        });
        Body::from_stream(pieces)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wanted.format.content_type()));
    if wanted.format == Form::Ndjson
        && let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", record.sha256))
    {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Sends what is written, as fast as it is read.
struct Page {
    out: mpsc::Sender<Bytes>,
    runtime: Handle,
    until: Instant,
    buffer: Vec<u8>,
}

impl Page {
    fn send(&self, piece: Bytes) -> io::Result<()> {
        let until = self.until.min(Instant::now() + PATIENCE);
        let sent = self.runtime.block_on(tokio::time::timeout_at(until, self.out.send(piece)));
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        self.send(piece.into())
    }
}
