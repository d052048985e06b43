//! The cache on a real Redis: what every back end promises, and that its faults are misses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kudzu_servers::Redis as Server;
use kudzu_shared::cache::{Cache as _, Redis as Cache, conformance};
use kudzu_shared::redis::Redis;
use secrecy::SecretString;

const LONG: Duration = Duration::from_secs(600);

fn connect(server: &Server) -> Redis {
    Redis::new(&SecretString::from(server.uri())).unwrap()
}

fn entry(name: &'static str) -> (Bytes, Bytes, Duration) {
    (Bytes::from_static(name.as_bytes()), Bytes::from_static(name.as_bytes()), LONG)
}

/// Runs a command as somebody else would.
async fn command(server: &Server, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(server.uri()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    command.query_async(&mut connection).await.unwrap()
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
    command(&server, &["DEL", "kudzu:v:b"]).await;
    command(&server, &["LPUSH", "kudzu:v:b", "x"]).await;
    assert_eq!(cache.get(&["a", "b"].map(key)).await, [Some(key("a")), None]);
    // Full: it still reads, and takes writes again when there is room.
    command(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    cache.put(vec![entry("c")]).await;
    assert_eq!((get("c").await, get("a").await), (None, Some(key("a"))));
    assert!(cache.lease(&key("full"), LONG).await, "an error grants");
    assert!(redis.errors() >= 2 && redis.is_there());
    command(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    cache.put(vec![entry("c")]).await;
    assert_eq!(get("c").await, Some(key("c")));
    // A replica takes no writes.
    command(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    cache.put(vec![entry("d")]).await;
    assert_eq!(get("d").await, None);
    command(&server, &["REPLICAOF", "NO", "ONE"]).await;
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
