//! Health and metrics of a worker, over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use kudzu_coordinator::api;
use kudzu_shared::broker::{Broker, Health};
use kudzu_shared::metrics::{CONTENT_TYPE, metrics};
use kudzu_shared::task::{self, Shutdown, Task};
use tokio::net::TcpListener;

use crate::exit::Failure;

/// Connections at a time: only probes come.
const CONNECTIONS: usize = 32;

#[derive(Clone)]
struct Shown {
    broker: Arc<dyn Broker>,
    shutdown: Shutdown,
}

/// Serves until it is told to end; from the begin of the shutdown on it says so.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    listen: SocketAddr,
    broker: Arc<dyn Broker>,
    shutdown: Shutdown,
    until: Shutdown,
) -> Result<Task<std::io::Result<()>>, Failure> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(measured))
        .with_state(Shown { broker, shutdown });
    Ok(task::spawn("health", api::serve(listener, router, CONNECTIONS, until)))
}

async fn readyz(State(shown): State<Shown>) -> Response {
    match shown.broker.health() {
        _ if shown.shutdown.is_stopping() => (StatusCode::SERVICE_UNAVAILABLE, "ending\n").into_response(),
        Health::Up => "ready\n".into_response(),
        other => (StatusCode::SERVICE_UNAVAILABLE, format!("{other}\n")).into_response(),
    }
}

async fn measured() -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics().text()).into_response()
}

#[cfg(test)]
mod tests {
    use kudzu_shared::broker::Memory;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn readiness_tells_of_the_broker() {
        let broker = Memory::default();
        let new = || Shutdown::new(std::time::Duration::from_secs(1));
        let (shutdown, until) = (new(), new());
        // A port that was free just now.
        let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _serving = serve(at, Arc::new(broker.clone()), shutdown.clone(), until.clone()).await.unwrap();
        let ask = async |path: &str| {
            let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        };
        assert!(ask("/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/metrics").await.contains("kudzu_breakers_open 0"));
        broker.close();
        let said = ask("/readyz").await;
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("down"), "{said}");
        shutdown.begin();
        assert!(ask("/readyz").await.contains("ending"));
        assert!(ask("/metrics").await.starts_with("HTTP/1.1 200"), "while it drains");
        until.begin();
    }
}
