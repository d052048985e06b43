//! A hint: what waits at one coordinator, for the others.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::codec::{Error, Reader, Writer};

const KIND: u8 = 6;
/// Classes that a coordinator may know.
const CLASSES: usize = 64;

/// Sent by every coordinator to all of them, again and again: each can say what waits in the
/// whole cluster. The last one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The coordinator; another number after each start.
    pub from: u128,
    /// Sources that something waits for.
    pub waiting: Vec<SourceBacklog>,
    /// The classes that it knows.
    pub flows: Vec<ClassFlow>,
}

/// What waits for one source.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SourceBacklog {
    /// The source.
    pub source: String,
    /// Lookups that have not ended.
    pub lookups: u64,
    /// Questions of these.
    pub questions: u64,
}

/// How quickly a class is answered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ClassFlow {
    /// The class.
    pub class: String,
    /// Questions answered in a thousand seconds.
    pub rate: u64,
    /// Milliseconds for which work has waited without any answer.
    pub quiet_ms: u64,
}

#[derive(Encode, Decode)]
struct Head {
    from: u128,
    waiting: u32,
    flows: u32,
}

impl Backlog {
    /// The topic that it is sent to.
    pub const TOPIC: &'static str = "kudzu.backlog";
    /// Sources that it may speak of.
    pub const SOURCES: usize = 1_024;

    /// The message.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let count = |n: usize| u32::try_from(n).map_err(|_| Error::TooLarge(n));
        let mut w = Writer::new(KIND, 256);
        let (waiting, flows) = (count(self.waiting.len())?, count(self.flows.len())?);
        w.head(&Head { from: self.from, waiting, flows })?;
        self.waiting.iter().try_for_each(|source| w.head(source))?;
        self.flows.iter().try_for_each(|flow| w.head(flow))?;
        w.finish()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is damaged, of another kind or of another major version.
    pub fn decode(message: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(message, KIND)?;
        let Head { from, waiting, flows } = r.head()?;
        Ok(Self { from, waiting: r.heads(waiting, Self::SOURCES)?, flows: r.heads(flows, CLASSES)? })
    }
}
