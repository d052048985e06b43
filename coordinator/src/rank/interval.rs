//! When something was so: spans of time, and how far two of them go together.

use kudzu_shared::time::UnixSeconds;

const DAY: f64 = 86_400.0;
/// Days after which a gap between two uses halves the tie, roughly: servers are handed on
/// within weeks by the same hand, and within years by another.
const FADE_DAYS: f64 = 20.0;

/// Seconds after which a gap leaves nothing: ten halvings.
const FORGOTTEN: i64 = 200 * 86_400;

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
        faded(self.gap(other))
    }

    /// Seconds between them; 0 or less where they overlap.
    fn gap(self, other: Span) -> i64 {
        self.first.max(other.first).saturating_sub(self.last.min(other.last))
    }
}

/// What a gap leaves of a tie.
fn faded(gap: i64) -> f64 {
    match gap {
        ..=0 => 1.0,
        1..=FORGOTTEN => (-(gap as f64) / DAY / FADE_DAYS).exp2(),
        _ => 0.0,
    }
}

/// Spans of one use that are told apart; more are taken as one from there on.
const APART: usize = 16;

/// The spans in which one thing used another; a few, merged where they touch. Most uses have
/// one, which needs no allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans {
    first: Span,
    more: Box<[Span]>,
}

impl Spans {
    /// One span.
    pub fn one(span: Span) -> Self {
        Self { first: span, more: Box::default() }
    }

    /// What is left of some spans without what was over before an instant; `None` where nothing
    /// is left. The list is sorted and used up.
    pub fn since(at: UnixSeconds, spans: &mut Vec<Span>) -> Option<Self> {
        spans.sort_unstable();
        let mut apart = 0;
        spans.dedup_by(|span, last| {
            let joins = apart + 1 >= APART || last.together(*span) == 1.0;
            if joins {
                *last = last.hull(*span);
            } else {
                apart += 1;
            }
            joins
        });
        let mut left = spans.drain(..).filter(|s| s.last >= at);
        Some(Self { first: left.next()?, more: left.collect() })
    }

    fn all(&self) -> impl Iterator<Item = Span> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    /// How far two uses go together: their best spans.
    pub fn together(&self, other: &Spans) -> f64 {
        let mut least = i64::MAX;
        for a in self.all() {
            for b in other.all() {
                least = least.min(a.gap(b));
                if least <= 0 {
                    return 1.0;
                }
            }
        }
        faded(least)
    }
}
