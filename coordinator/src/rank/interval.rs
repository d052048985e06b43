//! When something was so: spans of time, and how far two of them go together.

use kudzu_shared::time::UnixSeconds;

const DAY: f64 = 86_400.0;
/// Days after which a gap between two uses halves the tie, roughly: servers are handed on
/// within weeks by the same hand, and within years by another.
const FADE_DAYS: f64 = 20.0;

/// Seconds after which a gap leaves nothing: ten halvings.
const FORGOTTEN: i64 = 200 * 86_400;

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first second.
    pub first: UnixSeconds,
    /// The last second.
    pub last: UnixSeconds,
}

impl Span {
    /// Always: sources that report no time of a lasting thing.
    pub const ALWAYS: Span = Span { first: i64::MIN / 2, last: i64::MAX / 2 };

    /// From what a source reports; a live answer (no times) is so at `now`.
    pub fn seen(first: Option<UnixSeconds>, last: Option<UnixSeconds>, now: UnixSeconds) -> Span {
        let first_known = first.or(last).unwrap_or(now);
        Span { first: first_known, last: last.or(first).unwrap_or(now).max(first_known) }
    }

    /// The span that holds both.
    pub fn hull(self, other: Span) -> Span {
        Span { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// 1 where they overlap; less, the longer the gap between them.
    pub fn together(self, other: Span) -> f64 {
        let gap = (self.first.max(other.first)).saturating_sub(self.last.min(other.last));
        if gap <= 0 {
            return 1.0;
        }
        if gap > FORGOTTEN {
            return 0.0;
        }
        (-(gap as f64) / DAY / FADE_DAYS * std::f64::consts::LN_2).exp()
    }
}

/// The spans in which one thing used another; a few, merged where they touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// One span.
    pub fn one(span: Span) -> Self {
        Self(vec![span])
    }

    /// Adds a span.
    pub fn add(&mut self, span: Span) {
        match self.0.iter_mut().find(|s| s.together(span) == 1.0) {
            Some(near) => *near = near.hull(span),
            None => self.0.push(span),
        }
    }

    /// The same without what was over before an instant; `None` where nothing is left.
    pub fn since(&self, at: UnixSeconds) -> Option<Spans> {
        let left: Vec<Span> = self.0.iter().filter(|s| s.last >= at).copied().collect();
        (!left.is_empty()).then_some(Spans(left))
    }

    /// How far two uses go together: their best spans.
    pub fn together(&self, other: &Spans) -> f64 {
        if let ([a], [b]) = (self.0.as_slice(), other.0.as_slice()) {
            return a.together(*b);
        }
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| a.together(*b)));
        pairs.fold(0.0, f64::max)
    }
}
