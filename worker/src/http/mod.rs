//! One hardened HTTP client for all sources.
//!
//! No proxy of the environment, no cookie, no referrer; redirects are followed by hand and
//! each hop is checked; addresses are checked after resolution and the connection goes to
//! exactly those; body, time and unpacked size are bounded while they stream; each upstream
//! (host, port and credential) has its limit, its breaker and its Retry-After. Errors name
//! no URL: it may hold a key.

mod guard;
mod request;
mod retry_after;
mod slots;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kudzu_shared::config::HttpLimits;
use kudzu_shared::limits::breaker::{Breakers, Decision, Settings};
use kudzu_shared::limits::{Limit, Limiter, Permit};
use kudzu_shared::metrics::{OfClass, metrics};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::source::Class;
use kudzu_shared::time::Clock;
use reqwest::header::{ACCEPT, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use slots::{Slot, Slots};
use tokio::time::Instant;
use url::Url;

pub use guard::{Scope, is_allowed_ip, is_allowed_url};
pub use request::{Follow, Missing, Request, Response};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a lookup without a deadline waits for an upstream that asks for less.
const PATIENCE: u8 = 8;
/// The longest Retry-After that is waited for without a deadline.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Retry-After where a 429 has none.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// The least that is waited after a 429: zero seconds would be asked again at once.
const LEAST_WAIT: Duration = Duration::from_millis(250);
/// Upstreams that have a breaker.
const BREAKERS: usize = 4096;

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up the HTTP client")]
pub struct Error(#[source] reqwest::Error);

/// The client; one for a worker.
pub struct Http {
    public: Client,
    private: Client,
    limits: HttpLimits,
    limiter: Arc<dyn Limiter>,
    breakers: Breakers,
    slots: Slots,
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
    /// A client that has `slots` exchanges open at most, and half of them with one upstream.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(
        limits: HttpLimits,
        slots: usize,
        limiter: Arc<dyn Limiter>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let lasting = Duration::from_millis(limits.breaker_after_ms);
        let settings = Settings { lasting, ..Settings::default() };
        Ok(Self {
            public: client(&limits, Scope::Public)?,
            private: client(&limits, Scope::Private)?,
            limits,
            limiter,
            breakers: Breakers::new(settings, rand::random(), BREAKERS),
            slots: Slots::new(slots),
            clock,
        })
    }

    async fn step(
        &self,
        request: &Request,
        (url, scope): (&Url, Scope),
        tally: &mut Tally,
        end: Option<Instant>,
    ) -> Step {
        let host = upstream(url);
        let key = match &request.credential {
            Some(id) => format!("{host} {id}"),
            None => host.clone(),
        };
        let (slot, permit) = match self.turn(&key, &host, &request.limit, end).await {
            Ok(turn) => turn,
            Err(verdict) => return Step::Failed(verdict),
        };
        let ticket = match self.breakers.allow(&key, Instant::now().into_std()) {
            Decision::Ask(ticket) => ticket,
            Decision::Wait(_) => return Step::Failed(Verdict::Breaker),
        };
        tally.begin(&host);
        let bound = [Some(Instant::now() + request.timeout), end].into_iter().flatten().min();
        let step = before(bound, self.exchange(request, url, scope)).await;
        let step = step.unwrap_or_else(|| {
            let over = end.is_some_and(|end| Instant::now() >= end);
            Step::Failed(if over { Verdict::Deadline } else { Verdict::Timeout })
        });
        tally.end();
        if let Some(ok) = step.is_alive() {
            self.breakers.record(&key, ticket, Instant::now().into_std(), ok);
        }
        if let Step::Later(wait) = step {
            self.limiter.penalise(&key, Instant::now() + wait).await;
        }
        drop((slot, permit));
        step
    }

    /// A slot and a grant. The upstream may have asked for less while the slot was waited for;
    /// then both are given back. A grant that has become old is kept otherwise: what its
    /// upstream gets late is bounded by what may be open there at a time.
    async fn turn(
        &self,
        upstream: &str,
        host: &str,
        limit: &Limit,
        end: Option<Instant>,
    ) -> Result<(Slot<'_>, Permit), Verdict> {
        loop {
            if let (Some(until), Some(end)) = (self.limiter.penalised_until(upstream), end)
                && until >= end
            {
                return Err(Verdict::Throttled);
            }
            // The slot comes last: who waits for a slow upstream holds none.
            let waiting = Instant::now();
            let permit = before(end, self.limiter.acquire(upstream, limit)).await;
            let of = OfClass { class: Class::Http.as_str() };
            metrics().limiter_wait.get_or_create(&of).observe(waiting.elapsed().as_secs_f64());
            let Some(permit) = permit else {
                let throttled = self.limiter.penalised_until(upstream).is_some();
                return Err(if throttled { Verdict::Throttled } else { Verdict::Deadline });
            };
            let Some(Ok(slot)) = before(end, self.slots.acquire(host)).await else {
                return Err(Verdict::Deadline);
            };
            if self.limiter.penalised_until(upstream).is_none() {
                return Ok((slot, permit));
            }
        }
    }

    async fn exchange(&self, request: &Request, url: &Url, scope: Scope) -> Step {
        let client = match scope {
            Scope::Private => &self.private,
            Scope::Public => &self.public,
        };
        let mut builder =
            client.get(url.clone()).headers(request.headers.clone()).header(ACCEPT, request.accept);
        if let Some((user, password)) = &request.basic {
            builder = builder.basic_auth(user, Some(password.expose()));
        }
        match builder.send().await {
            Ok(response) => self.read(request, url, response).await,
            Err(e) => Step::Failed(guard::verdict_of(&e)),
        }
    }

    async fn read(&self, request: &Request, url: &Url, mut response: reqwest::Response) -> Step {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        if status.is_redirection() {
            let target = header(LOCATION).and_then(|l| url.join(l).ok());
            return target.map_or(Step::Failed(Verdict::Malformed), Step::Elsewhere);
        }
        let wait = header(RETRY_AFTER).and_then(|v| retry_after::parse(v, self.clock.now_ms()));
        let later = Step::Later(wait.unwrap_or(DEFAULT_WAIT).max(LEAST_WAIT));
        let verdict = match status {
            s if s.is_success() => {
                return match self.body(request, &mut response).await {
                    Ok(body) => {
                        Step::Done(Response { headers: std::mem::take(response.headers_mut()), body })
                    }
                    Err(verdict) => Step::Failed(verdict),
                };
            }
            StatusCode::TOO_MANY_REQUESTS => return later,
            StatusCode::SERVICE_UNAVAILABLE if wait.is_some() => return later,
            StatusCode::NOT_FOUND => match request.missing {
                Missing::Error => Verdict::FormErr,
                Missing::Empty => Verdict::NotFound,
                Missing::EmptyIf(says) => match self.body(request, &mut response).await {
                    Ok(body) if says(&body) => Verdict::NotFound,
                    Ok(_) => Verdict::FormErr,
                    Err(verdict) => verdict,
                },
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Verdict::Refused,
            // It works, and does not know this question.
            StatusCode::NOT_IMPLEMENTED => Verdict::FormErr,
            s if s.is_server_error() => Verdict::ServFail,
            _ => Verdict::FormErr,
        };
        Step::Failed(verdict)
    }

    async fn body(&self, request: &Request, response: &mut reqwest::Response) -> Result<Vec<u8>, Verdict> {
        let most = request.max_body.map_or(self.limits.max_body, |most| most.min(self.limits.max_body));
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > most => return Err(Verdict::Limit),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(e) => return Err(guard::verdict_of(&e)),
            }
        }
    }
}

impl Step {
    /// Whether the upstream answered; `None` where the job's end cut it off, which says
    /// nothing of the upstream.
    fn is_alive(&self) -> Option<bool> {
        match self {
            Step::Failed(Verdict::Deadline) => None,
            Step::Failed(Verdict::Timeout | Verdict::ServFail | Verdict::Unreachable) => Some(false),
            Step::Done(_) | Step::Elsewhere(_) | Step::Later(_) | Step::Failed(_) => Some(true),
        }
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
        let mut scope = if request.allow_private { Scope::Private } else { Scope::Public };
        let mut url = request.url.clone();
        let (mut hops, mut waits) = (0, 0_u8);
        if !is_allowed_url(&url, scope) {
            return Err(Verdict::Denied);
        }
        loop {
            match self.http.step(request, (&url, scope), &mut self.tally, self.end).await {
                Step::Done(response) => return Ok(response),
                Step::Failed(verdict) => return Err(verdict),
                Step::Later(wait) => {
                    let until = Instant::now() + wait;
                    waits = waits.saturating_add(1);
                    let patient = match self.end {
                        Some(end) => until < end,
                        None => wait <= LONGEST_WAIT && waits <= PATIENCE,
                    };
                    if !patient {
                        return Err(Verdict::Throttled);
                    }
                }
                Step::Elsewhere(target) => {
                    hops += 1;
                    if hops > self.http.limits.max_redirects || target == url {
                        return Err(Verdict::Loop);
                    }
                    scope = leads(&url, &target, scope);
                    if !follows(request, &url, &target, scope) {
                        return Err(Verdict::Denied);
                    }
                    url = target;
                }
            }
        }
    }
}

fn is_same_server(from: &Url, to: &Url) -> bool {
    (from.host(), from.port_or_known_default()) == (to.host(), to.port_or_known_default())
}

/// Who may be reached by a redirect: an endpoint of one's own may be inside, but opens no way to
/// what else is there.
fn leads(from: &Url, to: &Url, scope: Scope) -> Scope {
    if is_same_server(from, to) { scope } else { Scope::Public }
}

fn follows(request: &Request, from: &Url, to: &Url, scope: Scope) -> bool {
    let same = is_same_server(from, to);
    let downgrade = from.scheme() == "https" && to.scheme() == "http" && scope == Scope::Public;
    is_allowed_url(to, scope) && !downgrade && (same || request.follow == Follow::Anywhere)
}

/// Host and port: with the credential, whom limits and breakers know.
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

/// Gives HTTP clients their cryptography. Whoever installed one before keeps it: any will do.
pub fn install_provider() {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

fn client(limits: &HttpLimits, scope: Scope) -> Result<Client, Error> {
    install_provider();
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
