//! DNS over TCP: length-prefixed, several questions a connection, answered as they fall due.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::counters::Transport;
use super::udp::Shared;
use super::wire::{self, Query};
use crate::faults::DnsFault;
use crate::model::Rcode;

/// Connections at a time; the rest wait in the kernel's queue.
const CONNECTIONS: usize = 1024;
/// Answers of one connection that wait to be written.
const PENDING: usize = 256;
const IDLE: Duration = Duration::from_secs(30);
/// Rest after a connection that could not be accepted: most likely there are no descriptors left.
const REST: Duration = Duration::from_millis(50);

/// Accepts until cancelled.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Shared,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
        };
        let (shared, stop, inner) = (shared.clone(), stop.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(stream, shared, inner, stop.clone()) => {}
            }
            drop(slot);
        });
    }
}

/// Ends when the peer closes, says nothing for long, or breaks the framing.
async fn connection(stream: TcpStream, shared: Shared, tasks: TaskTracker, stop: CancellationToken) {
    let (mut reader, writer) = stream.into_split();
    let (answers, pending) = mpsc::channel::<Vec<u8>>(PENDING);
    let stopped = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {}
            () = write(writer, pending) => {}
        }
    });
    let slots = Arc::new(Semaphore::new(PENDING));
    loop {
        let Ok(Ok(length)) = tokio::time::timeout(IDLE, reader.read_u16()).await else { return };
        let mut message = vec![0; usize::from(length)];
        let Ok(Ok(_)) = tokio::time::timeout(IDLE, reader.read_exact(&mut message)).await else { return };
        let mut out = Vec::new();
        let Some(delay) = answer(&shared, &message, &mut out) else { continue };
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (answers, counters, stop) = (answers.clone(), Arc::clone(&shared.counters), stop.clone());
        tasks.spawn(async move {
            let send = async {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                if answers.send(out).await.is_ok() {
                    counters.dns_answered(1);
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = send => {}
            }
            drop(slot);
        });
    }
}

/// Ends when there is nothing more to write, or when the peer does not read.
async fn write(mut writer: OwnedWriteHalf, mut pending: mpsc::Receiver<Vec<u8>>) {
    while let Some(answer) = pending.recv().await {
        let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        if !matches!(tokio::time::timeout(IDLE, writer.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

fn answer(shared: &Shared, message: &[u8], out: &mut Vec<u8>) -> Option<Duration> {
    let query = match Query::parse(message) {
        Ok(query) => query,
        Err(unreadable) => {
            shared.counters.unreadable();
            return wire::refusal(unreadable, out).then_some(Duration::ZERO);
        }
    };
    shared.counters.dns_asked(Transport::Tcp);
    let (fault, delay) = shared.chaos.dns(&query.qname, query.qtype, false);
    match fault {
        DnsFault::ServFail => wire::bare(&query, Rcode::ServFail, out),
        DnsFault::Refuse => wire::bare(&query, Rcode::Refused, out),
        DnsFault::None | DnsFault::Drop | DnsFault::Truncate | DnsFault::Malform => {
            let mut records = Vec::new();
            let verdict = shared.world.dns(&query.qname, query.qtype, &mut records);
            wire::answer(&query, &verdict, &records, usize::from(u16::MAX), out);
        }
    }
    Some(delay)
}
