//! Other coordinators, over HTTP, by the address that stands with a take-over.

use std::time::Duration;

use async_trait::async_trait;
use kudzu_shared::job::JobId;

/// How long another coordinator may take to say whether it runs a job.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Asks other coordinators.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Whether the coordinator at this address runs the job; one that does not answer does not.
    async fn runs(&self, address: &str, job: JobId) -> bool;
}

/// There is no other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

#[async_trait]
impl Peers for Alone {
    async fn runs(&self, _: &str, _: JobId) -> bool {
        false
    }
}
