//! Large results in parts: a broker wants small messages.

use super::codec::{self, Error};
use super::records::Record;
use super::results::{LookupResult, Results};
use crate::outcome::{Answer, Part};

/// What a sender puts into one message at most, header included.
pub const PART: usize = 128 * 1024;

/// What a count may take beyond its one octet for zero.
const COUNT: usize = 4;

impl Results {
    /// The same as results of at most [`PART`] octets each. An answer that does not fit
    /// comes in parts of this sending.
    ///
    /// # Errors
    /// When one record alone does not fit: sources bound the text they take.
    pub fn split(mut self, sending: u64) -> Result<Vec<Results>, Error> {
        let results = std::mem::take(&mut self.results);
        let used = self.head_size()? + COUNT;
        let room = PART.checked_sub(used).ok_or(Error::TooLarge(used))?;
        let mut parts = Parts { done: Vec::new(), open: Vec::new(), size: 0, room };
        for result in results {
            let size = result.size()?;
            if size > room {
                parts.pieces(result, sending)?;
            } else {
                parts.reserve(size);
                parts.push(result, size);
            }
        }
        parts.flush();
        Ok(parts.done.into_iter().map(|results| Results { results, ..self.clone() }).collect())
    }
}

struct Parts {
    done: Vec<Vec<LookupResult>>,
    open: Vec<LookupResult>,
    size: usize,
    room: usize,
}

impl Parts {
    fn reserve(&mut self, size: usize) {
        if self.size + size > self.room {
            self.flush();
        }
    }

    fn push(&mut self, result: LookupResult, size: usize) {
        self.open.push(result);
        self.size += size;
    }

    fn flush(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
        self.size = 0;
    }

    fn pieces(&mut self, mut whole: LookupResult, sending: u64) -> Result<(), Error> {
        self.flush();
        let first = self.done.len();
        let Answer { questions, pairs, facts, totals } = std::mem::take(&mut whole.answer);
        // The numbers are known when all parts are made; these take the most room.
        whole.part = Part { sending, index: u16::MAX - 1, of: u16::MAX };
        // Its four counts grow with its records.
        let base = whole.size()? + 4 * COUNT;
        let mut piece = Piece { parts: self, result: whole, base, size: base };
        for question in questions {
            piece.add(question, |a| &mut a.questions)?;
        }
        for pair in pairs {
            piece.add(pair, |a| &mut a.pairs)?;
        }
        for fact in facts {
            piece.add(fact, |a| &mut a.facts)?;
        }
        for total in totals {
            piece.add(total, |a| &mut a.totals)?;
        }
        let Piece { parts, result, size, .. } = piece;
        parts.push(result, size);
        parts.number(first)
    }

    /// Numbers the parts of one answer: one in each message from `first` on, and the open one.
    fn number(&mut self, first: usize) -> Result<(), Error> {
        let n = self.done.len() - first + 1;
        let of = u16::try_from(n).map_err(|_| Error::TooLarge(n * self.room))?;
        let parts = self.done[first..].iter_mut().chain([&mut self.open]).flatten();
        for (index, result) in (0..).zip(parts) {
            result.part = Part { index, of, ..result.part };
        }
        Ok(())
    }
}

struct Piece<'a> {
    parts: &'a mut Parts,
    result: LookupResult,
    base: usize,
    size: usize,
}

impl Piece<'_> {
    fn add<T: Record>(&mut self, record: T, list: impl Fn(&mut Answer) -> &mut Vec<T>) -> Result<(), Error> {
        let size = codec::size(&record)?;
        if self.base + size > self.parts.room {
            return Err(Error::TooLarge(size));
        }
        if self.size + size > self.parts.room {
            let full = std::mem::take(&mut self.result.answer);
            self.parts.push(LookupResult { answer: full, ..self.result.clone() }, self.size);
            self.parts.flush();
            self.size = self.base;
        }
        list(&mut self.result.answer).push(record);
        self.size += size;
        Ok(())
    }
}
