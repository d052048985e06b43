//! A coordinator as the commands ask it: its API, patiently where it is down for a moment.

use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use kudzu_coordinator::api::request::Request;
use kudzu_coordinator::api::views::{Job, Jobs};
use kudzu_coordinator::model::Progress;
use kudzu_shared::config::Client;
use reqwest::header::HeaderValue;
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::console::tell;
use crate::exit::Failure;

/// How long a coordinator that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before the next try.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a coordinator may say nothing of a job that it follows.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// Octets of an event; a longer one is none.
const EVENT: usize = 1 << 20;

/// A coordinator's API.
#[derive(Debug, Clone)]
pub struct Remote {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// What a problem document says (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<Wrong>,
}

/// One thing that is wrong with a request.
#[derive(Deserialize)]
struct Wrong {
    pointer: String,
    detail: String,
}

/// Something that happened to a job.
#[derive(Debug)]
pub enum Event {
    /// It stands here.
    Progress(Box<Progress>),
    /// It is in this state.
    Job(Box<Job>),
}

impl Remote {
    /// As the settings name it.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn new(client: &Client) -> Result<Self, Failure> {
        kudzu_worker::http::install_provider();
        let http = reqwest::Client::builder().connect_timeout(CONNECT).build();
        let http = http.context("set up the client")?;
        let url = client.url.trim_end_matches('/').to_owned();
        let token = client.token.as_ref().map(|t| t.expose());
        if token.is_some_and(|t| HeaderValue::from_str(t).is_err()) {
            return Err(Failure::usage(
                "client.token (KUDZU_CLIENT__TOKEN) has characters that no token has: is there a line break in it?",
            ));
        }
        Ok(Self { http, url, token: client.token.as_ref().map(|t| t.expose().to_owned()) })
    }

    /// Submits a job. The key makes it one job, however often it is sent.
    ///
    /// # Errors
    /// When it is refused, or the coordinator stays away.
    pub async fn submit(&self, request: &Request, key: &str) -> Result<Job, Failure> {
        let body = serde_json::to_vec(request).context("write the request")?;
        let answer = self
            .patient(|| {
                self.call(Method::POST, "/v1/jobs")
                    .header("idempotency-key", key)
                    .header("content-type", "application/json")
                    .body(body.clone())
            })
            .await?;
        read(answer).await
    }

    /// A job.
    ///
    /// # Errors
    /// When there is none, or the coordinator stays away.
    pub async fn job(&self, id: &str) -> Result<Job, Failure> {
        read(self.get(&path(id, "")?).await?).await
    }

    /// Jobs, the newest first, and how many there are in all.
    ///
    /// # Errors
    /// When the coordinator stays away.
    pub async fn jobs(&self, most: usize) -> Result<Jobs, Failure> {
        let mut all = Jobs { jobs: Vec::new(), total: 0, next: None };
        loop {
            let limit = (most - all.jobs.len()).min(500);
            let cursor = all.next.take().map(|c| format!("&cursor={c}")).unwrap_or_default();
            let page: Jobs = read(self.get(&format!("/v1/jobs?limit={limit}{cursor}")).await?).await?;
            all.total = page.total;
            all.jobs.extend(page.jobs);
            all.next = page.next;
            if all.next.is_none() || all.jobs.len() >= most {
                return Ok(all);
            }
        }
    }

    /// Cancels or replays a job.
    ///
    /// # Errors
    /// When there is none, or the coordinator stays away.
    pub async fn act(&self, id: &str, what: &str) -> Result<Job, Failure> {
        let path = path(id, what)?;
        read(self.patient(|| self.call(Method::POST, &path)).await?).await
    }

    /// A part of a job's result.
    ///
    /// # Errors
    /// When there is none, or the coordinator stays away.
    pub async fn part<T: DeserializeOwned>(&self, id: &str, what: &str) -> Result<T, Failure> {
        read(self.get(&path(id, what)?).await?).await
    }

    /// The canonical tree of a job, as it comes.
    ///
    /// # Errors
    /// When there is none, or the coordinator stays away.
    pub async fn tree(&self, id: &str) -> Result<Response, Failure> {
        self.get(&path(id, "/tree")?).await
    }

    /// Follows a job until it has ended, whichever coordinators come and go meanwhile.
    ///
    /// # Errors
    /// When there is none, or no coordinator comes back.
    pub async fn follow(&self, id: &str, mut each: impl FnMut(Event)) -> Result<Job, Failure> {
        let path = path(id, "/events")?;
        let mut last: Option<String> = None;
        loop {
            let call = || {
                let call = self.call(Method::GET, &path);
                last.as_ref()
                    .map_or_else(|| self.call(Method::GET, &path), |l| call.header("last-event-id", l))
            };
            let response = self.patient(call).await?;
            let mut lines = Lines { stream: response.bytes_stream().boxed(), rest: Vec::new() };
            let (mut kind, mut data, mut heard) = (String::new(), String::new(), false);
            while let Some(line) = lines.next().await {
                if let Some(text) = line.strip_prefix("event:") {
                    text.trim().clone_into(&mut kind);
                } else if let Some(text) = line.strip_prefix("data:") {
                    data.push_str(text.trim_start());
                } else if let Some(text) = line.strip_prefix("id:") {
                    last = Some(text.trim().to_owned());
                } else if line.is_empty() && !kind.is_empty() {
                    heard = true;
                    match kind.as_str() {
                        "progress" => {
                            if let Ok(progress) = serde_json::from_str(&data) {
                                each(Event::Progress(Box::new(progress)));
                            }
                        }
                        "job" => {
                            let job: Job =
                                serde_json::from_str(&data).context("read what it says of the job")?;
                            if job.state.is_final() {
                                return Ok(job);
                            }
                            each(Event::Job(Box::new(job)));
                        }
                        _ => {}
                    }
                    kind.clear();
                    data.clear();
                }
            }
            // Whoever said something and ended sends on to the coordinator that runs it now.
            if !heard {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    async fn get(&self, path: &str) -> Result<Response, Failure> {
        self.patient(|| self.call(Method::GET, path)).await
    }

    fn call(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request again while nobody is there, or somebody says that it is for a moment.
    async fn patient(&self, call: impl Fn() -> reqwest::RequestBuilder) -> Result<Response, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            let (why, pause) = match call().send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if response.status() != StatusCode::SERVICE_UNAVAILABLE => {
                    return Err(refusal(response).await);
                }
                Ok(response) => {
                    let after =
                        response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
                    let pause = after.map_or(AGAIN, Duration::from_secs).min(Duration::from_secs(10));
                    (refusal(response).await, pause)
                }
                Err(error) if error.is_builder() => {
                    let error = anyhow::Error::new(error.without_url());
                    return Err(Failure::Usage(error.context("make the request")));
                }
                Err(error) => {
                    let error = anyhow::Error::new(error.without_url());
                    let url = &self.url;
                    (
                        Failure::Failed(error.context(format!("ask the coordinator at {url} (client.url)"))),
                        AGAIN,
                    )
                }
            };
            if Instant::now() + pause >= until {
                return Err(why);
            }
            if !told {
                told = true;
                tell(&format!("{}; trying again for up to {} s", why.text(), PATIENCE.as_secs()));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// A job's id stands in a path: whatever is no id stays out of it.
fn path(id: &str, rest: &str) -> Result<String, Failure> {
    let id: kudzu_shared::job::JobId = id
        .trim()
        .to_ascii_lowercase()
        .parse()
        .map_err(|e| Failure::usage(format!("{id}: {e}; see kudzu list")))?;
    Ok(format!("/v1/jobs/{id}{rest}"))
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let body = response.bytes().await.context("read the coordinator's answer")?;
    Ok(serde_json::from_slice(&body).context("read the coordinator's answer: is it another version?")?)
}

/// What the coordinator says of a request that it does not take.
async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_slice(&body).ok();
    let text = problem.and_then(|p| {
        let errors: Vec<String> = p.errors.iter().map(wrong).collect();
        Some(format!("{}: {}", p.title?, if errors.is_empty() { p.detail? } else { errors.join("; ") }))
    });
    let text = text.unwrap_or_else(|| format!("the coordinator answers {status}"));
    if status.is_client_error() { Failure::usage(text) } else { Failure::failed(text) }
}

/// What is wrong, by the option that says it.
fn wrong(wrong: &Wrong) -> String {
    let mut parts = wrong.pointer.split('/').skip(1);
    let field = match (parts.next(), parts.next()) {
        (Some("budgets"), Some(field)) => field,
        (field, _) => field.unwrap_or_default(),
    };
    match field {
        "" | "seeds" | "kind" => wrong.detail.clone(),
        "sources" => format!("--source: {}", wrong.detail),
        "no_sources" => format!("--no-source: {}", wrong.detail),
        "plan_text" => format!("--plan: {}", wrong.detail),
        field => format!("--{}: {}", field.replace('_', "-"), wrong.detail),
    }
}

/// Lines of a stream, one at a time.
struct Lines {
    stream: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    rest: Vec<u8>,
}

impl Lines {
    /// Nothing where the stream has ended, broke, or says nothing for too long.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.rest.len() > EVENT {
                return None;
            }
            let more = tokio::time::timeout(SILENCE, self.stream.next()).await.ok()??.ok()?;
            self.rest.extend_from_slice(&more);
        }
    }
}
