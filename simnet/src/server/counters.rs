//! What the server was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::faults::Service;

const SECOND: Duration = Duration::from_secs(1);
/// How long what was sent before a 429 was heard of may still arrive.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// DNS questions over UDP.
    pub dns_udp: u64,
    /// Most datagrams that one DNS socket received within any second.
    pub dns_max_rate: u64,
    /// DNS questions over TCP.
    pub dns_tcp: u64,
    /// DNS answers sent.
    pub dns_answered: u64,
    /// DNS questions left without an answer on purpose, or whose sender was gone.
    pub dns_dropped: u64,
    /// Messages that were no DNS query.
    pub dns_unreadable: u64,
    /// RDAP requests.
    pub rdap: u64,
    /// Passive DNS requests.
    pub pdns: u64,
    /// Certificate requests.
    pub certs: u64,
    /// HTTP requests answered with 429.
    pub http_429: u64,
    /// HTTP requests answered with 5xx.
    pub http_5xx: u64,
    /// Most requests that one HTTP service received within any second.
    pub http_max_rate: u64,
    /// HTTP requests that arrived between a 429 of the same service and the end of its
    /// Retry-After; what was on its way meanwhile is none of them.
    pub http_early: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

#[derive(Debug)]
pub(super) struct Counters {
    dns: [AtomicU64; 2],
    dns_most: AtomicU64,
    answered: AtomicU64,
    dropped: AtomicU64,
    unreadable: AtomicU64,
    http: [AtomicU64; 3],
    too_many: AtomicU64,
    failed: AtomicU64,
    services: [Mutex<Recent>; 3],
    early: AtomicU64,
}

/// What one service received lately.
#[derive(Debug, Default)]
struct Recent {
    /// When the requests of the last second arrived.
    arrived: VecDeque<Instant>,
    /// The most of any second.
    most: usize,
    /// From when until when nothing should arrive.
    quiet: Option<(Instant, Instant)>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            dns: Default::default(),
            dns_most: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            http: Default::default(),
            too_many: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            services: Default::default(),
            early: AtomicU64::new(0),
        }
    }

    pub(super) fn dns_asked(&self, transport: Transport) {
        self.dns[transport as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So many came to one socket within a second.
    pub(super) fn dns_within_a_second(&self, count: u64) {
        self.dns_most.fetch_max(count, Ordering::Relaxed);
    }

    pub(super) fn dns_answered(&self, count: u64) {
        self.answered.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn http(&self, service: Service) {
        self.http[service as usize].fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut recent = self.services[service as usize].lock().unwrap_or_else(PoisonError::into_inner);
        while recent.arrived.front().is_some_and(|at| now - *at >= SECOND) {
            recent.arrived.pop_front();
        }
        recent.arrived.push_back(now);
        recent.most = recent.most.max(recent.arrived.len());
        if recent.quiet.is_some_and(|(from, until)| from <= now && now < until) {
            self.early.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It answers 429 now, and nothing should arrive for so long.
    pub(super) fn too_many(&self, service: Service, retry_after: Duration) {
        self.too_many.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut recent = self.services[service as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let from = match recent.quiet {
            // It is quiet already: the beginning stands.
            Some((from, until)) if now < until => from,
            _ => now + ON_ITS_WAY,
        };
        recent.quiet = Some((from, now + retry_after));
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let most = |s: &Mutex<Recent>| s.lock().unwrap_or_else(PoisonError::into_inner).most as u64;
        Stats {
            dns_udp: read(&self.dns[Transport::Udp as usize]),
            dns_max_rate: read(&self.dns_most),
            dns_tcp: read(&self.dns[Transport::Tcp as usize]),
            dns_answered: read(&self.answered),
            dns_dropped: read(&self.dropped),
            dns_unreadable: read(&self.unreadable),
            rdap: read(&self.http[Service::Rdap as usize]),
            pdns: read(&self.http[Service::Pdns as usize]),
            certs: read(&self.http[Service::Certs as usize]),
            http_429: read(&self.too_many),
            http_5xx: read(&self.failed),
            http_max_rate: self.services.iter().map(most).max().unwrap_or(0),
            http_early: read(&self.early),
        }
    }
}
