//! Outcomes: what a lookup ended with (invariant I2), and the verdict on each question.

use std::fmt;

use bincode::{Decode, Encode};

use crate::fact::Fact;
use crate::observable::Observable;
use crate::pair::{Pair, Relation};

/// What one exchange with an upstream came to.
///
/// The numbers are part of the wire format; never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(u8)]
pub enum Verdict {
    /// At least one pair or fact.
    Found = 1,
    /// The name exists, this type does not (RFC 2308 NODATA), or an empty list.
    NoData = 2,
    /// The name does not exist (RFC 2308 NXDOMAIN).
    NxDomain = 3,
    /// The service knows no such object (HTTP 404).
    NotFound = 4,
    /// No answer in time.
    Timeout = 10,
    /// SERVFAIL, or HTTP 5xx.
    ServFail = 11,
    /// REFUSED, or HTTP 401 and 403.
    Refused = 12,
    /// FORMERR, NOTIMP, or HTTP 4xx that is none of the others.
    FormErr = 13,
    /// An answer that cannot be read.
    Malformed = 14,
    /// No connection, no route, no TLS.
    Unreachable = 15,
    /// A chain of aliases or redirects that does not end.
    Loop = 16,
    /// A size or work limit was reached.
    Limit = 17,
    /// A redirect or address that must not be followed (private, metadata, not allowed).
    Denied = 18,
    /// The lookup's code panicked; its neighbours are not touched.
    Panicked = 19,
    /// The upstream asked for less (429), and Retry-After passes the deadline.
    Throttled = 30,
    /// Not asked: the job's TLP, PAP or exclusions forbid it.
    Policy = 40,
    /// Not asked: a budget or the source's credits are used up.
    Budget = 41,
    /// Not asked: outside the job's scope.
    Scope = 42,
    /// Not asked: the job was cancelled.
    Cancelled = 43,
    /// Not asked, or not waited for: the job's deadline.
    Deadline = 44,
    /// Not asked: the upstream's circuit breaker is open.
    Breaker = 45,
    /// Not asked: the source has no endpoint or key.
    Unconfigured = 46,
    /// Not done: the lookup kills its worker.
    Poison = 60,
}

/// Which part of an answer a message carries. Parts of one sending belong together, in
/// whatever order they come; those of two sendings never do, since each asked for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// Tells sendings of one lookup apart, over all workers.
    pub sending: u64,
    /// Which part, from 0.
    pub index: u16,
    /// How many there are, at least 1.
    pub of: u16,
}

impl Part {
    /// The whole answer.
    pub const WHOLE: Part = Part { sending: 0, index: 0, of: 1 };
}

/// The ways a lookup ends (I2). An error is never `Empty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Something was found.
    Found,
    /// Upstream answered, and there is nothing.
    Empty,
    /// It is not known: asking failed.
    Failed,
    /// It is not known: the upstream asked for less.
    Throttled,
    /// It was not asked.
    Skipped,
    /// It kills its worker, and was set aside.
    Dead,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 23] = [
        Verdict::Found,
        Verdict::NoData,
        Verdict::NxDomain,
        Verdict::NotFound,
        Verdict::Timeout,
        Verdict::ServFail,
        Verdict::Refused,
        Verdict::FormErr,
        Verdict::Malformed,
        Verdict::Unreachable,
        Verdict::Loop,
        Verdict::Limit,
        Verdict::Denied,
        Verdict::Panicked,
        Verdict::Throttled,
        Verdict::Policy,
        Verdict::Budget,
        Verdict::Scope,
        Verdict::Cancelled,
        Verdict::Deadline,
        Verdict::Breaker,
        Verdict::Unconfigured,
        Verdict::Poison,
    ];

    /// The end that a lookup of this one question has.
    pub const fn end(self) -> End {
        match self {
            Verdict::Found => End::Found,
            Verdict::NoData | Verdict::NxDomain | Verdict::NotFound => End::Empty,
            Verdict::Timeout
            | Verdict::ServFail
            | Verdict::Refused
            | Verdict::FormErr
            | Verdict::Malformed
            | Verdict::Unreachable
            | Verdict::Loop
            | Verdict::Limit
            | Verdict::Denied
            | Verdict::Panicked => End::Failed,
            Verdict::Throttled => End::Throttled,
            Verdict::Policy
            | Verdict::Budget
            | Verdict::Scope
            | Verdict::Cancelled
            | Verdict::Deadline
            | Verdict::Breaker
            | Verdict::Unconfigured => End::Skipped,
            Verdict::Poison => End::Dead,
        }
    }

    /// Whether asking again later may give another verdict (RFC 9520 section 3.1).
    pub const fn is_transient(self) -> bool {
        matches!(self, Verdict::Timeout | Verdict::ServFail | Verdict::Unreachable | Verdict::Breaker)
    }

    /// The name in the API and in exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Found => "found",
            Verdict::NoData => "nodata",
            Verdict::NxDomain => "nxdomain",
            Verdict::NotFound => "not-found",
            Verdict::Timeout => "timeout",
            Verdict::ServFail => "servfail",
            Verdict::Refused => "refused",
            Verdict::FormErr => "formerr",
            Verdict::Malformed => "malformed",
            Verdict::Unreachable => "unreachable",
            Verdict::Loop => "loop",
            Verdict::Limit => "limit",
            Verdict::Denied => "denied",
            Verdict::Panicked => "panicked",
            Verdict::Throttled => "throttled",
            Verdict::Policy => "policy",
            Verdict::Budget => "budget",
            Verdict::Scope => "scope",
            Verdict::Cancelled => "cancelled",
            Verdict::Deadline => "deadline",
            Verdict::Breaker => "breaker",
            Verdict::Unconfigured => "unconfigured",
            Verdict::Poison => "poison",
        }
    }

    /// The verdict with this number on the wire.
    pub fn from_u8(n: u8) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|v| *v as u8 == n)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl End {
    /// Every end, in the order in which they are reported.
    pub const ALL: [End; 6] = [End::Found, End::Empty, End::Failed, End::Throttled, End::Skipped, End::Dead];

    /// The name in the API and in exports.
    pub const fn as_str(self) -> &'static str {
        match self {
            End::Found => "found",
            End::Empty => "empty",
            End::Failed => "failed",
            End::Throttled => "throttled",
            End::Skipped => "skipped",
            End::Dead => "dead",
        }
    }

    /// The end of a lookup of several questions: found beats all; then whatever leaves the
    /// answer unknown, so that an error is never empty.
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> End {
        let mut ends = [false; 6];
        for v in verdicts {
            ends[v.end() as usize] = true;
        }
        let order = [End::Found, End::Dead, End::Failed, End::Throttled, End::Skipped];
        order.into_iter().find(|e| ends[*e as usize]).unwrap_or(End::Empty)
    }
}

/// One exchange with an upstream, as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Question {
    /// Which question of the lookup: an index into its ask's types (0 where it has none).
    pub index: u8,
    /// What it came to.
    pub verdict: Verdict,
    /// How often it was sent.
    pub tries: u8,
    /// From the first send to the answer, in microseconds.
    pub rtt_us: u32,
    /// Who answered, or was asked last: an index into the batch's upstreams.
    pub upstream: u16,
}

/// A true count that a source gives with a capped answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Total {
    /// Of what.
    pub key: Observable,
    /// Along which relation.
    pub relation: Relation,
    /// How many there are.
    pub total: u64,
}

/// What a lookup (or a further round of it) brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Each question that was asked or skipped, with its verdict.
    pub questions: Vec<Question>,
    /// What was found.
    pub pairs: Vec<Pair>,
    /// What was said.
    pub facts: Vec<Fact>,
    /// True counts where the pairs are capped.
    pub totals: Vec<Total>,
}
