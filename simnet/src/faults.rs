//! What goes wrong, and when: each fault is a function of the question and of how often it was asked.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rng::{hash_bytes, mix, unit};

/// A service over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// RDAP.
    Rdap,
    /// Passive DNS.
    Pdns,
    /// Certificates.
    Certs,
}

/// A service that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Which.
    pub service: Service,
    /// So much more than the others; [`Duration::MAX`] is for ever.
    pub by: Duration,
}

/// Probabilities are shares of asks in [0, 1]; all are 0 at first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Every fault follows from it.
    pub seed: u64,
    /// Time before each answer, DNS and HTTP.
    pub latency: Duration,
    /// Up to this much more, by hash.
    pub jitter: Duration,
    /// DNS over UDP: no answer.
    pub loss: f64,
    /// DNS over UDP: an empty answer with TC.
    pub truncate: f64,
    /// DNS: SERVFAIL once.
    pub servfail: f64,
    /// DNS: REFUSED once.
    pub refuse: f64,
    /// DNS over UDP: an answer that cannot be read.
    pub malformed: f64,
    /// DNS: share of names that end in SERVFAIL whenever they are asked.
    pub permanent: f64,
    /// HTTP: 503.
    pub http_error: f64,
    /// HTTP: 429 with Retry-After.
    pub http_429: f64,
    /// HTTP: share of paths that end in 500 whenever they are asked.
    pub http_permanent: f64,
    /// HTTP: one service is slower than the others.
    pub slow: Option<Slow>,
    /// RDAP: where redirects lead in place of the registrar's server.
    pub redirect: Option<String>,
}

/// What happens to one DNS question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DnsFault {
    None,
    Drop,
    Truncate,
    ServFail,
    Refuse,
    Malform,
}

/// What happens to one HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpFault {
    None,
    TooMany,
    Unavailable,
    Broken,
}

/// Questions that are counted, in each of the parts; a part that is full starts over, so that all parts
/// together take some 100 MB at most and a fault repeats at worst.
const COUNTED: usize = 1 << 18;

#[derive(Clone, Copy)]
enum Kind {
    Loss = 1,
    Truncate,
    ServFail,
    Refuse,
    Malformed,
    Permanent,
    HttpError,
    Http429,
    HttpPermanent,
    Jitter,
}

/// Decides on faults; shared by all sockets of a server.
#[derive(Debug)]
pub(crate) struct Chaos {
    faults: Faults,
    dns: bool,
    http: bool,
    asked: [Mutex<HashMap<u64, u32>>; 16],
}

impl Chaos {
    pub(crate) fn new(faults: Faults) -> Self {
        let f = &faults;
        let dns = [f.loss, f.truncate, f.servfail, f.refuse, f.malformed].iter().any(|p| *p > 0.0);
        let http = f.http_error > 0.0 || f.http_429 > 0.0;
        Self { dns, http, asked: std::array::from_fn(|_| Mutex::default()), faults }
    }

    /// Where redirects of RDAP lead, unless to the registrar's server.
    pub(crate) fn redirect(&self) -> Option<&str> {
        self.faults.redirect.as_deref()
    }

    /// The question is the lower-case name and its type; UDP and TCP count alike.
    pub(crate) fn dns(&self, qname: &[u8], qtype: u16, udp: bool) -> (DnsFault, Duration) {
        let f = &self.faults;
        let quiet = !self.dns && f.permanent <= 0.0;
        if quiet && f.jitter.is_zero() {
            return (DnsFault::None, f.latency);
        }
        let key = hash_bytes(f.seed ^ u64::from(qtype), qname);
        let nth = if self.dns || !f.jitter.is_zero() { self.count(key) } else { 0 };
        let delay = self.delay(key, nth);
        if quiet {
            return (DnsFault::None, delay);
        }
        // The whole name fails, whatever the type.
        if self.hit(Kind::Permanent, hash_bytes(f.seed, qname), 0, f.permanent) {
            return (DnsFault::ServFail, delay);
        }
        let over_udp = [
            (Kind::Loss, f.loss, DnsFault::Drop),
            (Kind::Truncate, f.truncate, DnsFault::Truncate),
            (Kind::Malformed, f.malformed, DnsFault::Malform),
        ];
        let always =
            [(Kind::ServFail, f.servfail, DnsFault::ServFail), (Kind::Refuse, f.refuse, DnsFault::Refuse)];
        let candidates = over_udp.into_iter().filter(|_| udp).chain(always);
        let fault = candidates
            .into_iter()
            .find(|(kind, probability, _)| self.hit(*kind, key, nth, *probability))
            .map_or(DnsFault::None, |(_, _, fault)| fault);
        (fault, delay)
    }

    /// The question is the path with its query.
    pub(crate) fn http(&self, service: Service, path: &str) -> (HttpFault, Duration) {
        let f = &self.faults;
        let key = hash_bytes(f.seed ^ 0x4774_7000, path.as_bytes());
        let nth = if self.http || !f.jitter.is_zero() { self.count(key) } else { 0 };
        let fault = if self.hit(Kind::HttpPermanent, key, 0, f.http_permanent) {
            HttpFault::Broken
        } else if self.hit(Kind::Http429, key, nth, f.http_429) {
            HttpFault::TooMany
        } else if self.hit(Kind::HttpError, key, nth, f.http_error) {
            HttpFault::Unavailable
        } else {
            HttpFault::None
        };
        let slower = f.slow.filter(|slow| slow.service == service).map_or(Duration::ZERO, |slow| slow.by);
        (fault, self.delay(key, nth).saturating_add(slower))
    }

    fn delay(&self, key: u64, nth: u32) -> Duration {
        let part = unit(self.draw(Kind::Jitter, key, nth));
        self.faults.latency + self.faults.jitter.mul_f64(part)
    }

    fn hit(&self, kind: Kind, key: u64, nth: u32, probability: f64) -> bool {
        probability > 0.0 && unit(self.draw(kind, key, nth)) < probability
    }

    fn draw(&self, kind: Kind, key: u64, nth: u32) -> u64 {
        mix(mix(key ^ ((kind as u64) << 40)) ^ u64::from(nth) ^ self.faults.seed)
    }

    /// How often this was asked before.
    fn count(&self, key: u64) -> u32 {
        let mut asked = self.asked[key as usize % 16].lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= COUNTED && !asked.contains_key(&key) {
            asked.clear();
        }
        let count = asked.entry(key).or_insert(0);
        *count += 1;
        *count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(faults: &Faults, order: &[u16]) -> Vec<(u16, Vec<DnsFault>)> {
        let chaos = Chaos::new(faults.clone());
        let mut seen: Vec<(u16, Vec<DnsFault>)> = (0..50).map(|t| (t, Vec::new())).collect();
        for qtype in order {
            seen[usize::from(*qtype)].1.push(chaos.dns(b"\x01a\0", *qtype, true).0);
        }
        seen
    }

    #[test]
    fn faults_do_not_depend_on_the_order_of_arrival() {
        let faults = Faults { seed: 3, loss: 0.3, servfail: 0.2, ..Faults::default() };
        let forward: Vec<u16> = (0..200).map(|n| n % 50).collect();
        let backward: Vec<u16> = forward.iter().rev().copied().collect();
        assert_eq!(verdicts(&faults, &forward), verdicts(&faults, &backward));
    }

    #[test]
    fn shares_are_as_asked_for() {
        let chaos = Chaos::new(Faults { loss: 0.25, ..Faults::default() });
        let lost = (0..8000).filter(|_| chaos.dns(b"\x01a\0", 1, true).0 == DnsFault::Drop).count();
        assert!((1800..2200).contains(&lost), "{lost}");
        assert!((0..100).all(|_| chaos.dns(b"\x01a\0", 1, false).0 == DnsFault::None));
    }

    #[test]
    fn what_was_asked_is_forgotten_before_it_is_too_much() {
        let chaos = Chaos::new(Faults { loss: 0.1, ..Faults::default() });
        for key in 0..(COUNTED as u64 + 5) * 16 {
            chaos.count(key);
        }
        assert!(chaos.asked.iter().all(|part| part.lock().unwrap().len() <= COUNTED));
    }

    #[test]
    fn one_service_may_be_slower_than_the_others() {
        let slow = Some(Slow { service: Service::Pdns, by: Duration::MAX });
        let chaos = Chaos::new(Faults { latency: Duration::from_millis(5), slow, ..Faults::default() });
        assert_eq!(chaos.http(Service::Pdns, "/a"), (HttpFault::None, Duration::MAX));
        assert_eq!(chaos.http(Service::Rdap, "/a"), (HttpFault::None, Duration::from_millis(5)));
    }

    #[test]
    fn permanent_failures_hold_for_each_type_and_ask() {
        let chaos = Chaos::new(Faults { permanent: 0.5, ..Faults::default() });
        for name in [b"\x01a\0", b"\x01b\0", b"\x01c\0", b"\x01d\0"] {
            let first = chaos.dns(name, 1, true).0;
            assert!((0..20).all(|qtype| chaos.dns(name, qtype, qtype % 2 == 0).0 == first));
        }
    }
}
