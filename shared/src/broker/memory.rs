//! The broker within one process: bounded queues, the semantics of the real one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use super::{Broker, Consumer, Delivery, Durability, Error, Health, Settle, Subscription};
use crate::task::lock;

/// Hints that a slow subscriber may lag behind before it loses the oldest.
const HINTS: usize = 256;

/// A broker in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    topics: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    closed: CancellationToken,
}

#[derive(Debug)]
struct Queue {
    name: String,
    durability: Durability,
    /// Room for ready messages, as RabbitMQ's max-length counts them: what is in a
    /// consumer's hands is bounded by its prefetch.
    room: Arc<Semaphore>,
    ready: Mutex<Ready>,
    arrived: Notify,
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Ready {
    messages: VecDeque<Message>,
    unsettled: usize,
    consumers: usize,
    next_tag: u64,
}

#[derive(Debug)]
struct Message {
    body: Bytes,
    redelivered: bool,
    /// None once it was delivered: a returned message needs no room, so that giving back
    /// never waits.
    _room: Option<OwnedSemaphorePermit>,
}

/// What a queue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Waiting for a consumer.
    pub ready: usize,
    /// In consumers' hands.
    pub unsettled: usize,
}

impl Memory {
    /// A broker whose queues hold `capacity` (at least 1) ready messages each.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            capacity,
            queues: Mutex::default(),
            topics: Mutex::default(),
            closed: CancellationToken::new(),
        }))
    }

    /// What a queue holds; `None` where there is no such queue.
    pub fn depth(&self, queue: &str) -> Option<Depth> {
        let queue = lock(&self.0.queues).get(queue).cloned()?;
        let ready = lock(&queue.ready);
        Some(Depth { ready: ready.messages.len(), unsettled: ready.unsettled })
    }

    /// Ends every queue and subscription.
    pub fn close(&self) {
        self.0.closed.cancel();
        let queues = std::mem::take(&mut *lock(&self.0.queues));
        queues.values().for_each(|q| q.end());
        lock(&self.0.topics).clear();
    }

    fn open(&self) -> Result<(), Error> {
        if self.0.closed.is_cancelled() { Err(Error::Closed) } else { Ok(()) }
    }

    fn find(&self, queue: &str) -> Result<Option<Arc<Queue>>, Error> {
        self.open()?;
        Ok(lock(&self.0.queues).get(queue).cloned())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(1024)
    }
}

#[async_trait]
impl Broker for Memory {
    async fn declare(&self, name: &str, durability: Durability) -> Result<(), Error> {
        let mut queues = lock(&self.0.queues);
        // Under the lock, so that no queue is made after `close` took them.
        self.open()?;
        if let Some(queue) = queues.get(name) {
            let same = queue.durability == durability;
            return if same {
                Ok(())
            } else {
                Err(Error::Mismatch { queue: name.to_owned(), why: "another durability".to_owned() })
            };
        }
        let queue = Queue {
            name: name.to_owned(),
            durability,
            room: Arc::new(Semaphore::new(self.0.capacity)),
            ready: Mutex::default(),
            arrived: Notify::new(),
            gone: CancellationToken::new(),
        };
        queues.insert(name.to_owned(), Arc::new(queue));
        Ok(())
    }

    async fn publish(&self, name: &str, message: Bytes) -> Result<(), Error> {
        let unroutable = || {
            let closed = self.0.closed.is_cancelled();
            if closed { Error::Closed } else { Error::Unroutable(name.to_owned()) }
        };
        let queue = self.find(name)?.ok_or_else(unroutable)?;
        let room = Arc::clone(&queue.room).acquire_owned().await.map_err(|_| unroutable())?;
        let message = Message { body: message, redelivered: false, _room: Some(room) };
        if queue.push([message], false) { Ok(()) } else { Err(unroutable()) }
    }

    async fn consume(&self, name: &str, prefetch: u16) -> Result<Box<dyn Consumer>, Error> {
        let queue = self.find(name)?.ok_or_else(|| Error::NoQueue(name.to_owned()))?;
        {
            let mut ready = lock(&queue.ready);
            if queue.durability == Durability::Exclusive && ready.consumers > 0 {
                return Err(Error::InUse(name.to_owned()));
            }
            ready.consumers += 1;
        }
        let lost = queue.gone.child_token();
        let held = Arc::new(Held { queue, messages: Mutex::default(), lost });
        let slots = Arc::new(Semaphore::new(usize::from(prefetch.max(1))));
        Ok(Box::new(MemoryConsumer { broker: self.clone(), held, slots }))
    }

    async fn publish_fanout(&self, topic: &str, hint: Bytes) -> Result<(), Error> {
        self.open()?;
        let mut topics = lock(&self.0.topics);
        // Nobody is there to hear it, or nobody any more.
        if topics.get(topic).is_some_and(|t| t.send(hint).is_err()) {
            topics.remove(topic);
        }
        Ok(())
    }

    fn health(&self) -> Health {
        match self.open() {
            Ok(()) => Health::Up,
            Err(error) => Health::Down(Some(error.to_string())),
        }
    }

    async fn subscribe(&self, topic: &str) -> Result<Box<dyn Subscription>, Error> {
        let mut topics = lock(&self.0.topics);
        self.open()?;
        let sender = topics.entry(topic.to_owned()).or_insert_with(|| broadcast::channel(HINTS).0);
        Ok(Box::new(Hints(sender.subscribe())))
    }
}

impl Queue {
    /// Adds messages, returned ones in front; false where the queue is gone.
    fn push<I>(&self, messages: I, returned: bool) -> bool
    where
        I: IntoIterator<Item = Message, IntoIter: DoubleEndedIterator>,
    {
        let mut ready = lock(&self.ready);
        if self.gone.is_cancelled() {
            return false;
        }
        let before = ready.messages.len();
        if returned {
            messages.into_iter().rev().for_each(|m| ready.messages.push_front(m));
            ready.unsettled -= ready.messages.len() - before;
        } else {
            ready.messages.extend(messages);
        }
        (before..ready.messages.len()).for_each(|_| self.arrived.notify_one());
        true
    }

    fn end(&self) {
        // Under the lock: a message is either in before the end, or refused.
        let mut ready = lock(&self.ready);
        self.gone.cancel();
        self.room.close();
        ready.messages.clear();
    }
}

/// The deliveries in one consumer's hands.
#[derive(Debug)]
struct Held {
    queue: Arc<Queue>,
    messages: Mutex<BTreeMap<u64, Message>>,
    /// Ends with the consumer, or with the queue.
    lost: CancellationToken,
}

impl Held {
    /// The next message, noted as in these hands.
    fn take(&self) -> Option<(u64, Message)> {
        let mut ready = lock(&self.queue.ready);
        let message = ready.messages.pop_front()?;
        let tag = ready.next_tag;
        ready.next_tag += 1;
        ready.unsettled += 1;
        let again = Message { body: message.body.clone(), redelivered: true, _room: None };
        lock(&self.messages).insert(tag, again);
        Some((tag, message))
    }

    fn ack(&self, tag: u64) {
        if lock(&self.messages).remove(&tag).is_some() {
            lock(&self.queue.ready).unsettled -= 1;
        }
    }

    fn give_back(&self, tag: u64) {
        let message = lock(&self.messages).remove(&tag);
        if let Some(message) = message {
            self.queue.push([message], true);
        }
    }

    fn give_back_all(&self) {
        let messages = std::mem::take(&mut *lock(&self.messages));
        self.queue.push(messages.into_values(), true);
    }
}

#[derive(Debug)]
struct Handle {
    held: Arc<Held>,
    tag: u64,
    _slot: OwnedSemaphorePermit,
}

impl Settle for Handle {
    fn ack(self: Box<Self>) {
        self.held.ack(self.tag);
    }

    fn requeue(self: Box<Self>) {
        // Dropping gives it back.
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.held.give_back(self.tag);
    }
}

struct MemoryConsumer {
    broker: Memory,
    held: Arc<Held>,
    slots: Arc<Semaphore>,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let queue = &self.held.queue;
        let slot = tokio::select! {
            biased;
            () = queue.gone.cancelled() => return None,
            slot = Arc::clone(&self.slots).acquire_owned() => slot.ok()?,
        };
        loop {
            // A notification that comes after this look is kept, so none is missed.
            if let Some((tag, message)) = self.held.take() {
                let settle = Box::new(Handle { held: Arc::clone(&self.held), tag, _slot: slot });
                let Message { body, redelivered, _room: _ } = message;
                return Some(Delivery { body, redelivered, lost: self.held.lost.clone(), settle });
            }
            tokio::select! {
                biased;
                () = queue.gone.cancelled() => return None,
                () = queue.arrived.notified() => {}
            }
        }
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        let queue = &self.held.queue;
        if queue.durability == Durability::Exclusive {
            lock(&self.broker.0.queues).remove(&queue.name);
            queue.end();
        } else {
            lock(&queue.ready).consumers -= 1;
        }
        self.held.lost.cancel();
        self.held.give_back_all();
    }
}

struct Hints(broadcast::Receiver<Bytes>);

#[async_trait]
impl Subscription for Hints {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.0.recv().await {
                Ok(hint) => return Some(hint),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
