//! The cache and the limits on a real Redis Cluster: what every back end promises, over slots,
//! without some of them, and where they move.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kudzu_servers::RedisCluster as Servers;
use kudzu_shared::cache::{Cache as _, Redis as Cache, conformance};
use kudzu_shared::limits::{self, Limit, Limiter as _, Redis as Limiter};
use kudzu_shared::redis::Redis;
use secrecy::SecretString;

const LONG: Duration = Duration::from_secs(600);
/// More than go in one command.
const MANY: usize = 1200;

fn connect(servers: &Servers) -> Redis {
    Redis::new(&SecretString::from(servers.uri())).unwrap()
}

fn keys() -> Vec<Bytes> {
    (0..MANY).map(|i| Bytes::from(format!("key {i}"))).collect()
}

async fn put(cache: &Cache, keys: &[Bytes]) {
    cache.put(keys.iter().map(|key| (key.clone(), key.clone(), LONG)).collect()).await;
}

/// How many come back, each under its own key.
async fn hits(cache: &Cache, keys: &[Bytes]) -> usize {
    let values = cache.get(keys).await;
    assert_eq!(values.len(), keys.len());
    let hits = keys.iter().zip(&values).filter_map(|(key, value)| value.as_ref().map(|v| (key, v)));
    hits.inspect(|(key, value)| assert_eq!(key, value)).count()
}

/// Puts until all come back; nothing on the way takes long.
async fn works_again(cache: &Cache, keys: &[Bytes]) {
    let works = async {
        loop {
            let begin = Instant::now();
            put(cache, keys).await;
            let hits = hits(cache, keys).await;
            assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
            if hits == keys.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), works).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_all_promises() {
    let servers = Servers::start().unwrap();
    conformance::all(Arc::new(Cache::new(connect(&servers)))).await;
    limits::conformance::all(Arc::new(Limiter::new(connect(&servers)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_other_nodes_hit_while_one_is_gone() {
    let mut servers = Servers::start().unwrap();
    let redis = connect(&servers);
    let (cache, keys) = (Cache::new(redis.clone()), keys());
    put(&cache, &keys).await;
    assert_eq!((hits(&cache, &keys).await, redis.errors()), (MANY, 0), "the first look is waited for");
    let kept = |node: usize| servers.nodes[node].command(&["DBSIZE"]).unwrap().parse::<usize>().unwrap();
    let rest = kept(1) + kept(2);
    assert!((MANY / 2..MANY).contains(&rest), "{rest}");
    servers.nodes[0].kill();
    let begin = Instant::now();
    for _ in 0..50 {
        assert_eq!(hits(&cache, &keys).await, rest);
        put(&cache, &keys).await;
    }
    let limiter = Limiter::new(redis.clone());
    for upstream in ["a", "b", "c", "d", "e", "f"] {
        drop(limiter.acquire(upstream, &Limit::new(Some(1000.0), Some(4))).await);
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(!redis.is_there());
    servers.nodes[0].boot().unwrap();
    works_again(&cache, &keys).await;
    assert!(redis.is_there());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_is_found() {
    let servers = Servers::start().unwrap();
    let redis = connect(&servers);
    let cache = Cache::new(redis.clone());
    let keys = [Bytes::from_static(b"{moves} a"), Bytes::from_static(b"{moves} b")];
    works_again(&cache, &keys).await;
    let ask = |node: usize, words: &[&str]| servers.nodes[node].command(words).unwrap();
    let slot = ask(0, &["CLUSTER", "KEYSLOT", "kudzu:v:{moves} a"]);
    let from = (0..3).find(|node| ask(*node, &["CLUSTER", "COUNTKEYSINSLOT", &slot]) == "2").unwrap();
    let to = (from + 1) % 3;
    let (old, new) = (ask(from, &["CLUSTER", "MYID"]), ask(to, &["CLUSTER", "MYID"]));
    ask(from, &["FLUSHALL"]);
    ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &old]);
    ask(to, &["CLUSTER", "SETSLOT", &slot, "NODE", &new]);
    ask(from, &["CLUSTER", "SETSLOT", &slot, "NODE", &new]);
    let errors = redis.errors();
    put(&cache, &keys).await;
    assert!(redis.errors() > errors && redis.is_there(), "it is sent elsewhere");
    works_again(&cache, &keys).await;
    assert_eq!(ask(to, &["CLUSTER", "COUNTKEYSINSLOT", &slot]), "2");
}
