//! Puts a world on loopback sockets.

mod busiest;
mod counters;
mod http;
mod tcp;
mod udp;
mod wire;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use kudzu_datagram::{Options, Socket};
use serde::Serialize;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::counters::Counters;
pub use self::counters::Stats;
use self::udp::Shared;
use crate::faults::{Chaos, Faults, Service};
use crate::world::World;

/// How often a free port for both UDP and TCP is looked for.
const PORT_TRIES: usize = 32;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// Address of all sockets.
    pub host: IpAddr,
    /// DNS sockets, each a resolver of its own.
    pub resolvers: usize,
    /// Port of the first DNS socket; 0 for any. Further ones always take any.
    pub dns_port: u16,
    /// 0 for any.
    pub rdap_port: u16,
    /// 0 for any.
    pub pdns_port: u16,
    /// 0 for any.
    pub certs_port: u16,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            resolvers: 1,
            dns_port: 0,
            rdap_port: 0,
            pdns_port: 0,
            certs_port: 0,
        }
    }
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addrs {
    /// Each serves UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// RDAP.
    pub rdap: SocketAddr,
    /// Passive DNS.
    pub pdns: SocketAddr,
    /// Certificates.
    pub certs: SocketAddr,
}

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A socket for DNS cannot be had.
    #[error("cannot listen for DNS on {addr}")]
    BindDns {
        /// The address.
        addr: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A socket for HTTP cannot be had.
    #[error("cannot listen for {service} on {addr}")]
    BindHttp {
        /// What was to be served.
        service: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a DNS thread")]
    Thread {
        /// The system's answer.
        source: io::Error,
    },
}

/// A running simulated internet; dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    addrs: Addrs,
    counters: Arc<Counters>,
    stop: CancellationToken,
    tasks: TaskTracker,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Binds all sockets and serves; needs a tokio runtime for TCP and HTTP.
    ///
    /// # Errors
    /// Says which socket cannot be had.
    pub async fn start(world: World, faults: Faults, cfg: ListenConfig) -> Result<Self, StartError> {
        let counters = Arc::new(Counters::new());
        let shared = Shared { world, chaos: Arc::new(Chaos::new(faults)), counters: Arc::clone(&counters) };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut server = Self {
            addrs: Addrs { dns: Vec::new(), rdap: unset(), pdns: unset(), certs: unset() },
            counters,
            stop: stop.clone(),
            tasks: tasks.clone(),
            threads: Vec::new(),
        };
        for n in 0..cfg.resolvers.max(1) {
            let wanted = SocketAddr::new(cfg.host, if n == 0 { cfg.dns_port } else { 0 });
            server.start_dns(wanted, &shared)?;
        }
        let http = async |service, label, port| {
            let addr = SocketAddr::new(cfg.host, port);
            let failed = |source| StartError::BindHttp { service: label, addr, source };
            let listener = TcpListener::bind(addr).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            tasks.spawn(http::serve(listener, shared.clone(), service, stop.clone()));
            Ok::<SocketAddr, StartError>(bound)
        };
        server.addrs.rdap = http(Service::Rdap, "RDAP", cfg.rdap_port).await?;
        server.addrs.pdns = http(Service::Pdns, "passive DNS", cfg.pdns_port).await?;
        server.addrs.certs = http(Service::Certs, "certificates", cfg.certs_port).await?;
        Ok(server)
    }

    fn start_dns(&mut self, wanted: SocketAddr, shared: &Shared) -> Result<(), StartError> {
        let (udp, tcp, addr) =
            bind_dns(wanted).map_err(|source| StartError::BindDns { addr: wanted, source })?;
        self.addrs.dns.push(addr);
        let (stop, state) = (self.stop.clone(), shared.clone());
        let thread = std::thread::Builder::new()
            .name(format!("simnet-dns-{}", self.threads.len()))
            .spawn(move || udp::serve(&udp, &state, &stop))
            .map_err(|source| StartError::Thread { source })?;
        self.threads.push(thread);
        self.tasks.spawn(tcp::serve(tcp, shared.clone(), self.tasks.clone(), self.stop.clone()));
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn addrs(&self) -> &Addrs {
        &self.addrs
    }

    /// What it was asked so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// Stops all sockets and waits for their tasks and threads.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|t| t.join().is_ok())).await;
        if !matches!(joined, Ok(true)) {
            tracing::error!("a DNS thread ended badly");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn unset() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)
}

/// Binds UDP and TCP to one port; with port 0, one that is free for both.
fn bind_dns(wanted: SocketAddr) -> io::Result<(Socket, TcpListener, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES {
        // A burst of a whole window fits its buffers, where the system gives them.
        let udp = Socket::bind(wanted, Options { only_v6: false, ..Options::default() })?;
        let addr = udp.local_addr()?;
        match std::net::TcpListener::bind(addr) {
            Ok(listener) => {
                listener.set_nonblocking(true)?;
                return Ok((udp, TcpListener::from_std(listener)?, addr));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
