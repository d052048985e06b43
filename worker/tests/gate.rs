//! The rate of a resolver over several workers, by one Redis.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use kudzu_dns::{Question, RecordType, Resolver, Sink};
use kudzu_servers::Redis as RedisServer;
use kudzu_shared::config::Config;
use kudzu_shared::limits::{self, Limiter};
use kudzu_shared::redis::Redis;
use kudzu_shared::task::spawn;
use kudzu_simnet::{Faults, ListenConfig, Server, World, WorldSpec};
use secrecy::SecretString;

const RATE: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(120);

async fn simnet() -> Server {
    let world = World::generate(&WorldSpec { seed: 1, scale: 0.01, campaign: false });
    Server::start(world, Faults::default(), ListenConfig::default()).await.unwrap()
}

/// A worker's resolver, with limits of its own on this Redis.
async fn resolver(simnet: &Server, redis: &RedisServer) -> Arc<dyn Resolver> {
    let text = format!(
        "[dns]\nresolvers = [\"{}\"]\ncheck = false\nown = true\nrate = {RATE}.0\n",
        simnet.addrs().dns[0]
    );
    let config = Config::parse(std::path::Path::new("kudzu.toml"), &text).unwrap();
    let redis = Redis::new(&SecretString::from(redis.uri())).unwrap();
    let limiter: Arc<dyn Limiter> = Arc::new(limits::Redis::new(redis));
    kudzu_worker::start_resolver(&config.dns, Some(&limiter)).await.unwrap()
}

/// Has each of them ask so many questions, as fast as they may; says how long it took.
async fn ask(resolvers: &[Arc<dyn Resolver>], each: u64) -> Duration {
    let begin = Instant::now();
    let one = |resolver: &Arc<dyn Resolver>| {
        let resolver = Arc::clone(resolver);
        spawn("asker", async move {
            let name = b"\x03www\x07example\x00".to_vec();
            let question = |token| Question { token, name: name.clone().into(), qtype: RecordType::A };
            let (sink, mut replies) = Sink::new(each as usize);
            resolver.submit((0..each).map(question).collect(), &sink).await.unwrap();
            drop(sink);
            let mut answered = 0;
            while let Some(batch) = replies.next().await {
                answered += batch.len();
            }
            assert_eq!(answered as u64, each);
        })
    };
    let asking: Vec<_> = resolvers.iter().map(one).collect();
    for asked in asking {
        tokio::time::timeout(PATIENCE, asked).await.unwrap().unwrap();
    }
    begin.elapsed()
}

/// How often Redis ran a script.
fn scripts(redis: &RedisServer) -> u64 {
    let said = redis.command(&["INFO", "commandstats"]).unwrap();
    let calls = said.lines().filter(|line| line.starts_with("cmdstat_eval"));
    let calls = calls.filter_map(|line| line.split(['=', ',']).nth(1)?.parse::<u64>().ok());
    calls.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_keep_to_one_rate_and_reach_it() {
    let (simnet, redis) = (simnet().await, RedisServer::start().unwrap());
    let resolvers = [resolver(&simnet, &redis).await, resolver(&simnet, &redis).await];
    let took = ask(&resolvers, 2_000).await;
    let (stats, scripts) = (simnet.stats(), scripts(&redis));
    let reached = stats.dns_udp as f64 / took.as_secs_f64();
    println!(
        "{} in {took:?}: {reached:.0} a second, {} in the busiest, {scripts} scripts",
        stats.dns_udp, stats.dns_max_rate
    );
    assert!(stats.dns_max_rate <= RATE + RATE / 20, "{} within a second", stats.dns_max_rate);
    assert!(reached >= 0.8 * RATE as f64, "{reached} a second");
    assert!((1..stats.dns_udp / 4).contains(&scripts), "{scripts} scripts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_goes_on_with_its_share() {
    let (simnet, mut redis) = (simnet().await, RedisServer::start().unwrap());
    let resolvers = [resolver(&simnet, &redis).await, resolver(&simnet, &redis).await];
    // They know of each other, at the latest when the second has said twice that it is there.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let asking = ask(&resolvers, 1_500);
    let kill = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        redis.kill();
    };
    let (took, ()) = tokio::join!(asking, kill);
    let stats = simnet.stats();
    let reached = stats.dns_udp as f64 / took.as_secs_f64();
    println!("{} in {took:?}: {reached:.0} a second, {} in the busiest", stats.dns_udp, stats.dns_max_rate);
    assert!(stats.dns_max_rate <= RATE + RATE / 20, "{} within a second", stats.dns_max_rate);
    assert!(reached >= 0.5 * RATE as f64, "{reached} a second");
}
