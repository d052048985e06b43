//! The cluster as its users see it: over the API of whichever coordinator answers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::cluster::{client, token};

/// How long somebody who answers is looked for.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(100);

/// A user of one tenant.
#[derive(Debug, Clone)]
pub struct User {
    http: Client,
    urls: Vec<String>,
    token: String,
}

/// A job as its user sees it at its end.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// `complete`, `partial` or `dead`.
    pub state: String,
    /// SHA-256 of the tree.
    pub sha256: Option<String>,
    /// The whole answer.
    pub job: Value,
}

impl Ended {
    /// Whether every lookup has ended, and nothing waits (I1).
    pub fn conserves(&self) -> bool {
        conserves(&self.job)
    }

    /// A figure of the run.
    pub fn figure(&self, name: &str) -> u64 {
        self.job["result"]["figures"][name].as_u64().unwrap_or(0)
    }
}

/// Whether every lookup of a job has ended, and nothing waits (I1).
pub fn conserves(job: &Value) -> bool {
    let count = |name: &str| job["progress"][name].as_u64();
    count("registered").is_some()
        && count("registered") == count("ended")
        && (count("waiting"), count("in_flight")) == (Some(0), Some(0))
}

impl User {
    /// Of a tenant.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn new(urls: Vec<String>, tenant: usize) -> anyhow::Result<Self> {
        Ok(Self { http: client()?, urls, token: token(tenant) })
    }

    /// Whoever has this token.
    ///
    /// # Errors
    /// When the client cannot be set up.
    pub fn with_token(urls: Vec<String>, token: String) -> anyhow::Result<Self> {
        Ok(Self { http: client()?, urls, token })
    }

    /// Another tenant, who asks the coordinators from this one on, by the same connections.
    pub fn other(&self, tenant: usize, first: usize) -> Self {
        let mut urls = self.urls.clone();
        urls.rotate_left(first % self.urls.len().max(1));
        Self { http: self.http.clone(), urls, token: token(tenant) }
    }

    /// Whether each coordinator answers, and knows whose token it is.
    ///
    /// # Errors
    /// When one does not.
    pub async fn is_known(&self) -> anyhow::Result<()> {
        for (at, url) in self.urls.iter().enumerate() {
            let call = self.call(Method::GET, at, "/v1/jobs?limit=1");
            let answer = call.send().await.with_context(|| format!("{url} does not answer"))?;
            let status = answer.status();
            if !status.is_success() {
                let text = answer.text().await.unwrap_or_default();
                bail!("{url} refuses: {status} {text:.400}");
            }
            if body(answer).await.is_err() {
                bail!("{url} is no coordinator: it lists no jobs");
            }
        }
        Ok(())
    }

    /// A request to one of the coordinators.
    pub fn call(&self, method: Method, at: usize, path: &str) -> RequestBuilder {
        let url = &self.urls[at % self.urls.len()];
        self.http.request(method, format!("{url}{path}")).bearer_auth(&self.token)
    }

    /// Asks one after another until one answers.
    ///
    /// # Errors
    /// When none does in time, or the request is refused.
    pub async fn ask(&self, call: impl Fn(usize) -> RequestBuilder) -> anyhow::Result<Value> {
        let until = Instant::now() + PATIENCE;
        for at in 0.. {
            match call(at).send().await {
                Ok(response) if response.status().is_success() => return body(response).await,
                Ok(response) if response.status() != StatusCode::SERVICE_UNAVAILABLE => {
                    bail!("refused: {} {}", response.status(), response.text().await.unwrap_or_default());
                }
                Ok(_) | Err(_) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
                Ok(response) => bail!("not now: {}", response.text().await.unwrap_or_default()),
                Err(error) => return Err(error).context("nobody answers"),
            }
        }
        bail!("nobody answers")
    }

    /// The request that submits a job under a key.
    pub fn posts(&self, at: usize, request: &Value, key: &str) -> RequestBuilder {
        let call = self.call(Method::POST, at, "/v1/jobs").header("idempotency-key", key);
        call.header("content-type", "application/json").body(request.to_string())
    }

    /// Submits a job under a key; gives its id.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn submit(&self, request: &Value, key: &str) -> anyhow::Result<String> {
        let job = self.ask(|at| self.posts(at, request, key)).await.context("submit")?;
        Ok(job["id"].as_str().context("it has no id")?.to_owned())
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// When nobody tells.
    pub async fn job(&self, id: &str) -> anyhow::Result<Value> {
        self.ask(|at| self.call(Method::GET, at, &format!("/v1/jobs/{id}"))).await
    }

    /// The canonical tree of a job.
    ///
    /// # Errors
    /// When nobody gives it.
    pub async fn tree(&self, id: &str) -> anyhow::Result<String> {
        let call = self.call(Method::GET, 0, &format!("/v1/jobs/{id}/tree")).timeout(PATIENCE);
        Ok(call.send().await.context("fetch the tree")?.text().await?)
    }

    /// Waits for the end of a job.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub async fn end(&self, id: &str, within: Duration) -> anyhow::Result<Ended> {
        let until = Instant::now() + within;
        loop {
            // While nobody can tell, it has not ended as far as one knows.
            if let Ok(job) = self.job(id).await {
                let state = job["state"].as_str().unwrap_or_default().to_owned();
                if ["complete", "partial", "dead"].contains(&state.as_str()) {
                    let sha256 = job["result"]["sha256"].as_str().map(str::to_owned);
                    return Ok(Ended { id: id.to_owned(), state, sha256, job });
                }
                if Instant::now() >= until {
                    bail!("job {id} has not ended: {job}");
                }
            } else if Instant::now() >= until {
                bail!("job {id} has not ended, and nobody tells");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn body(response: Response) -> anyhow::Result<Value> {
    let bytes = response.bytes().await.context("read the answer")?;
    serde_json::from_slice(&bytes).context("read the answer")
}

/// A pivot in the simulated internet.
pub fn pivot(seeds: &[String], at: &str, salt: u64) -> Value {
    json!({
        "seeds": seeds, "at": at, "allow_private": true, "salt": salt,
        "budgets": { "deadline_ms": 3_600_000 },
    })
}
