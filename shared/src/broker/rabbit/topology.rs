//! Queues and exchanges, declared as the program needs them and compared with what exists.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::super::{Durability, Error};
use super::link::SET_UP;

/// Where messages go that nobody could take.
pub(super) const DEAD: &str = "kudzu.dead";
/// Where hints go; the routing key is the topic.
pub(super) const HINTS: &str = "kudzu.hints";
/// Deliveries of a message before the broker gives it up. High: what is wrong with a task is
/// found out by the workers, long before.
const DELIVERIES: i32 = 1_000;

/// What went wrong with an operation on a channel.
pub(super) enum Fault {
    /// The broker refused it.
    Refused(AMQPSoftError, String),
    /// The channel or its connection is gone: another one may do it.
    Gone(String),
}

/// Sets something up on a channel, within bounds.
pub(super) async fn within<T>(set_up: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let unanswered = || Fault::Gone(format!("no answer within {} s", SET_UP.as_secs()));
    tokio::time::timeout(SET_UP, set_up).await.unwrap_or_else(|_| Err(unanswered()))
}

impl From<lapin::Error> for Fault {
    fn from(error: lapin::Error) -> Self {
        if let ErrorKind::ProtocolError(e) = error.kind()
            && let AMQPErrorKind::Soft(soft) = e.kind()
        {
            return Fault::Refused(soft.clone(), e.get_message().to_string());
        }
        Fault::Gone(error.to_string())
    }
}

/// Declares a queue, and for a durable one the queue of the dead.
pub(super) async fn queue(channel: &Channel, name: &str, durability: Durability) -> Result<(), Fault> {
    if durability == Durability::Durable {
        declare(channel, DEAD, durability).await?;
    }
    declare(channel, name, durability).await
}

async fn declare(channel: &Channel, name: &str, durability: Durability) -> Result<(), Fault> {
    let mut arguments = FieldTable::default();
    let mut set = |key: &str, value: AMQPValue| {
        arguments.insert(key.into(), value);
    };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let options = match durability {
        Durability::Durable => {
            set("x-queue-type", text("quorum"));
            if name != DEAD {
                set("x-delivery-limit", AMQPValue::LongInt(DELIVERIES));
                set("x-dead-letter-exchange", text(""));
                set("x-dead-letter-routing-key", text(DEAD));
                // A dead message is kept until the other queue has confirmed it.
                set("x-dead-letter-strategy", text("at-least-once"));
                set("x-overflow", text("reject-publish"));
            }
            QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
        }
        Durability::Exclusive => {
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() }
        }
    };
    channel.queue_declare(name.into(), options, arguments).await?;
    Ok(())
}

/// Whether a queue exists. The channel does not survive a no.
pub(super) async fn exists(channel: &Channel, name: &str) -> Result<(), Fault> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, FieldTable::default()).await?;
    Ok(())
}

/// Declares the exchange of hints.
pub(super) async fn hints(channel: &Channel) -> Result<(), Fault> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(HINTS.into(), ExchangeKind::Direct, options, FieldTable::default()).await?;
    Ok(())
}

/// The error that a refusal is.
pub(super) fn refused(soft: &AMQPSoftError, queue: &str, why: String) -> Error {
    match soft {
        AMQPSoftError::NOTFOUND => Error::NoQueue(queue.to_owned()),
        AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::RESOURCELOCKED => {
            Error::Mismatch { queue: queue.to_owned(), why }
        }
        _ => Error::Refused { queue: queue.to_owned(), why },
    }
}
