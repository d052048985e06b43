//! A hint: a job is over, whoever still works for it may stop.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::codec::{Error, Reader, Writer};
use crate::job::JobId;

const KIND: u8 = 4;

/// Sent to all workers when a job was cancelled, or has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// The job.
    pub job: JobId,
}

#[derive(Encode, Decode)]
struct Head {
    job: JobId,
}

impl Over {
    /// The topic that it is sent to.
    pub const TOPIC: &'static str = "kudzu.over";

    /// The message.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut w = Writer::new(KIND, 64);
        w.head(&Head { job: self.job })?;
        w.finish()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is damaged, of another kind or of another major version.
    pub fn decode(message: &[u8]) -> Result<Self, Error> {
        let head: Head = Reader::new(message, KIND)?.head()?;
        Ok(Self { job: head.job })
    }
}
