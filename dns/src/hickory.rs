//! The reference: hickory's own UDP client, one socket a question.
//!
//! It is slow on purpose of its design (a fresh port for every question) and refuses a
//! message whole where one record is broken; retries over servers and TCP are ours, since
//! its pool returns the first SERVFAIL.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::DnsRequestSender as _;
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Query};
use hickory_resolver::proto::rr::Name;

use crate::answer::{self, Read};
use crate::tasks::{Ask, Tasks};
use crate::{Ended, Question, Reply, Resolver, Sink, Transport, Verdict, name, tcp};

/// Resolves through hickory-net.
#[derive(Debug)]
pub struct Hickory {
    inner: Arc<Inner>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Inner {
    servers: Vec<SocketAddr>,
    timeout: Duration,
}

impl Hickory {
    /// Asks the servers in turn: `attempts` sends of a question at most, each waited for
    /// `timeout`, `in_flight` questions (a socket each) open at a time.
    pub fn new(servers: Vec<SocketAddr>, timeout: Duration, attempts: u8, in_flight: usize) -> Self {
        Self { inner: Arc::new(Inner { servers, timeout }), tasks: Tasks::new(attempts, in_flight) }
    }
}

#[async_trait]
impl Resolver for Hickory {
    async fn submit(&self, questions: Vec<Question>, sink: &Sink) -> Result<(), Ended> {
        self.tasks.submit(&self.inner, questions, sink).await
    }

    fn servers(&self) -> Vec<SocketAddr> {
        self.inner.servers.clone()
    }
}

impl Ask for Inner {
    fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    async fn once(&self, server: usize, question: &Question) -> Reply {
        let server = self.servers[server];
        match self.udp(server, question).await {
            Ok(read) if read.is_partial() => {
                answer::over_tcp(tcp::exchange(server, question, self.timeout).await.ok())
            }
            Ok(read) => read.reply,
            Err(verdict) => Reply { transport: Transport::Udp, ..Reply::failed(question.token, verdict) },
        }
    }
}

impl Inner {
    async fn udp(&self, server: SocketAddr, question: &Question) -> Result<Read, Verdict> {
        let mut qname = Name::from_labels(name::labels(&question.name)).map_err(|_| Verdict::FormErr)?;
        qname.set_fqdn(true);
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        let request = DnsRequest::from_query(Query::query(qname, question.qtype), options);
        let mut client = UdpClientStream::builder(server, TokioRuntimeProvider::default())
            .with_timeout(Some(self.timeout))
            // One send: its own retries would come on top of ours.
            .with_max_retries(1)
            .with_retry_interval_floor(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX))
            .build();
        match client.send_message(request).next().await {
            Some(Ok(response)) => answer::read(question, response.as_buffer()).ok_or(Verdict::Malformed),
            Some(Err(NetError::Proto(_))) => Err(Verdict::Malformed),
            Some(Err(_)) => Err(Verdict::Unreachable),
            // Its stream ends without an item when the time is over.
            None => Err(Verdict::Timeout),
        }
    }
}
