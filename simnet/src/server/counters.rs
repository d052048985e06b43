//! What the server was asked.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

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
    /// Most HTTP requests that arrived within one second of the clock that began at the start.
    pub http_max_rate: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Rdap,
    Pdns,
    Certs,
}

#[derive(Debug)]
pub(super) struct Counters {
    start: Instant,
    dns: [AtomicU64; 2],
    dns_most: AtomicU64,
    answered: AtomicU64,
    dropped: AtomicU64,
    unreadable: AtomicU64,
    http: [AtomicU64; 3],
    too_many: AtomicU64,
    failed: AtomicU64,
    /// The running second, its requests, and the most of any second.
    rate: Mutex<(u64, u64, u64)>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            dns: Default::default(),
            dns_most: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            http: Default::default(),
            too_many: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            rate: Mutex::default(),
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
        let second = self.start.elapsed().as_secs();
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.0 != second {
            (rate.0, rate.1) = (second, 0);
        }
        rate.1 += 1;
        rate.2 = rate.2.max(rate.1);
    }

    pub(super) fn too_many(&self) {
        self.too_many.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
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
            http_max_rate: self.rate.lock().unwrap_or_else(PoisonError::into_inner).2,
        }
    }
}
