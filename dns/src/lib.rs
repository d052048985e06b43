//! Bulk DNS resolution behind one trait.
//!
//! Questions go in as batches, replies come out as batches, each with its caller's token:
//! an engine that keeps many questions on few sockets can serve this without a wake-up for
//! each of them. A back end answers every accepted question exactly once, unless its
//! [`Sink`] is gone.
//!
//! Back ends: [`Engine`] (few shared sockets on threads of their own), [`Hickory`]
//! (hickory-resolver's UDP client, the reference), [`Encrypted`] (DNS over TLS and HTTPS),
//! [`Instant`] (answers in process).

mod answer;
pub mod check;
mod encrypted;
mod engine;
#[cfg(fuzzing)]
pub mod fuzz;
mod hickory;
mod instant;
pub mod name;
mod query;
pub mod record;
mod server;
mod sink;
mod system;
mod tasks;
mod tcp;
mod text;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

pub use answer::{Chain, MAX_LINKS, chain};
pub use encrypted::{Encrypted, EncryptedError};
pub use engine::{Engine, EngineConfig, Stats};
pub use hickory::Hickory;
pub use hickory_proto::op::ResponseCode;
pub use hickory_proto::rr::{DNSClass, RecordType};
pub use instant::Instant;
pub use record::{Data, Record, Soa};
pub use server::{Case, Gate, Known, Server, ServerStats};
pub use sink::{Replies, Sink, Withdrawal};
pub use system::{SystemError, system_servers};
pub use text::type_name;
pub use upstream::{Upstream, UpstreamError};

/// The example of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// One question of class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The caller's number for it; its reply repeats it.
    pub token: u64,
    /// The name: uncompressed wire form, the root label included, letters in lower case.
    pub name: Box<[u8]>,
    /// The record type, [askable](is_askable); others come back as [`Verdict::FormErr`].
    pub qtype: RecordType,
}

/// Whether records of this type can be asked for: pseudo types and transfers cannot, and ANY
/// says nothing that can be relied on (RFC 8482).
pub fn is_askable(qtype: RecordType) -> bool {
    !matches!(u16::from(qtype), 0 | 41 | 249..=255)
}

/// What a question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// At least one record of the type asked, at the name or at the end of its aliases.
    Found,
    /// The name exists, the type does not (RFC 2308 section 2.2).
    NoData,
    /// The name, or the name at the end of its aliases, does not exist (RFC 6604).
    NxDomain,
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// FORMERR or NOTIMP.
    FormErr,
    /// A server that is not responsible sent a referral, or aliases without what is at their
    /// end.
    Lame,
    /// Truncated, and TCP did not bring the rest.
    Truncated,
    /// No answer in time.
    Timeout,
    /// Aliases that lead back to one of them; those seen are kept.
    Loop,
    /// More aliases than [`MAX_LINKS`]; the first of them are kept.
    Limit,
    /// An answer that cannot be read.
    Malformed,
    /// The server cannot be reached, or the question cannot be sent.
    Unreachable,
}

impl Verdict {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NoData => "nodata",
            Self::NxDomain => "nxdomain",
            Self::ServFail => "servfail",
            Self::Refused => "refused",
            Self::FormErr => "formerr",
            Self::Lame => "lame",
            Self::Truncated => "truncated",
            Self::Timeout => "timeout",
            Self::Loop => "loop",
            Self::Limit => "limit",
            Self::Malformed => "malformed",
            Self::Unreachable => "unreachable",
        }
    }

    /// Whether it says what is so, whomever one asks; the others say that it is not known.
    pub fn is_known(self) -> bool {
        match self {
            Self::Found | Self::NoData | Self::NxDomain | Self::Loop | Self::Limit => true,
            Self::ServFail
            | Self::Refused
            | Self::FormErr
            | Self::Lame
            | Self::Truncated
            | Self::Timeout
            | Self::Malformed
            | Self::Unreachable => false,
        }
    }
}

/// What carried the last exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 1035 section 4.2.1.
    Udp,
    /// RFC 7766.
    Tcp,
    /// RFC 7858.
    Tls,
    /// RFC 8484.
    Https,
    /// No network.
    InProcess,
}

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The question's token.
    pub token: u64,
    /// Its name and type, given back by back ends that hold them.
    pub question: Option<(Box<[u8]>, RecordType)>,
    /// What it came to.
    pub verdict: Verdict,
    /// The response code, EDNS bits included (RFC 6895); `None` without an answer.
    pub rcode: Option<ResponseCode>,
    /// The answer section, in the message's order.
    pub records: Vec<Record>,
    /// Records that could not be read and are left out or kept raw.
    pub broken: u16,
    /// Records that are left out: not of the name asked, nor of its aliases.
    pub foreign: u16,
    /// Seconds that a negative answer may be kept: the lesser of the SOA's TTL and its
    /// MINIMUM (RFC 2308 section 5); `None` without a SOA.
    pub negative_ttl: Option<u32>,
    /// The first extended error code (RFC 8914).
    pub ede: Option<u16>,
    /// Who answered, or was asked last.
    pub server: Option<SocketAddr>,
    /// How often it was sent.
    pub tries: u8,
    /// From the first send to the end.
    pub rtt: Duration,
    /// What carried the last exchange.
    pub transport: Transport,
}

impl Reply {
    /// A reply without an answer.
    pub fn failed(token: u64, verdict: Verdict) -> Self {
        Self {
            token,
            question: None,
            verdict,
            rcode: None,
            records: Vec::new(),
            broken: 0,
            foreign: 0,
            negative_ttl: None,
            ede: None,
            server: None,
            tries: 0,
            rtt: Duration::ZERO,
            transport: Transport::InProcess,
        }
    }

    /// The reply that a response message makes to a question: header, question and every
    /// record are read; `None` where the header or the question do not fit.
    pub fn from_message(question: &Question, message: &[u8]) -> Option<Self> {
        answer::read(question, message).map(|read| read.reply)
    }
}

/// The back end has ended; the questions were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resolver has ended")]
pub struct Ended;

/// A resolver of many questions at a time.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// Takes questions, and waits while the back end is full. Each is answered once on the
    /// sink. If cancelled, some of the questions may have been taken.
    ///
    /// # Errors
    /// When the back end has ended.
    async fn submit(&self, questions: Vec<Question>, sink: &Sink) -> Result<(), Ended>;

    /// Whom it asks; empty where it asks nobody.
    fn servers(&self) -> Vec<SocketAddr>;

    /// Questions that all of these may have at a time now; `None` where it follows no windows.
    fn window(&self) -> Option<u32> {
        None
    }
}
