//! A scripted server over both transports, and how tests ask.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kudzu_dns::{Engine, EngineConfig, Question, RecordType, Reply, Resolver, Server, Sink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

pub fn n(text: &str) -> Box<[u8]> {
    let mut wire: Vec<u8> = Vec::new();
    for label in text.split('.') {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire.into()
}

pub fn rr(owner: &str, rtype: RecordType, data: &[u8]) -> Vec<u8> {
    let mut r = n(owner).to_vec();
    r.extend(u16::from(rtype).to_be_bytes());
    r.extend([0, 1, 0, 0, 0, 60]);
    r.extend((data.len() as u16).to_be_bytes());
    r.extend(data);
    r
}

/// A response to a query: response code, flags beside it, answer records, authority records.
pub fn respond(query: &[u8], rcode: u8, tc: bool, answers: &[Vec<u8>], authority: &[Vec<u8>]) -> Vec<u8> {
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

pub fn name_of(query: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let len = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).to_ascii_lowercase());
        at += 1 + len;
    }
    labels.join(".")
}

pub struct Mock {
    pub addr: SocketAddr,
    asked: Arc<Mutex<HashMap<String, u32>>>,
    tasks: JoinSet<()>,
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

/// What a server says to a query, over TCP or not.
pub trait Say: Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static {}

impl<F: Fn(&[u8], bool) -> Vec<Vec<u8>> + Send + Sync + 'static> Say for F {}

impl Mock {
    /// One question on each connection.
    pub async fn start(say: impl Say) -> Self {
        let say = Arc::new(say);
        let over_tcp = Arc::clone(&say);
        let serve = move |mut stream: TcpStream| {
            let say = Arc::clone(&over_tcp);
            async move {
                let len = stream.read_u16().await.unwrap();
                let mut query = vec![0; len.into()];
                stream.read_exact(&mut query).await.unwrap();
                for m in say(&query, true) {
                    stream.write_u16(m.len() as u16).await.unwrap();
                    stream.write_all(&m).await.unwrap();
                }
            }
        };
        Self::with_tcp(move |query: &[u8], tcp| say(query, tcp), serve).await
    }

    /// Nobody listens on its TCP port.
    pub async fn without_tcp(say: impl Say) -> Self {
        let (udp, _) = bind_both();
        Self::serve(udp, say)
    }

    /// Connections are the caller's to serve.
    pub async fn with_tcp<F: Future<Output = ()> + Send + 'static>(
        say: impl Say,
        serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = bind_both();
        let mut mock = Self::serve(udp, say);
        tcp.set_nonblocking(true).unwrap();
        let tcp = TcpListener::from_std(tcp).unwrap();
        mock.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = tcp.accept().await {
                connections.spawn(serve(stream));
            }
        });
        mock
    }

    fn serve(udp: std::net::UdpSocket, say: impl Say) -> Self {
        // The default holds some hundred queries only.
        socket2::SockRef::from(&udp).set_recv_buffer_size(4 << 20).unwrap();
        udp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::from_std(udp).unwrap();
        let addr = udp.local_addr().unwrap();
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
        Self { addr, asked, tasks }
    }

    pub fn asked(&self, name: &str) -> u32 {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

pub async fn ask(resolver: &dyn Resolver, names: &[&str]) -> HashMap<String, Reply> {
    let questions =
        names.iter().zip(0..).map(|(text, token)| Question { token, name: n(text), qtype: RecordType::A });
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

pub fn named(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

pub fn server(addr: SocketAddr) -> Server {
    Server::own(addr)
}

pub fn udp(addrs: &[SocketAddr], timeout_ms: u64, attempts: u8) -> Engine {
    let servers = addrs.iter().copied().map(server).collect();
    let timeout = Duration::from_millis(timeout_ms);
    Engine::start(&EngineConfig { timeout, attempts, sockets: 2, ..EngineConfig::new(servers) }).unwrap()
}
