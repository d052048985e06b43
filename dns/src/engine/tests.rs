mod acceptance;
mod ends;
mod net;
mod speed;

use super::*;

#[test]
fn a_family_that_is_off_costs_its_own_servers_only() {
    let v4 = Server::own(([192, 0, 2, 1], 53).into());
    let v6 = Server::own((Ipv6Addr::LOCALHOST, 53).into());
    let both = [v6.clone(), v4.clone()];
    let only_v4 =
        |a: SocketAddr| if a.is_ipv4() { Ok(()) } else { Err(io::ErrorKind::AddrNotAvailable.into()) };
    assert_eq!(usable(&both, only_v4).unwrap(), std::slice::from_ref(&v4));
    assert_eq!(usable(&[v6], only_v4).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    assert_eq!(usable(&both, |_| Ok(())).unwrap().len(), 2);
    assert!(usable(&[v4], |_| Err(io::ErrorKind::Other.into())).is_err());
}

#[test]
fn a_server_given_twice_has_the_stricter_limits() {
    let [a, b] = [1, 2].map(|n| SocketAddr::from(([192, 0, 2, n], 53)));
    let strict = Server { rate: Some(5.0), ..Server::public(a) };
    let merged = Server::merged(&[Server::own(a), Server::public(b), strict.clone(), Server::public(a)]);
    assert_eq!(merged, [strict, Server::public(b)]);
}

#[test]
fn threads_divide_every_limit() {
    let servers = vec![
        Server { rate: Some(900.0), in_flight: Some(5), ..Server::own(([192, 0, 2, 1], 53).into()) },
        Server::own(([192, 0, 2, 2], 53).into()),
    ];
    let config = EngineConfig { rate: Some(3000.0), threads: 3, ..EngineConfig::new(servers) };
    assert_eq!(config.usable_threads(), 3);
    let part = config.part(3);
    assert_eq!((part.rate, part.servers[0].rate, part.servers[1].rate), (Some(1000.0), Some(300.0), None));
    assert!(part.servers[0].in_flight.unwrap() * 3 <= 5 && part.in_flight * 3 <= config.in_flight);
    let many = EngineConfig { threads: 60, ..config };
    assert_eq!(many.usable_threads(), 5, "no more threads than places in flight");
    let slow = EngineConfig { rate: Some(2.5), ..many };
    assert_eq!(slow.usable_threads(), 2, "no thread is quicker than its part");
}
