//! The journal of a job: the outcomes that its owner has accepted, in segments. Whoever takes
//! the job over goes on from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use kudzu_shared::job::JobId;
use kudzu_shared::wire::{Ask, Results};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::shelf::{Shelf, ShelfError};
use crate::run::{Known, Taken};

/// Outcomes in one segment.
const FULL: usize = 10_000;
/// Octets in one segment, roughly: it is held three times while it is written.
const LARGE: usize = 2 << 20;
/// How long an outcome waits for its segment, and how long where there are many: what is lost with
/// a coordinator is asked again.
const LINGER: Duration = Duration::from_secs(1);
const MANY: usize = 256;
const BRIEF: Duration = Duration::from_millis(200);
/// Pause after a segment that could not be written.
const AGAIN: Duration = Duration::from_millis(500);

/// What a journal needs to be written.
pub struct Writer {
    pub shelf: Shelf,
    pub id: JobId,
    /// The take-over that began this run of the job.
    pub epoch: u32,
    /// The one that it is at now: it may have been prolonged.
    pub lease: Arc<AtomicU32>,
    /// Ends once somebody else has taken the job over.
    pub fenced: CancellationToken,
}

impl Writer {
    /// Writes what comes until there is no more of it; then all of it is written. Where the
    /// archive fails it tries again: meanwhile the job asks no more.
    ///
    /// Whoever sends through `flushes` is told once what came before is written.
    pub async fn run(
        self,
        mut entries: mpsc::Receiver<Vec<Taken>>,
        mut flushes: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut waiting: Vec<Taken> = Vec::new();
        let (mut outcomes, mut octets, mut since, mut segment) = (0, 0, None::<Instant>, 0);
        loop {
            let mut flushed = None;
            let due = since.map(|since| since + if outcomes < MANY { LINGER } else { BRIEF });
            let more = tokio::select! {
                more = entries.recv() => Some(more),
                Some(flush) = flushes.recv() => {
                    flushed = Some(flush);
                    while let Ok(more) = entries.try_recv() {
                        waiting.extend(more);
                    }
                    None
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
            };
            let mut last = false;
            match more {
                Some(Some(more)) => {
                    outcomes += more.iter().map(|t| t.outcomes).sum::<usize>();
                    octets += more.iter().map(|t| t.message.len()).sum::<usize>();
                    waiting.extend(more);
                    since.get_or_insert_with(Instant::now);
                    if outcomes < FULL && octets < LARGE {
                        continue;
                    }
                }
                Some(None) => last = true,
                None => {}
            }
            if !waiting.is_empty() {
                if !self.write(segment, &pack(&waiting)).await {
                    return;
                }
                segment += 1;
                waiting.clear();
                (outcomes, octets) = (0, 0);
            }
            since = None;
            if let Some(flushed) = flushed {
                let _ = flushed.send(()); // Who does not wait any more need not know.
            }
            if last {
                return;
            }
        }
    }

    /// False once the job is somebody else's.
    async fn write(&self, segment: u32, body: &[u8]) -> bool {
        loop {
            match self.shelf.append(self.id, self.epoch, segment, body).await {
                Ok(()) => return !self.is_fenced().await,
                Err(error) => {
                    tracing::warn!(%error, job = %self.id, "the journal cannot be written, trying again");
                }
            }
            tokio::select! {
                () = self.fenced.cancelled() => return false,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    async fn is_fenced(&self) -> bool {
        if matches!(self.shelf.is_claimed(self.id, self.lease.load(SeqCst) + 1).await, Ok(true)) {
            self.fenced.cancel();
        }
        self.fenced.is_cancelled()
    }
}

/// Messages one after the other, each after its length (32 bits, least octet first).
fn pack(taken: &[Taken]) -> Vec<u8> {
    let mut body = Vec::with_capacity(taken.iter().map(|t| t.message.len() + 4).sum());
    for Taken { message, .. } in taken {
        // No message is longer than a quarter of a mebibyte.
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(message);
    }
    body
}

/// The messages of a segment. One that cannot be read, as of a version to come, is passed
/// over and counted: what it says is asked again.
pub fn unpack(mut body: &[u8], mut each: impl FnMut(Results)) -> usize {
    let mut unread = 0;
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((message, rest)) = rest.split_at_checked(length) else { return unread + 1 };
        body = rest;
        match Results::decode(message) {
            Ok(results) => each(results),
            Err(_) => unread += 1,
        }
    }
    unread + usize::from(!body.is_empty())
}

/// What earlier take-overs of a job have journaled, and in how many segments. A segment that
/// is damaged is passed over: what it says is asked again.
///
/// # Errors
/// When the archive cannot be read.
pub async fn read(shelf: &Shelf, id: JobId, asks: Vec<Ask>) -> Result<(Known, usize), ShelfError> {
    let segments = shelf.segments(id).await?;
    let mut known = Known::new(asks);
    for path in &segments {
        let body = match shelf.segment(path).await {
            Ok(Some(body)) => body,
            Ok(None) => continue,
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "a segment of a journal is passed over; what it says is asked again");
                continue;
            }
            Err(error) => return Err(error),
        };
        let unread = unpack(&body, |results| known.add(results));
        if unread > 0 {
            tracing::warn!(
                path,
                unread,
                "messages of a journal cannot be read; what they say is asked again"
            );
        }
        tokio::task::yield_now().await;
    }
    Ok((known, segments.len()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kudzu_shared::archive::Store;
    use kudzu_shared::observable::Observable;
    use kudzu_shared::outcome::{Answer, Part, Question, Verdict};
    use kudzu_shared::wire::LookupResult;

    use super::*;

    fn ask() -> Ask {
        Ask { source: "x".into(), types: vec![1], limit: 1 }
    }

    fn taken(n: u32) -> Taken {
        let question = Question { index: 0, verdict: Verdict::Found, tries: 1, rtt_us: 1, upstream: 0 };
        let results = Results {
            job: JobId(1),
            epoch: 1,
            worker: "w".into(),
            asks: vec![ask()],
            upstreams: vec![String::new()],
            results: vec![LookupResult {
                seq: n << 2,
                ask: 0,
                key: Observable::from_asn(n),
                observed_ms: 1,
                cached: false,
                part: Part::WHOLE,
                answer: Answer { questions: vec![question], ..Answer::default() },
            }],
        };
        Taken { message: results.encode().unwrap(), outcomes: 1 }
    }

    fn writer(shelf: &Shelf, epoch: u32) -> Writer {
        Writer {
            shelf: shelf.clone(),
            id: JobId(1),
            epoch,
            lease: Arc::new(epoch.into()),
            fenced: CancellationToken::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_is_known_to_whoever_reads() {
        let shelf = Shelf::new(Arc::new(Store::memory()));
        for epoch in 1..3 {
            let (tx, rx) = mpsc::channel(1);
            let written =
                kudzu_shared::task::spawn("writer", writer(&shelf, epoch).run(rx, mpsc::channel(1).1));
            for n in 0..25 {
                tx.send(vec![taken(epoch * 100 + n), taken(epoch * 100 + 50 + n)]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            drop(tx);
            written.await.unwrap();
        }
        let (known, segments) = read(&shelf, JobId(1), vec![ask()]).await.unwrap();
        assert_eq!(known.len(), 100);
        assert!((4..=10).contains(&segments), "{segments}: one a second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_segment_does_not_wait() {
        let shelf = Shelf::new(Arc::new(Store::memory()));
        let (tx, rx) = mpsc::channel(1);
        let _writer = kudzu_shared::task::spawn("writer", writer(&shelf, 1).run(rx, mpsc::channel(1).1));
        tx.send(vec![Taken { outcomes: FULL, ..taken(1) }]).await.unwrap();
        tx.send(vec![taken(2)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(shelf.segments(JobId(1)).await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_flushed_is_there_at_once() {
        let shelf = Shelf::new(Arc::new(Store::memory()));
        let ((tx, rx), (flush, flushes)) = (mpsc::channel(1), mpsc::channel(1));
        let _writer = kudzu_shared::task::spawn("writer", writer(&shelf, 1).run(rx, flushes));
        tx.send(vec![taken(1)]).await.unwrap();
        tokio::task::yield_now().await;
        for want in [1, 1] {
            let (done, told) = oneshot::channel();
            flush.send(done).await.unwrap();
            told.await.unwrap();
            assert_eq!(shelf.segments(JobId(1)).await.unwrap().len(), want);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_take_over_ends_the_journal_of_the_one_before() {
        let shelf = Shelf::new(Arc::new(Store::memory()));
        let (tx, rx) = mpsc::channel(1);
        let writer = writer(&shelf, 1);
        let fenced = writer.fenced.clone();
        let written = kudzu_shared::task::spawn("writer", writer.run(rx, mpsc::channel(1).1));
        let claim = super::super::shelf::Claim {
            owner: "b".into(),
            address: None,
            claimed_ms: 0,
            nonce: 1,
            segments: 0,
            stalled: 0,
        };
        shelf.claim(JobId(1), 2, &claim).await.unwrap();
        tx.send(vec![taken(1)]).await.unwrap();
        written.await.unwrap();
        assert!(fenced.is_cancelled());
    }

    #[test]
    fn damage_is_counted_and_costs_only_itself() {
        let mut body = pack(&[taken(1), taken(2)]);
        let mut seen = 0;
        assert_eq!(unpack(&body, |_| seen += 1), 0);
        assert_eq!(seen, 2);
        body[10] ^= 1;
        assert_eq!(unpack(&body, |_| seen += 1), 1);
        assert_eq!(seen, 3);
        assert_eq!(unpack(&body[..body.len() - 1], |_| ()), 2);
        assert_eq!(unpack(&Bytes::from_static(b"\xff\xff\xff\xffx"), |_| ()), 1);
        assert_eq!(unpack(b"ab", |_| ()), 1);
    }
}
