//! The broker seam: queues of messages, delivered at least once.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod memory;
mod park;
pub mod rabbit;

pub use memory::{Depth, Memory};
pub use park::{PARKED, park};

/// Why a broker operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No queue of that name: for a reply queue, its owner is gone.
    #[error("no queue {0:?}: the message is unroutable")]
    Unroutable(String),
    /// The broker cannot be reached, or is shutting down.
    #[error("the broker is closed")]
    Closed,
    /// There is no queue to consume from.
    #[error("no queue {0:?} to consume from")]
    NoQueue(String),
    /// An exclusive queue has its consumer already.
    #[error("queue {0:?} has its only consumer already")]
    InUse(String),
    /// The queue, or the exchange, exists and is another one.
    #[error("{queue:?} exists and differs from what this version needs ({why}): delete it once it is empty")]
    Mismatch {
        /// Which.
        queue: String,
        /// What differs.
        why: String,
    },
    /// The broker does not allow it.
    #[error("the broker refuses queue {queue:?}: {why}")]
    Refused {
        /// Which.
        queue: String,
        /// What it says.
        why: String,
    },
}

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is there.
    Up,
    /// It is there, and the broker takes nothing from it: an alarm of memory or disk.
    Blocked(String),
    /// It is not, and why, if that is known.
    Down(Option<String>),
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Up => f.write_str("up"),
            Health::Blocked(why) => write!(f, "blocked: {why}"),
            Health::Down(why) => write!(f, "down: {}", why.as_deref().unwrap_or("not connected yet")),
        }
    }
}

/// Where a queue lives and what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives its consumers and the broker's restart.
    Durable,
    /// Ends with its only consumer (reply queues).
    Exclusive,
}

/// A message broker. Every method is cancel safe unless it says otherwise.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Makes sure that a queue exists. Repeatable.
    async fn declare(&self, queue: &str, durability: Durability) -> Result<(), Error>;

    /// Publishes, and returns once the broker has it (confirm). Waits while the queue is
    /// full. If cancelled, the message may or may not be in the queue.
    ///
    /// A waiting publisher holds nothing: whoever also consumes goes on consuming
    /// meanwhile, or two full queues may wait for each other.
    async fn publish(&self, queue: &str, message: Bytes) -> Result<(), Error>;

    /// Starts to consume; at most `prefetch` (at least 1) deliveries are unsettled at a time.
    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, Error>;

    /// Sends a hint to whoever is subscribed to the topic now. Never waits for them: a hint
    /// may get lost, so it may hasten a thing and never be the only way to learn of it.
    async fn publish_fanout(&self, topic: &str, hint: Bytes) -> Result<(), Error>;

    /// Whether it takes and gives messages now.
    fn health(&self) -> Health;

    /// Hears the topic's hints from now on.
    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Subscription>, Error>;
}

/// A subscription to a queue. Dropped, it gives unsettled deliveries back to the queue;
/// settling them afterwards does nothing.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery; `None` once the queue is gone. Cancel safe.
    async fn next(&mut self) -> Option<Delivery>;
}

/// A subscription to a topic.
#[async_trait]
pub trait Subscription: Send {
    /// The next hint; `None` once the broker is closed. Cancel safe.
    async fn next(&mut self) -> Option<Bytes>;
}

/// A message in the consumer's hands. Dropped unsettled, it is delivered again.
pub struct Delivery {
    /// The message.
    pub body: Bytes,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// Ends once it is lost: it was taken from these hands, and settling it does nothing any
    /// more. Somebody else may have it already.
    pub lost: CancellationToken,
    /// How to settle it.
    pub settle: Box<dyn Settle>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, redelivered, lost: _, settle: _ } = self;
        f.debug_struct("Delivery").field("octets", &body.len()).field("redelivered", redelivered).finish()
    }
}

/// Ends a delivery. Neither method waits: a remote back end queues the message to its
/// connection, bounded by the prefetch.
pub trait Settle: Send + Sync {
    /// Done: never deliver it again.
    fn ack(self: Box<Self>);
    /// Give it back to the queue.
    fn requeue(self: Box<Self>);
}
