use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::broker::conformance;
use crate::task;

const A_WHILE: Duration = Duration::from_secs(60);

fn message(n: u32) -> Bytes {
    Bytes::from(n.to_string())
}

#[tokio::test(start_paused = true)]
async fn keeps_the_promises() {
    conformance::all(Arc::new(Memory::default())).await;
}

#[tokio::test(start_paused = true)]
async fn keeps_the_promises_with_other_capacities() {
    // 10 is what the scenarios publish at most before anybody consumes.
    for capacity in [10, 11, 100_000, usize::MAX] {
        conformance::all(Arc::new(Memory::new(capacity))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn publish_waits_while_the_queue_is_full() {
    let broker = Memory::new(2);
    broker.declare("q", Durability::Durable).await.unwrap();
    broker.publish("q", message(0)).await.unwrap();
    broker.publish("q", message(1)).await.unwrap();
    assert!(timeout(A_WHILE, broker.publish("q", message(9))).await.is_err());
    let other = broker.clone();
    let waiting = task::spawn("publisher", async move { other.publish("q", message(2)).await });
    tokio::task::yield_now().await;
    assert_eq!(broker.depth("q"), Some(Depth { ready: 2, unsettled: 0 }));
    let mut consumer = broker.consume("q", 8).await.unwrap();
    let first = consumer.next().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(broker.depth("q"), Some(Depth { ready: 2, unsettled: 1 }));
    // A cancelled publish left nothing; a returned message needs no room.
    first.settle.requeue();
    assert_eq!(broker.depth("q"), Some(Depth { ready: 3, unsettled: 0 }));
    for n in 0..3 {
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.body, message(n));
        delivery.settle.ack();
    }
    assert_eq!(broker.depth("q"), Some(Depth { ready: 0, unsettled: 0 }));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_publisher_hears_that_the_queue_is_gone() {
    let broker = Memory::new(1);
    broker.declare("reply", Durability::Exclusive).await.unwrap();
    let consumer = broker.consume("reply", 1).await.unwrap();
    broker.publish("reply", message(0)).await.unwrap();
    let other = broker.clone();
    let waiting = task::spawn("publisher", async move { other.publish("reply", message(1)).await });
    tokio::task::yield_now().await;
    drop(consumer);
    assert!(matches!(waiting.await.unwrap(), Err(Error::Unroutable(_))));
    assert_eq!(broker.depth("reply"), None);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_everybody() {
    let broker = Memory::new(1);
    broker.declare("q", Durability::Durable).await.unwrap();
    broker.publish("q", message(0)).await.unwrap();
    let (a, b, c) = (broker.clone(), broker.clone(), broker.clone());
    let publisher = task::spawn("publisher", async move { a.publish("q", message(1)).await });
    let mut held = broker.consume("q", 1).await.unwrap();
    let unsettled = held.next().await.unwrap();
    let blocked = task::spawn("blocked", async move { held.next().await.is_none() });
    let consumer = task::spawn("consumer", async move {
        let mut consumer = b.consume("q", 1).await.unwrap();
        while let Some(delivery) = consumer.next().await {
            delivery.settle.ack();
        }
    });
    let listener = task::spawn("listener", async move { c.subscribe("t").await.unwrap().next().await });
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    broker.close();
    publisher.await.unwrap().unwrap();
    assert!(blocked.await.unwrap());
    consumer.await.unwrap();
    assert_eq!(listener.await.unwrap(), None);
    unsettled.settle.requeue();
    assert!(matches!(broker.publish("q", message(2)).await, Err(Error::Closed)));
    assert!(matches!(broker.declare("q", Durability::Durable).await, Err(Error::Closed)));
    assert!(matches!(broker.consume("q", 1).await, Err(Error::Closed)));
    assert!(matches!(broker.subscribe("t").await, Err(Error::Closed)));
    assert!(matches!(broker.publish_fanout("t", message(0)).await, Err(Error::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_loses_the_oldest_hints_only() {
    let broker = Memory::default();
    let mut hints = broker.subscribe("t").await.unwrap();
    let count = u32::try_from(HINTS).unwrap() + 10;
    for n in 0..count {
        broker.publish_fanout("t", message(n)).await.unwrap();
    }
    assert_eq!(hints.next().await.unwrap(), message(10));
}

/// Many publishers and consumers that give back, hang up and cancel: every message is
/// acknowledged exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_under_load() {
    const EACH: u32 = 500;
    let broker = Memory::new(7);
    broker.declare("q", Durability::Durable).await.unwrap();
    let publishers: Vec<_> = (0..4)
        .map(|p| {
            let broker = broker.clone();
            task::spawn("publisher", async move {
                for n in 0..EACH {
                    broker.publish("q", message(p * EACH + n)).await.unwrap();
                }
            })
        })
        .collect();
    let done = Arc::new(Mutex::new(HashMap::<Bytes, u32>::new()));
    let consumers: Vec<_> = (0..4u32)
        .map(|c| {
            let (broker, done) = (broker.clone(), Arc::clone(&done));
            task::spawn("consumer", async move {
                for round in 0u32.. {
                    let mut consumer = broker.consume("q", 5).await.unwrap();
                    let mut held = Vec::new();
                    for n in 0..50 {
                        let next = timeout(Duration::from_micros(200), consumer.next()).await;
                        match next {
                            Ok(Some(delivery)) if (n + c + round) % 3 == 0 => {
                                *lock(&done).entry(delivery.body.clone()).or_default() += 1;
                                delivery.settle.ack();
                            }
                            Ok(Some(delivery)) if n % 3 == 1 && held.len() < 3 => held.push(delivery),
                            Ok(Some(delivery)) => delivery.settle.requeue(),
                            Ok(None) => return,
                            Err(_) => {}
                        }
                    }
                    if lock(&done).len() == 4 * EACH as usize {
                        return;
                    }
                }
            })
        })
        .collect();
    for task in publishers.into_iter().chain(consumers) {
        timeout(A_WHILE, task).await.unwrap().unwrap();
    }
    assert!(lock(&done).values().all(|n| *n == 1));
    assert_eq!(broker.depth("q"), Some(Depth { ready: 0, unsettled: 0 }));
}
