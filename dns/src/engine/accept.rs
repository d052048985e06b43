//! Which datagrams are answers, and what follows from them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::core::Core;
use super::entry::{Next, Stage};
use super::ring::Timer;
use super::stats::count;
use super::streams::Came;
use crate::answer::{self, Echo, Read};
use crate::server::{Fate, SENDS_PER_SERVER};
use crate::{Reply, Transport, Verdict};

/// Answers with a live ID that were none, after which a question goes over TCP.
const FORGED: u8 = 3;

impl Core {
    /// Takes a datagram in. Only an answer from the address that was asked, with an ID that
    /// is live on this socket, that repeats the question exactly, counts; everything else is
    /// counted by its reason, and the question goes on.
    pub(crate) fn datagram(&mut self, socket: u16, from: SocketAddr, message: &[u8], now: Instant) {
        let stats = &self.stats;
        let Some(header) = message.first_chunk::<12>() else { return count(&stats.short) };
        if header[2] & 0x80 == 0 {
            return count(&stats.not_response);
        }
        if header[2] & 0x78 != 0 {
            return count(&stats.opcode);
        }
        let id = u16::from_be_bytes([header[0], header[1]]);
        let slot = self.ids.get(usize::from(socket)).and_then(|ids| ids.slot(id));
        let Some(slot) = slot else { return count(&stats.unknown_id) };
        let Some(entry) = self.slab.get(slot) else { return count(&stats.unknown_id) };
        let Some(i) = entry.sends.iter().position(|s| (s.socket, s.id) == (socket, id)) else {
            return count(&stats.unknown_id);
        };
        let send = entry.sends[i];
        if i < entry.shut {
            return count(&stats.shut);
        }
        if matches!(send.fate, Fate::Answered | Fate::Repeated) {
            return count(&stats.duplicate);
        }
        let state = self.servers.get_mut(send.server);
        let asked = state.server.addr;
        if (asked.ip(), asked.port()) != (from.ip(), from.port()) {
            count(&stats.wrong_source);
            return self.forged(slot, send.server);
        }
        let case = if state.case == crate::server::Case::Changes { 0 } else { entry.case };
        let echo = answer::echo(&entry.question, case, message);
        let fits = match echo {
            Echo::None => true,
            Echo::Exact => state.echoes(true),
            Echo::Changed => state.echoes(false),
            Echo::Other => false,
        };
        if !fits {
            count(if echo == Echo::Changed { &stats.wrong_case } else { &stats.wrong_question });
            return self.forged(slot, send.server);
        }
        let Some(read) = answer::read_echoed(&entry.question, echo, message) else {
            count(&stats.wrong_question);
            return self.forged(slot, send.server);
        };
        count(&stats.answered);
        stats.foreign.fetch_add(read.reply.foreign.into(), std::sync::atomic::Ordering::Relaxed);
        let late = send.fate == Fate::Lost;
        entry.sends[i].fate = Fate::Answered;
        self.servers.answered(send.server, send.step, now.duration_since(send.at), late, now);
        self.servers.said(send.server, send.step, read.reply.verdict);
        self.answered(slot, i, read, now);
    }

    /// Somebody guesses: what was sent is no longer answered by datagrams. A connection cannot
    /// be guessed.
    fn forged(&mut self, slot: u32, server: u16) {
        let Some(entry) = self.slab.get(slot) else { return };
        entry.forged += 1;
        if entry.forged < FORGED {
            return;
        }
        entry.forged = 0;
        entry.shut = entry.sends.len();
        count(&self.stats.forged);
        if matches!(entry.stage, Stage::Stream(..)) {
            return;
        }
        let more = usize::from(entry.streams) < SENDS_PER_SERVER;
        entry.next = if more { Next::Tcp(server) } else { Next::Any };
        if entry.stage != Stage::Waiting {
            self.wait(slot);
        }
    }

    /// A server's answer; its place is free again.
    fn answered(&mut self, slot: u32, i: usize, read: Read, now: Instant) {
        let Some(entry) = self.slab.get(slot) else { return };
        let (server, had_edns) = (entry.sends[i].server, entry.sends[i].edns);
        let asked_plain = entry.next == Next::Plain(server);
        let unread = read.bare || read.reply.verdict == Verdict::FormErr;
        if asked_plain && !had_edns && !unread {
            self.servers.get_mut(server).reads_plain_only(now);
        }
        if !matches!(entry.next, Next::Tcp(_)) || entry.stage != Stage::Waiting {
            entry.next = Next::Any;
        }
        let own = entry.sends.iter().filter(|s| s.server == server).count();
        let more = entry.sends.len() < self.attempts && own < SENDS_PER_SERVER;
        let next = if read.is_partial() {
            entry.truncated = true;
            Next::Tcp(server)
        } else if unread && had_edns && more {
            Next::Plain(server)
        } else {
            return self.settle(slot, server, read.reply, now);
        };
        entry.sends[i].fate = Fate::Repeated;
        if matches!(entry.stage, Stage::Stream(..)) {
            return;
        }
        entry.next = next;
        // Like any other, it waits for a place and its turn.
        if entry.stage != Stage::Waiting {
            self.wait(slot);
        }
    }

    /// What came of a question over TCP.
    pub(crate) fn streamed(&mut self, timer: Timer, came: &Came, now: Instant) {
        let slot = timer.0;
        let Some(entry) = self.slab.same(timer) else { return };
        let Stage::Stream(server, step) = entry.stage else { return };
        if matches!(came, Came::Closed) && usize::from(entry.streams) < SENDS_PER_SERVER {
            self.servers.get_mut(server).streamed(step, true);
            entry.next = Next::Tcp(server);
            return self.wait(slot);
        }
        let message = if let Came::Answer(message) = came { Some(message) } else { None };
        let read = message.and_then(|m| answer::read(&entry.question, m));
        self.servers.get_mut(server).streamed(step, read.is_some());
        // This server has said what it has to say.
        entry.sends.iter_mut().filter(|s| s.server == server && s.fate == Fate::Repeated).for_each(|s| {
            s.fate = Fate::Answered;
        });
        entry.stage = Stage::Out;
        let truncated = entry.truncated || read.is_some();
        let mut reply = answer::over_tcp(read);
        if !truncated {
            // It was asked over TCP for another reason.
            reply.verdict = Verdict::Timeout;
        }
        self.settle(slot, server, reply, now);
    }

    /// Ends the question, or has another server asked where one may know better.
    fn settle(&mut self, slot: u32, server: u16, mut reply: Reply, now: Instant) {
        let Some(entry) = self.slab.get(slot) else { return };
        reply.server = Some(self.servers.get(server).server.addr);
        if reply.verdict.is_known() {
            return self.finish(slot, reply, now);
        }
        entry.keep(reply);
        match entry.stage {
            Stage::Waiting | Stage::Stream(..) => {}
            Stage::Out => self.wait(slot),
            Stage::Draining => self.nobody(slot, now),
        }
    }

    /// Nobody wants the question asked any more: it ends with what was heard, if it was asked.
    pub(super) fn withdraw(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.slab.get(slot) else { return };
        if !entry.sends.is_empty() || entry.streams > 0 {
            return self.nobody(slot, now);
        }
        self.readers.note_withdrawn(entry.reader);
        count(&self.stats.withdrawn);
        self.end(slot, None);
    }

    /// As long as one server was not heard, what others refused does not stand: it depends
    /// on a lost packet.
    pub(super) fn give_up(&mut self, slot: u32, now: Instant) {
        let Some(entry) = self.slab.get(slot) else { return };
        let reply = match (entry.unheard(), entry.best.take()) {
            (None, Some(best)) => *best,
            (unheard, _) => {
                let server = unheard.or(entry.sends.last().map(|s| s.server));
                let server = server.map(|s| self.servers.get(s).server.addr);
                // Without a resolver that lives, it was never sent.
                let asked = server.is_some() || entry.streams > 0;
                let verdict = if asked { Verdict::Timeout } else { Verdict::Unreachable };
                Reply { server, ..Reply::failed(0, verdict) }
            }
        };
        self.finish(slot, reply, now);
    }

    fn finish(&mut self, slot: u32, mut reply: Reply, now: Instant) {
        let Some(entry) = self.slab.get(slot) else { return };
        reply.token = entry.question.token;
        let tries = entry.sends.len() + usize::from(entry.streams);
        reply.tries = u8::try_from(tries).unwrap_or(u8::MAX);
        reply.rtt = entry.first_sent.map_or(Duration::ZERO, |at| now.duration_since(at));
        if reply.transport == Transport::InProcess {
            reply.transport = Transport::Udp;
        }
        self.end(slot, Some(reply));
    }

    /// Removes a question, with everything that it holds.
    pub(super) fn end(&mut self, slot: u32, reply: Option<Reply>) {
        let Some(entry) = self.slab.remove(slot) else { return };
        if entry.stage != Stage::Waiting {
            self.out -= 1;
        }
        if let Stage::Stream(server, step) = entry.stage {
            self.servers.get_mut(server).withdrawn(step, false);
        }
        for send in &entry.sends {
            self.ids[usize::from(send.socket)].free(send.id);
            if matches!(send.fate, Fate::Open | Fate::Lost) {
                self.servers.get_mut(send.server).withdrawn(send.step, send.fate == Fate::Lost);
            }
        }
        let question = (entry.question.name, entry.question.qtype);
        self.readers.end(entry.reader, reply.map(|reply| Reply { question: Some(question), ..reply }));
    }
}
