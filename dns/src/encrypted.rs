//! DNS over TLS (RFC 7858) and over HTTPS (RFC 8484): few connections, each with many
//! questions at a time, opened when they are needed and again when they are gone.
//!
//! hickory-net carries the messages; they are read here as all others are. One that it
//! cannot read is malformed over HTTPS, and over TLS passed over, so that its time runs out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use hickory_proto::op::Message;
use hickory_resolver::net::NetError;
use hickory_resolver::net::h2::HttpsClientStream;
use hickory_resolver::net::runtime::{RuntimeProvider as _, Spawn as _, TokioRuntimeProvider};
use hickory_resolver::net::tls::tls_client_connect;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle as _, DnsMultiplexer};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions};
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls_platform_verifier::Verifier;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::answer;
use crate::query::{self, Form};
use crate::server::{Gate, Pace};
use crate::tasks::{Ask, Tasks};
use crate::{Ended, Question, Reply, Resolver, Sink, Upstream, Verdict, name};

/// Questions on a connection at a time: hickory holds no more for a socket that is not
/// ready, and fails the next.
const PLACES: usize = 32;
/// Connections to one upstream. Public resolvers bear few of one client.
const MAX_LINES: usize = 8;

/// Resolves over TLS and HTTPS.
#[derive(Debug)]
pub struct Encrypted {
    inner: Arc<Inner>,
    tasks: Tasks,
}

/// The back end cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum EncryptedError {
    /// Nobody to ask.
    #[error("no encrypted resolver is given")]
    NoUpstream,
    /// The extra roots are no certificates in PEM.
    #[error("read the extra root certificates")]
    Read(#[source] pem::Error),
    /// The system has no root certificates, or an extra one is broken.
    #[error("set up the check of certificates")]
    Trust(#[source] rustls::Error),
}

/// A limiter, and whose turn it is at each upstream.
type Gated = (Arc<dyn Gate>, Vec<Mutex<()>>);

struct Inner {
    upstreams: Vec<(Upstream, Vec<Line>)>,
    addrs: Vec<SocketAddr>,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    /// Of each upstream, where it has a rate.
    paces: Vec<std::sync::Mutex<Pace>>,
    /// A limiter beside these, and for each upstream who looks at it: one at a time, in order.
    gate: Option<Gated>,
    begin: Instant,
    /// Holds the tasks of the connections, which end with it.
    runtime: TokioRuntimeProvider,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}

/// A place for a connection.
struct Line {
    places: Semaphore,
    connection: Mutex<Option<Connection>>,
}

#[derive(Clone)]
struct Connection {
    exchange: DnsExchange<TokioRuntimeProvider>,
    /// Answers that it brought.
    answered: Arc<AtomicU64>,
}

impl Encrypted {
    /// Asks the upstreams in turn: `attempts` sends of a question at most, each waited for
    /// `timeout`, `in_flight` questions open at a time. Certificates are checked against the
    /// system's roots and `extra_roots` (PEM, empty for none).
    ///
    /// # Errors
    /// Without an upstream, and where there are no roots to check against.
    pub fn new(
        upstreams: Vec<Upstream>,
        extra_roots: &[u8],
        timeout: Duration,
        attempts: u8,
        in_flight: usize,
    ) -> Result<Self, EncryptedError> {
        if upstreams.is_empty() {
            return Err(EncryptedError::NoUpstream);
        }
        // Each once, so that its limits hold.
        let mut known = std::collections::HashSet::new();
        let upstreams: Vec<Upstream> = upstreams.into_iter().filter(|u| known.insert(u.clone())).collect();
        let lines = in_flight.div_ceil(PLACES).clamp(1, MAX_LINES);
        let line = || Line { places: Semaphore::new(PLACES), connection: Mutex::default() };
        let with_lines = |upstream: Upstream| (upstream, std::iter::repeat_with(line).take(lines).collect());
        let inner = Inner {
            addrs: upstreams.iter().map(Upstream::addr).collect(),
            upstreams: upstreams.into_iter().map(with_lines).collect(),
            tls: Arc::new(client_config(extra_roots)?),
            timeout,
            paces: Vec::new(),
            gate: None,
            begin: Instant::now(),
            runtime: TokioRuntimeProvider::default(),
        };
        Ok(Self { inner: Arc::new(inner), tasks: Tasks::new(attempts, in_flight) })
    }

    /// The same with so many questions a second to each upstream at most. To be called before
    /// anything is asked; later it has no effect.
    #[must_use]
    pub fn with_rate(mut self, rate: f64) -> Self {
        if let (Some(inner), Some(pace)) = (Arc::get_mut(&mut self.inner), Pace::of(rate)) {
            inner.paces = inner.addrs.iter().map(|_| std::sync::Mutex::new(pace)).collect();
        }
        self
    }

    /// The same with a limiter beside the rates; as above.
    #[must_use]
    pub fn with_gate(mut self, gate: Option<Arc<dyn Gate>>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.gate = gate.map(|gate| (gate, inner.addrs.iter().map(|_| Mutex::default()).collect()));
        }
        self
    }
}

fn client_config(extra_roots: &[u8]) -> Result<ClientConfig, EncryptedError> {
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(extra_roots).collect();
    let roots = roots.map_err(EncryptedError::Read)?;
    if roots.is_empty() && !extra_roots.trim_ascii().is_empty() {
        return Err(EncryptedError::Read(pem::Error::NoItemsFound));
    }
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(EncryptedError::Trust)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(EncryptedError::Trust)?;
    Ok(builder
        .dangerous() // as rustls calls every check that is not its own
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[async_trait]
impl Resolver for Encrypted {
    async fn submit(&self, questions: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        self.tasks.submit(&self.inner, questions, sink).await
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.inner.addrs.clone()
    }
}

impl Ask for Inner {
    fn servers(&self) -> &[SocketAddr] {
        &self.addrs
    }

    async fn once(&self, server: usize, question: &Question) -> Reply {
        self.turn(server).await;
        let transport = self.upstreams[server].0.transport();
        let reply = match self.ask(server, question).await {
            // Nothing carries more than these do.
            Ok(read) if read.truncated => Reply::failed(question.token, Verdict::Truncated),
            Ok(read) => read.reply,
            Err(verdict) => Reply::failed(question.token, verdict),
        };
        Reply { transport, ..reply }
    }
}

impl Inner {
    /// Waits for the upstream's rate to allow a question.
    async fn turn(&self, server: usize) {
        if let Some(pace) = self.paces.get(server) {
            let now = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            // Each has its own turn, in the order of arrival.
            let due = pace.lock().unwrap_or_else(PoisonError::into_inner).reserve(now);
            tokio::time::sleep_until(self.begin + Duration::from_nanos(due)).await;
        }
        if let Some((gate, turns)) = &self.gate {
            let _turn = turns[server].lock().await;
            while let Err(at) = gate.admit(self.addrs[server], Instant::now().into_std()) {
                tokio::time::sleep_until(at.into()).await;
            }
        }
    }

    async fn ask(&self, server: usize, question: &Question) -> Result<answer::Read, Verdict> {
        let (upstream, lines) = &self.upstreams[server];
        let request = request(question).ok_or(Verdict::FormErr)?;
        let deadline = Instant::now() + self.timeout;
        // The first that has room, so that few are open; where none has, any.
        let free = lines.iter().find_map(|line| Some((line, line.places.try_acquire().ok()?)));
        let (line, _place) = match free {
            Some(free) => free,
            None => {
                let line = &lines[rand::random_range(0..lines.len())];
                let place = timeout_at(deadline, line.places.acquire()).await;
                (line, place.map_err(|_| Verdict::Timeout)?.map_err(|_| Verdict::Unreachable)?)
            }
        };
        let mut again = false;
        loop {
            let (connection, is_new) = timeout_at(deadline, self.connection(upstream, line))
                .await
                .map_err(|_| Verdict::Timeout)?
                .map_err(|e| verdict(&e))?;
            let before = connection.answered.load(Relaxed);
            let asked = timeout_at(deadline, connection.ask(request.clone())).await;
            match asked.unwrap_or(Err(NetError::Timeout)) {
                Ok(message) => return answer::read(question, &message).ok_or(Verdict::Malformed),
                Err(e) => {
                    let is_slow = matches!(e, NetError::Timeout);
                    // Other answers show that only this one is late.
                    if !is_slow || connection.answered.load(Relaxed) == before {
                        line.forget(&connection).await;
                    }
                    // Servers close what is idle (RFC 7766 section 6.2.3): no failure yet.
                    if is_slow || is_new || again || matches!(e, NetError::Proto(_)) {
                        return Err(verdict(&e));
                    }
                    again = true;
                    timeout_at(deadline, self.turn(server)).await.map_err(|_| Verdict::Timeout)?;
                }
            }
        }
    }

    /// The line's connection, and whether it was opened for this.
    async fn connection(&self, upstream: &Upstream, line: &Line) -> Result<(Connection, bool), NetError> {
        let mut slot = line.connection.lock().await;
        if let Some(open) = &*slot {
            return Ok((open.clone(), false));
        }
        let connection = Connection { exchange: self.connect(upstream).await?, answered: Arc::default() };
        *slot = Some(connection.clone());
        Ok((connection, true))
    }

    async fn connect(&self, upstream: &Upstream) -> Result<DnsExchange<TokioRuntimeProvider>, NetError> {
        let (tls, runtime) = (Arc::clone(&self.tls), self.runtime.clone());
        let Some(path) = &upstream.path else {
            // Not its `tls_exchange`: that sends no SNI, by which some tell their customers.
            let (stream, sender) = tls_client_connect(upstream.addr, upstream.name.clone(), tls, runtime);
            let stream = DnsMultiplexer::new(stream.await?, sender)
                .with_timeout(self.timeout)
                .with_max_active_requests(PLACES);
            let (exchange, background) = DnsExchange::from_stream(stream);
            self.runtime.create_handle().spawn_bg(background);
            return Ok(exchange);
        };
        let mut builder = HttpsClientStream::builder(tls, runtime);
        builder.request_timeout(self.timeout);
        builder.exchange(upstream.addr, Arc::from(&*upstream.name.to_str()), Arc::clone(path)).await
    }
}

impl Line {
    async fn forget(&self, connection: &Connection) {
        let mut slot = self.connection.lock().await;
        // Another question may have opened a new one.
        slot.take_if(|now| Arc::ptr_eq(&now.answered, &connection.answered));
    }
}

impl Connection {
    async fn ask(&self, request: DnsRequest) -> Result<Vec<u8>, NetError> {
        // Its stream ends without an item when the time is over.
        let response = self.exchange.send(request).next().await.unwrap_or(Err(NetError::Timeout))?;
        self.answered.fetch_add(1, Relaxed);
        Ok(response.into_buffer())
    }
}

/// The question padded, for lengths tell names (RFC 8467).
fn request(question: &Question) -> Option<DnsRequest> {
    if !name::is_valid(&question.name) {
        return None;
    }
    let mut message = Vec::with_capacity(query::MAX_QUERY);
    query::encode(0, question, Form { edns: true, padded: true, case: 0 }, &mut message);
    let message = Message::from_vec(&message).ok()?;
    Some(DnsRequest::new(message, DnsRequestOptions::default()))
}

fn verdict(error: &NetError) -> Verdict {
    match error {
        NetError::Timeout => Verdict::Timeout,
        NetError::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => Verdict::Timeout,
        NetError::Proto(_) => Verdict::Malformed,
        _ => Verdict::Unreachable,
    }
}
