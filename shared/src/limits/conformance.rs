//! The promises of [`Limiter`] as scenarios that every back end is held to.
//!
//! Remote limits may be coarser in time, never looser.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a scenario fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{BLOCK, Limit, Limiter};

const NEVER: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(30);

/// Every scenario, on a limiter that knows no `conformance` upstream.
pub async fn all(limiter: Arc<dyn Limiter>) {
    without_a_limit_nothing_waits(&*limiter).await;
    no_window_of_a_second_sees_more_than_the_rate(&*limiter).await;
    places_are_bounded_and_come_free(&*limiter).await;
    nothing_goes_before_retry_after(&*limiter).await;
    a_cancelled_wait_takes_nothing(&*limiter).await;
    upstreams_do_not_wait_for_each_other(&*limiter).await;
    of_two_limits_the_stricter_holds(&*limiter).await;
    leased_questions_keep_to_the_rate(&*limiter).await;
    nothing_is_leased_before_retry_after(&*limiter).await;
}

/// Uncapped is uncapped.
pub async fn without_a_limit_nothing_waits(limiter: &dyn Limiter) {
    let start = Instant::now();
    for _ in 0..10_000 {
        drop(limiter.acquire("conformance own", &Limit::NONE).await);
    }
    assert!(start.elapsed() < SOON);
}

/// I6, by the times at which permits were given.
pub async fn no_window_of_a_second_sees_more_than_the_rate(limiter: &dyn Limiter) {
    let limit = Limit::new(Some(100.0), None);
    let mut granted = Vec::new();
    for _ in 0..350 {
        drop(limiter.acquire("conformance rate", &limit).await);
        granted.push(Instant::now());
    }
    for (i, first) in granted.iter().enumerate() {
        let window = granted[i..].iter().take_while(|t| **t - *first < Duration::from_secs(1));
        assert!(window.count() <= 100);
    }
    assert!(*granted.last().unwrap() - granted[0] < SOON);
}

/// Never more open than allowed; a dropped permit lets the next in.
pub async fn places_are_bounded_and_come_free(limiter: &dyn Limiter) {
    let limit = Limit::new(None, Some(2));
    let upstream = "conformance places";
    let one = limiter.acquire(upstream, &limit).await;
    let _two = limiter.acquire(upstream, &limit).await;
    assert!(timeout(NEVER, limiter.acquire(upstream, &limit)).await.is_err());
    drop(one);
    let _three = timeout(SOON, limiter.acquire(upstream, &limit)).await.unwrap();
}

/// A penalty holds for who asks later, whatever the limit.
pub async fn nothing_goes_before_retry_after(limiter: &dyn Limiter) {
    for (upstream, limit) in
        [("conformance 429 own", Limit::NONE), ("conformance 429", Limit::new(Some(9.0), Some(2)))]
    {
        drop(limiter.acquire(upstream, &limit).await);
        let until = Instant::now() + Duration::from_secs(2);
        limiter.penalise(upstream, until).await;
        // A shorter one later does not lift it.
        limiter.penalise(upstream, Instant::now() + Duration::from_millis(10)).await;
        assert!(limiter.penalised_until(upstream).is_some());
        drop(limiter.acquire(upstream, &limit).await);
        assert!(Instant::now() >= until);
        assert_eq!(limiter.penalised_until(upstream), None);
    }
}

/// Neither a place nor a turn is lost by giving up.
pub async fn a_cancelled_wait_takes_nothing(limiter: &dyn Limiter) {
    let limit = Limit { rate_per_s: Some(5.0), burst: 1, concurrency: Some(1) };
    let upstream = "conformance cancel";
    let held = limiter.acquire(upstream, &limit).await;
    for _ in 0..50 {
        assert!(timeout(Duration::from_millis(1), limiter.acquire(upstream, &limit)).await.is_err());
    }
    drop(held);
    let start = Instant::now();
    drop(timeout(SOON, limiter.acquire(upstream, &limit)).await.unwrap());
    assert!(start.elapsed() < Duration::from_millis(900));
}

/// One slow upstream holds nobody else back.
pub async fn upstreams_do_not_wait_for_each_other(limiter: &dyn Limiter) {
    let limit = Limit::new(Some(0.01), Some(1));
    let _held = limiter.acquire("conformance slow", &limit).await;
    let blocked = limiter.acquire("conformance slow", &limit);
    tokio::pin!(blocked);
    assert!(timeout(NEVER, &mut blocked).await.is_err());
    drop(timeout(SOON, limiter.acquire("conformance other", &limit)).await.unwrap());
}

/// Whoever asks first: the fewest places and the least rate that anybody asked with.
pub async fn of_two_limits_the_stricter_holds(limiter: &dyn Limiter) {
    let upstream = "conformance stricter";
    let (wide, narrow) = (Limit::new(None, Some(3)), Limit::new(None, Some(1)));
    let first = limiter.acquire(upstream, &wide).await;
    let second = limiter.acquire(upstream, &wide).await;
    assert!(timeout(NEVER, limiter.acquire(upstream, &narrow)).await.is_err());
    drop(first);
    assert!(timeout(NEVER, limiter.acquire(upstream, &wide)).await.is_err());
    drop(second);
    let _third = timeout(SOON, limiter.acquire(upstream, &wide)).await.unwrap();
    assert!(timeout(NEVER, limiter.acquire(upstream, &wide)).await.is_err());
    let (quick, slow) = (Limit::new(Some(1000.0), None), Limit::new(Some(1.0), None));
    for limit in [quick, slow, quick, slow] {
        drop(limiter.acquire("conformance slower", &limit).await);
    }
    let start = Instant::now();
    drop(limiter.acquire("conformance slower", &quick).await);
    drop(limiter.acquire("conformance slower", &quick).await);
    assert!(start.elapsed() >= Duration::from_millis(1500));
}

/// However late each question of a lease goes; and who leases gets most of the rate.
pub async fn leased_questions_keep_to_the_rate(limiter: &dyn Limiter) {
    let limit = Limit { rate_per_s: Some(100.0), burst: 1, concurrency: Some(1) };
    let begin = Instant::now();
    let mut went: Vec<Instant> = Vec::new();
    while went.len() < 300 {
        let lease = limiter.lease("conformance lease", &limit, 64).await;
        if lease.questions == 0 {
            tokio::time::sleep_until(lease.first).await;
        }
        assert!(lease.questions <= 64 && lease.first <= Instant::now() + 2 * BLOCK);
        let time = |i: u32| lease.first + lease.interval * i + lease.late * (i % 2);
        went.extend((0..lease.questions).map(time));
    }
    let took = begin.elapsed();
    assert!((Duration::from_millis(2_500)..Duration::from_millis(3_750)).contains(&took), "{took:?}");
    went.sort_unstable();
    for (i, first) in went.iter().enumerate() {
        let window = went[i..].iter().take_while(|t| **t - *first < Duration::from_secs(1));
        assert!(window.count() <= 100);
    }
}

/// A penalty holds for leases.
pub async fn nothing_is_leased_before_retry_after(limiter: &dyn Limiter) {
    for (upstream, limit) in
        [("conformance leased 429 own", Limit::NONE), ("conformance leased 429", Limit::new(Some(9.0), None))]
    {
        assert!(limiter.lease(upstream, &limit, 1).await.questions == 1);
        let until = Instant::now() + Duration::from_secs(1);
        limiter.penalise(upstream, until).await;
        let lease = limiter.lease(upstream, &limit, 1).await;
        assert!(lease.questions == 0 && lease.first + Duration::from_millis(20) >= until);
    }
}
