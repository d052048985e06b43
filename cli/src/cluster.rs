//! What a process of a cluster stands on: the broker, the cache and the limits that the settings
//! name.

use std::sync::Arc;

use anyhow::Context as _;
use kudzu_shared::broker::rabbit::Rabbit;
use kudzu_shared::cache::{self, Cache};
use kudzu_shared::config::{Config, Secret};
use kudzu_shared::limits::{self, Limiter};
use kudzu_shared::redis;
use secrecy::SecretString;

use crate::exit::Failure;

/// The back ends of one process.
pub struct Backs {
    /// RabbitMQ.
    pub broker: Rabbit,
    /// Redis, or this process's own memory.
    pub cache: Arc<dyn Cache>,
    /// The same.
    pub limiter: Arc<dyn Limiter>,
}

impl Backs {
    /// Starts to connect; what is asked meanwhile waits, or is a miss.
    ///
    /// # Errors
    /// When no broker is named, or a URL is none.
    pub fn connect(config: &Config, name: &str) -> Result<Self, Failure> {
        let url = config.broker.url.as_ref().ok_or_else(|| {
            Failure::usage(
                "there is no broker: set KUDZU_BROKER__URL=amqp://USER:PASSWORD@HOST:PORT/VHOST \
                 (kudzu up starts a whole cluster on this machine)",
            )
        })?;
        let broker =
            Rabbit::new(&secret(url), name).map_err(|e| Failure::usage(format!("broker.url: {e}")))?;
        // One connection each: what fills the cache does not hold up the limits.
        let cache: Arc<dyn Cache> = match redis(config)? {
            Some(redis) => Arc::new(cache::Redis::new(redis)),
            None => Arc::new(cache::Memory::new(config.worker.cache_bytes)),
        };
        let limiter = limiter(config)?;
        Ok(Self { broker, cache, limiter })
    }
}

/// The limits: those of the whole cluster where there is a Redis, else of this process.
///
/// # Errors
/// When its URL is none.
pub fn limiter(config: &Config) -> Result<Arc<dyn Limiter>, Failure> {
    Ok(match redis(config)? {
        Some(redis) => Arc::new(limits::Redis::new(redis)),
        None => Arc::new(limits::Memory::new()),
    })
}

/// The limits where other processes have them too: in Redis.
pub fn shared<'a>(config: &Config, limiter: &'a Arc<dyn Limiter>) -> Option<&'a Arc<dyn Limiter>> {
    config.redis.url.as_ref().map(|_| limiter)
}

fn redis(config: &Config) -> Result<Option<redis::Redis>, Failure> {
    let connect = |url| redis::Redis::new(&secret(url)).context("redis.url").map_err(Failure::Usage);
    config.redis.url.as_ref().map(connect).transpose()
}

fn secret(text: &Secret) -> SecretString {
    SecretString::from(text.expose().to_owned())
}

/// What a process calls itself where nobody says.
pub fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "kudzu" } else { host };
    format!("{host}-{}", std::process::id())
}
