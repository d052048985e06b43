//! The promises of [`Broker`] as scenarios that every back end is held to.
//!
//! Each scenario uses queues of its own. A remote broker deletes and requeues a moment
//! later than it is told to, so what follows from that is waited for, bounded.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a scenario fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{Broker, Consumer, Delivery, Durability, Error};

/// How long something that must come is waited for.
const SOON: Duration = Duration::from_secs(10);
/// How long is waited to see that something does not come.
const NEVER: Duration = Duration::from_millis(200);

/// Every scenario.
pub async fn all(broker: Arc<dyn Broker>) {
    messages_come_once_and_in_order(&*broker).await;
    an_unknown_queue_is_unroutable(&*broker).await;
    a_queue_is_declared_again_only_alike(&*broker).await;
    an_exclusive_queue_ends_with_its_consumer(&*broker).await;
    prefetch_bounds_what_is_unsettled(&*broker).await;
    what_is_given_back_comes_again(&*broker).await;
    a_gone_consumer_gives_back(&*broker).await;
    a_late_ack_does_nothing(&*broker).await;
    next_is_cancel_safe(&*broker).await;
    consumers_share_a_queue(&*broker).await;
    large_messages_pass(&*broker).await;
    hints_reach_every_subscriber(&*broker).await;
}

fn fresh(scenario: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("kudzu.conformance.{scenario}.{}.{number}", std::process::id())
}

async fn queue(broker: &dyn Broker, scenario: &str, messages: u32) -> String {
    let name = fresh(scenario);
    broker.declare(&name, Durability::Durable).await.unwrap();
    for n in 0..messages {
        broker.publish(&name, body(n)).await.unwrap();
    }
    name
}

fn body(n: u32) -> Bytes {
    Bytes::from(n.to_string())
}

async fn soon(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(SOON, consumer.next()).await.unwrap().unwrap()
}

async fn nothing(consumer: &mut Box<dyn Consumer>) -> bool {
    timeout(NEVER, consumer.next()).await.is_err()
}

/// Confirmed messages are delivered in order, and an acknowledged one never again.
pub async fn messages_come_once_and_in_order(broker: &dyn Broker) {
    let name = queue(broker, "order", 10).await;
    let mut consumer = broker.consume(&name, 100).await.unwrap();
    for n in 0..10 {
        let delivery = soon(&mut consumer).await;
        assert_eq!((delivery.body, delivery.redelivered), (body(n), false));
        delivery.settle.ack();
    }
    assert!(nothing(&mut consumer).await);
    drop(consumer);
    assert!(nothing(&mut broker.consume(&name, 1).await.unwrap()).await);
}

/// A message to nowhere is told to its publisher.
pub async fn an_unknown_queue_is_unroutable(broker: &dyn Broker) {
    let name = fresh("unknown");
    let failed = broker.publish(&name, body(1)).await.unwrap_err();
    assert!(matches!(failed, Error::Unroutable(n) if n == name));
    assert!(matches!(broker.consume(&name, 1).await, Err(Error::NoQueue(n)) if n == name));
}

/// Declaring repeats; another durability is refused and changes nothing.
pub async fn a_queue_is_declared_again_only_alike(broker: &dyn Broker) {
    let name = queue(broker, "again", 1).await;
    broker.declare(&name, Durability::Durable).await.unwrap();
    let failed = broker.declare(&name, Durability::Exclusive).await.unwrap_err();
    assert!(matches!(failed, Error::Mismatch { .. }));
    assert_eq!(soon(&mut broker.consume(&name, 1).await.unwrap()).await.body, body(0));
}

/// A reply queue has one consumer, and goes with it.
pub async fn an_exclusive_queue_ends_with_its_consumer(broker: &dyn Broker) {
    let name = fresh("exclusive");
    broker.declare(&name, Durability::Exclusive).await.unwrap();
    broker.publish(&name, body(0)).await.unwrap();
    let mut consumer = broker.consume(&name, 10).await.unwrap();
    assert!(matches!(broker.consume(&name, 10).await, Err(Error::InUse(_))));
    let delivery = soon(&mut consumer).await;
    drop(consumer);
    delivery.settle.requeue();
    let gone = async {
        while broker.publish(&name, body(1)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, gone).await.unwrap();
}

/// No more than the prefetch is in a consumer's hands.
pub async fn prefetch_bounds_what_is_unsettled(broker: &dyn Broker) {
    let name = queue(broker, "prefetch", 4).await;
    let mut consumer = broker.consume(&name, 2).await.unwrap();
    let (first, second) = (soon(&mut consumer).await, soon(&mut consumer).await);
    assert!(nothing(&mut consumer).await);
    first.settle.ack();
    assert_eq!(soon(&mut consumer).await.body, body(2));
    second.settle.ack();
}

/// Given back by word or by drop, a message comes again and is marked.
pub async fn what_is_given_back_comes_again(broker: &dyn Broker) {
    let name = queue(broker, "back", 1).await;
    let mut consumer = broker.consume(&name, 1).await.unwrap();
    soon(&mut consumer).await.settle.requeue();
    let again = soon(&mut consumer).await;
    assert_eq!((&again.body, again.redelivered), (&body(0), true));
    drop(again);
    let last = soon(&mut consumer).await;
    assert!(last.redelivered);
    last.settle.ack();
    assert!(nothing(&mut consumer).await);
}

/// What a dropped consumer held comes again, in order; a remote broker may send the rest first.
pub async fn a_gone_consumer_gives_back(broker: &dyn Broker) {
    let name = queue(broker, "gone", 3).await;
    let mut consumer = broker.consume(&name, 2).await.unwrap();
    let held = (soon(&mut consumer).await, soon(&mut consumer).await);
    assert!(!held.0.lost.is_cancelled());
    drop(consumer);
    assert!(timeout(SOON, held.0.lost.cancelled()).await.is_ok(), "whoever holds it is told");
    let mut consumer = broker.consume(&name, 10).await.unwrap();
    let mut back = Vec::new();
    for _ in 0..3 {
        let delivery = soon(&mut consumer).await;
        assert_eq!(delivery.redelivered, delivery.body != body(2));
        back.extend(Some(delivery.body).filter(|b| *b != body(2)));
        delivery.settle.ack();
    }
    assert_eq!(back, [body(0), body(1)]);
    drop(held);
    assert!(nothing(&mut consumer).await);
}

/// An acknowledgement after the consumer is gone neither counts nor harms.
pub async fn a_late_ack_does_nothing(broker: &dyn Broker) {
    let name = queue(broker, "late", 1).await;
    let mut consumer = broker.consume(&name, 1).await.unwrap();
    let held = soon(&mut consumer).await;
    drop(consumer);
    held.settle.ack();
    let mut consumer = broker.consume(&name, 1).await.unwrap();
    assert!(soon(&mut consumer).await.redelivered);
}

/// A dropped wait loses nothing.
pub async fn next_is_cancel_safe(broker: &dyn Broker) {
    let name = queue(broker, "cancel", 0).await;
    let mut consumer = broker.consume(&name, 10).await.unwrap();
    for n in 0..20 {
        let cut = timeout(Duration::from_micros(u64::from(n) * 50), consumer.next()).await;
        assert!(cut.is_err());
        broker.publish(&name, body(n)).await.unwrap();
        let delivery = soon(&mut consumer).await;
        assert_eq!((delivery.body, delivery.redelivered), (body(n), false));
        delivery.settle.ack();
    }
}

/// Consumers of one queue share its messages, each goes to one of them.
pub async fn consumers_share_a_queue(broker: &dyn Broker) {
    let name = queue(broker, "share", 0).await;
    let mut one = broker.consume(&name, 1).await.unwrap();
    let mut two = broker.consume(&name, 1).await.unwrap();
    let publish = async {
        for n in 0..40 {
            broker.publish(&name, body(n)).await.unwrap();
        }
    };
    let consume = async {
        let mut seen = BTreeSet::new();
        while seen.len() < 40 {
            let delivery = tokio::select! {
                d = soon(&mut one) => d,
                d = soon(&mut two) => d,
            };
            assert!(seen.insert(delivery.body.clone()));
            delivery.settle.ack();
        }
    };
    timeout(SOON, async { tokio::join!(publish, consume) }).await.unwrap();
    assert!(nothing(&mut one).await && nothing(&mut two).await);
}

/// The largest message there is passes whole.
pub async fn large_messages_pass(broker: &dyn Broker) {
    let name = queue(broker, "large", 0).await;
    let large = Bytes::from(vec![0xa5; crate::wire::MAX_MESSAGE]);
    broker.publish(&name, large.clone()).await.unwrap();
    let delivery = soon(&mut broker.consume(&name, 1).await.unwrap()).await;
    assert!(delivery.body == large);
    delivery.settle.ack();
}

/// A hint reaches all who are subscribed to its topic, and nobody else; with nobody there
/// it is no error.
pub async fn hints_reach_every_subscriber(broker: &dyn Broker) {
    let (topic, other) = (fresh("topic"), fresh("other"));
    broker.publish_fanout(&topic, body(0)).await.unwrap();
    let mut one = broker.subscribe(&topic).await.unwrap();
    let mut two = broker.subscribe(&topic).await.unwrap();
    let mut else_where = broker.subscribe(&other).await.unwrap();
    broker.publish_fanout(&topic, body(1)).await.unwrap();
    assert_eq!(timeout(SOON, one.next()).await.unwrap().unwrap(), body(1));
    assert_eq!(timeout(SOON, two.next()).await.unwrap().unwrap(), body(1));
    assert!(timeout(NEVER, else_where.next()).await.is_err());
}
