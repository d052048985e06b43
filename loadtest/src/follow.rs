//! Follows a job by its events, as `kudzu watch` does: whoever listens is told, and nobody asks
//! again and again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::api::User;

/// Longer than the API lets a stream be silent.
const SILENCE: Duration = Duration::from_secs(40);
const AGAIN: Duration = Duration::from_millis(100);

/// Takes a stream of server-sent events apart.
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
    kind: String,
    data: String,
}

impl Events {
    /// The events that are whole with these octets: kind and data.
    fn take(&mut self, octets: &[u8]) -> Vec<(String, String)> {
        self.rest.extend_from_slice(octets);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
                if !event.1.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.kind),
                "data" => self.data.push_str(value),
                _ => {}
            }
        }
        events
    }
}

/// Whether a job will not change any more.
pub fn is_final(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("complete" | "partial" | "dead"))
}

impl User {
    /// Follows a job to its end; `seen` is told where it stands. Gives the job at its end.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub async fn follow(
        &self,
        id: &str,
        within: Duration,
        mut seen: impl FnMut(&Value),
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + within;
        for at in 0.. {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let call = self.call(Method::GET, at / 2, &format!("/v1/jobs/{id}/events"));
            let answer = call.timeout(left).send().await;
            if let Ok(answer) = answer
                && answer.status().is_success()
            {
                // One that ends before sends on to the coordinator that runs the job.
                match to_the_end(answer, &mut seen).await? {
                    Some(job) => return Ok(job),
                    None => continue,
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        bail!("job {id} has not ended after {} s", within.as_secs());
    }
}

/// Reads a stream until the job has ended; nothing where the stream ends before.
async fn to_the_end(mut answer: Response, seen: &mut impl FnMut(&Value)) -> anyhow::Result<Option<Value>> {
    let mut events = Events::default();
    loop {
        let Ok(Ok(Some(octets))) = tokio::time::timeout(SILENCE, answer.chunk()).await else {
            return Ok(None);
        };
        for (kind, data) in events.take(&octets) {
            let data: Value = serde_json::from_str(&data).with_context(|| format!("read {kind}"))?;
            match kind.as_str() {
                "progress" => seen(&data),
                "job" if is_final(&data) => return Ok(Some(data)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let stream = b": keep-alive\n\nid: 1:2\nevent: progress\ndata: {\"a\":\ndata: 1}\n\nevent:job\r\ndata:{}\r\n\r\n";
        for size in [1, 7, stream.len()] {
            let mut events = Events::default();
            let all: Vec<(String, String)> = stream.chunks(size).flat_map(|c| events.take(c)).collect();
            let want = [("progress", "{\"a\":1}"), ("job", "{}")].map(|(k, d)| (k.to_owned(), d.to_owned()));
            assert_eq!(all, want, "{size}");
        }
    }
}
