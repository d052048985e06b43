//! What is answered before the coordinator has begun: it is alive, and waits for its broker.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use kudzu_shared::broker::Broker;
use kudzu_shared::metrics::{CONTENT_TYPE, metrics};

use super::problem::Problem;
use super::system::{Ready, healthz};

/// The routes of one that waits for its broker.
pub fn waiting(broker: Arc<dyn Broker>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|| async { ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics().text()) }))
        .fallback(|| async { Problem::broker_down() })
        .with_state(broker)
}

async fn readyz(State(broker): State<Arc<dyn Broker>>) -> Response {
    let body = Ready { ready: false, broker: broker.health().to_string(), jobs: 0, open: 0 };
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
