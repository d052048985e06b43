//! What every back end that asks servers keeps, against a scripted server, and what the UDP
//! back end does beyond.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Clock};

use kudzu_dns::{
    Data, Hickory, Instant, Question, Record, Reply, Resolver, Server, Sink, Transport, Udp, UdpConfig,
    Verdict, rtype,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

fn n(text: &str) -> Box<[u8]> {
    let mut wire: Vec<u8> = Vec::new();
    for label in text.split('.') {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire.into()
}

fn rr(owner: &str, rtype: u16, data: &[u8]) -> Vec<u8> {
    let mut r = n(owner).to_vec();
    r.extend(rtype.to_be_bytes());
    r.extend([0, 1, 0, 0, 0, 60]);
    r.extend((data.len() as u16).to_be_bytes());
    r.extend(data);
    r
}

/// A response to a query: response code, flags beside it, answer records, authority records.
fn respond(query: &[u8], rcode: u8, tc: bool, answers: &[Vec<u8>], authority: &[Vec<u8>]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
    let mut m = query[..2].to_vec();
    m.extend([0x81 | if tc { 2 } else { 0 }, 0x80 | rcode, 0, 1]);
    m.extend((answers.len() as u16).to_be_bytes());
    m.extend((authority.len() as u16).to_be_bytes());
    m.extend([0, 0]);
    m.extend(&query[12..end]);
    answers.iter().chain(authority).for_each(|r| m.extend(r));
    m
}

fn name_of(query: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let len = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).to_ascii_lowercase());
        at += 1 + len;
    }
    labels.join(".")
}

const A1: &[u8] = &[192, 0, 2, 1];

/// What the server says, by the first label; `None` for no answer.
fn script(query: &[u8], tcp: bool) -> Vec<Vec<u8>> {
    let name = name_of(query);
    let soa = rr("test", rtype::SOA, &[&n("ns")[..], &n("host"), &[0; 16], &[0, 0, 0, 7]].concat());
    let ok = |records: &[Vec<u8>]| respond(query, 0, false, records, &[]);
    let one = match name.split('.').next().unwrap_or_default() {
        "found" => ok(&[rr(&name, rtype::A, A1), rr(&name, rtype::A, &[192, 0, 2, 2])]),
        "nodata" => respond(query, 0, false, &[], &[soa]),
        "gone" => respond(query, 3, false, &[], &[soa]),
        "servfail" => respond(query, 2, false, &[], &[]),
        "refused" => respond(query, 5, false, &[], &[]),
        "chain" => ok(&[
            rr("c.test", rtype::A, A1),
            rr("b.test", rtype::CNAME, &n("c.test")),
            rr(&name, rtype::CNAME, &n("b.test")),
        ]),
        "loop" => ok(&[rr(&name, rtype::CNAME, &n("b.test")), rr("b.test", rtype::CNAME, &n(&name))]),
        "dangling" => respond(query, 3, false, &[rr(&name, rtype::CNAME, &n("b.test"))], &[soa]),
        "big" if tcp => {
            let many = (0..2000_u16).map(|i| rr(&name, rtype::A, &[10, 0, (i >> 8) as u8, i as u8]));
            ok(&many.collect::<Vec<_>>())
        }
        "big" => respond(query, 0, true, &[rr(&name, rtype::A, A1)], &[]),
        "silent" => return vec![],
        "noedns" if query[11] > 0 => respond(query, 1, false, &[], &[]),
        "noedns" => ok(&[rr(&name, rtype::A, A1)]),
        "broken" => ok(&[rr(&name, rtype::A, &[1, 2, 3]), rr(&name, rtype::A, A1)]),
        "forged" => {
            let good = ok(&[rr(&name, rtype::A, A1)]);
            let with = |at: usize, octet: u8| {
                let mut m = good.clone();
                m[at] ^= octet;
                m
            };
            // Another ID, a query, another question, cut short; then the true one.
            return vec![with(0, 0x55), with(2, 0x80), with(14, 0x01), good[..9].to_vec(), good];
        }
        _ => ok(&[rr(&name, rtype::A, A1)]),
    };
    vec![one]
}

struct Mock {
    addr: SocketAddr,
    asked: Arc<Mutex<HashMap<String, u32>>>,
    _tasks: JoinSet<()>,
}

/// Both transports on one port. The system gives a port that is free for one of them; the
/// other may be taken, so others are tried.
fn bind_both() -> (std::net::UdpSocket, std::net::TcpListener) {
    let pair = || {
        let udp = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tcp = std::net::TcpListener::bind(udp.local_addr().unwrap()).ok()?;
        Some((udp, tcp))
    };
    (0..64).find_map(|_| pair()).expect("a port that is free for both")
}

impl Mock {
    async fn start(say: fn(&[u8], bool) -> Vec<Vec<u8>>) -> Self {
        let (udp, tcp) = bind_both();
        // The default holds some hundred queries only.
        socket2::SockRef::from(&udp).set_recv_buffer_size(4 << 20).unwrap();
        udp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::from_std(udp).unwrap();
        let addr = udp.local_addr().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let tcp = TcpListener::from_std(tcp).unwrap();
        let asked: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let counts = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut buf = [0; 2048];
            while let Ok((len, from)) = udp.recv_from(&mut buf).await {
                *counts.lock().unwrap().entry(name_of(&buf[..len])).or_default() += 1;
                for m in say(&buf[..len], false) {
                    udp.send_to(&m, from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let len = stream.read_u16().await.unwrap();
                let mut query = vec![0; len.into()];
                stream.read_exact(&mut query).await.unwrap();
                for m in say(&query, true) {
                    stream.write_u16(m.len() as u16).await.unwrap();
                    stream.write_all(&m).await.unwrap();
                }
            }
        });
        Self { addr, asked, _tasks: tasks }
    }

    fn asked(&self, name: &str) -> u32 {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

async fn ask(resolver: &dyn Resolver, names: &[&str]) -> HashMap<String, Reply> {
    let questions =
        names.iter().zip(0..).map(|(text, token)| Question { token, name: n(text), qtype: rtype::A });
    let (sink, mut replies) = Sink::new(names.len());
    resolver.submit(questions.collect(), &sink).await.unwrap();
    drop(sink);
    let mut all = HashMap::new();
    while all.len() < names.len() {
        for reply in replies.next().await.expect("a reply for every question") {
            let name = names[reply.token as usize].to_owned();
            assert!(all.insert(name, reply).is_none(), "answered twice");
        }
    }
    all
}

fn server(addr: SocketAddr) -> Server {
    Server { addr, rate: None, in_flight: None }
}

fn udp(addrs: &[SocketAddr], timeout_ms: u64, attempts: u8) -> Udp {
    let servers = addrs.iter().copied().map(server).collect();
    let timeout = Duration::from_millis(timeout_ms);
    Udp::start(&UdpConfig { timeout, attempts, sockets: 2, ..UdpConfig::new(servers) }).unwrap()
}

async fn conforms(resolver: &dyn Resolver) {
    let names = [
        "found.test",
        "nodata.test",
        "gone.test",
        "servfail.test",
        "refused.test",
        "chain.test",
        "loop.test",
        "dangling.test",
        "big.test",
        "silent.test",
    ];
    let all = ask(resolver, &names).await;
    let verdict = |name: &str| all[&format!("{name}.test")].verdict;
    for (name, expected) in [
        ("found", Verdict::Found),
        ("nodata", Verdict::NoData),
        ("gone", Verdict::NxDomain),
        ("servfail", Verdict::ServFail),
        ("refused", Verdict::Refused),
        ("chain", Verdict::Found),
        ("loop", Verdict::Loop),
        ("dangling", Verdict::NxDomain),
        ("big", Verdict::Found),
        ("silent", Verdict::Timeout),
    ] {
        assert_eq!(verdict(name), expected, "{name}");
    }
    let records = |name: &str| all[&format!("{name}.test")].records.len();
    assert_eq!((records("found"), records("chain"), records("loop"), records("dangling")), (2, 3, 2, 1));
    assert_eq!(records("big"), 2000);
    assert_eq!(all["gone.test"].negative_ttl, Some(7));
    let found = &all["found.test"];
    assert_eq!(found.records[0].data, Data::A(Ipv4Addr::new(192, 0, 2, 1)));
    assert!(found.server.is_some() && found.tries == 1 && found.rcode == Some(0));
}

#[tokio::test]
async fn udp_conforms() {
    let mock = Mock::start(script).await;
    let resolver = udp(&[mock.addr], 150, 2);
    conforms(&resolver).await;
    assert_eq!(ask(&resolver, &["big.test"]).await["big.test"].transport, Transport::Tcp);
    assert_eq!(mock.asked("silent.test"), 2);
    assert_eq!(mock.asked("servfail.test"), 1);
}

#[tokio::test]
async fn hickory_conforms() {
    let mock = Mock::start(script).await;
    conforms(&Hickory::new(vec![mock.addr], Duration::from_millis(400), 2, 64)).await;
}

#[tokio::test]
async fn instant_answers_each_question_once() {
    let resolver = Instant::new(|q: &Question| {
        let data = Data::A(Ipv4Addr::new(192, 0, 2, 1));
        let record = Record { name: q.name.clone(), rtype: q.qtype, class: 1, ttl: 60, data };
        Reply { records: vec![record], ..Reply::failed(0, Verdict::Found) }
    });
    let names: Vec<String> = (0..1000).map(|i| format!("h{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(ask(&resolver, &names).await.len(), 1000);
}

#[tokio::test]
async fn odd_servers_are_borne() {
    let mock = Mock::start(script).await;
    let resolver = udp(&[mock.addr], 300, 2);
    let all = ask(&resolver, &["noedns.test", "broken.test", "forged.test"]).await;
    assert_eq!((all["noedns.test"].verdict, all["noedns.test"].tries), (Verdict::Found, 2));
    assert_eq!((all["broken.test"].verdict, all["broken.test"].broken), (Verdict::Found, 1));
    // Forgeries never end a question, and are counted.
    assert_eq!((all["forged.test"].verdict, all["forged.test"].tries), (Verdict::Found, 1));
    let c = resolver.counters();
    assert_eq!(c.strange.load(Relaxed) + c.mismatched.load(Relaxed), 2);
    assert_eq!(c.garbage.load(Relaxed), 2);
}

#[tokio::test]
async fn another_server_is_asked_where_one_fails() {
    fn fails(query: &[u8], _: bool) -> Vec<Vec<u8>> {
        if name_of(query).starts_with("silent") { vec![] } else { vec![respond(query, 2, false, &[], &[])] }
    }
    fn good(query: &[u8], _: bool) -> Vec<Vec<u8>> {
        vec![respond(query, 0, false, &[rr(&name_of(query), rtype::A, A1)], &[])]
    }
    let (bad, good) = (Mock::start(fails).await, Mock::start(good).await);
    let resolver = udp(&[bad.addr, good.addr], 200, 3);
    let names: Vec<String> =
        (0..20).flat_map(|i| [format!("silent{i}.test"), format!("x{i}.test")]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = ask(&resolver, &names).await;
    assert!(all.values().all(|r| r.verdict == Verdict::Found && r.server == Some(good.addr)));
    assert!(all.values().any(|r| r.tries == 2));
}

#[tokio::test]
async fn a_name_that_cannot_be_sent_and_a_reader_that_left() {
    let mock = Mock::start(script).await;
    let resolver = udp(&[mock.addr], 100, 1);
    let (sink, mut replies) = Sink::new(4);
    let bad = Question { token: 5, name: b"\x03ab".as_slice().into(), qtype: 1 };
    resolver.submit(vec![bad], &sink).await.unwrap();
    assert_eq!(replies.next().await.unwrap()[0].verdict, Verdict::FormErr);
    drop(replies);
    let late = Question { token: 6, name: n("found.test"), qtype: 1 };
    resolver.submit(vec![late], &sink).await.unwrap();
    // The next question is answered: the one nobody waits for is in nobody's way.
    assert_eq!(ask(&resolver, &["found.test"]).await["found.test"].verdict, Verdict::Found);
    assert_eq!(resolver.counters().withdrawn.load(Relaxed), 1);
}

#[tokio::test]
async fn the_rate_of_a_server_holds() {
    let mock = Mock::start(script).await;
    let servers = vec![Server { addr: mock.addr, rate: Some(500.0), in_flight: Some(50) }];
    let resolver = Udp::start(&UdpConfig::new(servers)).unwrap();
    let names: Vec<String> = (0..300).map(|i| format!("h{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let begin = Clock::now();
    ask(&resolver, &names).await;
    // 300 at 500 a second, less the burst of 20 ms.
    assert!(begin.elapsed() >= Duration::from_millis(570), "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_in_flight_are_each_answered_once() {
    let mock = Mock::start(script).await;
    let servers = vec![server(mock.addr)];
    let config = UdpConfig {
        timeout: Duration::from_millis(800),
        attempts: 6,
        in_flight: 2000,
        ..UdpConfig::new(servers)
    };
    let resolver = Udp::start(&config).unwrap();
    let names: Vec<String> = (0..20_000).map(|i| format!("h{i}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = ask(&resolver, &names).await;
    // The mock drops what it has no time for; three sends to one address are the limit.
    let found = all.values().filter(|r| r.verdict == Verdict::Found).count();
    assert!(found >= 19_990, "{found}");
    assert!(all.values().all(|r| r.tries <= 3));
}
