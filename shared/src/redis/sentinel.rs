//! The master that sentinels know.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, select_ok};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};

use super::node::{Node, elsewhere, without_delay};
use super::view::View;
use super::{ANSWER, CONNECT};

pub(super) struct Sentinels {
    pub(super) all: Vec<ConnectionInfo>,
    /// What they call the master.
    pub(super) name: String,
    /// How to connect to it, but where.
    pub(super) master: ConnectionInfo,
}

impl Sentinels {
    /// The first that names a master that is one is believed: one may be gone, another behind.
    pub(super) async fn find(&self, known: &View) -> RedisResult<View> {
        let asked = self.all.iter().map(|one| -> BoxFuture<'_, _> { self.ask(one, known).boxed() });
        select_ok(asked).await.map(|(master, _)| View::one(master))
    }

    async fn ask(&self, sentinel: &ConnectionInfo, known: &View) -> RedisResult<Arc<Node>> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let client = Client::open(without_delay(sentinel.clone()))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let at: Option<(String, u16)> = command.query_async(&mut connection).await?;
        let Some((host, port)) = at else { return Err(refused("the sentinels know no master of this name")) };
        let info = elsewhere(&self.master, &host, port);
        let node = known.at(info.addr()).map_or_else(|| Node::new(info).map(Arc::new), Ok)?;
        match redis::cmd("ROLE").query_async::<Vec<Value>>(&mut node.connection()).await {
            Ok(role) if role.first() == Some(&Value::BulkString(b"slave".into())) => {
                Err(refused("what the sentinels call the master is a replica"))
            }
            // It may let nobody ask: then the sentinel has the last word.
            Err(error) if error.code() != Some("NOPERM") => Err(error),
            _ => Ok(node),
        }
    }
}

fn refused(why: &'static str) -> RedisError {
    (ErrorKind::Client, why).into()
}
