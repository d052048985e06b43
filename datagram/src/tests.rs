use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::*;

fn pair(ip: SocketAddr, coalesce: bool) -> (Socket, Socket) {
    let options = Options { coalesce, ..Options::default() };
    (Socket::bind(ip, options).unwrap(), Socket::bind(ip, options).unwrap())
}

fn receive_all(inbox: &mut Inbox, socket: &Socket, n: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    while all.len() < n {
        // Loopback delivers before the sender's call returns.
        inbox.receive(socket).unwrap();
        all.extend(inbox.datagrams().map(|d| (d.from.addr().unwrap(), d.payload.to_vec())));
    }
    assert_eq!(inbox.receive(socket).unwrap_err().kind(), ErrorKind::WouldBlock);
    all
}

#[test]
fn batches_arrive_whole_and_in_order_with_and_without_trains() {
    let v4: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let v6: SocketAddr = (Ipv6Addr::LOCALHOST, 0).into();
    for ip in [v4, v6] {
        for (trains, coalesce) in [(false, false), (true, false), (true, true)] {
            let (a, b) = pair(ip, coalesce);
            let to = Peer::from(b.local_addr().unwrap());
            // Runs of one length, a shorter end, a longer one, an empty one, a large one.
            let lengths = [vec![40; 150], vec![39], vec![64; 70], vec![7, 0, 3000, 64, 64, 9]].concat();
            let payloads: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
            let datagrams: Vec<(Peer, &[u8])> = payloads.iter().map(|p| (to, &p[..])).collect();
            let (mut outbox, mut sent) = (Outbox::new(trains), 0);
            while sent < datagrams.len() {
                sent += outbox.send(&a, &datagrams[sent..]).unwrap();
            }
            let got = receive_all(&mut Inbox::new(), &b, payloads.len());
            let from = a.local_addr().unwrap();
            assert!(got.iter().all(|(addr, _)| *addr == from));
            let bytes: Vec<Vec<u8>> = got.into_iter().map(|(_, p)| p).collect();
            assert_eq!(bytes, payloads, "{ip} {trains} {coalesce}");
            assert_eq!(outbox.sends_trains(), trains);
        }
    }
}

#[test]
fn addresses_go_there_and_back() {
    for text in ["192.0.2.7:53", "[2001:db8::5]:5353", "[fe80::1%3]:53"] {
        let addr: SocketAddr = text.parse().unwrap();
        assert_eq!(Peer::from(addr).addr(), Some(addr));
    }
    assert_eq!(Peer::EMPTY.addr(), None);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let v4: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let a = Socket::bind(v4, Options::default()).unwrap();
    let b = Socket::bind(v4, Options { buffer: 4096, coalesce: false, only_v6: true }).unwrap();
    let to = Peer::from(b.local_addr().unwrap());
    let burst = vec![(to, [0_u8; 512]); 500];
    let (mut outbox, mut sent) = (Outbox::new(false), 0);
    while sent < burst.len() {
        sent += outbox.send(&a, &burst[sent..]).unwrap();
    }
    let mut inbox = Inbox::new();
    let mut got = 0;
    while inbox.receive(&b).is_ok() {
        got += inbox.datagrams().count();
    }
    assert!(got < 500, "{got}");
    // The count comes with the next one that is received.
    outbox.send(&a, &burst[..1]).unwrap();
    inbox.receive(&b).unwrap();
    assert_eq!(inbox.drops() as usize, 500 - got);
}
