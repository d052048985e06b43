//! What goes wrong, as problem documents (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cluster::shelf::ShelfError;

/// A problem document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank#` and the problem's name.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, the same each time.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What it is this time, and what to do.
    detail: String,
    /// Where in the request, for each thing that is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Wrong {
    /// JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Problem {
    fn new(status: StatusCode, name: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("about:blank#{name}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// The request makes no sense as HTTP or as JSON.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", detail)
    }

    /// The request can be read, and asks for something that makes no sense.
    pub fn invalid(errors: Vec<Wrong>) -> Self {
        let detail = errors.iter().map(|e| format!("{}: {}", e.pointer, e.detail)).collect::<Vec<_>>();
        let title = "The request asks for something that makes no sense";
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", title, detail.join("; "));
        Self { errors, ..problem }
    }

    /// The same key came with another request.
    pub fn conflict(detail: impl Into<String>) -> Self {
        let title = "The key was used for another request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key", title, detail)
    }

    /// Nobody is known by this token.
    pub fn unauthorized() -> Self {
        let title = "A valid token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "token", title, "send Authorization: Bearer TOKEN")
    }

    /// The token was valid once.
    pub fn expired() -> Self {
        let title = "A valid token is needed";
        Self::new(StatusCode::UNAUTHORIZED, "token", title, "this one has expired: ask for another")
    }

    /// The token may not do this.
    pub fn forbidden(scope: &str) -> Self {
        let title = "The token may not do this";
        Self::new(StatusCode::FORBIDDEN, "scope", title, format!("it needs the scope {scope:?}"))
    }

    /// There is no such thing, or not for this tenant.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// The route does not take this method.
    pub fn method() -> Self {
        let title = "This method makes no sense here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", title, "see /v1/openapi.json")
    }

    /// The job is not in the state that this needs.
    pub fn not_yet(detail: impl Into<String>) -> Self {
        let title = "The job has no result";
        Self::new(StatusCode::CONFLICT, "no-result", title, detail).retry_after(1)
    }

    /// The body is too long.
    pub fn too_large(limit: u64) -> Self {
        let detail = format!("a body has at most {limit} octets");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too long", detail)
    }

    /// The tree is too large to be opened by a coordinator.
    pub fn too_large_here(size: u64) -> Self {
        let detail = format!(
            "it has {size} nodes and pairs: get it whole (format=ndjson) and use kudzu explain on it"
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "large-tree", "The tree is too large for this", detail)
    }

    /// The body is of another type.
    pub fn media_type() -> Self {
        let title = "The body is of another type";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            title,
            "send Content-Type: application/json",
        )
    }

    /// It took too long.
    pub fn timeout() -> Self {
        let title = "The request took too long";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", title, "try again").retry_after(5)
    }

    /// Jobs can be neither published nor asked about.
    pub fn broker_down() -> Self {
        Self::unavailable("broker-down", "there is no connection to the broker", 5)
    }

    /// It cannot be done now.
    pub fn unavailable(name: &str, detail: impl Into<String>, seconds: u32) -> Self {
        let title = "This cannot be done now";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, name, title, detail).retry_after(seconds)
    }

    /// What is kept is damaged.
    pub fn damaged(detail: impl Into<String>) -> Self {
        let title = "What is kept of this job is damaged";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", title, detail)
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Whether something that is kept is damaged.
    pub fn is_damage(&self) -> bool {
        self.kind.ends_with("#damaged")
    }

    /// The same, with the place in the request.
    pub fn at(mut self, pointer: String) -> Self {
        self.errors.push(Wrong { pointer, detail: self.detail.clone() });
        self
    }

    /// Its HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl From<ShelfError> for Problem {
    fn from(error: ShelfError) -> Self {
        if error.is_damage() {
            tracing::error!(%error, "the archive has something damaged");
            return Self::damaged("the log of the coordinator names the object");
        }
        tracing::warn!(%error, "the archive does not answer");
        Self::unavailable("archive", "the archive does not answer", 5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
