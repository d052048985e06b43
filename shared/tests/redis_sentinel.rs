//! The cache and the limits on a real Redis behind a sentinel: what every back end promises, and
//! that another master is found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kudzu_servers::RedisSentinel as Servers;
use kudzu_shared::cache::{Cache as _, Redis as Cache, conformance};
use kudzu_shared::limits::{self, Limit, Limiter as _, Redis as Limiter};
use kudzu_shared::redis::Redis;
use secrecy::SecretString;

const LONG: Duration = Duration::from_secs(600);

fn connect(uri: String) -> Redis {
    Redis::new(&SecretString::from(uri)).unwrap()
}

fn key(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

/// Puts and gets until it comes back; nothing on the way takes long.
async fn works_again(cache: &Cache, name: &'static str) {
    let works = async {
        loop {
            let begin = Instant::now();
            cache.put(vec![(key(name), key(name), LONG)]).await;
            let got = cache.get(&[key(name)]).await;
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
            if got == [Some(key(name))] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), works).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sentinels_know_keeps_all_promises() {
    let servers = Servers::start().unwrap();
    conformance::all(Arc::new(Cache::new(connect(servers.uri())))).await;
    limits::conformance::all(Arc::new(Limiter::new(connect(servers.uri())))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_is_found_when_the_first_is_gone() {
    let mut servers = Servers::start().unwrap();
    let redis = connect(servers.uri());
    let (cache, limiter) = (Cache::new(redis.clone()), Limiter::new(redis.clone()));
    works_again(&cache, "before").await;
    servers.master.kill();
    let begin = Instant::now();
    assert_eq!(cache.get(&[key("before")]).await, [None]);
    for _ in 0..10 {
        drop(limiter.acquire("up", &Limit::new(Some(1000.0), Some(4))).await);
    }
    assert!(cache.lease(&key("gone"), LONG).await && cache.lease(&key("gone"), LONG).await);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(!redis.is_there());
    works_again(&cache, "after").await;
    assert!(redis.is_there());
    assert_eq!(servers.replica.command(&["EXISTS", "kudzu:v:after"]).unwrap(), "1");
    // Limits over all processes again.
    drop(limiter.acquire("up", &Limit::new(Some(1000.0), Some(4))).await);
    assert_eq!(servers.replica.command(&["EXISTS", "kudzu:c:{up}"]).unwrap(), "1");
    // The first comes back, and believes to be the master.
    servers.master.boot().unwrap();
    works_again(&cache, "last").await;
    assert_eq!(servers.replica.command(&["EXISTS", "kudzu:v:last"]).unwrap(), "1");
}

/// One that becomes a replica without a word keeps its connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_master_is_found_when_the_first_takes_no_writes() {
    let servers = Servers::start().unwrap();
    let redis = connect(servers.uri());
    let cache = Cache::new(redis.clone());
    works_again(&cache, "before").await;
    let port = servers.replica.addr().port().to_string();
    servers.replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    // What it says of itself is not needed.
    servers.replica.command(&["ACL", "SETUSER", "user", "-role"]).unwrap();
    servers.sentinel.command(&["SENTINEL", "REMOVE", servers.name()]).unwrap();
    servers.sentinel.command(&["SENTINEL", "MONITOR", servers.name(), "127.0.0.1", &port, "1"]).unwrap();
    servers.master.command(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    let errors = redis.errors();
    cache.put(vec![(key("refused"), key("refused"), LONG)]).await;
    assert!(redis.errors() > errors && redis.is_there());
    works_again(&cache, "after").await;
    assert_eq!(servers.replica.command(&["EXISTS", "kudzu:v:after"]).unwrap(), "1");
}

#[tokio::test]
async fn without_sentinels_everything_is_a_miss() {
    let mut servers = Servers::start().unwrap();
    let unknown = servers.uri().replace(servers.name(), "another");
    for uri in ["redis-sentinel://127.0.0.1:1,[::1]:1/kudzu".to_owned(), unknown] {
        let redis = connect(uri);
        let cache = Cache::new(redis.clone());
        let begin = Instant::now();
        for _ in 0..200 {
            assert_eq!(cache.get(&[key("a"), key("b")]).await, [None, None]);
            cache.put(vec![(key("a"), key("a"), LONG)]).await;
        }
        assert!(cache.lease(&key("gone"), LONG).await && cache.lease(&key("gone"), LONG).await);
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert!(!redis.is_there());
    }
    servers.sentinel.kill();
    let cache = Cache::new(connect(servers.uri()));
    assert_eq!(cache.get(&[key("a")]).await, [None]);
    servers.sentinel.boot().unwrap();
    works_again(&cache, "b").await;
}
