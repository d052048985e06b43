//! Replies on their way out, gathered by sink.

use crate::{Reply, Sink};

/// Gathers replies and hands them over in batches. It never waits: what a full sink does not
/// take stays here, bounded by what is in flight.
#[derive(Debug, Default)]
pub(super) struct Outbox(Vec<(Sink, Vec<Reply>)>);

impl Outbox {
    pub(super) fn push(&mut self, sink: Sink, reply: Reply) {
        // From the end: replies of one batch tend to come together.
        match self.0.iter_mut().rev().find(|(s, _)| s.same_as(&sink)) {
            Some((_, replies)) => replies.push(reply),
            None => self.0.push((sink, vec![reply])),
        }
    }

    /// Hands over what is gathered; true where a sink was full.
    pub(super) fn flush(&mut self) -> bool {
        let full = |(sink, replies): (Sink, Vec<Reply>)| match sink.try_send(replies) {
            Ok(()) => None,
            Err(replies) => Some((sink, replies)),
        };
        self.0 = std::mem::take(&mut self.0).into_iter().filter_map(full).collect();
        !self.0.is_empty()
    }
}
