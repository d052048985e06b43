//! The cache in Redis, shared by all workers and coordinators.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;

use super::{Cache, Key};
use crate::redis::Redis as Connection;

/// What stands before a value's key, and before a lease's.
const VALUE: &[u8] = b"kudzu:v:";
const LEASE: &[u8] = b"kudzu:l:";
/// Keys in one command, and octets of values: a longer one would hold up the others.
const KEYS: usize = 500;
const OCTETS: usize = 1 << 20;
/// The longest time to live; more is for ever here.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// A cache in Redis. Whatever goes wrong with it is a miss.
#[derive(Clone)]
pub struct Redis(Connection);

impl Redis {
    /// On a connection.
    pub fn new(connection: Connection) -> Self {
        Self(connection)
    }
}

fn name(kind: &[u8], key: &[u8]) -> Vec<u8> {
    [kind, key].concat()
}

/// Redis counts milliseconds.
fn millis(ttl: Duration) -> u64 {
    (ttl.min(LONGEST).as_millis() as u64).max(1)
}

#[async_trait]
impl Cache for Redis {
    async fn get(&self, keys: &[Key]) -> Vec<Option<Bytes>> {
        let mut all = Vec::with_capacity(keys.len());
        for some in keys.chunks(KEYS) {
            let names: Vec<Vec<u8>> = some.iter().map(|key| name(VALUE, key)).collect();
            all.append(&mut self.0.get(&names).await);
        }
        all
    }

    async fn put(&self, entries: Vec<(Key, Bytes, Duration)>) {
        let mut entries = entries.into_iter().filter(|(_, _, ttl)| !ttl.is_zero()).peekable();
        while entries.peek().is_some() {
            let (mut commands, mut octets) = (Vec::new(), 0);
            while octets < OCTETS
                && commands.len() < KEYS
                && let Some((key, body, ttl)) = entries.next()
            {
                octets += body.len();
                let mut command = redis::cmd("SET");
                command.arg(name(VALUE, &key)).arg(&body[..]).arg("PX").arg(millis(ttl));
                commands.push(command);
            }
            self.0.ask_all(commands).await;
        }
    }

    async fn lease(&self, key: &Key, ttl: Duration) -> bool {
        let mut command = redis::cmd("SET");
        command.arg(name(LEASE, key)).arg(1).arg("NX").arg("PX").arg(millis(ttl));
        !matches!(self.0.ask(&command).await, Some(Value::Nil))
    }

    async fn release(&self, keys: &[Key]) {
        for some in keys.chunks(KEYS) {
            let release = |key: &Key| {
                let mut command = redis::cmd("DEL");
                command.arg(name(LEASE, key));
                command
            };
            self.0.ask_all(some.iter().map(release).collect()).await;
        }
    }
}
