//! A task: lookups of one job and one source class, up to 256 questions.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::codec::{Error, Reader, Writer};
use super::records;
use crate::job::JobId;
use crate::marking::{Pap, Tlp};
use crate::observable::Observable;

const KIND: u8 = 1;

/// Asks a worker for lookups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Whose lookups.
    pub job: JobId,
    /// Which take-over of the job (fencing); results repeat it.
    pub epoch: u32,
    /// Queue that the results go to.
    pub reply_to: String,
    /// Whose job it is.
    pub tenant: String,
    /// Checked again by the worker (I5).
    pub tlp: Tlp,
    /// Checked again by the worker (I5).
    pub pap: Pap,
    /// Wall-clock end of the job, milliseconds since 1970; asked no more after it.
    pub deadline_ms: Option<i64>,
    /// The trace it belongs to, as a W3C `traceparent`.
    pub trace: Option<String>,
    /// When the cache had none of its answers, milliseconds since 1970: a worker that has it
    /// soon after need not look again.
    pub looked_ms: Option<i64>,
    /// What is asked; lookups refer to these by index.
    pub asks: Vec<Ask>,
    /// The lookups.
    pub lookups: Vec<TaskLookup>,
}

/// A source and the questions to ask of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Source instance.
    pub source: String,
    /// DNS record types by number; empty where a lookup is one question.
    pub types: Vec<u16>,
    /// Rows or records wanted at most from one answer.
    pub limit: u32,
}

/// One lookup of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLookup {
    /// The coordinator's number for it.
    pub seq: u32,
    /// Index into the task's asks.
    pub ask: u8,
    /// Which of the ask's questions are wanted, bit by index; later rounds ask fewer.
    pub questions: u32,
    /// What is looked up.
    pub key: Observable,
}

#[derive(Encode, Decode)]
struct Head {
    job: JobId,
    epoch: u32,
    reply_to: String,
    tenant: String,
    tlp: u8,
    pap: u8,
    deadline_ms: Option<i64>,
    asks: u32,
    lookups: u32,
}

/// Since 1.1.
#[derive(Encode, Decode)]
struct Trace {
    trace: Option<String>,
}

/// Since 1.2.
#[derive(Encode, Decode)]
struct Looked {
    looked_ms: Option<i64>,
}

impl Task {
    /// The message.
    ///
    /// # Errors
    /// When it is larger than the limit.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut w = Writer::new(KIND, 256 + self.lookups.len() * 48);
        w.head(&Head {
            job: self.job,
            epoch: self.epoch,
            reply_to: self.reply_to.clone(),
            tenant: self.tenant.clone(),
            tlp: self.tlp as u8,
            pap: self.pap as u8,
            deadline_ms: self.deadline_ms,
            asks: count(self.asks.len())?,
            lookups: count(self.lookups.len())?,
        })?;
        self.asks.iter().try_for_each(|a| w.record(a))?;
        self.lookups.iter().try_for_each(|l| w.record(l))?;
        w.head(&Trace { trace: self.trace.clone() })?;
        w.head(&Looked { looked_ms: self.looked_ms })?;
        w.finish()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is damaged, of another kind or of another major version.
    pub fn decode(message: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(message, KIND)?;
        let h: Head = r.head()?;
        let asks: Vec<Ask> = r.records(h.asks)?;
        let lookups: Vec<TaskLookup> = r.records(h.lookups)?;
        let trace = r.tail()?.and_then(|Trace { trace }| trace);
        let looked_ms = r.tail()?.and_then(|Looked { looked_ms }| looked_ms);
        if lookups.iter().any(|l| usize::from(l.ask) >= asks.len()) {
            return Err(Error::Damaged("ask"));
        }
        Ok(Self {
            job: h.job,
            epoch: h.epoch,
            reply_to: h.reply_to,
            tenant: h.tenant,
            tlp: records::tlp(h.tlp)?,
            pap: records::pap(h.pap)?,
            deadline_ms: h.deadline_ms,
            trace,
            looked_ms,
            asks,
            lookups,
        })
    }
}

pub(super) fn count(n: usize) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| Error::TooLarge(n))
}
