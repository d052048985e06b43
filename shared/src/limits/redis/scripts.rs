//! What Redis does in one step. Times are its own, so that processes need not agree on one.
//! The name of the upstream is a hash tag: the keys of a script lie in one slot.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use crate::redis::Redis;

/// Keys: when the next question is free to go, the penalty. Arguments: microseconds between
/// two questions, microseconds that may be leased ahead, questions wanted. Answer: questions
/// granted, microseconds until the first of them (or until it is worth asking again), and
/// milliseconds of penalty.
static GRANT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local penalty = redis.call('PTTL', KEYS[2])
        if penalty > 0 then return {0, penalty * 1000, penalty} end
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local interval, ahead, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        local free = tonumber(redis.call('GET', KEYS[1]) or now)
        if free < now then free = now end
        local n = math.floor((now + ahead - free) / interval) + 1
        if n < 1 then return {0, free - now - ahead, 0} end
        if n > wanted then n = wanted end
        local next = free + n * interval
        redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
        return {n, free - now, 0}",
    )
});

/// Key: the places. Arguments: how many there are, milliseconds that one is held without a
/// word, the name of the one wanted. Answer: whether it is taken.
static PLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
        redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
        redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
        return 1",
    )
});

/// Key: the places. Arguments: milliseconds as above, then names. Holds those for longer that
/// are still there; answers how many are held by anybody.
static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
        redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
        return redis.call('ZCARD', KEYS[1])",
    )
});

/// Key: the penalty. Argument: its milliseconds. A shorter one does not lift a longer.
static PENALISE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
            redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
        end
        return 1",
    )
});

fn key(kind: char, upstream: &str) -> String {
    format!("kudzu:{kind}:{{{upstream}}}")
}

/// Questions that may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) questions: usize,
    /// Until the first may go, or until it is worth asking again.
    pub(super) wait: Duration,
    pub(super) penalty: Duration,
}

pub(super) async fn grant(
    redis: &Redis,
    upstream: &str,
    interval: Duration,
    ahead: Duration,
    wanted: usize,
) -> Option<Grant> {
    let keys = [key('r', upstream), key('p', upstream)];
    let mut call = GRANT.key(&keys);
    // With fractions: of a few microseconds they are much.
    call.arg((interval.as_nanos() as f64 / 1000.0).max(0.001)).arg(micros(ahead)).arg(wanted);
    let [questions, wait, penalty]: [i64; 3] = redis.run(&keys[0], &call).await?;
    let positive = |n: i64| u64::try_from(n).unwrap_or(0);
    Some(Grant {
        questions: usize::try_from(questions).unwrap_or(0),
        wait: Duration::from_micros(positive(wait)),
        penalty: Duration::from_millis(positive(penalty)),
    })
}

pub(super) async fn take_place(
    redis: &Redis,
    upstream: &str,
    all: u32,
    held: Duration,
    name: &str,
) -> Option<bool> {
    let key = key('c', upstream);
    let mut call = PLACE.key(&key);
    call.arg(all).arg(millis(held)).arg(name);
    redis.run(&key, &call).await.map(|taken: i64| taken == 1)
}

pub(super) async fn renew(redis: &Redis, upstream: &str, held: Duration, names: &[String]) -> Option<i64> {
    let key = key('c', upstream);
    let mut call = RENEW.key(&key);
    call.arg(millis(held));
    names.iter().for_each(|name| {
        call.arg(name);
    });
    redis.run(&key, &call).await
}

/// Gives places back; false where Redis is away.
pub(super) async fn free(redis: &Redis, upstream: &str, names: &[String]) -> bool {
    let mut command = redis::cmd("ZREM");
    command.arg(key('c', upstream)).arg(names);
    redis.ask::<i64>(&command).await.is_some()
}

pub(super) async fn penalise(redis: &Redis, upstream: &str, penalty: Duration) {
    let key = key('p', upstream);
    let mut call = PENALISE.key(&key);
    call.arg(millis(penalty));
    let _: Option<i64> = redis.run(&key, &call).await;
}

/// What is left of a penalty.
pub(super) async fn penalty(redis: &Redis, upstream: &str) -> Option<Duration> {
    let mut command = redis::cmd("PTTL");
    command.arg(key('p', upstream));
    let left: i64 = redis.ask(&command).await?;
    u64::try_from(left).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
