//! One hardened HTTP client for all sources.
//!
//! No proxy of the environment, no cookie, no referrer; redirects are followed by hand and
//! each hop is checked; addresses are checked after resolution and the connection goes to
//! exactly those; body, time and unpacked size are bounded while they stream; each upstream
//! (host and port) has its limit, its breaker and its Retry-After. Errors name no URL: it
//! may hold a key.

mod guard;
mod retry_after;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kudzu_shared::config::{HttpLimits, Secret};
use kudzu_shared::limits::breaker::{Breakers, Decision, Settings};
use kudzu_shared::limits::{Limit, Limiter};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::time::Clock;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

pub use guard::{Scope, is_allowed_ip, is_allowed_url};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How often one lookup waits for an upstream that asks for less.
const PATIENCE: u8 = 8;
/// The longest Retry-After that is waited for without a deadline.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Retry-After where a 429 has none.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// Upstreams that have a breaker.
const BREAKERS: usize = 4096;

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up the HTTP client")]
pub struct Error(#[source] reqwest::Error);

/// Where redirects may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// To the same host and port only: whoever gets credentials.
    SameHost,
    /// To any host that is allowed: RDAP registries send on to registrars (RFC 7480
    /// section 5.2).
    Anywhere,
}

/// A GET request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub url: Url,
    /// The media types taken.
    pub accept: &'static str,
    /// Further headers.
    pub headers: HeaderMap,
    /// User and password of HTTP basic authentication.
    pub basic: Option<(String, Secret)>,
    /// The limit of each upstream.
    pub limit: Limit,
    /// How long one exchange is waited for, its body included.
    pub timeout: Duration,
    /// Whether private addresses and plain HTTP redirects are allowed.
    pub allow_private: bool,
    /// Where redirects may lead.
    pub follow: Follow,
}

impl Request {
    /// A request without credentials that follows redirects on its host.
    pub fn new(url: Url, limit: Limit, timeout: Duration) -> Self {
        Self {
            url,
            accept: "application/json",
            headers: HeaderMap::new(),
            basic: None,
            limit,
            timeout,
            allow_private: false,
            follow: Follow::SameHost,
        }
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unpacked.
    pub body: Vec<u8>,
}

/// The client; one for a worker.
pub struct Http {
    public: Client,
    private: Client,
    limits: HttpLimits,
    limiter: Arc<dyn Limiter>,
    breakers: Breakers,
    slots: Semaphore,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("limits", &self.limits).finish_non_exhaustive()
    }
}

enum Step {
    Done(Response),
    Elsewhere(Url),
    Later(Duration),
    Failed(Verdict),
}

impl Http {
    /// A client that has `slots` exchanges open at most.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(
        limits: HttpLimits,
        slots: usize,
        limiter: Arc<dyn Limiter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        Ok(Self {
            public: client(&limits, Scope::Public)?,
            private: client(&limits, Scope::Private)?,
            limits,
            limiter,
            breakers: Breakers::new(Settings::default(), rand::random(), BREAKERS),
            slots: Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS)),
            clock,
        })
    }

    async fn step(&self, request: &Request, url: &Url, tally: &mut Tally, end: Option<Instant>) -> Step {
        let upstream = upstream(url);
        if let (Some(until), Some(end)) = (self.limiter.penalised_until(&upstream), end)
            && until >= end
        {
            return Step::Failed(Verdict::Throttled);
        }
        // The slot comes last: who waits for a slow upstream holds none.
        let Some(permit) = before(end, self.limiter.acquire(&upstream, &request.limit)).await else {
            let throttled = self.limiter.penalised_until(&upstream).is_some();
            return Step::Failed(if throttled { Verdict::Throttled } else { Verdict::Deadline });
        };
        let Some(Ok(slot)) = before(end, self.slots.acquire()).await else {
            return Step::Failed(Verdict::Deadline);
        };
        let ticket = match self.breakers.allow(&upstream, Instant::now().into_std()) {
            Decision::Ask(ticket) => ticket,
            Decision::Wait(_) => return Step::Failed(Verdict::Breaker),
        };
        tally.begin(&upstream);
        let bound = [Some(Instant::now() + request.timeout), end].into_iter().flatten().min();
        let step = before(bound, self.exchange(request, url)).await;
        let step = step.unwrap_or_else(|| {
            let over = end.is_some_and(|end| Instant::now() >= end);
            Step::Failed(if over { Verdict::Deadline } else { Verdict::Timeout })
        });
        tally.end();
        let ok = !matches!(step, Step::Failed(Verdict::Timeout | Verdict::ServFail | Verdict::Unreachable));
        self.breakers.record(&upstream, ticket, Instant::now().into_std(), ok);
        if let Step::Later(wait) = step {
            self.limiter.penalise(&upstream, Instant::now() + wait).await;
        }
        drop((slot, permit));
        step
    }

    async fn exchange(&self, request: &Request, url: &Url) -> Step {
        let client = if request.allow_private { &self.private } else { &self.public };
        let mut builder =
            client.get(url.clone()).headers(request.headers.clone()).header(ACCEPT, request.accept);
        if let Some((user, password)) = &request.basic {
            builder = builder.basic_auth(user, Some(password.expose()));
        }
        match builder.send().await {
            Ok(response) => self.read(url, response).await,
            Err(e) => Step::Failed(guard::verdict_of(&e)),
        }
    }

    async fn read(&self, url: &Url, mut response: reqwest::Response) -> Step {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        if status.is_redirection() {
            let target = header(LOCATION).and_then(|l| url.join(l).ok());
            return target.map_or(Step::Failed(Verdict::Malformed), Step::Elsewhere);
        }
        let wait = header(RETRY_AFTER).and_then(|v| retry_after::parse(v, self.clock.now_ms()));
        match status {
            s if s.is_success() => {}
            StatusCode::TOO_MANY_REQUESTS => return Step::Later(wait.unwrap_or(DEFAULT_WAIT)),
            StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => {
                return Step::Later(wait.unwrap_or(DEFAULT_WAIT));
            }
            StatusCode::NOT_FOUND => return Step::Failed(Verdict::NotFound),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Step::Failed(Verdict::Refused),
            s if s.is_server_error() => return Step::Failed(Verdict::ServFail),
            _ => return Step::Failed(Verdict::FormErr),
        }
        let most = usize::try_from(self.limits.max_body).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > most => return Step::Failed(Verdict::Limit),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(e) => return Step::Failed(guard::verdict_of(&e)),
            }
        }
        Step::Done(Response { headers: std::mem::take(response.headers_mut()), body })
    }
}

/// What one question of a lookup cost.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests sent.
    pub tries: u8,
    /// From the first request to the end of the last one, waiting for limits left out.
    pub rtt: Duration,
    /// Who was asked last: host and port.
    pub upstream: Option<String>,
    began: Option<Instant>,
}

impl Tally {
    fn begin(&mut self, upstream: &str) {
        self.tries = self.tries.saturating_add(1);
        self.began = Some(Instant::now());
        self.upstream = Some(upstream.to_owned());
    }

    fn end(&mut self) {
        self.rtt += self.began.take().map_or(Duration::ZERO, |at| at.elapsed());
    }
}

/// The HTTP side of one lookup: its deadline, and what it cost.
#[derive(Debug)]
pub struct Exchange<'a> {
    http: &'a Http,
    end: Option<Instant>,
    tally: Tally,
}

impl<'a> Exchange<'a> {
    /// For a lookup that must end by then.
    pub fn new(http: &'a Http, end: Option<Instant>) -> Self {
        Self { http, end, tally: Tally::default() }
    }

    /// What it cost so far.
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    /// Asks; redirects and requests to come later are dealt with. Cancel safe: the
    /// connection goes with it.
    ///
    /// # Errors
    /// The verdict, where there is no successful answer.
    pub async fn get(&mut self, request: &Request) -> Result<Response, Verdict> {
        let scope = if request.allow_private { Scope::Private } else { Scope::Public };
        let mut url = request.url.clone();
        let (mut hops, mut waits) = (0, 0);
        if !is_allowed_url(&url, scope) {
            return Err(Verdict::Denied);
        }
        loop {
            match self.http.step(request, &url, &mut self.tally, self.end).await {
                Step::Done(response) => return Ok(response),
                Step::Failed(verdict) => return Err(verdict),
                Step::Later(wait) => {
                    let until = Instant::now() + wait;
                    waits += 1;
                    let in_time = self.end.map_or(wait <= LONGEST_WAIT, |end| until < end);
                    if !in_time || waits > PATIENCE {
                        return Err(Verdict::Throttled);
                    }
                }
                Step::Elsewhere(target) => {
                    hops += 1;
                    if hops > self.http.limits.max_redirects || target == url {
                        return Err(Verdict::Loop);
                    }
                    if !follows(request, &url, &target, scope) {
                        return Err(Verdict::Denied);
                    }
                    url = target;
                }
            }
        }
    }
}

fn follows(request: &Request, from: &Url, to: &Url, scope: Scope) -> bool {
    let same = (from.host(), from.port_or_known_default()) == (to.host(), to.port_or_known_default());
    let downgrade = from.scheme() == "https" && to.scheme() == "http" && scope == Scope::Public;
    is_allowed_url(to, scope) && !downgrade && (same || request.follow == Follow::Anywhere)
}

/// Host and port: whom limits and breakers know.
fn upstream(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(0);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// The future's output, or `None` at the end.
async fn before<F: Future>(end: Option<Instant>, future: F) -> Option<F::Output> {
    match end {
        Some(end) => tokio::time::timeout_at(end, future).await.ok(),
        None => Some(future.await),
    }
}

fn client(limits: &HttpLimits, scope: Scope) -> Result<Client, Error> {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    // Whoever installed one before keeps it: any provider will do.
    PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let builder = || {
        Client::builder()
            .user_agent(limits.user_agent.as_str())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(CONNECT)
            .http1_max_headers(64)
            .http2_max_header_list_size(32 * 1024)
            .dns_resolver(guard::Checked::new(scope))
    };
    builder().build().or_else(|e| {
        // Without root certificates plain HTTP still works, and HTTPS fails as unreachable.
        tracing::warn!(error = %e, "no root certificates: HTTPS sources cannot be asked");
        builder().tls_certs_only([]).build().map_err(Error)
    })
}

#[cfg(test)]
mod tests;
