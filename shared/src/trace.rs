//! W3C Trace Context: the `traceparent` that goes with a job through every message, and the
//! spans that are made of it.
//!
//! A span is there for the logs always: each line within it has the trace's id, in every process
//! that has the job in hand. Where traces are exported ([`otlp`]) it is a span there, too, and
//! what is sent on from it names it as the parent.

use std::fmt;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use tracing::field::display;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, error_span};

use crate::job::JobId;
use crate::source::Class;
use crate::telemetry::otlp;
use crate::wire::Task;

/// The target of the spans: logs that leave out everything else still have them.
pub(crate) const TARGET: &str = "kudzu::trace";

/// The flag that says that a trace is recorded.
const SAMPLED: u8 = 1;

/// A `traceparent` of version 00 (W3C Trace Context, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    /// Which trace; never 0.
    pub trace: u128,
    /// The span that is the parent; never 0.
    pub span: u64,
    /// Bit 0: the trace is recorded.
    pub flags: u8,
}

impl Traceparent {
    /// Reads one: 55 characters in lower case, and neither id all zeros. Of a later version what
    /// is known of it is read, and it may be longer (W3C Trace Context, section 3.2.4).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        // The length and digits are looked at first: numbers may also begin with a plus.
        let mut part = |length: usize| {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let digits = parts.next().filter(|p| p.len() == length && p.bytes().all(hex))?;
            u128::from_str_radix(digits, 16).ok()
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let span = u64::try_from(span).ok()?;
        let flags = u8::try_from(flags).ok()?;
        let whole = match version {
            0 => parts.next().is_none(),
            other => other != 0xff,
        };
        (whole && trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// The begin of a trace that is recorded.
    pub fn random() -> Self {
        let (trace, span): (u128, u64) = rand::random();
        Self { trace: trace.max(1), span: span.max(1), flags: SAMPLED }
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    fn trace_id(self) -> TraceId {
        TraceId(self.trace)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// As logs and other tools write it.
struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A stretch of the work on one job. Dropped, it ends.
#[derive(Debug)]
#[must_use = "a dropped span has ended"]
pub struct Span {
    lines: tracing::Span,
    traceparent: Option<Traceparent>,
    _exported: Option<otlp::Open>,
}

impl Span {
    /// A submit over the API, with the `traceparent` of its request. Without one the trace
    /// begins here.
    pub fn submit(parent: Option<&str>, job: JobId) -> Self {
        let parent = parent.and_then(Traceparent::parse);
        let says = || vec![of_job(job)];
        let (exported, traceparent) = begin("submit", SpanKind::Server, parent, says);
        let traceparent = traceparent.unwrap_or_else(Traceparent::random);
        let lines = error_span!(target: TARGET, "submit", trace_id = %traceparent.trace_id(), %job);
        Self { lines, traceparent: Some(traceparent), _exported: exported }
    }

    /// One run of a job by a coordinator.
    pub fn job(parent: Option<&str>, job: JobId, epoch: u32) -> Self {
        let parent = parent.and_then(Traceparent::parse);
        let says = || vec![of_job(job), KeyValue::new("kudzu.epoch", i64::from(epoch))];
        let (exported, traceparent) = begin("job", SpanKind::Consumer, parent, says);
        let trace_id = traceparent.map(|t| display(t.trace_id()));
        let lines = error_span!(target: TARGET, "job", trace_id, %job, epoch);
        Self { lines, traceparent, _exported: exported }
    }

    /// One run of a task by a worker.
    pub fn task(task: &Task, class: Class, redelivered: bool) -> Self {
        let parent = task.trace.as_deref().and_then(Traceparent::parse);
        let (job, epoch, class, lookups) = (task.job, task.epoch, class.as_str(), task.lookups.len());
        let says = || {
            vec![
                of_job(job),
                KeyValue::new("kudzu.epoch", i64::from(epoch)),
                KeyValue::new("kudzu.class", class),
                KeyValue::new("kudzu.lookups", i64::try_from(lookups).unwrap_or(i64::MAX)),
                KeyValue::new("kudzu.redelivered", redelivered),
            ]
        };
        let (exported, traceparent) = begin("task", SpanKind::Consumer, parent, says);
        let trace_id = traceparent.map(|t| display(t.trace_id()));
        let lines = error_span!(target: TARGET, "task", trace_id, %job, epoch, class, lookups, redelivered);
        Self { lines, traceparent, _exported: exported }
    }

    /// What goes with what is sent from here: this span where it is exported, else its parent.
    pub fn traceparent(&self) -> Option<String> {
        self.traceparent.as_ref().map(Traceparent::to_string)
    }

    /// Runs a future so that its log lines are this span's. The span has to live as long.
    pub fn run<F: Future>(&self, future: F) -> Instrumented<F> {
        future.instrument(self.lines.clone())
    }

    /// The same for a function.
    pub fn inside<T>(&self, f: impl FnOnce() -> T) -> T {
        self.lines.in_scope(f)
    }
}

fn of_job(job: JobId) -> KeyValue {
    KeyValue::new("kudzu.job", job.to_string())
}

fn begin(
    name: &'static str,
    kind: SpanKind,
    parent: Option<Traceparent>,
    says: impl FnOnce() -> Vec<KeyValue>,
) -> (Option<otlp::Open>, Option<Traceparent>) {
    let open = otlp::begin(name, kind, parent, says);
    let traceparent = open.as_ref().map(otlp::Open::traceparent).or(parent);
    (open, traceparent)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn a_traceparent_is_told_from_what_is_none() {
        assert!(Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
        let later =
            Traceparent::parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what.will-be");
        let later = later.unwrap();
        assert_eq!(later.to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        for odd in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Traceparent::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for seed in 0..2_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            // Leading zeros are as likely as any other digits.
            let (trace, span) = (rng.random::<u128>() >> rng.random_range(0..127), rng.random::<u64>() >> 9);
            let flags = rng.random();
            let parent = Traceparent { trace: trace.max(1), span: span.max(1), flags };
            let text = parent.to_string();
            assert_eq!((text.len(), Traceparent::parse(&text)), (55, Some(parent)), "seed {seed}");
            // One other character, and it is another one or none.
            let at = rng.random_range(0..text.len());
            let other = char::from(rng.random_range(b' '..=b'~'));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &other.to_string());
            let read = Traceparent::parse(&changed);
            // Of another version the same is read.
            assert!(read.is_none_or(|r| r.to_string()[2..] == changed[2..]), "seed {seed}: {changed}");
        }
    }

    #[test]
    fn a_trace_that_begins_is_recorded_and_new() {
        let (one, other) = (Traceparent::random(), Traceparent::random());
        assert!(one.is_sampled() && one.trace != other.trace);
        assert_eq!(Traceparent::parse(&one.to_string()), Some(one));
    }

    /// Without OTLP nothing comes between a job and its tasks.
    #[test]
    fn a_trace_goes_on_as_it_came() {
        let given = Traceparent::random().to_string();
        let submit = Span::submit(Some(&given), JobId(1));
        assert_eq!(submit.traceparent().as_ref(), Some(&given));
        let job = Span::job(submit.traceparent().as_deref(), JobId(1), 1);
        assert_eq!(job.traceparent(), Some(given));
        // Who has none gets one at the submit, and nowhere else.
        assert_eq!(Span::job(None, JobId(1), 1).traceparent(), None);
        assert_eq!(Span::job(Some("nonsense"), JobId(1), 1).traceparent(), None);
        let begun = Span::submit(Some("nonsense"), JobId(1)).traceparent().unwrap();
        assert!(Traceparent::parse(&begun).unwrap().is_sampled());
    }
}
