//! A coordinator as a service: what most tests of it are set up with, and its API on a port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kudzu_coordinator::StartOptions;
use kudzu_coordinator::api;
use kudzu_coordinator::cluster::Options;
use kudzu_coordinator::cluster::peers::Alone;
use kudzu_shared::archive::Archive;
use kudzu_shared::task::{self, Shutdown, Task};
use tokio::net::TcpListener;

/// One named `a` that nobody else is beside.
pub fn options(run: StartOptions, archive: Arc<dyn Archive>) -> Options {
    Options {
        run,
        archive,
        name: "a".into(),
        address: None,
        jobs: 4,
        open: 1_000,
        hold: Duration::from_secs(600),
        sweep: Duration::from_secs(5),
        retention: None,
        give_memory_back: || {},
        peers: Arc::new(Alone),
    }
}

/// Serves the routes until the shutdown.
pub async fn serve(router: Router, shutdown: Shutdown) -> (SocketAddr, Task<io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (at, task::spawn("api", api::serve(listener, router, 64, shutdown)))
}
