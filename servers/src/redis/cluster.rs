//! A Redis Cluster of masters.

use super::{Redis, port};
use crate::ServerError;

/// How many share the slots.
const MASTERS: usize = 3;
const SLOTS: usize = 1 << 14;

/// A private Redis Cluster. Dropped, it is killed.
#[derive(Debug)]
pub struct RedisCluster {
    /// Its masters, each with a third of the slots and nobody to replace it.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one.
    ///
    /// # Errors
    /// When Redis is not installed, or does not start.
    pub fn start() -> Result<Self, ServerError> {
        let mut nodes = Vec::with_capacity(MASTERS);
        let mut buses = Vec::with_capacity(MASTERS);
        for i in 0..MASTERS {
            // By default the bus listens on a port that may be none.
            let bus = port()?.to_string();
            // A part that is gone takes nothing from the others.
            let partial = ["--cluster-require-full-coverage", "no"];
            let args = [&["--cluster-enabled", "yes", "--cluster-port", &bus], &partial[..]].concat();
            let node = Redis::start_with(&args)?;
            let bound = |i: usize| (i * SLOTS / MASTERS).to_string();
            let last = ((i + 1) * SLOTS / MASTERS - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &bound(i), &last])?;
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()])?;
            nodes.push(node);
            buses.push(bus);
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus])?;
        }
        for node in &nodes {
            node.wait_for(&["CLUSTER", "INFO"], "cluster_slots_ok:16384")?;
            node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok")?;
        }
        Ok(Self { nodes })
    }

    /// How to connect: by the first two.
    pub fn uri(&self) -> String {
        format!("redis-cluster://{},{}", self.nodes[0].addr(), self.nodes[1].addr())
    }
}
