//! A connection that is made again whenever it is lost.
//!
//! lapin's own recovery is off: it restores channels one by one, gives up for good after some
//! minutes, and does not see a channel that the broker closed.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use rand::Rng as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::{Error, Health};
use crate::task::{self, Task};

/// How long setting up a channel may take. A broker that has just started may leave a
/// request unanswered for a minute, and answers the next one at once.
pub(super) const SET_UP: Duration = Duration::from_secs(5);
/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Pause after the first failure, and at most; each is shortened by chance, so that a cluster
/// does not come back all at once.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How often a connection is looked at beside its events.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum State {
    Down(Option<String>),
    Up(Arc<Connection>, Option<String>),
    Closed,
}

pub(super) struct Link {
    state: watch::Receiver<State>,
    _task: Task<()>,
}

impl Link {
    /// Connects, and keeps doing so until it is stopped or dropped.
    pub(super) fn new(uri: AMQPUri, name: String, stop: CancellationToken) -> Self {
        let (tx, state) = watch::channel(State::Down(None));
        Self { state, _task: task::spawn("amqp connection", supervise(uri, name, tx, stop)) }
    }

    pub(super) fn health(&self) -> Health {
        match &*self.state.borrow() {
            State::Up(_, None) => Health::Up,
            State::Up(_, Some(reason)) => Health::Blocked(reason.clone()),
            State::Down(why) => Health::Down(why.clone()),
            State::Closed => Health::Down(Some("closed".into())),
        }
    }

    /// A new channel of the connection that is there, or of the next one. Cancel safe.
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        let mut state = self.state.clone();
        loop {
            let connection = match &*state.borrow_and_update() {
                State::Up(connection, _) => Some(Arc::clone(connection)),
                State::Down(_) => None,
                State::Closed => return Err(Error::Closed),
            };
            if let Some(connection) = connection
                && let Ok(Ok(channel)) = tokio::time::timeout(SET_UP, connection.create_channel()).await
            {
                return Ok(channel);
            }
            // Where the loss was not noticed yet, it is within that time.
            let changed = tokio::time::timeout(LOOK, state.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return Err(Error::Closed);
            }
        }
    }
}

async fn supervise(uri: AMQPUri, name: String, state: watch::Sender<State>, stop: CancellationToken) {
    let mut pause = PAUSE.0;
    while !stop.is_cancelled() {
        let properties = ConnectionProperties::default().with_connection_name(name.as_str().into());
        let connecting = tokio::time::timeout(CONNECT, Connection::connect_uri(uri.clone(), properties));
        let connected = tokio::select! {
            () = stop.cancelled() => break,
            connected = connecting => connected,
        };
        let why = match connected {
            Ok(Ok(connection)) => {
                pause = PAUSE.0;
                tracing::info!(connection = name, "connected to RabbitMQ");
                watch_over(connection, &state, &stop).await
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CONNECT.as_secs()),
        };
        if stop.is_cancelled() {
            break;
        }
        tracing::warn!(connection = name, error = why, "no connection to RabbitMQ, trying again");
        state.send_replace(State::Down(Some(why)));
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(jittered) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
    state.send_replace(State::Closed);
}

/// Tells of a connection until it is lost; says why.
async fn watch_over(
    connection: Connection,
    state: &watch::Sender<State>,
    stop: &CancellationToken,
) -> String {
    let mut events = std::pin::pin!(connection.events_listener());
    let connection = Arc::new(connection);
    let up = |blocked| State::Up(Arc::clone(&connection), blocked);
    state.send_replace(up(None));
    let mut why = String::from("the connection was lost");
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => {
                // What is unsettled goes back at once, not after a missed heartbeat.
                let _ = connection.close(200, "done".into()).await;
                return why;
            }
            event = events.next() => event,
            () = tokio::time::sleep(LOOK) => Some(Event::Connected),
        };
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(reason, "RabbitMQ takes no messages for now");
                state.send_replace(up(Some(reason)));
            }
            Some(Event::ConnectionUnblocked) => {
                tracing::info!("RabbitMQ takes messages again");
                state.send_replace(up(None));
            }
            Some(Event::Error(error)) => why = error.to_string(),
            Some(_) => {}
            None => return why,
        }
        if !connection.status().connected() {
            return why;
        }
    }
}
