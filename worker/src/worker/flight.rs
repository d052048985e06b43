//! What the metrics say of tasks: their lookups while they are asked, how they ended, and what the
//! resolvers bear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use kudzu_dns::Resolver;
use kudzu_shared::metrics::{Lookup, OfClass, metrics};
use kudzu_shared::outcome::End;
use kudzu_shared::source::Class;
use kudzu_shared::wire::{Ask, LookupResult};

use crate::sources::Registry;

/// What stands for sources that there are not: their names may be anything.
const UNKNOWN: &str = "unknown";

/// How often the window of the resolvers is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Lookups of a task that are asked now; those that are left when it is dropped are no more.
#[derive(Debug)]
pub(super) struct Flight {
    class: Class,
    left: AtomicUsize,
}

impl Flight {
    pub(super) fn new(class: Class) -> Self {
        Self { class, left: AtomicUsize::new(0) }
    }

    /// So many are asked from now on.
    pub(super) fn begin(&self, lookups: usize) {
        self.left.fetch_add(lookups, Relaxed);
        self.change(i64::try_from(lookups).unwrap_or(i64::MAX));
    }

    /// So many have ended. Those that were never asked end as well.
    pub(super) fn end(&self, lookups: usize) {
        let left = self.left.load(Relaxed);
        // Only its own task takes from it.
        let ended = lookups.min(left);
        self.left.store(left - ended, Relaxed);
        self.change(-i64::try_from(ended).unwrap_or(i64::MAX));
    }

    fn change(&self, by: i64) {
        if by != 0 {
            metrics().in_flight.get_or_create(&OfClass { class: self.class.as_str() }).inc_by(by);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.end(usize::MAX);
    }
}

/// Tells the window of the resolvers, where they have one.
pub(super) async fn watch(resolver: Arc<dyn Resolver>) {
    while let Some(window) = resolver.window() {
        metrics().dns_window.set(window.into());
        tokio::time::sleep(LOOK).await;
    }
}

/// Counts results by source and end; each pair of these is looked for once.
pub(super) fn count(results: &[LookupResult], asks: &[Ask], registry: &Registry) {
    let mut tally: Vec<(u8, &'static str, u64)> = Vec::with_capacity(2);
    for result in results {
        let end = End::of(result.answer.questions.iter().map(|q| q.verdict)).as_str();
        match tally.iter_mut().find(|(ask, known, _)| (*ask, *known) == (result.ask, end)) {
            Some((.., n)) => *n += 1,
            None => tally.push((result.ask, end, 1)),
        }
    }
    for (ask, end, n) in tally {
        let source = asks.get(usize::from(ask)).map(|a| a.source.as_str());
        let source = source.filter(|s| registry.get(s).is_some()).unwrap_or(UNKNOWN).to_owned();
        metrics().lookups.get_or_create(&Lookup { source, end }).inc_by(n);
    }
}
