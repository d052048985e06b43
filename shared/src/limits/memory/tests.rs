use proptest::prelude::*;

use super::*;
use crate::config::{Process, Vars as _};
use crate::limits::conformance;
use crate::task;

/// So many cases, or as many as `make fuzz` wants.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = Process.get("PROPTEST_CASES").is_some();
    if wanted { ProptestConfig::default() } else { ProptestConfig::with_cases(usual) }
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn keeps_the_promises() {
    conformance::all(Arc::new(Memory::new())).await;
}

#[tokio::test(start_paused = true)]
async fn the_steady_rate_is_what_the_burst_leaves() {
    for rate in [0.2, 1.0, 7.0, 100.0, 1000.0, 10_000.0] {
        let limiter = Memory::new();
        let limit = Limit::new(Some(rate), None);
        let count = (rate * 10.0) as u32;
        let start = Instant::now();
        for _ in 0..count {
            drop(limiter.acquire("u", &limit).await);
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((8.0..10.5).contains(&seconds) || count < 10, "{rate}: {seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_go_in_their_order() {
    let limiter = Memory::new();
    let limit = Limit { rate_per_s: Some(10.0), burst: 1, concurrency: None };
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for n in 0..20 {
        let (limiter, order) = (limiter.clone(), Arc::clone(&order));
        waiters.push(task::spawn("waiter", async move {
            drop(limiter.acquire("u", &limit).await);
            lock(&order).push(n);
        }));
        tokio::task::yield_now().await;
    }
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*lock(&order), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_penalty_reaches_who_waits_already() {
    let limiter = Memory::new();
    let limit = Limit { rate_per_s: Some(1.0), burst: 1, concurrency: None };
    drop(limiter.acquire("u", &limit).await);
    let start = Instant::now();
    let other = limiter.clone();
    let waiting = task::spawn("waiter", async move { drop(other.acquire("u", &limit).await) });
    tokio::task::yield_now().await;
    limiter.penalise("u", start + Duration::from_secs(5)).await;
    waiting.await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_penalty_is_at_most_a_day_and_leaves_the_limit() {
    let limiter = Memory::new();
    limiter.penalise("u", Instant::now() + Duration::from_secs(1_000_000)).await;
    let start = Instant::now();
    let limit = Limit { rate_per_s: Some(1.0), burst: 1, concurrency: Some(1) };
    drop(limiter.acquire("u", &limit).await);
    assert_eq!(start.elapsed().as_secs(), 86_400);
    drop(limiter.acquire("u", &limit).await);
    assert_eq!(start.elapsed().as_secs(), 86_401);
}

#[tokio::test(start_paused = true)]
async fn the_map_is_bounded_and_busy_upstreams_stay() {
    let limiter = Memory::with_capacity(8);
    let limit = Limit { rate_per_s: Some(1.0), burst: 1, concurrency: Some(1) };
    let held = limiter.acquire("held", &limit).await;
    for n in 0..7 {
        drop(limiter.acquire(&n.to_string(), &limit).await);
    }
    let start = Instant::now();
    // None is idle: these share a bucket.
    drop(limiter.acquire("x", &limit).await);
    drop(limiter.acquire("y", &limit).await);
    assert_eq!(start.elapsed().as_secs(), 1);
    // A second later the others are idle and make room.
    tokio::time::advance(Duration::from_secs(5)).await;
    for n in 10..17 {
        drop(limiter.acquire(&n.to_string(), &limit).await);
    }
    assert!(limiter.len() <= 8);
    let wait = tokio::time::timeout(Duration::from_secs(60), limiter.acquire("held", &limit));
    assert!(wait.await.is_err());
    drop(held);
    limiter.penalise("late", Instant::now() + Duration::from_secs(9)).await;
    assert!(limiter.len() <= 8);
}

proptest! {
    #![proptest_config(cases(64))]

    /// I6: whatever the pattern of arrival, no window of one second sees more grants than
    /// the rate, no more than the places are open, and nothing goes under a penalty.
    #[test]
    fn never_above_the_rate_in_any_second(
        rate in 0.3f64..400.0,
        burst in 1u32..60,
        places in prop::option::of(1u32..6),
        arrivals in prop::collection::vec((0u64..40, 0u64..60), 1..250),
        penalty in prop::option::of((0u64..2000, 1u64..3000)),
    ) {
        let limit = Limit { rate_per_s: Some(rate), burst, concurrency: places };
        let (grants, most, until) = paused().block_on(run(limit, arrivals, penalty));
        let most_in_second = rate.ceil() as usize;
        for (i, first) in grants.iter().enumerate() {
            let window = grants[i..].iter().take_while(|t| **t - *first < Duration::from_secs(1));
            prop_assert!(window.count() <= most_in_second.max(1));
        }
        prop_assert!(places.is_none_or(|p| most <= p));
        if let Some((from, until)) = until {
            prop_assert!(!grants.iter().any(|t| (from..until).contains(t)));
        }
    }
}

type Run = (Vec<Instant>, u32, Option<(Instant, Instant)>);

async fn run(limit: Limit, arrivals: Vec<(u64, u64)>, penalty: Option<(u64, u64)>) -> Run {
    let limiter = Memory::new();
    let seen = Arc::new(Mutex::new((Vec::new(), 0u32, 0u32)));
    let start = Instant::now();
    let mut at = start;
    let mut tasks = Vec::new();
    for (gap, hold) in arrivals {
        at += Duration::from_millis(gap);
        let (limiter, seen) = (limiter.clone(), Arc::clone(&seen));
        tasks.push(task::spawn("asker", async move {
            tokio::time::sleep_until(at).await;
            let permit = limiter.acquire("u", &limit).await;
            {
                let mut seen = lock(&seen);
                seen.0.push(Instant::now());
                seen.1 += 1;
                seen.2 = seen.2.max(seen.1);
            }
            tokio::time::sleep(Duration::from_millis(hold)).await;
            lock(&seen).1 -= 1;
            drop(permit);
        }));
    }
    let mut penalised = None;
    if let Some((after, length)) = penalty {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let until = Instant::now() + Duration::from_millis(length);
        limiter.penalise("u", until).await;
        // A grant of the same instant may have been before it.
        penalised = Some((Instant::now() + Duration::from_nanos(1), until));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let seen = lock(&seen);
    (seen.0.clone(), seen.2, penalised)
}
