use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use async_trait::async_trait;
use kudzu_shared::limits::{Memory, Permit};
use tokio::time::{Instant as Now, sleep};

use super::*;

const STEP: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn server() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 53).into()
}

fn gate(limiter: &Arc<dyn Limiter>, rate: f64) -> Rates {
    Rates::new(limiter, std::iter::once((server(), rate)))
}

/// Grants as `Memory` does, after a while, and counts how often it is asked.
struct Counted {
    limits: Memory,
    leases: AtomicU32,
    way: Duration,
}

impl Counted {
    fn new(way: Duration) -> Arc<Self> {
        Arc::new(Self { limits: Memory::new(), leases: AtomicU32::new(0), way })
    }
}

#[async_trait]
impl Limiter for Counted {
    async fn acquire(&self, upstream: &str, limit: &Limit) -> Permit {
        self.limits.acquire(upstream, limit).await
    }

    async fn lease(&self, upstream: &str, limit: &Limit, wanted: u32) -> Lease {
        self.leases.fetch_add(1, Relaxed);
        let lease = self.limits.lease(upstream, limit, wanted).await;
        sleep(self.way).await;
        lease
    }

    async fn penalise(&self, upstream: &str, until: Now) {
        self.limits.penalise(upstream, until).await;
    }

    fn penalised_until(&self, upstream: &str) -> Option<Now> {
        self.limits.penalised_until(upstream)
    }
}

/// Asks through each gate all that it lets through, for a while: when each question went.
async fn greedy(gates: &[Rates], time: Duration) -> Vec<(usize, Instant)> {
    let (end, mut went) = (Now::now() + time, Vec::new());
    let mut again: Vec<_> = gates.iter().map(|_| Now::now().into_std()).collect();
    while Now::now() < end {
        let now = Now::now().into_std();
        for (i, gate) in gates.iter().enumerate() {
            while again[i] <= now {
                match gate.admit(server(), now) {
                    Ok(()) => went.push((i, now)),
                    Err(at) => again[i] = at,
                }
            }
        }
        sleep(STEP).await;
    }
    went
}

fn busiest(went: &[(usize, Instant)]) -> usize {
    let (mut from, mut most) = (0, 0);
    for (i, (_, at)) in went.iter().enumerate() {
        while went[from].1 + SECOND <= *at {
            from += 1;
        }
        most = most.max(i + 1 - from);
    }
    most
}

#[tokio::test(start_paused = true)]
async fn gates_share_a_rate_and_reach_it() {
    for (rate, n) in [(5.0, 2), (40.0, 1), (40.0, 8), (1000.0, 1), (1000.0, 8), (20_000.0, 3)] {
        let counted = Counted::new(3 * STEP);
        let limiter: Arc<dyn Limiter> = Arc::clone(&counted) as _;
        let gates: Vec<Rates> = (0..n).map(|_| gate(&limiter, rate)).collect();
        let went = greedy(&gates, 10 * SECOND).await;
        let most = busiest(&went);
        assert!(most as f64 <= rate, "{most} within a second at {rate}, {n} gates");
        let reached = went.len() as f64 / 10.0;
        assert!(reached >= 0.8 * rate, "{reached} a second at {rate}, {n} gates");
        let leases = f64::from(counted.leases.load(Relaxed));
        // Where a tenth of a second is many questions.
        if rate >= 1000.0 {
            assert!(leases < went.len() as f64 / 4.0, "{leases} leases for {} questions", went.len());
        }
        assert!(leases <= 10.0 * 25.0 * f64::from(n), "{leases} leases in ten seconds, {n} gates");
        // Everybody has some of it.
        for i in 0..gates.len() {
            let own = went.iter().filter(|(gate, _)| *gate == i).count();
            assert!(own * 3 * gates.len() >= went.len() || rate < 10.0, "{own} of {}, {n} gates", went.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_little_takes_little_and_soon() {
    let limiter: Arc<dyn Limiter> = Counted::new(STEP);
    let gates = [gate(&limiter, 1000.0)];
    let few = gate(&limiter, 1000.0);
    let (greedy, waits) = tokio::join!(greedy(&gates, 10 * SECOND), async {
        let mut waits = Vec::new();
        for _ in 0..50 {
            let begin = Now::now();
            while let Err(at) = few.admit(server(), Now::now().into_std()) {
                tokio::time::sleep_until(at.into()).await;
            }
            waits.push(begin.elapsed());
            sleep(80 * STEP).await;
        }
        waits
    });
    assert!(greedy.len() > 8_000, "{} were left", greedy.len());
    // All that is leased to others goes before.
    let most = waits.iter().max().unwrap();
    assert!(*most <= 3 * BLOCK, "{most:?}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_lapses_and_nothing_is_leased_for_nobody() {
    let counted = Counted::new(STEP);
    let limiter: Arc<dyn Limiter> = Arc::clone(&counted) as _;
    let gate = gate(&limiter, 1000.0);
    greedy(std::slice::from_ref(&gate), SECOND).await;
    let leases = counted.leases.load(Relaxed);
    sleep(10 * SECOND).await;
    assert!(counted.leases.load(Relaxed) <= leases + 1, "one may have been under way");
    let now = Now::now().into_std();
    assert!(gate.admit(server(), now).is_err(), "it is long over");
    let other: SocketAddr = (Ipv4Addr::LOCALHOST, 54).into();
    assert!(gate.admit(other, now).is_ok(), "it has no rate");
}

#[tokio::test(start_paused = true)]
async fn questions_of_a_lease_go_at_their_time_or_not_at_all() {
    let begin = Now::now();
    let lease = Lease { questions: 10, first: begin + 10 * STEP, interval: 10 * STEP, late: 20 * STEP };
    let mut state = State::default();
    state.put(lease, begin.into_std());
    let at = |ms: u32| begin.into_std() + STEP * ms;
    assert_eq!(state.take(at(0)), Err(at(10)));
    assert_eq!(state.take(at(10)), Ok(()));
    assert_eq!(state.take(at(10)), Err(at(20)));
    // Those of 20 and 30 are over, that of 40 is not.
    state.lapse(at(60));
    assert_eq!((state.left, state.lapsed), (7, true));
    for _ in 0..3 {
        assert_eq!(state.take(at(60)), Ok(()));
    }
    assert_eq!(state.take(at(60)), Err(at(70)));
    state.lapse(at(1000));
    assert_eq!((state.left, state.leased.len()), (0, 0));
}

/// Whoever grants may never answer: then nothing goes, and nobody is held up.
#[tokio::test(start_paused = true)]
async fn a_lease_under_way_holds_up_nobody() {
    let limiter: Arc<dyn Limiter> = Counted::new(Duration::MAX);
    let gates = [gate(&limiter, 1000.0)];
    assert!(greedy(&gates, SECOND).await.is_empty());
    assert!(gates[0].admit(server(), Now::now().into_std()).is_err());
}
