//! HTTP lookups of a task, all at once: each upstream's limit says when they go.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use kudzu_shared::cache::Key;
use kudzu_shared::metrics::{CacheAnswer, metrics};
use kudzu_shared::outcome::{Question, Verdict};
use kudzu_shared::wire::LookupResult;
use tokio::time::Instant;

use super::cacher::Lease;
use super::stats::add;
use super::task::{Open, Run};
use crate::http::Exchange;
use crate::sources::{Found, Work};

/// How long another worker is given to bring an answer that it has leased. It gives the lease
/// back when its lookup has ended, which may wait long for its upstream's turn. Who waits longer
/// than this, or died, loses it, and both may ask.
const LEASE: Duration = Duration::from_secs(30);
/// How much later than its deadline a lookup is cut off.
const GRACE: Duration = Duration::from_millis(50);
/// How often its answer is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Asks until every lookup has ended, or nobody waits for them.
pub(super) async fn run(run: &Run, open: Vec<Open>) {
    run.flight.begin(open.len());
    let mut flights: FuturesUnordered<_> = open.into_iter().map(|lookup| one(run, lookup)).collect();
    loop {
        tokio::select! {
            biased;
            result = flights.next() => match result {
                Some(result) => run.report(vec![result]).await,
                None => return,
            },
            () = run.held.gone() => return,
        }
    }
}

async fn one(run: &Run, lookup: Open) -> LookupResult {
    // Held until the answer is on its way to the cache.
    let _lease = match others(run, &lookup).await {
        Turn::Answered(result) => return *result,
        Turn::Mine(lease) => lease,
    };
    let context = &run.context;
    let mut found = Found::default();
    let mut exchange = Exchange::new(&context.http, run.end);
    let verdict = match lookup.source.work() {
        Work::Http(source) => {
            let asked = run.asked(&lookup);
            let asking = source.look_up(asked, &mut exchange, &mut found);
            let asking = AssertUnwindSafe(asking).catch_unwind();
            match within(run.end, asking).await {
                Some(Ok(verdict)) => verdict,
                Some(Err(_)) => {
                    add(&context.stats.panicked, 1);
                    Verdict::Panicked
                }
                None => Verdict::Deadline,
            }
        }
        Work::Dns(_) | Work::Local(_) => Verdict::FormErr,
    };
    let tally = exchange.into_tally();
    add(&context.stats.http_requests, usize::from(tally.tries));
    let question = Question {
        index: 0,
        verdict,
        tries: tally.tries,
        rtt_us: u32::try_from(tally.rtt.as_micros()).unwrap_or(u32::MAX),
        upstream: context.upstreams.of_name(tally.upstream.as_deref().unwrap_or_default()),
    };
    run.finish(lookup, found, vec![question])
}

/// The lookup keeps its deadline itself and knows best why it missed it; this is for what it
/// shares with others, such as a registry that one of them fetches.
async fn within<F: Future>(end: Option<Instant>, asking: F) -> Option<F::Output> {
    match end {
        Some(end) => tokio::time::timeout_at(end + GRACE, asking).await.ok(),
        None => Some(asking.await),
    }
}

/// Who asks.
enum Turn {
    /// Another worker did.
    Answered(Box<LookupResult>),
    /// This one; without a lease where the other's took too long.
    Mine(Option<Lease>),
}

/// Waits for another worker's answer where that one has the lease.
async fn others(run: &Run, lookup: &Open) -> Turn {
    let cache = &run.context.cache;
    let lapses = Instant::now() + LEASE;
    let until = run.end.map_or(lapses, |end| end.min(lapses));
    loop {
        let leased = cache.lease(&lookup.cache_key, LEASE).await;
        let context = &run.context;
        let lease = || {
            let given_back = Arc::clone(&context.given_back);
            Lease::new(lookup.cache_key.clone(), given_back, context.entries.clone())
        };
        let lease = leased.then(lease);
        // Looked up after the lease: the one before may have just finished.
        let key: [Key; 1] = [lookup.cache_key.clone()];
        let value = cache.get(&key).await.into_iter().next().flatten();
        if let Some(result) = value.and_then(|v| run.stored(lookup, &v)) {
            metrics().cache.get_or_create(&CacheAnswer { answer: "hit" }).inc();
            return Turn::Answered(Box::new(result));
        }
        if lease.is_some() || Instant::now() >= until {
            return Turn::Mine(lease);
        }
        tokio::time::sleep(LOOK).await;
    }
}
