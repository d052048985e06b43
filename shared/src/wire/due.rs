//! A job that is due: the message on the queue of jobs.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::codec::{Error, Reader, Writer};
use crate::job::JobId;

const KIND: u8 = 5;

/// Says that somebody shall run a job. The record is in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: JobId,
    /// Which take-over of it this asks for; the first is 1.
    pub epoch: u32,
    /// The trace it belongs to, as a W3C `traceparent`.
    pub trace: Option<String>,
}

#[derive(Encode, Decode)]
struct Head {
    job: JobId,
    epoch: u32,
    trace: Option<String>,
}

impl Due {
    /// The queue that it travels on.
    pub const QUEUE: &'static str = "kudzu.jobs";

    /// The message.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut w = Writer::new(KIND, 64);
        w.head(&Head { job: self.job, epoch: self.epoch, trace: self.trace.clone() })?;
        w.finish()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is damaged, of another kind or of another major version.
    pub fn decode(message: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(message, KIND)?;
        let Head { job, epoch, trace } = r.head()?;
        Ok(Self { job, epoch, trace })
    }
}
