//! Consuming: a task for each consumer owns its channel, hands deliveries over, and carries
//! their acknowledgements back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::super::{Consumer, Delivery, Durability, Error, Settle, Subscription};
use super::link::Link;
use super::topology::{self, Fault};
use crate::task::{self, Task, lock};

/// Hints that a slow subscriber may lag behind before it loses the oldest.
const HINTS: u16 = 256;
/// Pause before a channel that the broker closed is opened again.
const AGAIN: Duration = Duration::from_millis(100);
/// Acknowledgements that leave together.
const ACKS: usize = 64;

/// What is consumed.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// A queue, with what it lives for.
    Queue(String, Durability),
    /// A queue of one's own that is bound to a topic.
    Topic(String),
}

/// Deliveries that wait to be taken. No more than the prefetch: those of a lost channel go.
#[derive(Default)]
struct Waiting {
    deliveries: Mutex<VecDeque<Delivery>>,
    arrived: Notify,
    gone: AtomicBool,
}

impl Waiting {
    fn push(&self, delivery: Delivery) {
        lock(&self.deliveries).push_back(delivery);
        self.arrived.notify_one();
    }

    /// Drops what is of a channel that is gone: the broker delivers it again.
    fn clear(&self) {
        let old = std::mem::take(&mut *lock(&self.deliveries));
        drop(old);
    }

    fn end(&self) {
        self.gone.store(true, SeqCst);
        self.arrived.notify_one();
    }

    /// Cancel safe.
    async fn next(&self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = lock(&self.deliveries).pop_front() {
                return Some(delivery);
            }
            if self.gone.load(SeqCst) {
                return None;
            }
            self.arrived.notified().await;
        }
    }
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Ack,
    Requeue,
}

/// A delivery of one channel; after that it settles nothing.
struct Handle {
    tag: u64,
    /// Of the consumer: once that is gone, its task may still be there for a moment.
    stop: CancellationToken,
    settled: Option<mpsc::Sender<(u64, Verb)>>,
}

impl Handle {
    fn settle(&mut self, verb: Verb) {
        if let Some(settled) = self.settled.take().filter(|_| !self.stop.is_cancelled()) {
            // There is room: each unsettled delivery of the channel has its place.
            let _ = settled.try_send((self.tag, verb));
        }
    }
}

impl Settle for Handle {
    fn ack(mut self: Box<Self>) {
        self.settle(Verb::Ack);
    }

    fn requeue(self: Box<Self>) {
        // Dropping gives it back.
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.settle(Verb::Requeue);
    }
}

/// A consumer, or a subscription to a topic.
pub(super) struct RabbitConsumer {
    waiting: Arc<Waiting>,
    stop: CancellationToken,
    _task: Task<()>,
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        self.waiting.next().await
    }
}

#[async_trait]
impl Subscription for RabbitConsumer {
    async fn next(&mut self) -> Option<Bytes> {
        let Delivery { body, settle, .. } = self.waiting.next().await?;
        settle.ack();
        Some(body)
    }
}

impl RabbitConsumer {
    /// Starts to consume; returns once the broker has said yes.
    pub(super) async fn start(
        link: Arc<Link>,
        from: From,
        prefetch: u16,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let prefetch = if matches!(from, From::Topic(_)) { HINTS } else { prefetch.max(1) };
        let open = open(&link, &from, prefetch).await?;
        let waiting = Arc::new(Waiting::default());
        let task = task::spawn("amqp consumer", {
            let (waiting, stop) = (Arc::clone(&waiting), stop.clone());
            async move {
                keep(&link, &from, prefetch, open, &waiting, &stop).await;
                waiting.end();
            }
        });
        Ok(Self { waiting, stop, _task: task })
    }
}

/// A channel that consumes.
struct Open {
    channel: Channel,
    consumer: lapin::Consumer,
}

/// Opens a channel and consumes; waits while there is no connection.
async fn open(link: &Link, from: &From, prefetch: u16) -> Result<Open, Error> {
    loop {
        let channel = link.channel().await?;
        match topology::within(consume(&channel, from, prefetch)).await {
            Ok(consumer) => return Ok(Open { channel, consumer }),
            Err(Fault::Refused(soft, why)) => {
                return Err(match (from, soft) {
                    (From::Queue(queue, Durability::Exclusive), AMQPSoftError::ACCESSREFUSED) => {
                        Error::InUse(queue.clone())
                    }
                    (From::Queue(queue, _), soft) => topology::refused(&soft, queue, why),
                    (From::Topic(_), soft) => topology::refused(&soft, topology::HINTS, why),
                });
            }
            Err(Fault::Gone(why)) => {
                tracing::debug!(error = why, "a consuming channel is gone");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn consume(channel: &Channel, from: &From, prefetch: u16) -> Result<lapin::Consumer, Fault> {
    // Before it consumes: without it the broker sends all there is.
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let (queue, exclusive) = match from {
        From::Queue(queue, durability) => {
            topology::exists(channel, queue).await?;
            (queue.as_str().into(), *durability == Durability::Exclusive)
        }
        From::Topic(topic) => {
            topology::hints(channel).await?;
            let options =
                QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
            let (name, key) = (queue.name().clone(), topic.as_str().into());
            let options = QueueBindOptions::default();
            channel
                .queue_bind(name.clone(), topology::HINTS.into(), key, options, FieldTable::default())
                .await?;
            (name, true)
        }
    };
    let options = BasicConsumeOptions { exclusive, ..BasicConsumeOptions::default() };
    Ok(channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?)
}

/// Consumes until it is stopped, or the queue is gone.
async fn keep(
    link: &Link,
    from: &From,
    prefetch: u16,
    mut now: Open,
    waiting: &Waiting,
    stop: &CancellationToken,
) {
    loop {
        carry(&mut now, prefetch, waiting, stop).await;
        if stop.is_cancelled() {
            // What is unsettled goes back with the channel.
            let _ = now.channel.close(200, "done".into()).await;
            return;
        }
        waiting.clear();
        if matches!(from, From::Queue(_, Durability::Exclusive)) {
            // It went with its connection.
            return;
        }
        let again = async {
            tokio::time::sleep(AGAIN).await;
            open(link, from, prefetch).await
        };
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = again => opened,
        };
        match opened {
            Ok(open) => now = open,
            Err(error) => {
                tracing::warn!(%error, "no longer consuming");
                return;
            }
        }
    }
}

/// Carries deliveries and acknowledgements until the channel is gone, or it is stopped.
async fn carry(open: &mut Open, prefetch: u16, waiting: &Waiting, stop: &CancellationToken) {
    let (settled, mut settling) = mpsc::channel(usize::from(prefetch) + 1);
    let lost = stop.child_token();
    let _lost = lost.clone().drop_guard();
    let mut verbs = Vec::with_capacity(ACKS);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            n = settling.recv_many(&mut verbs, ACKS) => {
                if n == 0 {
                    return;
                }
                for (tag, verb) in verbs.drain(..) {
                    let done = match verb {
                        Verb::Ack => open.channel.basic_ack(tag, BasicAckOptions::default()).await,
                        // Not `reject`: from 4.3 on it alone counts as a failed delivery.
                        Verb::Requeue => {
                            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
                            open.channel.basic_nack(tag, options).await
                        }
                    };
                    if done.is_err() {
                        return;
                    }
                }
            }
            delivery = open.consumer.next() => {
                // Nothing: the broker cancelled it, as when the queue moved or was deleted.
                let Some(Ok(delivery)) = delivery else { return };
                waiting.push(Delivery {
                    body: delivery.data.into(),
                    redelivered: delivery.redelivered,
                    lost: lost.clone(),
                    settle: Box::new(Handle {
                        tag: delivery.delivery_tag,
                        stop: stop.clone(),
                        settled: Some(settled.clone()),
                    }),
                });
            }
        }
    }
}
