//! S3, and what speaks like it: how it is asked, how long it is waited for, and how an object
//! is created where an answer may be lost.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key, S3ConditionalPut};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, PutMode, RetryConfig};
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout};

use super::{Cause, Error, Put, store};
use crate::config::Vars;

/// What is sent is expected to go at a megabyte a second at least.
const BYTES_A_MS: u64 = 1000;
/// Tries after the first.
const RETRIES: usize = 3;
/// How long the first pause between two tries is; each one after it may be twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// How long an S3 server is waited for.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// For a connection.
    connect: Duration,
    /// For the answer, and again for each piece of it.
    answer: Duration,
    /// No further try begins after this.
    tries: Duration,
}

/// With the last try, 30 seconds at most.
pub(super) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    answer: Duration::from_secs(10),
    tries: Duration::from_secs(15),
};

/// A bucket, and how to get at it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The folder in it that is the archive; empty for all of it.
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// The server; `None` for Amazon's.
    pub endpoint: Option<String>,
    /// Whether the server may be asked without encryption.
    pub allow_http: bool,
    /// Access key and secret key; `None` for those that the environment has: the variables
    /// that Amazon's tools read, or the role of the machine.
    pub keys: Option<(String, SecretString)>,
}

/// The bucket with retries, and without.
pub(super) fn open(
    bucket: &Bucket,
    patience: &Patience,
    vars: &dyn Vars,
) -> Result<[Arc<dyn ObjectStore>; 2], Error> {
    let failed = |cause: Cause| Error::Open(format!("s3://{}/{}", bucket.name, bucket.prefix), cause);
    let is_plain = bucket.endpoint.as_ref().is_some_and(|e| !e.starts_with("https://"));
    if is_plain && !bucket.allow_http {
        return Err(failed("the endpoint is not encrypted, and allow_http is not set".into()));
    }
    let network = Network::new(patience).map_err(|e| failed(e.into()))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(&bucket.region)
        .with_allow_http(bucket.allow_http)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Not all servers can delete in bulk.
        .with_disable_bulk_delete(true)
        .with_http_connector(network);
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = match &bucket.keys {
        Some((access, secret)) => {
            builder.with_access_key_id(access).with_secret_access_key(secret.expose_secret())
        }
        None => environment(builder, vars),
    };
    let prefix = Path::parse(&bucket.prefix).map_err(|e| failed(e.into()))?;
    let build = |max_retries: usize| -> Result<Arc<dyn ObjectStore>, Error> {
        let backoff = BackoffConfig { init_backoff: PAUSE, max_backoff: Duration::from_secs(2), base: 2.0 };
        let retry = RetryConfig { backoff, max_retries, retry_timeout: patience.tries };
        let s3 = builder.clone().with_retry(retry).build().map_err(|e| failed(e.into()))?;
        Ok(if prefix.as_ref().is_empty() {
            Arc::new(s3)
        } else {
            Arc::new(PrefixStore::new(s3, prefix.clone()))
        })
    };
    Ok([build(RETRIES)?, build(0)?])
}

/// Credentials as Amazon's tools find them, and nothing else of the environment.
fn environment(mut builder: AmazonS3Builder, vars: &dyn Vars) -> AmazonS3Builder {
    let known = [
        ("AWS_ACCESS_KEY_ID", Key::AccessKeyId),
        ("AWS_SECRET_ACCESS_KEY", Key::SecretAccessKey),
        ("AWS_SESSION_TOKEN", Key::Token),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", Key::WebIdentityTokenFile),
        ("AWS_ROLE_ARN", Key::RoleArn),
        ("AWS_ROLE_SESSION_NAME", Key::RoleSessionName),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", Key::ContainerCredentialsRelativeUri),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Key::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Key::ContainerAuthorizationTokenFile),
    ];
    for (name, key) in known {
        if let Some(value) = vars.get(name).filter(|v| !v.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

/// Creates an object unless one is there, by a client that does not try again by itself. Once
/// an answer was lost, what is there may be of an earlier try.
pub(super) async fn create(
    once: &dyn ObjectStore,
    objects: &dyn ObjectStore,
    at: &Path,
    body: Bytes,
) -> object_store::Result<Put> {
    let begin = Instant::now();
    let (mut left, mut is_lost, mut pause) = (RETRIES, false, PAUSE);
    loop {
        let failed = match once.put_opts(at, body.clone().into(), PutMode::Create.into()).await {
            Ok(_) => return Ok(Put::Created),
            Err(e) => e,
        };
        match &failed {
            // 412: the source is an error that says so.
            object_store::Error::AlreadyExists { source, .. }
                if !is_lost && source.is::<object_store::Error>() =>
            {
                return Ok(Put::Exists);
            }
            // Or 409: something else was going on at this path, whatever came of it.
            object_store::Error::AlreadyExists { .. } => {
                if let Some(found) = store::read(objects, at).await? {
                    return Ok(if is_lost && found == body { Put::Created } else { Put::Exists });
                }
            }
            object_store::Error::Generic { .. } => is_lost = true,
            _ => return Err(failed),
        }
        if left == 0 || begin.elapsed() >= PATIENCE.tries {
            return Err(failed);
        }
        sleep(pause).await;
        (left, pause) = (left - 1, pause * 2);
    }
}

/// Asks by HTTP, and waits for nothing without end.
#[derive(Debug, Clone)]
struct Network {
    /// Each piece of an answer has its time.
    reads: Client,
    /// Sending may take longer than an answer: it is timed as a whole, by its size.
    writes: Client,
    answer: Duration,
}

impl Network {
    fn new(patience: &Patience) -> Result<Self, reqwest::Error> {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        // Whoever installed one before keeps it: any provider will do.
        PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let builder = || {
            Client::builder()
                .user_agent(concat!("kudzu/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .no_gzip()
                .http1_only()
                .connect_timeout(patience.connect)
                // Servers close sooner than by the default of 90 s.
                .pool_idle_timeout(Duration::from_secs(15))
        };
        let reads = || builder().read_timeout(patience.answer);
        let answer = patience.answer;
        if let (Ok(reads), Ok(writes)) = (reads().build(), builder().build()) {
            return Ok(Self { reads, writes, answer });
        }
        // Without root certificates plain HTTP still works, and HTTPS fails when it is asked.
        tracing::warn!("no root certificates: S3 cannot be asked by HTTPS");
        let (reads, writes) = (reads().tls_certs_only([]).build()?, builder().tls_certs_only([]).build()?);
        Ok(Self { reads, writes, answer })
    }

    async fn write(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = self.writes.call(request).await?.into_parts();
        let pieces: Vec<Bytes> = body.bytes_stream().try_collect().await?;
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(pieces.concat())))
    }
}

#[async_trait]
impl HttpService for Network {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.body().is_empty() {
            return self.reads.call(request).await;
        }
        let size = request.body().content_length() as u64;
        let limit = self.answer + Duration::from_millis(size / BYTES_A_MS);
        let written = timeout(limit, self.write(request)).await;
        written.unwrap_or_else(|e| Err(HttpError::new(HttpErrorKind::Timeout, e)))
    }
}

impl HttpConnector for Network {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[cfg(test)]
mod tests;
