//! Replies on their way out, gathered by reader.

use crate::{Reply, Sink};

/// Who waits for replies, each with those that are ready. It never waits: what a full sink
/// does not take stays, bounded by what may be open.
#[derive(Debug, Default)]
pub(super) struct Readers {
    all: Vec<Option<Reader>>,
    free: Vec<u32>,
    /// Those with something ready.
    ready: Vec<u32>,
    /// Replies that are ready.
    len: usize,
}

#[derive(Debug)]
struct Reader {
    sink: Sink,
    /// Questions that are open.
    open: usize,
    replies: Vec<Reply>,
}

impl Readers {
    /// The number of a sink's reader, who now waits for so many more.
    pub(super) fn of(&mut self, sink: &Sink, questions: usize) -> u32 {
        // From the end: batches of one reader tend to come together.
        let known = |r: &Option<Reader>| r.as_ref().is_some_and(|r| r.sink.same_as(sink));
        if let Some(at) = self.all.iter().rposition(known)
            && let Some(reader) = &mut self.all[at]
        {
            reader.open += questions;
            return at as u32;
        }
        let reader = Some(Reader { sink: sink.clone(), open: questions, replies: Vec::new() });
        if let Some(at) = self.free.pop() {
            self.all[at as usize] = reader;
            return at;
        }
        self.all.push(reader);
        (self.all.len() - 1) as u32
    }

    /// Whether nothing more is to be asked for it.
    pub(super) fn is_withdrawn(&self, reader: u32) -> bool {
        self.all[reader as usize].as_ref().is_some_and(|r| r.sink.is_withdrawn())
    }

    /// A question that was withdrawn ends.
    pub(super) fn note_withdrawn(&self, reader: u32) {
        if let Some(reader) = &self.all[reader as usize] {
            reader.sink.note_withdrawn();
        }
    }

    /// Whether nobody reads any more.
    pub(super) fn is_gone(&self, reader: u32) -> bool {
        self.all[reader as usize].as_ref().is_none_or(|r| r.sink.is_closed())
    }

    /// One question of the reader has ended; with no reply where nobody reads.
    pub(super) fn end(&mut self, reader: u32, reply: Option<Reply>) {
        let Some(r) = &mut self.all[reader as usize] else { return };
        r.open -= 1;
        if r.replies.is_empty() {
            self.ready.push(reader);
        }
        match reply {
            Some(reply) => {
                r.replies.push(reply);
                self.len += 1;
            }
            None if r.replies.is_empty() && r.open > 0 => {
                self.ready.pop();
            }
            None => {}
        }
    }

    /// Replies that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The same, and readers who have nothing more to wait for.
    pub(super) fn ready(&self) -> usize {
        self.len.max(self.ready.len())
    }

    /// Hands over what is ready; true where a sink was full.
    pub(super) fn flush(&mut self) -> bool {
        let mut still = Vec::new();
        for at in self.ready.drain(..) {
            let Some(reader) = &mut self.all[at as usize] else { continue };
            let replies = std::mem::take(&mut reader.replies);
            self.len -= replies.len();
            if !replies.is_empty()
                && let Err(back) = reader.sink.try_send(replies)
            {
                self.len += back.len();
                reader.replies = back;
                still.push(at);
            } else if reader.open == 0 {
                self.all[at as usize] = None;
                self.free.push(at);
            }
        }
        self.ready = still;
        !self.ready.is_empty()
    }
}
