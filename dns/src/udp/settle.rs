//! What follows from an answer, and from none.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::driver::{Driver, count};
use super::entry::Next;
use crate::answer::{self, Read};
use crate::servers::{Fate, SENDS_PER_SERVER};
use crate::{Reply, Transport, Verdict};

impl Driver {
    /// A server's answer; its place is free again.
    pub(super) fn answered(&mut self, slot: u32, server: u16, read: Read) {
        let Some(entry) = self.slab.get(slot) else { return };
        let asked_as = std::mem::take(&mut entry.next);
        let unread = read.bare || read.reply.verdict == Verdict::FormErr;
        if asked_as == Next::Plain(server) && !unread {
            self.setup.servers.reads_plain_only(server, Instant::now());
        }
        let own = entry.asked.iter().filter(|s| s.server == server).count();
        let more = entry.asked.len() < usize::from(self.setup.attempts) && own < SENDS_PER_SERVER;
        if read.is_partial() {
            entry.next = Next::Tcp(server);
        } else if unread && entry.edns && more {
            entry.next = Next::Plain(server);
        } else {
            return self.settle(slot, read.reply);
        }
        // Like any other, it waits for a place and its turn.
        self.wait(slot);
    }

    pub(super) fn tcp_done(&mut self, slot: u32, read: io::Result<Read>) {
        let Some(server) = self.slab.get(slot).and_then(|e| e.asked.last()).map(|s| s.server) else { return };
        self.setup.servers.release(server);
        self.settle(slot, answer::over_tcp(0, read));
    }

    /// Ends the question, or has another server asked where one may know better.
    fn settle(&mut self, slot: u32, mut reply: Reply) {
        let Some(entry) = self.slab.get(slot) else { return };
        entry.note(Fate::Answered);
        reply.server = entry.asked.last().map(|s| self.setup.servers.addr(s.server));
        let stands = match reply.verdict {
            Verdict::Found | Verdict::NoData | Verdict::NxDomain | Verdict::Loop | Verdict::Limit => true,
            Verdict::ServFail
            | Verdict::Refused
            | Verdict::FormErr
            | Verdict::Lame
            | Verdict::Truncated
            | Verdict::Timeout
            | Verdict::Malformed
            | Verdict::Unreachable => false,
        };
        if stands {
            return self.finish(slot, reply);
        }
        entry.keep(reply);
        self.wait(slot);
    }

    /// Nobody is left to ask. As long as one server was not heard, what others refused does
    /// not stand: it depends on a lost packet.
    pub(super) fn give_up(&mut self, slot: u32) {
        let Some(entry) = self.slab.get(slot) else { return };
        let reply = match (entry.unheard(), entry.best.take()) {
            (None, Some(best)) => *best,
            (unheard, _) => {
                let server = unheard.or(entry.asked.last().map(|s| s.server));
                let server = server.map(|s| self.setup.servers.addr(s));
                Reply { server, ..Reply::failed(0, Verdict::Timeout) }
            }
        };
        self.finish(slot, reply);
    }

    fn finish(&mut self, slot: u32, mut reply: Reply) {
        let Some(entry) = self.slab.remove(slot) else { return };
        reply.token = entry.question.token;
        reply.tries = u8::try_from(entry.asked.len()).unwrap_or(u8::MAX);
        reply.rtt = entry.first_sent.map_or(Duration::ZERO, |at| at.elapsed());
        if reply.transport == Transport::InProcess {
            reply.transport = Transport::Udp;
        }
        self.outbox.push(entry.sink, reply);
    }

    /// Ends the sends whose time is over.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        while let Some((_, slot, generation)) = self.timers.pop_front_if(|(at, ..)| *at <= now) {
            if self.slab.generation(slot) != generation {
                continue;
            }
            let Some(entry) = self.slab.get(slot) else { continue };
            let Some((id, server)) = entry.flight.take() else { continue };
            entry.note(Fate::Lost);
            entry.next = Next::Any;
            count(&self.setup.counters.timeouts);
            self.ids.free(id);
            self.setup.servers.timed_out(server, now);
            self.setup.servers.release(server);
            self.wait(slot);
        }
    }
}
