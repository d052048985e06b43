//! What is taken for an answer.

use std::sync::atomic::Ordering::Relaxed;

use super::super::streams::Came;
use super::net::{Net, Peer, addr, answer, query, question};
use super::*;
use crate::{Transport, Verdict};

fn one(net: &mut Net) -> (crate::Replies, u16, u16, Vec<u8>) {
    let (sink, replies) = Sink::new(4);
    net.core.submit([question(7)].into_iter(), &sink, net.now);
    let (socket, server, query) = net.only_query();
    (replies, socket, server, query)
}

fn quiet(n: usize) -> Net {
    Net::new(11, vec![Peer::default(); n], |_| {})
}

/// A forger who knows everything but the ID and the letters, from the right address, with
/// every ID there is, gets no answer in; the true one still counts.
#[test]
fn no_forged_id_is_accepted() {
    let mut net = quiet(1);
    // The server is known to repeat letters.
    net.ask(100, Duration::from_secs(5));
    let (mut replies, socket, _, sent) = one(&mut net);
    let own = u16::from_be_bytes([sent[0], sent[1]]);
    for socket_tried in 0..4 {
        for id in 0..=u16::MAX {
            let forged = answer(&query(id, &question(7)), 0);
            net.core.datagram(socket_tried, addr(0), &forged, net.now);
        }
    }
    // Of all, one had the right ID on the right socket, but its letters were not those asked.
    assert_eq!(net.stats.wrong_case.load(Relaxed), 1);
    assert_eq!(net.stats.unknown_id.load(Relaxed), 4 * 65_536 - 1);
    assert!(replies.try_next().is_none() && net.core.open() == 1);
    net.core.datagram(socket, addr(0), &answer(&sent, 0), net.now);
    net.core.flush();
    let reply = replies.try_next().unwrap().remove(0);
    assert_eq!(
        (reply.verdict, reply.tries, own),
        (Verdict::Found, 1, u16::from_be_bytes([sent[0], sent[1]]))
    );
}

#[test]
fn everything_else_is_counted_by_its_reason() {
    let mut net = quiet(2);
    net.ask(200, Duration::from_secs(5));
    let (mut replies, socket, server, sent) = one(&mut net);
    let good = answer(&sent, 0);
    let with = |at: usize, octet: u8| {
        let mut m = good.clone();
        m[at] ^= octet;
        m
    };
    let (own, other) = (addr(server.into()), addr(1 - usize::from(server)));
    let port = SocketAddr::new(own.ip(), 54);
    let lower = [&good[..12], &good[12..].to_ascii_lowercase()].concat();
    let upper = [&good[..12], &good[12..21].to_ascii_uppercase(), &good[21..]].concat();
    let two = {
        let mut m = good.clone();
        m[5] = 2;
        m
    };
    assert!(lower != good || upper != good);
    let before = net.stats.all();
    for (from, message, what) in [
        (own, good[..11].to_vec(), "short"),
        (own, Vec::new(), "short"),
        (own, with(2, 0x80), "not_response"),
        (own, with(2, 0x08), "opcode"),
        (own, with(0, 0x55), "unknown_id"),
        (own, with(15, 0x01), "wrong_question"),
        (other, good.clone(), "wrong_source"),
        (port, good.clone(), "wrong_source"),
        // From here on it is asked over TCP, and no datagram counts.
        (own, two, "shut"),
        (own, good[..20].to_vec(), "shut"),
        (own, good.clone(), "shut"),
    ] {
        let count = |net: &Net| net.stats.all().iter().find(|(n, _)| *n == what).unwrap().1;
        let before = count(&net);
        net.core.datagram(socket, from, &message, net.now);
        assert_eq!(count(&net), before + 1, "{what}");
    }
    assert!(net.core.flush() || replies.try_next().is_none());
    assert_eq!(net.stats.forged.load(Relaxed), before.iter().find(|(n, _)| *n == "forged").unwrap().1 + 1);
    let (mut list, mut octets) = (Vec::new(), Vec::new());
    net.core.transmit(net.now, 512, &mut list, &mut octets);
    let query = net.core.next_stream().unwrap();
    assert!(list.is_empty() && query.addr == own);
    net.core.streamed(query.timer, &Came::Answer(answer(&query.message, 0)), net.now);
    net.core.flush();
    let reply = replies.try_next().unwrap().remove(0);
    assert_eq!((reply.verdict, reply.transport), (Verdict::Found, Transport::Tcp));
    // Trailing octets are no reason.
    let (mut replies, socket, server, sent) = one(&mut net);
    let long = [&answer(&sent, 0)[..], &vec![0; 65_000]].concat();
    net.core.datagram(socket, addr(server.into()), &long, net.now);
    net.core.flush();
    assert_eq!(replies.try_next().unwrap()[0].verdict, Verdict::Found);
}

/// Where TCP brings nothing, what was sent before stays shut: no datagram to it counts again.
#[test]
fn guessing_does_not_pay_when_tcp_is_blocked() {
    let mut net = quiet(1);
    let (mut replies, socket, server, sent) = one(&mut net);
    let good = answer(&sent, 0);
    for _ in 0..3 {
        net.core.datagram(socket, addr(9), &good, net.now);
    }
    let (mut list, mut octets) = (Vec::new(), Vec::new());
    net.core.transmit(net.now, 512, &mut list, &mut octets);
    let query = net.core.next_stream().unwrap();
    net.core.streamed(query.timer, &Came::Nothing, net.now);
    net.core.datagram(socket, addr(server.into()), &good, net.now);
    assert_eq!((net.stats.shut.load(Relaxed), net.core.open()), (1, 1));
    // It is sent anew, with a new ID, and the answer to that counts.
    let (socket, server, again) = net.only_query();
    net.core.datagram(socket, addr(server.into()), &answer(&again, 0), net.now);
    net.core.flush();
    assert_eq!(replies.try_next().unwrap()[0].verdict, Verdict::Found);
}

/// An answer that comes when its ID is that of another question.
#[test]
fn a_late_answer_meets_no_other_question() {
    let mut net = quiet(1);
    let (sink, mut replies) = Sink::new(4);
    net.core.submit([question(1)].into_iter(), &sink, net.now);
    let (socket, _, first) = net.only_query();
    net.core.submit([question(2)].into_iter(), &sink, net.now);
    let (other, _, second) = net.only_query();
    let late = [&second[..2], &answer(&first, 0)[2..]].concat();
    net.core.datagram(other, addr(0), &late, net.now);
    assert_eq!((net.stats.wrong_question.load(Relaxed), net.core.open()), (1, 2));
    for (socket, query, token) in [(socket, first, 1), (other, second, 2)] {
        net.core.datagram(socket, addr(0), &answer(&query, 0), net.now);
        net.core.flush();
        let reply = replies.try_next().unwrap().remove(0);
        assert_eq!((reply.verdict, reply.token), (Verdict::Found, token));
    }
}

/// A thousand forged answers a second, of every kind that a forger can make, change nothing
/// but the way of the one question that they hit.
#[test]
fn a_flood_of_forgeries_costs_nothing() {
    let mut net = quiet(1);
    let (sink, mut replies) = Sink::new(1 << 12);
    let questions: Vec<Question> = (0..1000).map(question).collect();
    net.core.submit(questions.into_iter(), &sink, net.now);
    let mut seed = 1_u32;
    while net.answered.len() < 1000 {
        for _ in 0..50 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let forged = answer(&query((seed >> 16) as u16, &question(u64::from(seed % 1000))), 3);
            let from = if seed & 1 == 0 { addr(0) } else { addr(9) };
            net.core.datagram((seed >> 8) as u16 % 4, from, &forged, net.now);
        }
        net.step(&mut replies);
        assert!(net.elapsed() < Duration::from_secs(60));
    }
    assert_eq!(net.count(Verdict::Found), 1000);
}

/// Whoever changes letters from the first answer on is not held to them; its answers count.
#[test]
fn a_server_that_changes_letters_is_learnt() {
    let mut net = quiet(1);
    for _ in 0..3 {
        let (mut replies, socket, _, sent) = one(&mut net);
        let lower = [&sent[..12], &sent[12..].to_ascii_lowercase()].concat();
        net.core.datagram(socket, addr(0), &answer(&lower, 0), net.now);
        net.core.flush();
        assert_eq!(replies.try_next().unwrap()[0].verdict, Verdict::Found);
    }
    assert_eq!(net.core.servers.stats(net.now)[0].case, crate::Case::Changes);
}
