//! Entry points of the fuzz targets in `dns/fuzz`.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{Core, Setup, Stats};
use crate::{EngineConfig, Question, RecordType, Replies, Reply, Server, Sink, chain, name};

/// Questions in flight.
const OPEN: usize = 64;

/// Reads the octets as an answer to a question; what comes of it must hold together.
pub fn walker(data: &[u8]) {
    let question =
        Question { token: 9, name: Box::from(&b"\x03www\x07example\x03com\0"[..]), qtype: RecordType::A };
    let Some(reply) = Reply::from_message(&question, data) else { return };
    assert!(reply.records.len() <= data.len() / 11, "more records than fit");
    let mut text = String::new();
    for record in &reply.records {
        assert!(name::is_valid(&record.name));
        record.push_data(&mut text);
        name::push_text(&record.name, &mut text);
    }
    assert!(text.bytes().all(|o| matches!(o, b' '..=b'~')), "text that is not printable");
    let chain = chain(&question.name, question.qtype, &reply.records);
    assert_eq!(reply.verdict == crate::Verdict::Found, !chain.found.is_empty() && known(&reply));
}

fn known(reply: &Reply) -> bool {
    reply.verdict.is_known()
}

struct Flight {
    core: Core,
    sink: Sink,
    replies: Replies,
    now: Instant,
    /// What is out: socket, server, query.
    out: Vec<(u16, u16, Vec<u8>)>,
}

thread_local! {
    static FLIGHT: RefCell<Option<Flight>> = const { RefCell::new(None) };
}

/// Gives the octets to an engine with questions in flight: as they are, as an answer to one of
/// them from the right address, and from a wrong one. Only an answer that repeats a question
/// from the address asked may end one.
pub fn acceptor(data: &[u8]) {
    FLIGHT.with_borrow_mut(|slot| {
        let flight = slot.get_or_insert_with(Flight::new);
        flight.fill();
        let before = flight.core.open();
        let [pick, how, data @ ..] = data else { return };
        let Some((socket, server, query)) = flight.out.get(usize::from(*pick) % OPEN).cloned() else {
            return;
        };
        let (right, wrong) = (addr(server), addr(server + 7));
        let with_id = [&query[..2], data].concat();
        let answered =
            [&query[..2], data.get(..10).unwrap_or(data), &query[12..], data.get(10..).unwrap_or_default()]
                .concat();
        match how % 4 {
            0 => flight.core.datagram(socket, right, data, flight.now),
            1 => flight.core.datagram(socket, right, &with_id, flight.now),
            2 => flight.core.datagram(socket, wrong, &answered, flight.now),
            _ => flight.core.datagram(socket, right, &answered, flight.now),
        }
        assert!(how % 4 != 2 || flight.core.open() == before, "an answer from elsewhere counts");
        assert!(flight.core.open() + 1 >= before, "one datagram ends more than one question");
        flight.now += Duration::from_millis(1);
        flight.core.expire(flight.now);
        while flight.core.next_stream().is_some() {}
        flight.core.flush();
        while let Some(replies) = flight.replies.try_next() {
            assert!(replies.iter().all(|r| r.token < u64::MAX));
        }
        if flight.core.open() < OPEN / 2 || flight.out.len() > 4096 {
            *slot = None;
        }
    });
}

fn addr(server: u16) -> SocketAddr {
    ([192, 0, 2, server as u8], 53).into()
}

impl Flight {
    fn new() -> Self {
        let servers = (0..3).map(|i| Server::own(addr(i))).collect();
        let mut config = EngineConfig::new(servers);
        (config.sockets, config.in_flight, config.seed) = (2, OPEN, Some(1));
        let now = Instant::now();
        let core = Core::new(Setup {
            config: &config,
            sockets: vec![(true, 1 << 16); 2],
            stats: Arc::new(Stats::default()),
            seed: [7; 32],
            now,
        });
        let (sink, replies) = Sink::new(1024);
        Self { core, sink, replies, now, out: Vec::new() }
    }

    fn fill(&mut self) {
        let room = self.core.room().min(OPEN);
        let question = |i: usize| Question {
            token: i as u64,
            name: name::from_text(&format!("n{i}.example")).unwrap_or_else(|| Box::from([0])),
            qtype: RecordType::A,
        };
        self.core.submit((0..room).map(question), &self.sink, self.now);
        let (mut list, mut octets) = (Vec::new(), Vec::new());
        self.core.transmit(self.now, OPEN, &mut list, &mut octets);
        for o in list {
            self.out.push((o.socket, o.server, octets[o.start..o.start + o.len].to_vec()));
        }
    }
}
