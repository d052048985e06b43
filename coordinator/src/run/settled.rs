//! Failures that stood through every round: kept for a while, so that the next job need not
//! wait for the same rounds (RFC 9520 section 3.2).

use std::time::Duration;

use bytes::Bytes;
use kudzu_shared::cache::{Key, entry, ttl};
use kudzu_shared::marking::Tlp;
use kudzu_shared::wire::{LookupResult, StoredAnswer};
use rustc_hash::FxHashMap;

use super::dispatch::Template;
use crate::core::store::LookupId;
use crate::core::ticket;

/// Lookups that are kept in mind at most: where more fail, something else is wrong.
const MOST: usize = 4_096;

/// A lookup that failed for a while, with what its other questions brought.
#[derive(Debug)]
struct Failing {
    result: LookupResult,
    upstreams: Vec<String>,
}

/// The lookups of a job that failed for a while, and those that still do at their end.
#[derive(Debug, Default)]
pub struct Settled {
    open: FxHashMap<LookupId, Failing>,
    ended: Vec<Failing>,
}

impl Settled {
    /// A result that is to be noted once it is taken, as far as it matters here.
    /// `ask` is the plan's.
    pub fn of(&self, ask: u8, result: &LookupResult) -> Option<LookupResult> {
        let failing = || result.answer.questions.iter().any(|q| q.verdict.is_transient());
        let matters = failing() || self.open.contains_key(&ticket::lookup(result.seq));
        (matters && result.part.of <= 1).then(|| LookupResult { ask, ..result.clone() })
    }

    /// Notes a result that was taken: of an earlier round's, it answers what failed there.
    pub fn note(&mut self, result: LookupResult, upstreams: &[String], ended: bool) {
        let id = ticket::lookup(result.seq);
        let now = Failing { result, upstreams: upstreams.to_vec() };
        let all = match self.open.remove(&id) {
            Some(before) => before.then(now),
            None => now,
        };
        if self.open.len() + self.ended.len() >= MOST {
            return;
        }
        if !ended {
            self.open.insert(id, all);
        } else if all.result.answer.questions.iter().any(|q| q.verdict.is_transient()) {
            self.ended.push(all);
        }
    }

    /// Cache entries of what failed to its end, those that are not over yet.
    pub fn entries(self, of: &Template, tlp: Tlp, now_ms: i64) -> Vec<(Key, Bytes, Duration)> {
        let keep = |Failing { result, upstreams }: Failing| {
            let LookupResult { ask, key, observed_ms, answer, .. } = result;
            // Workers mark what a job gets as the job is marked; others may share it as it was.
            let as_it_was = tlp == Tlp::Clear || answer.pairs.iter().all(|p| p.marking > tlp);
            let whole = answer.questions.len() == of.questions(ask);
            let age = Duration::from_millis(u64::try_from(now_ms - observed_ms).unwrap_or(0));
            let left = ttl::SETTLED.checked_sub(age).filter(|_| as_it_was && whole)?;
            let stored = StoredAnswer { observed_ms, upstreams, answer, settled: true };
            Some((of.key(ask, key.as_ref()), entry::encode(&stored)?, left))
        };
        self.ended.into_iter().filter_map(keep).collect()
    }
}

impl Failing {
    /// What is known after a later round.
    fn then(mut self, later: Self) -> Self {
        let mut answer = later.result.answer;
        for question in &mut answer.questions {
            // Both lists are as long as a worker has upstreams.
            question.upstream = question.upstream.saturating_add(self.upstreams.len() as u16);
        }
        self.upstreams.extend(later.upstreams);
        let mine = &mut self.result.answer;
        mine.questions.retain(|q| answer.questions.iter().all(|new| new.index != q.index));
        mine.questions.append(&mut answer.questions);
        mine.questions.sort_unstable_by_key(|q| q.index);
        mine.pairs.append(&mut answer.pairs);
        mine.facts.append(&mut answer.facts);
        mine.totals.append(&mut answer.totals);
        self.result.observed_ms = later.result.observed_ms;
        self
    }
}
