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
    /// Tasks of this take-over and of earlier ones are not wanted any more; all of them,
    /// where it is the highest number.
    pub epoch: u32,
}

#[derive(Encode, Decode)]
struct Head {
    job: JobId,
}

/// Since 1.1.
#[derive(Encode, Decode)]
struct Tail {
    epoch: u32,
}

impl Over {
    /// The topic that it is sent to.
    pub const TOPIC: &'static str = "kudzu.over";
    /// The topic that hastens a cancel: coordinators hear it.
    pub const CANCEL: &'static str = "kudzu.cancel";

    /// The message.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut w = Writer::new(KIND, 64);
        w.head(&Head { job: self.job })?;
        w.head(&Tail { epoch: self.epoch })?;
        w.finish()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is damaged, of another kind or of another major version.
    pub fn decode(message: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(message, KIND)?;
        let Head { job } = r.head()?;
        let epoch = r.tail()?.map_or(u32::MAX, |Tail { epoch }| epoch);
        Ok(Self { job, epoch })
    }
}
