//! An answer as records: within results, and alone as a cache entry.

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::codec::{self, Error, Reader, Writer};
use super::task::count;
use crate::outcome::Answer;

const KIND: u8 = 3;

/// An answer that stands alone: in a cache, or in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// When it was observed, milliseconds since 1970.
    pub observed_ms: i64,
    /// The upstreams that its questions refer to by index.
    pub upstreams: Vec<String>,
    /// The answer.
    pub answer: Answer,
    /// It failed in every later round, too: asking again at once is of no use.
    pub settled: bool,
}

/// Since 1.2, where it is settled.
#[derive(Encode, Decode)]
struct Tail {
    settled: bool,
}

#[derive(Encode, Decode)]
struct Head {
    observed_ms: i64,
    upstreams: Vec<String>,
    counts: Counts,
}

/// How many records of each kind follow.
#[derive(Debug, Clone, Copy, Encode, Decode)]
pub(super) struct Counts {
    questions: u32,
    pairs: u32,
    facts: u32,
    totals: u32,
}

impl Counts {
    pub(super) fn of(answer: &Answer) -> Result<Self, Error> {
        let Answer { questions, pairs, facts, totals } = answer;
        Ok(Self {
            questions: count(questions.len())?,
            pairs: count(pairs.len())?,
            facts: count(facts.len())?,
            totals: count(totals.len())?,
        })
    }

    pub(super) fn read(self, r: &mut Reader<'_>, upstreams: usize) -> Result<Answer, Error> {
        let answer = Answer {
            questions: r.records(self.questions)?,
            pairs: r.records(self.pairs)?,
            facts: r.records(self.facts)?,
            totals: r.records(self.totals)?,
        };
        let known = answer.questions.iter().all(|q| usize::from(q.upstream) < upstreams);
        if known { Ok(answer) } else { Err(Error::Damaged("upstream")) }
    }
}

pub(super) fn write(answer: &Answer, w: &mut Writer) -> Result<(), Error> {
    answer.questions.iter().try_for_each(|x| w.record(x))?;
    answer.pairs.iter().try_for_each(|x| w.record(x))?;
    answer.facts.iter().try_for_each(|x| w.record(x))?;
    answer.totals.iter().try_for_each(|x| w.record(x))
}

/// What the records of an answer take in a message.
pub(super) fn size(answer: &Answer) -> Result<usize, Error> {
    let Answer { questions, pairs, facts, totals } = answer;
    let sizes = questions.iter().map(codec::size).chain(pairs.iter().map(codec::size));
    sizes.chain(facts.iter().map(codec::size)).chain(totals.iter().map(codec::size)).sum()
}

impl StoredAnswer {
    /// Its bytes.
    ///
    /// # Errors
    /// When they are more than the limit.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let mut w = Writer::new(KIND, 256);
        w.head(&Head {
            observed_ms: self.observed_ms,
            upstreams: self.upstreams.clone(),
            counts: Counts::of(&self.answer)?,
        })?;
        write(&self.answer, &mut w)?;
        if self.settled {
            w.head(&Tail { settled: true })?;
        }
        w.finish()
    }

    /// Reads its bytes.
    ///
    /// # Errors
    /// When they are damaged, of another kind or of another major version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new(bytes, KIND)?;
        let Head { observed_ms, upstreams, counts } = r.head()?;
        let answer = counts.read(&mut r, upstreams.len())?;
        let settled = r.tail::<Tail>()?.is_some_and(|tail| tail.settled);
        Ok(Self { observed_ms, upstreams, answer, settled })
    }
}
