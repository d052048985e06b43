//! Publishing with confirms. One task owns the channel: where several share one, a message
//! may get another's confirm.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::{Error, Health};
use super::link::Link;
use super::topology::{self, Fault};

/// Messages that are not confirmed at a time. RabbitMQ gains nothing beyond.
const UNCONFIRMED: usize = 1_000;
/// How long a message that the broker would not take waits.
const AGAIN: Duration = Duration::from_millis(100);
/// Pause where the broker refuses what publishing needs.
const REFUSED: Duration = Duration::from_secs(5);
/// How long no confirm comes, while some are due and the broker takes messages, before another
/// channel is tried: a channel of RabbitMQ waits without end for a queue that lost its leader.
const STALLED: Duration = Duration::from_secs(30);

/// A message on its way.
pub(super) struct Outgoing {
    pub(super) to: To,
    pub(super) body: Bytes,
}

/// Where to.
pub(super) enum To {
    /// A queue, and who waits for its confirm.
    Queue(String, oneshot::Sender<Result<(), Error>>),
    /// Whoever hears the topic.
    Topic(String),
}

impl To {
    /// Whether somebody still wants it sent.
    fn is_wanted(&self) -> bool {
        match self {
            To::Queue(_, done) => !done.is_closed(),
            To::Topic(_) => true,
        }
    }

    fn end(self, result: Result<(), Error>) {
        if let To::Queue(_, done) = self {
            // Who gave up waiting does not learn of it.
            let _ = done.send(result);
        }
    }
}

/// Publishes what comes, until there is nobody to send any more. A message whose confirm was
/// lost with the connection is sent again: it may come twice, and is never lost.
pub(super) async fn run(link: &Link, mut messages: mpsc::Receiver<Outgoing>, stop: &CancellationToken) {
    let mut open: BTreeMap<u64, Outgoing> = BTreeMap::new();
    let mut next = 0;
    loop {
        let channel = tokio::select! {
            () = stop.cancelled() => break,
            channel = set_up(link) => channel,
        };
        let Ok(channel) = channel else { break };
        match publish(link, &channel, &mut messages, &mut open, &mut next, stop).await {
            Ok(()) => break,
            Err(fault) => {
                let why = match fault {
                    Fault::Refused(_, why) | Fault::Gone(why) => why,
                };
                tracing::debug!(error = why, unconfirmed = open.len(), "the publishing channel is gone");
                // Where it only hangs, it is not needed any more; where it is gone, this is nothing.
                let _ = tokio::time::timeout(AGAIN, channel.close(200, "done".into())).await;
            }
        }
    }
    open.into_values().for_each(|message| message.to.end(Err(Error::Closed)));
    messages.close();
    while let Ok(message) = messages.try_recv() {
        message.to.end(Err(Error::Closed));
    }
}

async fn set_up(link: &Link) -> Result<Channel, Error> {
    loop {
        let channel = link.channel().await?;
        let ready = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::hints(&channel).await
        };
        match topology::within(ready).await {
            Ok(()) => return Ok(channel),
            Err(Fault::Refused(_, why)) => {
                // Somebody changed what was there when the program began, and has to change it back.
                tracing::error!(error = why, exchange = topology::HINTS, "nothing can be published");
                tokio::time::sleep(REFUSED).await;
            }
            Err(Fault::Gone(why)) => {
                tracing::warn!(error = why, "the publishing channel cannot be set up");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// A message's number, and what its confirm says.
type Confirmed = (u64, lapin::Result<Confirmation>);

async fn publish(
    link: &Link,
    channel: &Channel,
    messages: &mut mpsc::Receiver<Outgoing>,
    open: &mut BTreeMap<u64, Outgoing>,
    next: &mut u64,
    stop: &CancellationToken,
) -> Result<(), Fault> {
    let mut confirms: FuturesUnordered<BoxFuture<'static, Confirmed>> = FuturesUnordered::new();
    open.retain(|_, message| message.to.is_wanted());
    for (number, message) in &*open {
        let (number, confirm) = (*number, send(channel, *number, message).await?);
        confirms.push(confirm.map(move |c| (number, c)).boxed());
    }
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(heard + STALLED), if !confirms.is_empty() => {
                if link.health() == Health::Up {
                    return Err(Fault::Gone(format!("no confirm for {} s", STALLED.as_secs())));
                }
                heard = Instant::now();
            }
            Some(confirmed) = confirms.next(), if !confirms.is_empty() => {
                heard = Instant::now();
                // A return may come with another confirm of the same acknowledgement.
                let mut all: Vec<Confirmed> = vec![confirmed];
                while let Some(Some(more)) = confirms.next().now_or_never() {
                    all.push(more);
                }
                for number in settle(all, open)? {
                    let Some(message) = open.get(&number) else { continue };
                    tokio::time::sleep(AGAIN).await;
                    let confirm = send(channel, number, message).await?;
                    confirms.push(confirm.map(move |c| (number, c)).boxed());
                }
            }
            message = messages.recv(), if open.len() < UNCONFIRMED => {
                let Some(message) = message else { return Ok(()) };
                if !message.to.is_wanted() {
                    continue;
                }
                if confirms.is_empty() {
                    heard = Instant::now();
                }
                let number = *next;
                *next += 1;
                // Kept before it is sent: it is not lost with the connection.
                let message = open.entry(number).or_insert(message);
                let confirm = send(channel, number, message).await?;
                confirms.push(confirm.map(move |c| (number, c)).boxed());
            }
        }
    }
}

async fn send(channel: &Channel, number: u64, message: &Outgoing) -> lapin::Result<lapin::PublisherConfirm> {
    let (exchange, key, mandatory) = match &message.to {
        To::Queue(queue, _) => ("", queue, true),
        To::Topic(topic) => (topology::HINTS, topic, false),
    };
    let properties =
        BasicProperties::default().with_delivery_mode(2).with_message_id(number.to_string().into());
    let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange.into(), key.as_str().into(), options, &message.body, properties).await
}

/// Ends what is confirmed; gives what the broker would not take.
fn settle(all: Vec<Confirmed>, open: &mut BTreeMap<u64, Outgoing>) -> Result<Vec<u64>, Fault> {
    let (mut confirmed, mut again) = (Vec::new(), Vec::new());
    let mut lost = None;
    for (number, confirmation) in all {
        let returned = match confirmation {
            Ok(Confirmation::Nack(returned)) => {
                again.push(number);
                returned
            }
            Ok(Confirmation::Ack(returned)) => {
                confirmed.push(number);
                returned
            }
            Ok(Confirmation::NotRequested) => None,
            Err(error) => {
                lost = Some(error);
                None
            }
        };
        let number =
            returned.and_then(|r| r.delivery.properties.message_id().as_ref()?.as_str().parse().ok());
        if let Some(message) = number.and_then(|n: u64| open.remove(&n)) {
            let queue = if let To::Queue(queue, _) = &message.to { queue.clone() } else { String::new() };
            message.to.end(Err(Error::Unroutable(queue)));
        }
    }
    for number in confirmed {
        if let Some(message) = open.remove(&number) {
            message.to.end(Ok(()));
        }
    }
    lost.map_or(Ok(again), |error| Err(error.into()))
}
