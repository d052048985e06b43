//! Requests that another coordinator must answer: the one that runs the job.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use kudzu_shared::job::JobId;

use super::Api;
use super::problem::Problem;
use super::results::passed_on;
use super::views::Job;
use crate::cluster::peers::{PATIENCE, Peers};

/// Says that a request was passed on already.
pub(super) const FORWARDED: &str = "kudzu-forwarded";
/// Says that a request comes from a coordinator of the same cluster.
pub(super) const SECRET: &str = "kudzu-cluster";

/// How long a connection to another coordinator may take.
const CONNECT: Duration = Duration::from_secs(1);

impl Api {
    /// What the coordinator that runs a job answers; nothing where no other one runs it.
    pub(super) async fn ask_its_owner(
        &self,
        id: JobId,
        job: &Job,
        rest: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Response>, Problem> {
        let runs = job.epoch.is_some() && !job.state.is_final();
        if runs && self.cluster.board().get(id).is_none() {
            return self.forward(id, rest, headers).await;
        }
        Ok(None)
    }

    /// Passes a request on to the job's owner; nothing where that has no address.
    async fn forward(&self, id: JobId, rest: &str, headers: &HeaderMap) -> Result<Option<Response>, Problem> {
        let recovering = || {
            Problem::unavailable(
                "recovering",
                "its coordinator cannot be reached; another one takes it over",
                2,
            )
        };
        if headers.contains_key(FORWARDED) {
            return Err(recovering());
        }
        let shelf = self.cluster.shelf();
        // Whatever is lost of it: the sweep goes by this note.
        if let Some(record) = shelf.record(id).await? {
            shelf.open(id, &record).await?;
        }
        let epoch = shelf.last_epoch(id).await?;
        let claim = shelf.claimed(id, epoch).await?;
        let Some(address) = claim.and_then(|c| c.address) else { return Ok(None) };
        if Some(&address) == self.cluster.options().address.as_ref() {
            // It was here, and is on its way to somebody else.
            return Err(recovering());
        }
        let url = format!("{}/v1/jobs/{id}{rest}", address.trim_end_matches('/'));
        let mut request = self.http.get(url).header(FORWARDED, "1");
        for name in [header::AUTHORIZATION, header::HeaderName::from_static("last-event-id")] {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        match tokio::time::timeout(PATIENCE, request.send()).await {
            Ok(Ok(response)) => Ok(Some(passed_on(response))),
            Ok(Err(_)) | Err(_) => Err(recovering()),
        }
    }
}

/// A client for other coordinators.
///
/// # Errors
/// When its TLS cannot be set up.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// Other coordinators, asked over HTTP.
#[derive(Debug, Clone)]
pub struct HttpPeers {
    /// Who asks.
    pub http: reqwest::Client,
    /// What a cluster's coordinators know each other by.
    pub secret: String,
}

#[async_trait]
impl Peers for HttpPeers {
    async fn runs(&self, address: &str, job: JobId) -> bool {
        let url = format!("{}/cluster/jobs/{job}", address.trim_end_matches('/'));
        let request = self.http.get(url).header(SECRET, &self.secret).timeout(PATIENCE).send();
        matches!(request.await, Ok(response) if response.status().is_success())
    }
}
