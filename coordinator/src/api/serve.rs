//! The HTTP server: bounded in connections, headers, bodies and time.

use std::borrow::Borrow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kudzu_shared::task::{self, Shutdown, Task};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Octets of a request's head.
const HEAD: usize = 16 * 1024;
/// Lines of a head.
const HEADERS: usize = 64;
/// How long a head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long connections may take to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until the shutdown begins; then lets what runs come to its end, for a moment.
///
/// # Errors
/// When the address cannot be listened on any more.
pub async fn serve(
    listener: impl Borrow<TcpListener>,
    router: Router,
    connections: usize,
    shutdown: Shutdown,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(connections));
    let mut open: FuturesUnordered<Task<()>> = FuturesUnordered::new();
    loop {
        let accepted = async {
            // Who comes when all places are taken waits in the system's queue.
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.borrow().accept().await)
        };
        tokio::select! {
            () = shutdown.stopping() => break,
            Some(_) = open.next(), if !open.is_empty() => {}
            (place, stream) = accepted => match stream {
                Ok((stream, _)) => {
                    let (router, shutdown) = (router.clone(), shutdown.clone());
                    open.push(task::spawn("http connection", async move {
                        let _place = place;
                        connection(stream, router, shutdown).await;
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of files, perhaps: it gets better when some are closed.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    let ended = async { while open.next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, ended).await;
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, shutdown: Shutdown) {
    let _ = stream.set_nodelay(true);
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD).max_headers(HEADERS);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What a client does wrong is its own affair.
        _ = &mut connection => {}
        () = shutdown.stopping() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
