//! The broker on a real RabbitMQ: what every back end promises, and what comes of its faults.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kudzu_servers::RabbitMq;
use kudzu_shared::broker::rabbit::Rabbit;
use kudzu_shared::broker::{Broker, Consumer, Durability, Error, Health, conformance};
use kudzu_shared::task;
use secrecy::SecretString;

const SOON: Duration = Duration::from_secs(60);
/// Where messages go that nobody could take.
const DEAD: &str = "kudzu.dead";

fn connect(server: &RabbitMq, name: &str) -> Rabbit {
    Rabbit::new(&SecretString::from(server.uri()), name).unwrap()
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "not within a minute: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_keeps_the_promises() {
    let server = RabbitMq::start().unwrap();
    let broker = Arc::new(connect(&server, "conformance"));
    conformance::all(Arc::clone(&broker) as Arc<dyn Broker>).await;
    // Once in some runs it was taken by the task of the consumer that was gone.
    for _ in 0..100 {
        conformance::a_late_ack_does_nothing(&*broker).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_broker_lose_nothing() {
    let mut server = RabbitMq::start().unwrap();
    let broker = connect(&server, "faults");
    a_restart_loses_no_message(&mut server, &broker).await;
    a_reply_queue_ends_with_its_connection(&mut server, &broker).await;
    a_queue_that_differs_is_told(&server, &broker).await;
    an_alarm_holds_back_publishers_only(&server, &broker).await;
    a_deleted_queue_ends_its_consumer(&server, &broker).await;
    what_nobody_can_take_is_kept(&server, &broker).await;
    broker.close();
    assert!(matches!(broker.publish("faults", Bytes::new()).await, Err(Error::Closed)));
}

/// Takes messages until all have come, some of them perhaps again.
async fn take_all(consumer: &mut Box<dyn Consumer>, n: usize) {
    let mut seen = BTreeSet::new();
    while seen.len() < n {
        let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap();
        seen.insert(delivery.body.clone());
        delivery.settle.ack();
    }
}

/// Killed in the middle: whatever was published comes, and the consumer goes on by itself.
async fn a_restart_loses_no_message(server: &mut RabbitMq, broker: &Rabbit) {
    const N: usize = 3_000;
    broker.declare("faults", Durability::Durable).await.unwrap();
    let mut consumer = broker.consume("faults", 100).await.unwrap();
    let publisher = task::spawn("publisher", {
        let broker = broker.clone();
        async move {
            let publish = |n: usize| {
                let broker = broker.clone();
                async move { broker.publish("faults", Bytes::from(n.to_string())).await.unwrap() }
            };
            for block in (0..N).collect::<Vec<_>>().chunks(300) {
                futures::future::join_all(block.iter().map(|n| publish(*n))).await;
            }
        }
    });
    let taken = task::spawn("consumer", async move { take_all(&mut consumer, N).await });
    for _ in 0..2 {
        server.kill();
        until("the loss is noticed", || matches!(broker.connections(), (Health::Down(_), Health::Down(_))))
            .await;
        server.boot().unwrap();
        until("connected again", || broker.connections() == (Health::Up, Health::Up)).await;
    }
    let both = async { (publisher.await.unwrap(), taken.await.unwrap()) };
    if tokio::time::timeout(2 * SOON, both).await.is_err() {
        let list = ["list_queues", "name", "state", "leader", "messages", "messages_unacknowledged"];
        panic!("{:?}\n{}", broker.connections(), server.ctl(&list).unwrap());
    }
}

/// Whoever answers to it learns that nobody is there.
async fn a_reply_queue_ends_with_its_connection(server: &mut RabbitMq, broker: &Rabbit) {
    broker.declare("faults.reply", Durability::Exclusive).await.unwrap();
    let mut consumer = broker.consume("faults.reply", 10).await.unwrap();
    let other = connect(server, "other");
    other.publish("faults.reply", Bytes::from_static(b"1")).await.unwrap();
    consumer.next().await.unwrap().settle.ack();
    server.kill();
    assert!(tokio::time::timeout(SOON, consumer.next()).await.unwrap().is_none());
    server.boot().unwrap();
    let lost = other.publish("faults.reply", Bytes::from_static(b"2")).await;
    assert!(matches!(lost, Err(Error::Unroutable(queue)) if queue == "faults.reply"));
}

async fn a_queue_that_differs_is_told(server: &RabbitMq, broker: &Rabbit) {
    let declare = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"faults.old\">>), true, false, [], none, <<\"x\">>).";
    server.ctl(&["eval", declare]).unwrap();
    let error = broker.declare("faults.old", Durability::Durable).await.unwrap_err();
    assert!(matches!(&error, Error::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains("inequivalent arg"), "{error}");
}

/// While the broker is short of memory, what is there is taken and acknowledged; what is
/// published waits and arrives.
async fn an_alarm_holds_back_publishers_only(server: &RabbitMq, broker: &Rabbit) {
    for n in 0..10_u8 {
        broker.publish("faults", Bytes::from(vec![n])).await.unwrap();
    }
    server.ctl(&["set_vm_memory_high_watermark", "0"]).unwrap();
    let waiting = task::spawn("publisher", {
        let broker = broker.clone();
        async move { broker.publish("faults", Bytes::from(vec![10])).await }
    });
    until("publishing is blocked", || matches!(broker.connections().0, Health::Blocked(_))).await;
    assert_eq!(broker.connections().1, Health::Up);
    let mut consumer = broker.consume("faults", 3).await.unwrap();
    take_all(&mut consumer, 10).await;
    assert!(!waiting.is_finished());
    server.ctl(&["set_vm_memory_high_watermark", "0.6"]).unwrap();
    waiting.await.unwrap().unwrap();
    take_all(&mut consumer, 1).await;
    assert_eq!(broker.connections(), (Health::Up, Health::Up));
}

async fn a_deleted_queue_ends_its_consumer(server: &RabbitMq, broker: &Rabbit) {
    broker.declare("faults.gone", Durability::Durable).await.unwrap();
    let mut consumer = broker.consume("faults.gone", 1).await.unwrap();
    server.ctl(&["delete_queue", "faults.gone"]).unwrap();
    assert!(tokio::time::timeout(SOON, consumer.next()).await.unwrap().is_none());
}

/// Given back more often than the broker bears, a message goes to the queue of the dead; while
/// there is none it stays where it was.
async fn what_nobody_can_take_is_kept(server: &RabbitMq, broker: &Rabbit) {
    // How often the broker tries again; it reads it when a queue gets its leader.
    let often = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 500).";
    server.ctl(&["eval", often]).unwrap();
    broker.declare("faults.poison", Durability::Durable).await.unwrap();
    server.ctl(&["delete_queue", DEAD]).unwrap();
    broker.publish("faults.poison", Bytes::from_static(b"poison")).await.unwrap();
    broker.publish("faults.poison", Bytes::from_static(b"harmless")).await.unwrap();
    let mut consumer = broker.consume("faults.poison", 1).await.unwrap();
    let mut rejected = 0;
    loop {
        let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap();
        if delivery.body == "harmless" {
            delivery.settle.ack();
            break;
        }
        assert_eq!(delivery.redelivered, rejected > 0);
        delivery.settle.requeue();
        rejected += 1;
        assert!(rejected < 2_000, "it comes for ever");
    }
    // A worker that dies has it once: the limit is far from what accidents come to.
    assert!(rejected > 500, "given up after {rejected} deliveries");
    let given_up = || {
        let queue =
            "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"faults.poison\">>))";
        let count = format!("{queue}, rabbit_quorum_queue:info(Q, [messages_dlx]).");
        server.ctl(&["eval", &count]).unwrap().trim().to_owned()
    };
    assert_eq!(given_up(), "[{messages_dlx,1}]");
    broker.declare("faults.poison", Durability::Durable).await.unwrap();
    let mut dead = broker.consume(DEAD, 1).await.unwrap();
    let delivery = tokio::time::timeout(SOON, dead.next()).await.unwrap().unwrap();
    assert_eq!(delivery.body, "poison");
    delivery.settle.ack();
    until("it has left its queue", || given_up() == "[{messages_dlx,0}]").await;
}
