//! The events of a job, as its followers have them: asking again and again where it is would
//! have the coordinator read its record each time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::Value;

use crate::api::User;

/// Follows a job to its end; gives when that was, and the job.
///
/// # Errors
/// When it does not end within the time.
pub async fn end(user: &User, id: &str, within: Duration) -> anyhow::Result<(Instant, Value)> {
    let until = Instant::now() + within;
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        let call = user.call(Method::GET, 0, &format!("/v1/jobs/{id}/events")).timeout(left);
        let answer = call.send().await.context("follow the job")?.error_for_status()?;
        let (mut stream, mut reader) = (answer.bytes_stream(), Reader::default());
        while let Some(Ok(bytes)) = stream.next().await {
            let now = Instant::now();
            for data in reader.jobs(&bytes) {
                let job: Value = serde_json::from_str(&data).context("read an event")?;
                let state = job["state"].as_str().unwrap_or_default();
                if ["complete", "partial", "dead"].contains(&state) {
                    return Ok((now, job));
                }
            }
        }
    }
    bail!("job {id} has not ended after {} s", within.as_secs())
}

/// Reads a stream of server-sent events, in pieces as they come.
#[derive(Debug, Default)]
struct Reader {
    rest: Vec<u8>,
    is_job: bool,
}

impl Reader {
    /// The data of the `job` events that end in this piece.
    fn jobs(&mut self, piece: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(piece);
        let mut found = Vec::new();
        while let Some(at) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=at).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(':') {
                Some(("event", kind)) => self.is_job = kind.trim() == "job",
                Some(("data", data)) if self.is_job => found.push(data.trim().to_owned()),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_told_from_progress_wherever_the_pieces_end() {
        let text =
            "event: progress\nid: 1:0\ndata: {}\n\n: alive\n\nevent: job\ndata: {\"state\":\"a:b\"}\n\n";
        for size in [1, 7, 1_000] {
            let mut reader = Reader::default();
            let jobs: Vec<String> = text.as_bytes().chunks(size).flat_map(|p| reader.jobs(p)).collect();
            assert_eq!(jobs, ["{\"state\":\"a:b\"}"], "{size}");
        }
    }
}
