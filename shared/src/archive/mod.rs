//! The archive seam: records and finished trees by path. Only put-if-absent is relied on,
//! so that of two writers one wins and the other knows.

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod probe;
mod s3;
pub mod sealed;
mod store;

pub use probe::refuses_to_overwrite;
pub use s3::Bucket;
pub use store::Store;

/// Why an archive operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path is empty, or has empty or dotted parts.
    #[error("{0:?} is no path in the archive")]
    Path(String),
    /// The archive cannot be opened.
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
    /// A removal failed; the object may or may not be there.
    #[error("delete {0:?} from the archive")]
    Delete(String, #[source] Cause),
    /// An operation, named first, is not allowed, or the keys are wrong.
    #[error(
        "{0} {1:?}: the archive refuses access; check archive.access_key, archive.secret_key, and what they may do"
    )]
    Denied(&'static str, String, #[source] Cause),
    /// An operation, named first, found that the whole bucket is missing.
    #[error("{0} {1:?}: the archive's bucket does not exist; check archive.url and archive.endpoint")]
    NoBucket(&'static str, String, #[source] Cause),
    /// What was read is not what was written.
    #[error("{0:?} in the archive is damaged: {1}")]
    Damaged(String, String),
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
/// another's. A folder is whole parts, `jobs/1` is none of `jobs/10`, and `""` is the archive
/// itself; it is there while an object is below it. No method is cancel safe in its effect: a
/// cancelled write may have happened.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// Writes an object unless one is there: whole or not at all, and durable on return.
    ///
    /// Where the answer to a try was lost, an object that is the same byte for byte counts as
    /// the caller's own: writers that must know which of them won write different bodies.
    ///
    /// # Errors
    /// When that is not known in the end: the object may or may not be there.
    async fn create(&self, path: &str, body: Bytes) -> Result<Put, Error>;

    /// An object; `None` where there is none.
    ///
    /// # Errors
    /// When the archive cannot be asked, or refuses.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error>;

    /// The paths of all objects in a folder and below, sorted.
    ///
    /// # Errors
    /// When the archive cannot be asked, or refuses.
    async fn list(&self, folder: &str) -> Result<Vec<String>, Error>;

    /// The names of the folders directly in a folder, sorted.
    ///
    /// # Errors
    /// When the archive cannot be asked, or refuses.
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Error>;

    /// The paths of the objects directly in a folder, sorted, each with the time at which it
    /// was written, in milliseconds since 1970 by the clock of the archive.
    ///
    /// # Errors
    /// When the archive cannot be asked, or refuses.
    async fn ages(&self, folder: &str) -> Result<Vec<(String, i64)>, Error>;

    /// Removes an object, if it is there. Nothing relies on it to be correct: only retention
    /// and tidying up use it.
    ///
    /// # Errors
    /// When the archive cannot be asked, or refuses.
    async fn delete(&self, path: &str) -> Result<(), Error>;
}
