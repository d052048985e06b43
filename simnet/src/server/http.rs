//! RDAP, passive DNS and certificates over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::udp::Shared;
use crate::faults::{HttpFault, Service};
use crate::model::Certificate;
use crate::rdap;
use crate::time::rfc3339;
use crate::world::PdnsQuery;

/// Rows put into one chunk of a streamed answer.
const CHUNK: usize = 256;

#[derive(Clone)]
struct Context {
    shared: Shared,
    service: Service,
    base: String,
    stop: CancellationToken,
}

/// Serves until cancelled.
pub(super) async fn serve(listener: TcpListener, shared: Shared, service: Service, stop: CancellationToken) {
    let base = listener.local_addr().map(|addr: SocketAddr| format!("http://{addr}")).unwrap_or_default();
    let context = Context { shared, service, base, stop: stop.clone() };
    let routes = match service {
        Service::Rdap => Router::new().fallback(rdap),
        Service::Pdns => Router::new().route("/pdns/query/{*query}", get(pdns)),
        Service::Certs => Router::new().route("/", get(certs)),
    };
    let router = routes.layer(middleware::from_fn_with_state(context.clone(), disturb)).with_state(context);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!(%error, "the HTTP server ended");
    }
}

/// Seconds that a 429 asks to wait for.
const RETRY_AFTER: u64 = 1;

/// Counts, waits and fails as wanted. The bootstrap files never fail and are not counted: in the
/// world they are another's.
async fn disturb(State(context): State<Context>, request: Request, next: Next) -> Response {
    let Shared { chaos, counters, .. } = &context.shared;
    let path = request.uri().path_and_query().map_or("", |p| p.as_str());
    if context.service == Service::Rdap && path.starts_with("/bootstrap/") {
        return next.run(request).await;
    }
    counters.http(context.service);
    let (fault, delay) = chaos.http(context.service, path);
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            // Nobody who stops waits for an answer that never comes.
            () = context.stop.cancelled() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    match fault {
        HttpFault::None => next.run(request).await,
        HttpFault::TooMany => {
            counters.too_many(context.service, Duration::from_secs(RETRY_AFTER));
            let after = RETRY_AFTER.to_string();
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, after)], "slow down\n").into_response()
        }
        HttpFault::Unavailable => {
            counters.failed();
            (StatusCode::SERVICE_UNAVAILABLE, "try again\n").into_response()
        }
        HttpFault::Broken => {
            counters.failed();
            (StatusCode::INTERNAL_SERVER_ERROR, "broken\n").into_response()
        }
    }
}

async fn rdap(State(context): State<Context>, request: Request) -> Response {
    let world = &context.shared.world;
    let path = unescape(request.uri().path_and_query().map_or("", |p| p.as_str()));
    if let Some(file) = path.strip_prefix("/bootstrap/") {
        let found = rdap::bootstrap(world, file, &context.base);
        return found.map_or_else(|| rdap_error(StatusCode::NOT_FOUND), |v| typed("application/json", &v));
    }
    match world.rdap(&path, &context.base) {
        rdap::Answer::Found(value) => typed("application/rdap+json", &value),
        rdap::Answer::Redirect(target) => {
            let target = context.shared.chaos.redirect().map_or(target, str::to_owned);
            (StatusCode::FOUND, [(header::LOCATION, target)]).into_response()
        }
        rdap::Answer::NotFound => rdap_error(StatusCode::NOT_FOUND),
        rdap::Answer::BadRequest => rdap_error(StatusCode::BAD_REQUEST),
    }
}

fn rdap_error(status: StatusCode) -> Response {
    let title = status.canonical_reason().unwrap_or("error");
    (status, typed("application/rdap+json", &rdap::error(status.as_u16(), title))).into_response()
}

fn typed(content_type: &'static str, value: &Value) -> Response {
    ([(header::CONTENT_TYPE, content_type)], value.to_string()).into_response()
}

/// Streams rows, so that an answer of a million of them needs no memory.
async fn pdns(State(context): State<Context>, headers: HeaderMap, request: Request) -> Response {
    let path = unescape(request.uri().path());
    let query = path.strip_prefix("/pdns/query/").and_then(PdnsQuery::parse);
    let query = query.map(|query| match query {
        PdnsQuery::Name(name) => PdnsQuery::Either(name),
        other => other,
    });
    let Some(query) = query else {
        return (StatusCode::BAD_REQUEST, "a name, an address or rdata/<name>\n").into_response();
    };
    let limit = headers.get("dribble-paginate-count").and_then(|v| v.to_str().ok()?.parse().ok());
    let rows = context.shared.world.pdns_rows(&query);
    let total = rows.total();
    let mut rows = rows.take(limit.unwrap_or(usize::MAX));
    let chunks = std::iter::from_fn(move || {
        let mut chunk = Vec::new();
        for row in rows.by_ref().take(CHUNK) {
            if serde_json::to_writer(&mut chunk, &row).is_ok() {
                chunk.push(b'\n');
            }
        }
        (!chunk.is_empty()).then(|| Ok::<Bytes, Infallible>(chunk.into()))
    });
    let head = [("content-type", "application/x-ndjson".to_owned()), ("x-total-count", total.to_string())];
    (head, Body::from_stream(futures::stream::iter(chunks))).into_response()
}

async fn certs(State(context): State<Context>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let wanted = query.split('&').find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Identity=")));
    let Some(wanted) = wanted else {
        return (StatusCode::BAD_REQUEST, "a query needs q=\n").into_response();
    };
    let found = context.shared.world.certs(&unescape(wanted));
    typed("application/json", &Value::Array(found.iter().map(shown).collect()))
}

fn shown(cert: &Certificate) -> Value {
    let time = |at| rfc3339(at).trim_end_matches('Z').to_owned();
    json!({
        "id": cert.id,
        "issuer_name": cert.issuer,
        "common_name": cert.names.first(),
        "name_value": cert.names.join("\n"),
        "entry_timestamp": time(cert.not_before.saturating_add(60)),
        "not_before": time(cert.not_before),
        "not_after": time(cert.not_after),
        "serial_number": cert.serial,
        "sha256": cert.sha256,
    })
}

/// Undoes percent-encoding; what is not valid stays as it is (`%.example.com` is a query of its own).
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
