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
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::FieldTable;
use tokio::sync::{Notify, mpsc, watch};
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
/// Deliveries of one channel that may be unsettled, also while the prefetch changes.
const UNSETTLED: usize = 8_192;

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
    prefetch: watch::Sender<u16>,
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

    fn resize(&mut self, prefetch: u16) {
        self.prefetch.send_replace(prefetch.max(1));
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
        let (prefetch, size) = watch::channel(prefetch);
        let task = task::spawn("amqp consumer", {
            let (waiting, stop) = (Arc::clone(&waiting), stop.clone());
            async move {
                keep(&link, &from, size, open, &waiting, &stop).await;
                waiting.end();
            }
        });
        Ok(Self { waiting, prefetch, stop, _task: task })
    }
}

/// A channel that consumes.
struct Open {
    channel: Channel,
    consumer: lapin::Consumer,
    prefetch: u16,
    /// One that was stopped: what was on its way to it still comes.
    before: Option<lapin::Consumer>,
}

impl Open {
    /// The next delivery; nothing once the broker gives none any more. Cancel safe.
    async fn next(&mut self) -> Option<lapin::message::Delivery> {
        loop {
            tokio::select! {
                biased;
                old = next(&mut self.before), if self.before.is_some() => match old {
                    Some(Ok(delivery)) => return Some(delivery),
                    Some(Err(_)) => return None,
                    None => self.before = None,
                },
                new = self.consumer.next() => return new?.ok(),
            }
        }
    }

    /// Consumes with another prefetch: a consumer has the one that it began with.
    async fn resize(&mut self, from: &From, prefetch: u16) -> Result<(), Fault> {
        let From::Queue(queue, Durability::Durable) = from else { return Ok(()) };
        self.channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let new =
            self.channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
        let old = std::mem::replace(&mut self.consumer, new.await?);
        self.channel.basic_cancel(old.tag(), BasicCancelOptions::default()).await?;
        (self.before, self.prefetch) = (Some(old), prefetch);
        Ok(())
    }
}

/// Of a consumer, if there is one. Cancel safe.
async fn next(consumer: &mut Option<lapin::Consumer>) -> Option<lapin::Result<lapin::message::Delivery>> {
    consumer.as_mut()?.next().await
}

/// Opens a channel and consumes; waits while there is no connection.
async fn open(link: &Link, from: &From, prefetch: u16) -> Result<Open, Error> {
    loop {
        let channel = link.channel().await?;
        match topology::within(consume(&channel, from, prefetch)).await {
            Ok(consumer) => return Ok(Open { channel, consumer, prefetch, before: None }),
            Err(Fault::Refused(AMQPSoftError::ACCESSREFUSED, _)) if matches!(from, From::Queue(..)) => {
                let From::Queue(queue, _) = from else { continue };
                return Err(Error::InUse(queue.clone()));
            }
            Err(Fault::Refused(soft, why)) => {
                let name = match from {
                    From::Queue(name, _) | From::Topic(name) => name,
                };
                return Err(topology::refused(&soft, name, why));
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
    mut prefetch: watch::Receiver<u16>,
    mut now: Open,
    waiting: &Waiting,
    stop: &CancellationToken,
) {
    loop {
        carry(&mut now, from, &mut prefetch, waiting, stop).await;
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
            let size = *prefetch.borrow_and_update();
            open(link, from, size).await
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
async fn carry(
    open: &mut Open,
    from: &From,
    prefetch: &mut watch::Receiver<u16>,
    waiting: &Waiting,
    stop: &CancellationToken,
) {
    let (settled, mut settling) = mpsc::channel(UNSETTLED);
    let lost = stop.child_token();
    let _lost = lost.clone().drop_guard();
    let mut verbs = Vec::with_capacity(ACKS);
    let mut unsettled = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = prefetch.changed() => {
                let size = *prefetch.borrow_and_update();
                // One change at a time, and each delivery keeps its place.
                let room = open.before.is_none() && unsettled + usize::from(size) < UNSETTLED;
                if room && size != open.prefetch && topology::within(open.resize(from, size)).await.is_err() {
                    return;
                }
            }
            n = settling.recv_many(&mut verbs, ACKS) => {
                if n == 0 {
                    return;
                }
                unsettled -= n;
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
            delivery = open.next() => {
                // Nothing: the broker cancelled it, as when the queue moved or was deleted.
                let Some(delivery) = delivery else { return };
                unsettled += 1;
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
