//! The cache and the limits on a real Redis: what every back end promises, over processes, and
//! that Redis is never needed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kudzu_servers::Redis as Server;
use kudzu_shared::cache::{Cache as _, Redis as Cache, conformance};
use kudzu_shared::limits::{self, Limit, Limiter as _, Redis as Limiter};
use kudzu_shared::redis::Redis;
use secrecy::SecretString;

const LONG: Duration = Duration::from_secs(600);

fn connect(server: &Server) -> Redis {
    Redis::new(&SecretString::from(server.uri())).unwrap()
}

fn entry(name: &'static str) -> (Bytes, Bytes, Duration) {
    (Bytes::from_static(name.as_bytes()), Bytes::from_static(name.as_bytes()), LONG)
}

#[tokio::test]
async fn redis_keeps_the_promises_of_a_cache() {
    let server = Server::start().unwrap();
    conformance::all(Arc::new(Cache::new(connect(&server)))).await;
}

/// Whatever Redis does, the cache answers, soon, and goes on when it is back.
#[tokio::test]
async fn every_fault_is_a_miss() {
    let mut server = Server::start().unwrap();
    let redis = connect(&server);
    let cache = Cache::new(redis.clone());
    let key = |name: &'static str| Bytes::from_static(name.as_bytes());
    let get = |name: &'static str| {
        let cache = cache.clone();
        async move { cache.get(&[key(name)]).await.remove(0) }
    };
    cache.put(vec![entry("a"), entry("b")]).await;
    // Of another type, by whose hand ever.
    server.command(&["DEL", "kudzu:v:b"]).unwrap();
    server.command(&["LPUSH", "kudzu:v:b", "x"]).unwrap();
    assert_eq!(cache.get(&["a", "b"].map(key)).await, [Some(key("a")), None]);
    // Full: it still reads, and takes writes again when there is room.
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    cache.put(vec![entry("c")]).await;
    assert_eq!((get("c").await, get("a").await), (None, Some(key("a"))));
    assert!(cache.lease(&key("full"), LONG).await, "an error grants");
    assert!(redis.errors() >= 2 && redis.is_there());
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    cache.put(vec![entry("c")]).await;
    assert_eq!(get("c").await, Some(key("c")));
    // A replica takes no writes.
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    cache.put(vec![entry("d")]).await;
    assert_eq!(get("d").await, None);
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    // Gone: quick misses.
    server.kill();
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(get("a").await, None);
        cache.put(vec![entry("e")]).await;
    }
    assert!(cache.lease(&key("gone"), LONG).await && cache.lease(&key("gone"), LONG).await);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(!redis.is_there());
    // Back, and empty.
    server.boot().unwrap();
    let back = async {
        while get("f").await.is_none() {
            cache.put(vec![entry("f")]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.unwrap();
    assert!(redis.is_there());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_promises_of_limits() {
    let server = Server::start().unwrap();
    limits::conformance::all(Arc::new(Limiter::new(connect(&server)))).await;
}

/// Eight processes that want far more than they may have, and the times at which they went.
async fn go(limiters: &[Limiter], limit: Limit, each: usize, open: Duration) -> Vec<(Instant, Instant)> {
    let one = |limiter: &Limiter| {
        let limiter = limiter.clone();
        async move {
            let mut went = Vec::new();
            for _ in 0..each {
                let permit = limiter.acquire("cluster", &limit).await;
                let begin = Instant::now();
                if !open.is_zero() {
                    tokio::time::sleep(open).await;
                }
                went.push((begin, Instant::now()));
                drop(permit);
            }
            went
        }
    };
    let all: Vec<_> = limiters.iter().flat_map(|l| [one(l), one(l)]).collect();
    let mut went: Vec<_> = futures::future::join_all(all).await.into_iter().flatten().collect();
    went.sort_unstable();
    went
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_keep_to_one_rate() {
    let server = Server::start().unwrap();
    let limiters: Vec<Limiter> = (0..8).map(|_| Limiter::new(connect(&server))).collect();
    let went = go(&limiters, Limit::new(Some(100.0), None), 25, Duration::ZERO).await;
    for (i, (first, _)) in went.iter().enumerate() {
        let second = went[i..].iter().take_while(|(at, _)| *at - *first < Duration::from_secs(1));
        let count = second.count();
        assert!(count <= 100, "{count} in a second");
    }
    let seconds = (went.last().unwrap().0 - went[0].0).as_secs_f64();
    let rate = went.len() as f64 / seconds;
    assert!(rate >= 60.0, "{rate} a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_share_the_places() {
    let server = Server::start().unwrap();
    let limiters: Vec<Limiter> = (0..8).map(|_| Limiter::new(connect(&server))).collect();
    let went = go(&limiters, Limit::new(None, Some(5)), 4, Duration::from_millis(20)).await;
    for (begin, _) in &went {
        let open = went.iter().filter(|(b, e)| b <= begin && begin < e).count();
        assert!(open <= 5, "{open} at a time");
    }
    assert_eq!(went.len(), 64);
}

/// What one process is told by an upstream, all obey; and without Redis each goes on alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_penalty_is_everybodys_and_redis_is_nobodys_need() {
    let mut server = Server::start().unwrap();
    let [one, two] = [Limiter::new(connect(&server)), Limiter::new(connect(&server))];
    for limit in [Limit::new(Some(1000.0), Some(4)), Limit::NONE] {
        let upstream = format!("{limit:?}");
        drop(two.acquire(&upstream, &limit).await);
        let until = tokio::time::Instant::now() + Duration::from_secs(2);
        one.penalise(&upstream, until).await;
        // Longer than an upstream without a limit is believed to be free.
        tokio::time::sleep(Duration::from_millis(250)).await;
        drop(two.acquire(&upstream, &limit).await);
        assert!(tokio::time::Instant::now() + Duration::from_millis(20) >= until, "{limit:?}");
    }
    server.kill();
    let went = go(&[one], Limit::new(Some(50.0), Some(2)), 10, Duration::ZERO).await;
    assert!(went.last().unwrap().0 - went[0].0 >= Duration::from_millis(350));
}

/// Its name, the commands that bring it about, and those that mend it.
type Fault = (&'static str, &'static [&'static [&'static str]], &'static [&'static [&'static str]]);

/// Each fault as Redis is told to have it, and how it is mended.
const FAULTS: [Fault; 4] = [
    ("full", &[&["CONFIG", "SET", "maxmemory", "1"]], &[&["CONFIG", "SET", "maxmemory", "0"]]),
    ("a replica", &[&["REPLICAOF", "127.0.0.1", "1"]], &[&["REPLICAOF", "NO", "ONE"]]),
    (
        "another type",
        &[
            &["DEL", "kudzu:r:{cluster}", "kudzu:c:{cluster}"],
            &["LPUSH", "kudzu:r:{cluster}", "x"],
            &["SET", "kudzu:c:{cluster}", "x"],
        ],
        &[&["DEL", "kudzu:r:{cluster}", "kudzu:c:{cluster}"]],
    ),
    ("no number", &[&["SET", "kudzu:r:{cluster}", "x"]], &[&["DEL", "kudzu:r:{cluster}"]]),
];

/// Whatever Redis answers, nobody waits in vain and nobody goes without a limit: not while it
/// answers so, nor with what was granted before and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_lifts_a_limit() {
    const RATE: Limit = Limit { rate_per_s: Some(50.0), burst: 1, concurrency: Some(2) };
    let server = Server::start().unwrap();
    let redis = connect(&server);
    let limiter = Limiter::new(redis.clone());
    let order = |all: &[&[&str]]| all.iter().for_each(|c| drop(server.command(c).unwrap()));
    let third = |what: &'static str| {
        let limiter = limiter.clone();
        async move {
            let third = tokio::time::timeout(Duration::from_millis(200), limiter.acquire("cluster", &RATE));
            assert!(third.await.is_err(), "{what}: three at a time");
        }
    };
    for (what, bring, mend) in FAULTS {
        let before = limiter.acquire("cluster", &RATE).await;
        order(bring);
        let errors = redis.errors();
        let begin = Instant::now();
        let during = limiter.acquire("cluster", &RATE).await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{what}: {:?}", begin.elapsed());
        third(what).await;
        drop(before);
        let after = limiter.acquire("cluster", &RATE).await;
        third(what).await;
        drop((during, after));

        let went = go(std::slice::from_ref(&limiter), RATE, 10, Duration::from_millis(15)).await;
        assert_eq!(went.len(), 20, "{what}");
        for (at, _) in &went {
            let open = went.iter().filter(|(begin, end)| begin <= at && at < end).count();
            assert!(open <= 2, "{what}: {open} at a time");
        }
        let took = went.last().unwrap().0 - went[0].0;
        assert!(took >= Duration::from_millis(350), "{what}: 20 in {took:?}");
        assert!(redis.errors() > errors && redis.is_there(), "{what}: Redis had nothing against it");

        let held = limiter.acquire("cluster", &RATE).await;
        order(mend);
        let shared = limiter.acquire("cluster", &RATE).await;
        third(what).await;
        drop((held, shared));
    }
    // It is asked again: who is new has to wait for what is held here.
    let places = [limiter.acquire("cluster", &RATE).await, limiter.acquire("cluster", &RATE).await];
    let other = Limiter::new(connect(&server));
    let cut = tokio::time::timeout(Duration::from_millis(200), other.acquire("cluster", &RATE)).await;
    assert!(cut.is_err(), "they do not share it any more");
    drop(places);
}

/// A penalty that Redis cannot be told is kept to by whoever was given it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_penalty_that_redis_does_not_take_is_kept_to() {
    let server = Server::start().unwrap();
    let limiter = Limiter::new(connect(&server));
    for (n, (what, bring, mend)) in FAULTS[..2].iter().enumerate() {
        bring.iter().for_each(|c| drop(server.command(c).unwrap()));
        for limit in [Limit::new(Some(1000.0), Some(4)), Limit::NONE] {
            let upstream = format!("{n} {limit:?}");
            let until = tokio::time::Instant::now() + Duration::from_millis(400);
            limiter.penalise(&upstream, until).await;
            drop(limiter.acquire(&upstream, &limit).await);
            assert!(tokio::time::Instant::now() >= until, "{what}: {limit:?}");
        }
        mend.iter().for_each(|c| drop(server.command(c).unwrap()));
    }
}
