//! How questions end, and that nothing is left of them.

use std::sync::atomic::Ordering::Relaxed;

use super::net::{Net, Peer, question};
use super::*;
use crate::{RecordType, Verdict};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn dead_servers_end_every_question_in_bounded_time() {
    let dead = Peer { away: |_| true, ..Peer::default() };
    for servers in [1, 2, 8] {
        let mut net = Net::new(1, vec![dead.clone(); servers], |c| c.in_flight = 500);
        // Five rounds of what may be open, each as long as a question may take.
        let time = net.ask(5000, seconds(120));
        // Those that no resolver was left for were not sent.
        let unsent = net.answered.iter().filter(|(_, r)| r.tries == 0).count();
        assert_eq!((net.count(Verdict::Timeout), net.count(Verdict::Unreachable)), (5000 - unsent, unsent));
        assert!(unsent < 4900, "{unsent}");
        assert!(time <= seconds(80), "{time:?}");
    }
}

#[test]
fn copies_and_late_answers_end_nothing_twice() {
    let slow = Peer { delay: (Duration::from_millis(5), seconds(3)), copies: 3, ..Peer::default() };
    let mut net = Net::new(8, vec![slow; 3], |c| c.in_flight = 300);
    net.ask(3000, seconds(300));
    let found = net.count(Verdict::Found);
    assert!(found >= 2990, "{found}");
    // A later answer to an earlier send counts; one after the end meets no ID.
    let late: u64 = net.core.servers.stats(net.now).iter().map(|s| s.late).sum();
    assert!(late > 300, "{late}");
    let ignored = net.stats.unknown_id.load(Relaxed) + net.stats.duplicate.load(Relaxed);
    assert!(ignored > 3000, "{ignored}");
}

#[test]
fn more_in_flight_than_ids_only_waits() {
    let far = Peer { delay: (Duration::from_millis(800), seconds(1)), ..Peer::default() };
    let mut net = Net::new(6, vec![far], |c| {
        c.sockets = 1;
        c.in_flight = 200_000;
        c.timeout = seconds(4);
    });
    net.ask(150_000, seconds(300));
    assert_eq!(net.count(Verdict::Found), 150_000);
}

#[test]
fn nothing_is_sent_for_a_reader_that_left_and_nothing_is_left() {
    let mut net = Net::new(1, vec![Peer { away: |_| true, ..Peer::default() }], |c| c.in_flight = 100);
    let (sink, mut replies) = Sink::new(8);
    let questions: Vec<Question> = (0..150).map(question).collect();
    net.core.submit(questions.into_iter(), &sink, net.now);
    net.step(&mut replies);
    let sent = net.log.len();
    assert_eq!(sent, 100);
    drop((sink, replies));
    let (_other, mut none) = Sink::new(1);
    while net.core.open() > 0 {
        net.step(&mut none);
        assert!(net.elapsed() < seconds(60));
    }
    assert_eq!((net.log.len(), net.stats.withdrawn.load(Relaxed)), (sent, 150));
    let is_free = |s: usize| (0..=u16::MAX).all(|id| net.core.ids[s].slot(id).is_none());
    assert!((0..4).all(is_free), "an ID is still in use");
    let open = net.core.room();
    assert_eq!(open, 200);
}

/// Once nobody wants them asked, questions end: those that were asked with what they got.
#[test]
fn what_is_withdrawn_is_not_asked() {
    let mut net = Net::new(2, vec![Peer { away: |at| at >= seconds(1), ..Peer::default() }], |c| {
        c.in_flight = 50;
        c.servers[0].rate = Some(100.0);
    });
    let (sink, mut replies) = Sink::new(64);
    let withdrawal = sink.withdrawal();
    net.core.submit((0..200).map(question).collect::<Vec<_>>().into_iter(), &sink, net.now);
    drop(sink);
    while net.elapsed() < Duration::from_millis(1100) {
        net.step(&mut replies);
    }
    let (sent, at) = (net.log.len(), net.elapsed());
    withdrawal.withdraw();
    while net.core.open() > 0 {
        net.step(&mut replies);
    }
    net.core.flush();
    assert_eq!((net.log.len(), net.answered.len()), (sent, sent));
    assert!(net.count(Verdict::Timeout) > 0 && net.elapsed() < at + seconds(4), "{:?}", net.elapsed());
    assert_eq!(withdrawal.questions() as usize, 200 - sent);
}

/// Where there is no way to most servers, the others are asked all the same.
#[test]
fn what_the_system_refuses_to_send_is_no_attempt() {
    let mut net = Net::new(3, vec![Peer::default(); 8], |c| c.in_flight = 50);
    let (sink, mut replies) = Sink::new(1 << 10);
    net.core.submit((0..500).map(question).collect::<Vec<_>>().into_iter(), &sink, net.now);
    while net.answered.len() < 500 {
        net.step_but(&mut replies, |server| server != 0);
        assert!(net.elapsed() < seconds(10));
    }
    assert_eq!(net.count(Verdict::Found), 500);
    assert!(net.answered.iter().all(|(_, r)| r.tries == 1));
    assert!(net.stats.unsent.load(Relaxed) < 100, "{:?}", net.stats.unsent);
}

#[test]
fn questions_that_cannot_be_asked_end_at_once() {
    let mut net = Net::new(4, vec![Peer::default()], |_| {});
    let (sink, mut replies) = Sink::new(8);
    net.core.submit(Vec::new().into_iter(), &sink, net.now);
    let any = Question { qtype: RecordType::ANY, ..question(1) };
    let upper = Question { name: b"\x0800000002\x04TEST\x00".as_slice().into(), ..question(2) };
    net.core.submit(vec![any, upper].into_iter(), &sink, net.now);
    while net.answered.len() < 2 {
        net.step(&mut replies);
        assert!(net.elapsed() < seconds(1));
    }
    let ends: Vec<_> = net.answered.iter().map(|(_, r)| (r.token, r.verdict)).collect();
    assert_eq!(ends, [(1, Verdict::FormErr), (2, Verdict::Found)]);
    drop(sink);
    net.core.flush();
    // An empty batch waits for nothing: the replies have their end.
    assert!(replies.next_blocking().is_none());
}

/// Which of two failures counts does not depend on who was asked first, nor does a refusal
/// hide a loss.
#[test]
fn the_verdict_that_counts() {
    for seed in 0..8 {
        let (fails, refuses) = (Peer { rcode: 2, ..Peer::default() }, Peer { rcode: 5, ..Peer::default() });
        let mut net = Net::new(seed, vec![fails, refuses.clone()], |_| {});
        net.ask(20, seconds(20));
        assert_eq!(net.count(Verdict::ServFail), 20);
        let silent = Peer { away: |_| true, ..Peer::default() };
        let mut net = Net::new(seed, vec![silent, refuses.clone()], |c| c.attempts = 3);
        net.ask(3, seconds(60));
        assert_eq!(net.count(Verdict::Timeout), 3);
        assert!(net.sends.iter().all(|((_, server), n)| *server == 0 || *n == 1), "a refusal stands");
        let mut net = Net::new(seed, vec![refuses], |_| {});
        net.ask(3, seconds(20));
        assert_eq!(net.count(Verdict::Refused), 3);
    }
}
