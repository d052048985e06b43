//! Traces over OTLP (HTTP, protobuf), for whoever collects them. Off where no collector is named.
//!
//! Spans wait in a bounded queue and leave in batches from a thread of their own: what does not
//! fit is lost, and the work never waits. A span says which job and which part of it, and nothing
//! of what is looked up.

use std::error::Error as _;
use std::iter::successors;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, TraceContextExt as _, TraceFlags, TraceState, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter,
};
use reqwest::Client;
use tokio::runtime::{Handle, TryCurrentError};

use crate::config::Telemetry;
use crate::task::{self, lock};
use crate::trace::Traceparent;

/// Where an OTLP server takes traces, below its URL.
pub const PATH: &str = "v1/traces";
/// Spans that wait, at most.
const QUEUE: usize = 8_192;
/// Spans in one message.
const BATCH: usize = 512;
/// How long spans wait for others.
const LINGER: Duration = Duration::from_secs(5);
/// How long a connection may take, and an answer.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);
/// Octets that are read of an answer: it says nothing that is needed.
const MAX_ANSWER: usize = 64 * 1024;
/// How long the last spans are sent when the process ends.
const FLUSH: Duration = Duration::from_secs(2);
/// The least time between two warnings.
const QUIET: Duration = Duration::from_secs(60);

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing can be sent from here.
    #[error("start the export of traces outside of a runtime")]
    Runtime(#[source] TryCurrentError),
    /// The HTTP client.
    #[error("set up the client of the collector")]
    Client(#[source] reqwest::Error),
    /// The exporter.
    #[error("set up the export of traces")]
    Exporter(#[source] ExporterBuildError),
}

/// Exports spans from now on, where the settings name a collector, as this service and this
/// instance of it. The first call in a process counts.
///
/// # Errors
/// When it cannot be set up. Whether the collector is there is not looked at.
pub fn start(settings: &Telemetry, service: &'static str, instance: &str) -> Result<(), Error> {
    let Some(url) = settings.otlp.as_deref().filter(|_| EXPORT.get().is_none()) else { return Ok(()) };
    let url = format!("{}/{PATH}", url.trim_end_matches('/'));
    let why = Arc::<Mutex<String>>::default();
    let runtime = Handle::try_current().map_err(Error::Runtime)?;
    let sender = Sender { http: client().map_err(Error::Client)?, runtime, why: Arc::clone(&why) };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_endpoint(&url)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(ANSWER)
        .build()
        .map_err(Error::Exporter)?;
    let exporter = Watched { exporter, why, trouble: Mutex::default() };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(LINGER)
        .build();
    let about = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ];
    let resource = Resource::builder_empty().with_service_name(service).with_attributes(about).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        // Whoever begins a trace says whether it is recorded.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("kudzu");
    // Of two that start at once one counts, as told.
    let _ = EXPORT.set(Export { provider, tracer });
    tracing::info!(url, "exports traces");
    Ok(())
}

/// Sends what waits, for two seconds at most; later spans are not exported. It blocks, and needs
/// the runtime: call it beside that.
pub fn stop() {
    let Some(export) = EXPORT.get() else { return };
    if let Err(error) = export.provider.shutdown_with_timeout(FLUSH) {
        tracing::debug!(%error, "the last spans were not sent");
    }
}

/// A span that is exported once it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Span);

impl Open {
    pub(crate) fn traceparent(&self) -> Traceparent {
        let context = self.0.span_context();
        Traceparent {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8(),
        }
    }
}

/// Begins a span; nothing where none is exported, or its trace is not recorded.
pub(crate) fn begin(
    name: &'static str,
    kind: SpanKind,
    parent: Option<Traceparent>,
    says: impl FnOnce() -> Vec<KeyValue>,
) -> Option<Open> {
    let export = EXPORT.get().filter(|_| parent.is_none_or(|p| p.is_sampled()))?;
    let context = match parent {
        Some(Traceparent { trace, span, flags }) => {
            let flags = TraceFlags::new(flags);
            let parent = SpanContext::new(trace.into(), span.into(), flags, true, TraceState::NONE);
            Context::new().with_remote_span_context(parent)
        }
        None => Context::new(),
    };
    let builder = export.tracer.span_builder(name).with_kind(kind).with_attributes(says());
    let span = export.tracer.build_with_context(builder, &context);
    // After the stop there is none.
    span.span_context().is_sampled().then(|| Open(span))
}

fn client() -> Result<Client, reqwest::Error> {
    // Whoever installed one before keeps it: any provider will do.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = || {
        Client::builder()
            .user_agent(concat!("kudzu/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
    };
    builder().build().or_else(|_| {
        tracing::warn!("no root certificates: traces cannot be sent by HTTPS");
        builder().tls_certs_only([]).build()
    })
}

/// Says now and then that spans are lost. The exporter itself tries three times more, within the
/// time of an answer.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    why: Arc<Mutex<String>>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    warned: Option<Instant>,
    /// Spans that were lost since then.
    lost: usize,
}

impl<E> Watched<E> {
    fn lost(&self, spans: usize) {
        let mut trouble = lock(&self.trouble);
        trouble.lost += spans;
        let now = Instant::now();
        if trouble.warned.is_none_or(|at| now.duration_since(at) >= QUIET) {
            let why = lock(&self.why);
            tracing::warn!(
                why = *why,
                spans = trouble.lost,
                "the collector does not take spans: they are lost"
            );
            *trouble = Trouble { warned: Some(now), lost: 0 };
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let done = self.exporter.export(batch).await;
        if done.is_err() {
            self.lost(spans);
        }
        done
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.exporter.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends messages by the HTTP client that the rest of the program uses.
#[derive(Debug)]
struct Sender {
    http: Client,
    runtime: Handle,
    /// What went wrong last: the exporter does not pass it on.
    why: Arc<Mutex<String>>,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = {
            // Whoever waits for it is no thread of the runtime.
            let _inside = self.runtime.enter();
            task::spawn("otlp", send(self.http.clone(), request))
        };
        match sending.await {
            Ok(Ok(response)) => {
                *lock(&self.why) = format!("it answers {}", response.status());
                Ok(response)
            }
            Ok(Err(error)) => {
                let error = error.without_url();
                let chain = successors(error.source(), |e| (*e).source());
                *lock(&self.why) = chain.fold(error.to_string(), |all, e| format!("{all}: {e}"));
                Err(error.into())
            }
            Err(error) => Err(error.into()), // The process ends.
        }
    }
}

async fn send(http: Client, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
    let mut response = http.execute(request.try_into()?).await?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    let mut body = Vec::new();
    // What is read to its end leaves the connection to the next one.
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
            body.clear();
            break;
        }
        body.extend_from_slice(&piece);
    }
    *answer.body_mut() = body.into();
    Ok(answer)
}
