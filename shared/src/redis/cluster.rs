//! The nodes of a Redis Cluster, and their slots.
//!
//! The driver has a client for clusters. It lets all wait while it finds one node again, and sends
//! each slot's keys by themselves.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use rand::seq::SliceRandom as _;
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};

use super::node::{Node, elsewhere};
use super::view::View;

/// Nodes that are asked at a time.
const ASKED: usize = 8;

/// Some nodes, by which the others are found.
pub(super) struct Seeds(pub(super) Vec<ConnectionInfo>);

/// Slots from and to, and the host and port of who has them.
type Range = (u16, u16, Option<String>, u16);

impl Seeds {
    /// The first that answers is believed.
    pub(super) async fn find(&self, known: &View) -> RedisResult<View> {
        let mut nodes = known.nodes().to_vec();
        for seed in &self.0 {
            if known.at(seed.addr()).is_none() {
                nodes.push(Arc::new(Node::new(seed.clone())?));
            }
        }
        nodes.shuffle(&mut rand::rng());
        nodes.sort_by_key(|node| !node.is_there());
        let ask = |node: &Arc<Node>| {
            let node = Arc::clone(node);
            async move { (slots(&node).await, node) }
        };
        let asked: Vec<_> = nodes.iter().map(ask).collect();
        let mut answers = stream::iter(asked).buffer_unordered(ASKED);
        let mut failed = None;
        while let Some((answer, node)) = answers.next().await {
            match answer {
                Ok(ranges) => return self.view(ranges, node.addr(), &nodes),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(unreadable))
    }

    fn view(&self, ranges: Vec<Range>, asked: &ConnectionAddr, known: &[Arc<Node>]) -> RedisResult<View> {
        let seed = self.0.first().ok_or_else(unreadable)?;
        let own = match asked {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.as_str(),
            _ => "",
        };
        let mut nodes = known.to_vec();
        let mut view = Vec::with_capacity(ranges.len());
        for (first, last, host, port) in ranges {
            let info = elsewhere(seed, host.as_deref().unwrap_or(own), port);
            let node = match nodes.iter().find(|node| node.addr() == info.addr()) {
                Some(known) => Arc::clone(known),
                None => {
                    let new = Arc::new(Node::new(info)?);
                    nodes.push(Arc::clone(&new));
                    new
                }
            };
            view.push((first, last, node));
        }
        Ok(View::cluster(view))
    }
}

async fn slots(node: &Node) -> RedisResult<Vec<Range>> {
    let answer: Vec<Value> = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut node.connection()).await?;
    let ranges: Option<Vec<Range>> = answer.iter().map(range).collect();
    ranges.filter(|ranges| !ranges.is_empty()).ok_or_else(unreadable)
}

/// One row of the answer; replicas come after the master.
fn range(row: &Value) -> Option<Range> {
    let Value::Array(row) = row else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = row.as_slice() else { return None };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => Some(String::from_utf8(host.clone()).ok()?),
        _ => None,
    };
    // Unknown to the node that was asked, it listens where that one does.
    let host = host.filter(|host| !matches!(host.as_str(), "" | "?"));
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, host, u16::try_from(*port).ok()?))
}

fn unreadable() -> RedisError {
    (ErrorKind::Client, "no node knows the slots of the cluster").into()
}
