//! The archive on an object store: memory, a directory, later S3.

use std::path::Path as File;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};

use super::{Archive, Error, Put};

/// An archive on any object store that can create if absent. Clones share it.
#[derive(Debug, Clone)]
pub struct Store(Arc<dyn ObjectStore>);

impl Store {
    /// In memory.
    pub fn memory() -> Self {
        Self::on(Arc::new(InMemory::new()))
    }

    /// In a directory, which is made if absent; writes are on the disk when they return.
    ///
    /// # Errors
    /// When the directory cannot be made or opened.
    pub fn directory(folder: &File) -> Result<Self, Error> {
        let name = || folder.display().to_string();
        std::fs::create_dir_all(folder).map_err(|e| Error::Open(name(), e.into()))?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| Error::Open(name(), e.into()))?;
        Ok(Self::on(Arc::new(store.with_fsync(true))))
    }

    /// On a store that was set up elsewhere.
    pub fn on(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Archive for Store {
    async fn create(&self, path: &str, body: Bytes) -> Result<Put, Error> {
        let at = object(path)?;
        match self.0.put_opts(&at, body.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(e) => Err(Error::Create(path.to_owned(), e.into())),
        }
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let failed = |e: object_store::Error| Error::Get(path.to_owned(), e.into());
        match self.0.get(&object(path)?).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failed)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let at = if folder.is_empty() { None } else { Some(object(folder)?) };
        let found = self.0.list(at.as_ref()).map_ok(|meta| String::from(meta.location));
        let mut paths: Vec<_> =
            found.try_collect().await.map_err(|e| Error::List(folder.to_owned(), e.into()))?;
        paths.sort_unstable();
        Ok(paths)
    }
}

fn object(path: &str) -> Result<Path, Error> {
    let parsed = Path::parse(path).ok().filter(|p| !p.as_ref().is_empty() && p.as_ref() == path);
    parsed.ok_or_else(|| Error::Path(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::conformance;

    #[tokio::test]
    async fn memory_keeps_the_promises() {
        conformance::all(Arc::new(Store::memory())).await;
    }

    #[tokio::test]
    async fn a_directory_keeps_the_promises() {
        let folder = tempfile::tempdir().unwrap();
        conformance::all(Arc::new(Store::directory(&folder.path().join("new/archive")).unwrap())).await;
    }

    #[tokio::test]
    async fn a_directory_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::directory(folder.path()).unwrap();
        assert_eq!(first.create("jobs/a/end", Bytes::from_static(b"1")).await.unwrap(), Put::Created);
        drop(first);
        let second = Store::directory(folder.path()).unwrap();
        assert_eq!(second.create("jobs/a/end", Bytes::from_static(b"2")).await.unwrap(), Put::Exists);
        assert_eq!(second.get("jobs/a/end").await.unwrap().unwrap(), "1");
    }

    #[test]
    fn a_file_is_no_archive() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failed = Store::directory(file.path()).unwrap_err();
        assert!(matches!(failed, Error::Open(..)));
        let source = std::error::Error::source(&failed).unwrap().to_string();
        assert!(!failed.to_string().contains(&source));
    }
}
