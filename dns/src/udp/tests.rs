use super::entry::Next;
use super::*;
use crate::servers::Fate;
use crate::{Reply, Verdict};

fn server(addr: SocketAddr) -> Server {
    Server { addr, rate: None, in_flight: None }
}

#[test]
fn a_family_that_is_off_costs_its_own_servers_only() {
    let (v4, v6) = (server(([192, 0, 2, 1], 53).into()), server((Ipv6Addr::LOCALHOST, 53).into()));
    let both = [v6.clone(), v4.clone()];
    let only_v4 =
        |a: SocketAddr| if a.is_ipv4() { Ok(()) } else { Err(io::ErrorKind::AddrNotAvailable.into()) };
    assert_eq!(usable(&both, only_v4).unwrap(), std::slice::from_ref(&v4));
    assert_eq!(usable(&[v6], only_v4).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    assert_eq!(usable(&both, |_| Ok(())).unwrap().len(), 2);
    assert!(usable(&[v4], |_| Err(io::ErrorKind::Other.into())).is_err());
}

fn setup(servers: Vec<Server>, attempts: u8) -> driver::Setup {
    driver::Setup {
        v4: Some(bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap()),
        v6: None,
        servers: Arc::new(Servers::new(servers, None)),
        counters: Arc::default(),
        tcp: Arc::new(Semaphore::new(1)),
        timeout: Duration::from_secs(2),
        attempts,
        in_flight: 64,
    }
}

/// A driver with one question, and a server that takes it and says nothing.
async fn asked(sink: &Sink, attempts: u8) -> (driver::Driver, std::net::UdpSocket) {
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut d = driver::Driver::new(setup(vec![server(silent.local_addr().unwrap())], attempts));
    let question = Question { token: 1, name: b"\x01a\0".as_slice().into(), qtype: 1 };
    d.setup.v4.as_ref().unwrap().writable().await.unwrap();
    d.admit(driver::Batch { questions: vec![question], sink: sink.clone() });
    d.send_waiting();
    (d, silent)
}

/// Sockets that never run dry once kept timers from being looked at.
#[tokio::test]
async fn timers_have_their_turn_before_the_sockets() {
    let (sink, _replies) = Sink::new(1);
    let (mut d, _silent) = asked(&sink, 2).await;
    tokio::time::pause();
    assert_eq!((d.timers.len(), d.waiting.len()), (1, 0));
    d.overdue();
    assert_eq!((d.timers.len(), d.waiting.len()), (1, 0));
    tokio::time::advance(Duration::from_secs(3)).await;
    d.overdue();
    assert_eq!((d.timers.len(), d.waiting.len()), (0, 1));
}

/// After a cancel neither TCP nor a query without EDNS goes out.
#[tokio::test]
async fn nothing_is_sent_for_a_reader_that_left() {
    for next in [Next::Any, Next::Plain(0), Next::Tcp(0)] {
        let (sink, replies) = Sink::new(1);
        let (mut d, _silent) = asked(&sink, 3).await;
        d.slab.get(0).unwrap().next = next;
        d.wait(0);
        drop(replies);
        d.send_waiting();
        let c = &d.setup.counters;
        let counts = [&c.sent, &c.tcp, &c.withdrawn].map(|n| n.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(counts, [1, 0, 1], "{next:?}");
        assert_eq!((d.slab.len(), d.waiting.len()), (0, 0));
    }
}

/// What counts in the end does not depend on who was asked first.
#[tokio::test]
async fn the_verdict_that_counts() {
    use Fate::{Answered, Lost, Open};
    let (sink, _replies) = Sink::new(1);
    let (mut d, _silent) = asked(&sink, 3).await;
    let entry = d.slab.get(0).unwrap();
    for order in [[Verdict::Refused, Verdict::ServFail], [Verdict::ServFail, Verdict::Refused]] {
        entry.best = None;
        order.iter().for_each(|v| entry.keep(Reply::failed(0, *v)));
        assert_eq!(entry.best.as_ref().unwrap().verdict, Verdict::ServFail);
    }
    for (fates, unheard) in [
        (vec![(0, Lost)], Some(0)),
        (vec![(0, Lost), (1, Answered)], Some(0)),
        (vec![(0, Lost), (1, Answered), (0, Answered)], None),
        (vec![(0, Answered), (1, Lost), (1, Lost)], Some(1)),
        (vec![(0, Open), (0, Answered)], None),
    ] {
        let sent = |(server, fate)| crate::servers::Sent { server, fate };
        entry.asked = fates.into_iter().map(sent).collect();
        assert_eq!(entry.unheard(), unheard, "{:?}", entry.asked);
    }
}
