//! Answers that come faster than they are read.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kudzu_dns::{Engine, EngineConfig, RecordType, Server, Verdict};

use crate::conformance::A1;
use crate::mock::{ask, name_of, named, respond, rr};

const N: usize = 5000;

/// Answers what has come whenever nothing has for 20 ms, all at once, until it hears an
/// empty datagram.
fn answer_in_bursts(socket: &UdpSocket) {
    socket2::SockRef::from(socket).set_recv_buffer_size(16 << 20).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut held, mut buf) = (Vec::new(), [0; 2048]);
    loop {
        match socket.recv_from(&mut buf) {
            Ok((0, _)) => return,
            Ok((len, from)) => {
                let query = &buf[..len];
                let record = rr(&name_of(query), RecordType::A, A1);
                let mut answer = respond(query, 0, false, &[record], &[]);
                // Large ones: there is room for as many small ones as are in flight.
                answer.resize(1200, 0);
                held.push((answer, from));
            }
            Err(_) => held.drain(..).for_each(|(answer, from)| {
                socket.send_to(&answer, from).unwrap();
            }),
        }
    }
}

/// What does not fit into the receive buffer is dropped by the kernel: it is counted, asked
/// again, and answered.
#[tokio::test]
async fn what_the_kernel_drops_is_counted_and_asked_again() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    let server = std::thread::spawn(move || answer_in_bursts(&socket));
    let config = EngineConfig {
        in_flight: N,
        sockets: 1,
        // Room for some dozens of answers, the half of it where they are large.
        buffer: 32 << 10,
        ..EngineConfig::new(vec![Server::own(addr)])
    };
    let engine = Engine::start(&config).unwrap();
    assert!(engine.receive_buffer() < 256 << 10, "{}", engine.receive_buffer());
    let names: Vec<String> = (0..N).map(|i| format!("h{i}.test")).collect();
    let all = ask(&engine, &named(&names)).await;
    let stats = engine.stats();
    let (dropped, timeouts) = (stats.dropped.load(Relaxed), stats.timeouts.load(Relaxed));
    let found = all.values().filter(|r| r.verdict == Verdict::Found).count();
    let again = all.values().filter(|r| r.tries > 1 && r.verdict == Verdict::Found).count();
    println!("{found} of {N} found, {again} of them again; {dropped} dropped, {timeouts} sends timed out");
    assert!(dropped > 0 && again > 0, "{dropped} dropped, {again} asked again");
    assert!(timeouts >= dropped, "{dropped} dropped, {timeouts} timed out");
    assert!(found >= N * 99 / 100, "{found}");
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(&[], addr).unwrap();
    server.join().unwrap();
}
