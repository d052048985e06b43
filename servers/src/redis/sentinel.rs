//! A master of Redis, its replica, and the sentinel that replaces the one by the other.

use super::Redis;
use crate::ServerError;

/// What the sentinel asks for a password, and calls the master.
const PASSWORD: &str = "of/the@sentinel";
const NAME: &str = "kudzu";

/// Three processes. Dropped, they are killed.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The master at the beginning; `user` with the password `p@ss` may do everything.
    pub master: Redis,
    /// Its replica.
    pub replica: Redis,
    /// The sentinel; it wants a password of its own.
    pub sentinel: Redis,
}

impl RedisSentinel {
    /// Starts them.
    ///
    /// # Errors
    /// When Redis is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        let user = ["--user", "user", "on", ">p@ss", "~*", "&*", "+@all"];
        let master = Redis::start_with(&user)?;
        let port = master.port.to_string();
        let replica = Redis::start_with(&[&["--replicaof", "127.0.0.1", &port], &user[..]].concat())?;
        replica.wait_for(&["INFO", "replication"], "master_link_status:up")?;
        let mut sentinel = Redis::new()?;
        let path = sentinel.node.folder().join("sentinel.conf");
        let settings = format!(
            "requirepass {PASSWORD}\nsentinel monitor {NAME} 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 3000\n"
        );
        let failed = |source| ServerError::Start { program: super::PROGRAM, source };
        std::fs::write(&path, settings).map_err(failed)?;
        sentinel.args = vec![path.to_string_lossy().into_owned(), "--sentinel".into()];
        sentinel.password = Some(PASSWORD);
        sentinel.boot()?;
        let this = Self { master, replica, sentinel };
        this.sentinel.wait_for(&["SENTINEL", "REPLICAS", NAME], &this.replica.port.to_string())?;
        Ok(this)
    }

    /// What the sentinel calls the master.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// How to connect; the first sentinel is none.
    pub fn uri(&self) -> String {
        let port = self.sentinel.port;
        format!(
            "redis-sentinel://user:p%40ss@127.0.0.1:1,127.0.0.1:{port}/{NAME}?sentinel_password={PASSWORD}"
        )
    }
}
