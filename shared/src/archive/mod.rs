//! The archive seam: records and finished trees by path. Only put-if-absent is relied on,
//! so that of two writers one wins and the other knows.

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod store;

pub use store::Store;

/// Why an archive operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is empty, or has empty or dotted parts.
    #[error("{0:?} is no path in the archive")]
    Path(String),
    /// The archive's folder cannot be opened.
    #[error("open the archive {0:?}")]
    Open(String, #[source] Cause),
    /// A write failed; the object may or may not be there.
    #[error("create {0:?} in the archive")]
    Create(String, #[source] Cause),
    /// A read failed.
    #[error("read {0:?} from the archive")]
    Get(String, #[source] Cause),
    /// A listing failed.
    #[error("list {0:?} in the archive")]
    List(String, #[source] Cause),
}

/// What a back end says of a failure.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What became of a put-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The caller's object is there now.
    Created,
    /// Another one was there before, and still is.
    Exists,
}

/// An archive. Paths are parts with `/` between them; no object's path is the folder of
/// another's. No method is cancel safe in its effect: a cancelled write may have happened.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// Writes an object unless one is there: whole or not at all, and durable on return.
    async fn create(&self, path: &str, body: Bytes) -> Result<Put, Error>;

    /// An object; `None` where there is none.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error>;

    /// The paths of all objects in a folder and below, sorted; `""` for all. A folder is
    /// whole parts: `jobs/1` does not list `jobs/10`.
    async fn list(&self, folder: &str) -> Result<Vec<String>, Error>;
}
