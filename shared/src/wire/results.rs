//! Results: what lookups of one job brought.

use bincode::{BorrowDecode, Decode, Encode};
use bytes::Bytes;

use super::answer::{self, Counts};
use super::codec::{self, Error, Reader, Writer};
use super::records::Obs;
use super::task::{Ask, count};
use crate::job::JobId;
use crate::observable::Observable;
use crate::outcome::{Answer, Part};

const KIND: u8 = 2;

/// Answers a coordinator; self-describing, so that a journal of these needs no tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// Whose.
    pub job: JobId,
    /// The task's epoch.
    pub epoch: u32,
    /// Who looked up.
    pub worker: String,
    /// The asks that results refer to by index.
    pub asks: Vec<Ask>,
    /// The upstreams that questions refer to by index.
    pub upstreams: Vec<String>,
    /// The results.
    pub results: Vec<LookupResult>,
}

/// What one lookup brought, or one part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupResult {
    /// The coordinator's number for it.
    pub seq: u32,
    /// Index into the asks.
    pub ask: u8,
    /// What was looked up.
    pub key: Observable,
    /// When the answer was observed, milliseconds since 1970.
    pub observed_ms: i64,
    /// Whether it comes from the cache.
    pub cached: bool,
    /// Which part of the answer this is.
    pub part: Part,
    /// The answer.
    pub answer: Answer,
}

#[derive(Encode, Decode)]
struct Head {
    job: JobId,
    epoch: u32,
    worker: String,
    upstreams: Vec<String>,
    asks: u32,
    results: u32,
}

#[derive(Encode, BorrowDecode)]
struct ResultHead<'a> {
    seq: u32,
    ask: u8,
    key: Obs<'a>,
    observed_ms: i64,
    cached: bool,
    sending: u64,
    part: u16,
    parts: u16,
    counts: Counts,
}

impl Results {
    /// The message.
    ///
    /// # Errors
    /// When it is larger than the limit.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut w = Writer::new(KIND, 256 + self.results.len() * 256);
        w.head(&self.head()?)?;
        self.asks.iter().try_for_each(|a| w.record(a))?;
        for r in &self.results {
            r.write(&mut w)?;
        }
        w.finish()
    }

    fn head(&self) -> Result<Head, Error> {
        Ok(Head {
            job: self.job,
            epoch: self.epoch,
            worker: self.worker.clone(),
            upstreams: self.upstreams.clone(),
            asks: count(self.asks.len())?,
            results: count(self.results.len())?,
        })
    }

    /// What the message takes before its first result.
    pub(super) fn head_size(&self) -> Result<usize, Error> {
        let asks: usize = self.asks.iter().map(codec::size).sum::<Result<_, _>>()?;
        Ok(codec::HEADER + codec::head_size(&self.head()?)? + asks)
    }

    /// Whose results a message has: the job, and its take-over. The rest is not looked at.
    ///
    /// # Errors
    /// As [`Results::decode`].
    pub fn address(message: &[u8]) -> Result<(JobId, u32), Error> {
        let head: Head = Reader::new(message, KIND)?.head()?;
        Ok((head.job, head.epoch))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is damaged, of another kind or of another major version.
    pub fn decode(message: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(message, KIND)?;
        let h: Head = r.head()?;
        let asks: Vec<Ask> = r.records(h.asks)?;
        let mut results = Vec::new();
        for _ in 0..h.results {
            let result = LookupResult::read(&mut r, h.upstreams.len())?;
            if usize::from(result.ask) >= asks.len() {
                return Err(Error::Damaged("ask"));
            }
            results.push(result);
        }
        Ok(Self { job: h.job, epoch: h.epoch, worker: h.worker, asks, upstreams: h.upstreams, results })
    }
}

impl LookupResult {
    fn head(&self) -> Result<ResultHead<'_>, Error> {
        Ok(ResultHead {
            seq: self.seq,
            ask: self.ask,
            key: Obs::of(&self.key),
            observed_ms: self.observed_ms,
            cached: self.cached,
            sending: self.part.sending,
            part: self.part.index,
            parts: self.part.of,
            counts: Counts::of(&self.answer)?,
        })
    }

    /// What it takes in a message.
    pub(super) fn size(&self) -> Result<usize, Error> {
        Ok(codec::head_size(&self.head()?)? + answer::size(&self.answer)?)
    }

    fn write(&self, w: &mut Writer) -> Result<(), Error> {
        w.head(&self.head()?)?;
        answer::write(&self.answer, w)
    }

    fn read(r: &mut Reader<'_>, upstreams: usize) -> Result<Self, Error> {
        let h: ResultHead<'_> = r.head()?;
        let part = Part { sending: h.sending, index: h.part, of: h.parts };
        if part.index >= part.of {
            return Err(Error::Damaged("part"));
        }
        Ok(Self {
            seq: h.seq,
            ask: h.ask,
            key: h.key.read()?,
            observed_ms: h.observed_ms,
            cached: h.cached,
            part,
            answer: h.counts.read(r, upstreams)?,
        })
    }
}
