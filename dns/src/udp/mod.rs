//! Questions over few shared UDP sockets, each with its own table of IDs.
//!
//! A driver owns a socket pair (IPv4, IPv6) and everything in flight on it, so nothing on
//! the way of a question is locked. Answers are read until the socket is empty, and handed
//! over once for each sink.

mod driver;
mod entry;
mod outbox;
mod settle;
mod waiting;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::servers::{Gate, Server, Servers};
use crate::{Ended, Question, Resolver, Sink};

/// Kernel receive buffer asked for: the usual default of 208 KiB holds 256 small answers.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Batches that may wait for one driver.
const COMMANDS: usize = 64;
/// Fewer questions than these are not spread over the drivers.
const SPREAD: usize = 32;
/// TCP connections open at a time.
const TCP_OPEN: usize = 128;

/// How to ask.
#[derive(Clone)]
pub struct UdpConfig {
    /// Whom; at least one.
    pub servers: Vec<Server>,
    /// How long one send is waited for.
    pub timeout: Duration,
    /// Sends of one question at most, over all servers.
    pub attempts: u8,
    /// Source ports: sockets of each address family in use.
    pub sockets: usize,
    /// Questions in flight at most, over all servers.
    pub in_flight: usize,
    /// A limiter beside the servers' own limits.
    pub gate: Option<Arc<dyn Gate>>,
}

impl UdpConfig {
    /// The usual settings: 2 s a send, 3 sends, 8 source ports, 16,384 in flight.
    pub fn new(servers: Vec<Server>) -> Self {
        Self {
            servers,
            timeout: Duration::from_secs(2),
            attempts: 3,
            sockets: 8,
            in_flight: 16_384,
            gate: None,
        }
    }
}

impl std::fmt::Debug for UdpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpConfig")
            .field("servers", &self.servers)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .field("sockets", &self.sockets)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// What happened so far. Every count only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Datagrams sent.
    pub sent: AtomicU64,
    /// Answers accepted.
    pub answered: AtomicU64,
    /// Sends that were not answered in time.
    pub timeouts: AtomicU64,
    /// Datagrams ignored: no response, or too short.
    pub garbage: AtomicU64,
    /// Datagrams ignored: nothing in flight has this ID, or it went to another server.
    pub strange: AtomicU64,
    /// Datagrams ignored: another question.
    pub mismatched: AtomicU64,
    /// Questions asked again over TCP.
    pub tcp: AtomicU64,
    /// Questions whose reader went away.
    pub withdrawn: AtomicU64,
}

/// The UDP back end. Dropping it ends it; what is in flight is not answered any more.
pub struct Udp {
    servers: Arc<Servers>,
    counters: Arc<Counters>,
    drivers: Vec<mpsc::Sender<driver::Batch>>,
    tasks: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Udp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Udp").field("servers", &self.servers()).finish_non_exhaustive()
    }
}

impl Udp {
    /// Binds the sockets and starts the drivers on the current runtime.
    ///
    /// # Errors
    /// When there is no server, none of an address family that this machine has, or a socket
    /// cannot be bound.
    pub fn start(config: &UdpConfig) -> io::Result<Self> {
        if config.servers.is_empty() || config.servers.len() > usize::from(u16::MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "give 1 to 65,535 resolvers"));
        }
        let usable = usable(&config.servers, |any| bind(any).map(drop))?;
        let has = |v4: bool| usable.iter().any(|s| s.addr.is_ipv4() == v4);
        let (v4, v6) = (has(true), has(false));
        let servers = Arc::new(Servers::new(usable, config.gate.clone()));
        let counters = Arc::new(Counters::default());
        let tcp = Arc::new(Semaphore::new(TCP_OPEN));
        let n = config.sockets.clamp(1, 64);
        let (mut drivers, mut tasks) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for _ in 0..n {
            let setup = driver::Setup {
                v4: v4.then(|| bind(any_address(true))).transpose()?,
                v6: v6.then(|| bind(any_address(false))).transpose()?,
                servers: Arc::clone(&servers),
                counters: Arc::clone(&counters),
                tcp: Arc::clone(&tcp),
                timeout: config.timeout.max(Duration::from_millis(1)),
                attempts: config.attempts.max(1),
                in_flight: config.in_flight.div_ceil(n),
            };
            let (tx, rx) = mpsc::channel(COMMANDS);
            drivers.push(tx);
            #[expect(
                clippy::disallowed_methods,
                reason = "this crate stands alone; the handle is aborted on drop"
            )]
            tasks.push(tokio::spawn(driver::run(setup, rx)));
        }
        Ok(Self { servers, counters, drivers, tasks })
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Resolver for Udp {
    async fn submit(&self, mut questions: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        let n = self.drivers.len();
        // The source port is chosen at random: it is half of what a forger has to guess.
        let mut at: usize = rand::random_range(0..n);
        let part = if questions.len() < SPREAD { questions.len() } else { questions.len().div_ceil(n) };
        while !questions.is_empty() {
            let rest = questions.split_off(part.min(questions.len()));
            let batch = driver::Batch { questions, sink: sink.clone() };
            self.drivers[at].send(batch).await.map_err(|_| Ended)?;
            questions = rest;
            at = (at + 1) % n;
        }
        Ok(())
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.servers.addrs().collect()
    }
}

fn any_address(v4: bool) -> SocketAddr {
    if v4 { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() }
}

/// The servers without those of an address family that is off here: resolvers of both
/// families are common, machines with both are not.
fn usable(servers: &[Server], bind: impl Fn(SocketAddr) -> io::Result<()>) -> io::Result<Vec<Server>> {
    let (mut usable, mut failed) = (Vec::with_capacity(servers.len()), None);
    for v4 in [true, false] {
        let of_family = servers.iter().filter(|s| s.addr.is_ipv4() == v4);
        let count = of_family.clone().count();
        if count == 0 {
            continue;
        }
        match bind(any_address(v4)) {
            Ok(()) => usable.extend(of_family.cloned()),
            Err(error) => {
                let family = if v4 { "IPv4" } else { "IPv6" };
                tracing::warn!(%error, resolvers = count, "no {family} here: its resolvers are left out");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if usable.is_empty() => Err(error),
        _ => Ok(usable),
    }
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The kernel grants what it is allowed to; less is not fatal, lost answers are asked again.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
