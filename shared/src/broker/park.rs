//! Messages that this version cannot read are set aside: another one may.

use super::{Broker, Delivery, Durability};
use crate::metrics::{Message, metrics};
use crate::wire;

/// Where they go.
pub const PARKED: &str = "kudzu.parked";

/// Sets a message aside and reports it; where that cannot be done now, it comes again.
///
/// Not cancel safe: it may be set aside twice.
pub async fn park(
    broker: &dyn Broker,
    kind: &'static str,
    from: &str,
    delivery: Delivery,
    error: &wire::Error,
) {
    tracing::error!(%error, from, octets = delivery.body.len(), to = PARKED, "a message cannot be read");
    metrics().damaged.get_or_create(&Message { kind }).inc();
    let parked = async {
        broker.declare(PARKED, Durability::Durable).await?;
        broker.publish(PARKED, delivery.body.clone()).await
    };
    match parked.await {
        Ok(()) => delivery.settle.ack(),
        Err(error) => {
            tracing::warn!(%error, from, "it cannot be set aside now");
            delivery.settle.requeue();
        }
    }
}
