//! The broker on RabbitMQ: AMQP 0.9.1, 3.10 to 4.3.
//!
//! Work goes through quorum queues, confirmed and persistent. Publishing and consuming have a
//! connection each: while the broker is short of memory or disk it reads nothing from a
//! connection that publishes, acknowledgements included.

mod consumer;
mod link;
mod publisher;
mod topology;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Broker, Consumer, Durability, Error, Health, Subscription};
use crate::task::{self, Task, lock};
use consumer::{From, RabbitConsumer};
use link::Link;
use publisher::{Outgoing, To};
use topology::Fault;

/// Seconds without a sign of life after which each side asks; twice that, and it is gone.
const HEARTBEAT: u16 = 10;
/// Messages that wait for the publishing task.
const WAITING: usize = 256;

/// A broker on RabbitMQ. Clones share its connections; with the last one they are closed.
#[derive(Clone)]
pub struct Rabbit(Arc<Inner>);

struct Inner {
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    messages: mpsc::Sender<Outgoing>,
    /// Queues that go with the consuming connection.
    exclusive: Mutex<HashSet<String>>,
    stop: CancellationToken,
    _publisher: Task<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A URI that names no broker.
#[derive(Debug, thiserror::Error)]
#[error("write amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://: {0}")]
pub struct UriError(String);

impl Rabbit {
    /// Starts to connect; what is asked of it meanwhile waits. `name` is shown in RabbitMQ's
    /// list of connections.
    ///
    /// # Errors
    /// When the URI is none.
    pub fn new(uri: &SecretString, name: &str) -> Result<Self, UriError> {
        let mut uri: AMQPUri = uri.expose_secret().parse().map_err(UriError)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let stop = CancellationToken::new();
        let link = |what: &str| Arc::new(Link::new(uri.clone(), format!("{name} ({what})"), stop.clone()));
        let (publishing, consuming) = (link("publishes"), link("consumes"));
        let (messages, outgoing) = mpsc::channel(WAITING);
        let publisher = task::spawn("amqp publisher", {
            let (link, stop) = (Arc::clone(&publishing), stop.clone());
            async move { publisher::run(&link, outgoing, &stop).await }
        });
        let exclusive = Mutex::default();
        Ok(Self(Arc::new(Inner { publishing, consuming, messages, exclusive, stop, _publisher: publisher })))
    }

    /// How it stands with the connection that publishes, and the one that consumes.
    pub fn connections(&self) -> (Health, Health) {
        (self.0.publishing.health(), self.0.consuming.health())
    }

    /// Closes the connections; what is unsettled goes back.
    pub fn close(&self) {
        self.0.stop.cancel();
    }
}

#[async_trait]
impl Broker for Rabbit {
    async fn declare(&self, queue: &str, durability: Durability) -> Result<(), Error> {
        loop {
            let channel = self.0.consuming.channel().await?;
            // The exchange of hints with it: whoever begins shall learn that it is another one.
            if let Err(Fault::Refused(soft, why)) = topology::within(topology::hints(&channel)).await {
                return Err(topology::refused(&soft, topology::HINTS, why));
            }
            match topology::within(topology::queue(&channel, queue, durability)).await {
                Ok(()) => {
                    if durability == Durability::Exclusive {
                        lock(&self.0.exclusive).insert(queue.to_owned());
                    }
                    let _ = channel.close(200, "done".into()).await;
                    return Ok(());
                }
                Err(Fault::Refused(soft, why)) => return Err(topology::refused(&soft, queue, why)),
                Err(Fault::Gone(why)) => tracing::debug!(error = why, "a channel is gone while declaring"),
            }
        }
    }

    async fn publish(&self, queue: &str, message: Bytes) -> Result<(), Error> {
        let (done, confirmed) = oneshot::channel();
        let outgoing = Outgoing { to: To::Queue(queue.to_owned(), done), body: message };
        self.0.messages.send(outgoing).await.map_err(|_| Error::Closed)?;
        confirmed.await.map_err(|_| Error::Closed)?
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        let is_exclusive = lock(&self.0.exclusive).contains(queue);
        let durability = if is_exclusive { Durability::Exclusive } else { Durability::Durable };
        let from = From::Queue(queue.to_owned(), durability);
        let link = Arc::clone(&self.0.consuming);
        Ok(Box::new(RabbitConsumer::start(link, from, prefetch, self.0.stop.child_token()).await?))
    }

    async fn publish_fanout(&self, topic: &str, hint: Bytes) -> Result<(), Error> {
        let outgoing = Outgoing { to: To::Topic(topic.to_owned()), body: hint };
        match self.0.messages.try_send(outgoing) {
            // A hint may get lost.
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Error::Closed),
        }
    }

    fn health(&self) -> Health {
        match self.connections() {
            (down @ Health::Down(_), _) | (_, down @ Health::Down(_)) => down,
            (publishing, _) => publishing,
        }
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Subscription>, Error> {
        let link = Arc::clone(&self.0.consuming);
        let from = From::Topic(topic.to_owned());
        Ok(Box::new(RabbitConsumer::start(link, from, 1, self.0.stop.child_token()).await?))
    }
}
