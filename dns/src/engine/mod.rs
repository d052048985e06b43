//! Questions over few shared UDP sockets, on threads of their own.
//!
//! A thread owns its sockets, everything in flight on them, and what it has learnt of the
//! servers, so nothing on the way of a question is locked. What it decides is in a core
//! without I/O ([`core`]); the thread reads and writes in batches around it.

mod accept;
mod core;
mod entry;
mod ids;
mod readers;
mod ring;
mod stats;
mod streams;
mod thread;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kudzu_datagram::{Options, Peer, Poller, Socket, Waker};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

#[cfg(fuzzing)]
pub(crate) use self::core::{Core, Setup};
use crate::server::{Gate, Server, ServerStats};
use crate::{Ended, Question, Resolver, Sink};
pub use stats::Stats;

/// Batches that may wait for one thread.
const BATCHES: usize = 64;

/// Octets of a receive buffer that a small answer takes, its bookkeeping included (Linux: 768
/// and more). No more answers are out for on a socket than its buffer holds.
const SMALL_DATAGRAM: usize = 1024;

/// Sockets of one address family and thread at most.
const MAX_SOCKETS: usize = 64;

/// How to ask.
#[derive(Clone)]
pub struct EngineConfig {
    /// Whom; at least one.
    pub servers: Vec<Server>,
    /// Questions a second over all servers; `None` for no limit but theirs.
    pub rate: Option<f64>,
    /// Questions in flight at most, over all servers.
    pub in_flight: usize,
    /// How long the last send of a question is waited for. Before that it is sent again after
    /// a multiple of the round-trip time (RFC 6298).
    pub timeout: Duration,
    /// Sends of one question at most, over all servers; never more than 3 to one of them.
    pub attempts: u8,
    /// Source ports: sockets of each address family in use, for each thread, at least.
    pub sockets: usize,
    /// Threads; the limits are divided among them.
    pub threads: usize,
    /// Octets of each socket's buffers.
    pub buffer: usize,
    /// A limiter beside the servers' own limits.
    pub gate: Option<Arc<dyn Gate>>,
    /// For tests that are to be repeated; random if `None`.
    pub seed: Option<u64>,
}

impl EngineConfig {
    /// The usual settings: 16,384 in flight, 2 s, 5 sends, 16 source ports, one thread.
    pub fn new(servers: Vec<Server>) -> Self {
        Self {
            servers,
            rate: None,
            in_flight: 16_384,
            timeout: Duration::from_secs(2),
            attempts: 5,
            sockets: 16,
            threads: 1,
            buffer: 8 << 20,
            gate: None,
            seed: None,
        }
    }

    /// The part of one of `n` threads.
    fn part(&self, n: usize) -> Self {
        let share = |server: &Server| Server {
            rate: server.rate.map(|r| r / n as f64),
            in_flight: server.in_flight.map(|f| (f / n as u32).max(1)),
            ..server.clone()
        };
        Self {
            servers: self.servers.iter().map(share).collect(),
            rate: self.rate.map(|r| r / n as f64),
            in_flight: (self.in_flight / n).max(1),
            ..self.clone()
        }
    }

    /// Threads among which every limit can be divided.
    fn usable_threads(&self) -> usize {
        let caps = self.servers.iter().filter_map(|s| s.in_flight).map(|n| n as usize);
        let rates = self.servers.iter().filter_map(|s| s.rate).chain(self.rate).map(|r| r as usize);
        caps.chain(rates).chain([self.threads, self.in_flight, 64]).min().unwrap_or(1).max(1)
    }

    fn seed(&self, thread: usize) -> [u8; 32] {
        let mut seed = [0; 32];
        match self.seed {
            Some(given) => {
                seed[..8].copy_from_slice(&given.to_le_bytes());
                seed[8..16].copy_from_slice(&(thread as u64).to_le_bytes());
            }
            None => rand::fill(&mut seed),
        }
        seed
    }
}

impl std::fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineConfig")
            .field("servers", &self.servers)
            .field("rate", &self.rate)
            .field("in_flight", &self.in_flight)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .field("sockets", &self.sockets)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Questions of one reader.
#[derive(Debug)]
struct Batch {
    questions: Vec<Question>,
    sink: Sink,
}

/// What a thread and its owner both see.
#[derive(Debug)]
struct Shared {
    stats: Arc<Stats>,
    servers: Mutex<Vec<ServerStats>>,
    waker: Waker,
    /// The thread sleeps, or is about to.
    sleeping: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    /// Wakes the thread if it sleeps.
    fn wake(&self) {
        if self.sleeping.swap(false, SeqCst) {
            self.waker.wake();
        }
    }
}

#[derive(Debug)]
struct Worker {
    batches: mpsc::Sender<Batch>,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
    streams: JoinHandle<()>,
}

/// The engine. Dropping it ends it; what is in flight is not answered any more.
#[derive(Debug)]
pub struct Engine {
    workers: Vec<Worker>,
    next: AtomicUsize,
    stats: Arc<Stats>,
    addrs: Vec<SocketAddr>,
    receive_buffer: usize,
    /// Answers that all receive buffers hold.
    room: usize,
}

impl Engine {
    /// Binds the sockets and starts the threads. What needs TCP runs on the current runtime.
    ///
    /// # Errors
    /// When there is no server, none of an address family that this machine has, or a socket
    /// or a thread cannot be had.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(config: &EngineConfig) -> io::Result<Self> {
        if config.servers.is_empty() || config.servers.len() > usize::from(u16::MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "give 1 to 65,535 resolvers"));
        }
        let options = Options { buffer: config.buffer, ..Options::default() };
        let servers = usable(&Server::merged(&config.servers), |any| Socket::bind(any, options).map(drop))?;
        let config = EngineConfig { servers, ..config.clone() };
        let mut engine = Self {
            workers: Vec::new(),
            next: AtomicUsize::new(0),
            stats: Arc::default(),
            addrs: config.servers.iter().map(|s| s.addr).collect(),
            receive_buffer: 0,
            room: 0,
        };
        let n = config.usable_threads();
        for i in 0..n {
            engine.start_thread(&config.part(n), i, options)?;
        }
        Ok(engine)
    }

    fn start_thread(&mut self, config: &EngineConfig, i: usize, options: Options) -> io::Result<()> {
        let mut sockets = Vec::new();
        for any in [any_address(true), any_address(false)] {
            if config.servers.iter().any(|s| s.addr.is_ipv4() == any.is_ipv4()) {
                let mut room = 0;
                for n in 0..MAX_SOCKETS {
                    // More of them where the system's buffers are small.
                    if n >= config.sockets.max(1) && room >= config.in_flight {
                        break;
                    }
                    let socket = Socket::bind(any, options)?;
                    room += socket.receive_buffer() / SMALL_DATAGRAM;
                    sockets.push(socket);
                }
                self.room += room;
            }
        }
        self.receive_buffer = sockets.iter().map(Socket::receive_buffer).min().unwrap_or(0);
        let (poller, waker) = Poller::new(&sockets)?;
        let shared = Arc::new(Shared {
            stats: Arc::clone(&self.stats),
            servers: Mutex::default(),
            waker,
            sleeping: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let socket = |s: &Socket| Ok((s.local_addr()?.is_ipv4(), s.receive_buffer() / SMALL_DATAGRAM));
        let core = core::Core::new(core::Setup {
            config,
            sockets: sockets.iter().map(socket).collect::<io::Result<_>>()?,
            stats: Arc::clone(&self.stats),
            seed: config.seed(i),
            now: Instant::now(),
        });
        let (streams, streamed, keep) = streams::Streams::new(config.timeout, Arc::clone(&shared));
        let (tx, batches) = mpsc::channel(BATCHES);
        let thread = thread::Thread::new(thread::Parts {
            core,
            shared: Arc::clone(&shared),
            poller,
            sockets,
            peers: config.servers.iter().map(|s| Peer::from(s.addr)).collect(),
            batches,
            streams,
            streamed,
            trains: true,
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "this crate stands alone; the handle is aborted on drop"
        )]
        let keeper = tokio::spawn(keep);
        let name = format!("dns-io-{i}");
        let thread = std::thread::Builder::new().name(name).spawn(move || thread.run())?;
        self.workers.push(Worker { batches: tx, shared, thread: Some(thread), streams: keeper });
        Ok(())
    }

    /// What happened so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is known of each server, at most a tenth of a second ago; once for each thread.
    pub fn server_stats(&self) -> Vec<ServerStats> {
        let of = |w: &Worker| w.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.workers.iter().flat_map(of).collect()
    }

    /// Questions in flight at most, by what the receive buffers hold that the system grants.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Octets that wait at most in a socket to be received, as the kernel granted them.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.shared.stop.store(true, SeqCst);
            worker.shared.waker.wake();
            worker.streams.abort();
        }
        for worker in &mut self.workers {
            // It looks at the stop between batches, so this takes milliseconds at most.
            if worker.thread.take().is_some_and(|t| t.join().is_err()) {
                tracing::error!("a DNS thread ended badly");
            }
        }
    }
}

#[async_trait]
impl Resolver for Engine {
    async fn submit(&self, questions: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        if questions.is_empty() {
            return Ok(());
        }
        let worker = &self.workers[self.next.fetch_add(1, Relaxed) % self.workers.len()];
        let batch = Batch { questions, sink: sink.clone() };
        worker.batches.send(batch).await.map_err(|_| Ended)?;
        worker.shared.wake();
        Ok(())
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.addrs.clone()
    }

    fn window(&self) -> Option<u32> {
        Some(self.server_stats().iter().fold(0, |all, s| all.saturating_add(s.window)))
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

#[cfg(test)]
mod tests;
