//! The archive on an object store: memory, a directory, S3.

use std::fmt;
use std::path::Path as File;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ListResult, ObjectStore, ObjectStoreExt as _, PutMode};
use secrecy::SecretString;

use super::{Archive, Bucket, Cause, Error, Put, s3};
use crate::config::{self, Place};

/// An archive on any object store that can create if absent. Clones share it.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// The same over a network that loses answers, without retries: a second try has to be
    /// known as one.
    once: Option<Arc<dyn ObjectStore>>,
}

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
        // A folder is there while an object is below it, as in S3.
        Ok(Self::on(Arc::new(store.with_fsync(true).with_automatic_cleanup(true))))
    }

    /// In S3, or what speaks like it. The server has to know `If-None-Match: *` on a PUT. Its
    /// answers are waited for 10 s, and a second more for each megabyte sent; all tries
    /// together take 30 s at most. No proxy of the environment is used. Nothing is asked yet.
    ///
    /// # Errors
    /// When the settings do not fit together, or there is no HTTP client.
    pub fn s3(bucket: &Bucket) -> Result<Self, Error> {
        let [objects, once] = s3::open(bucket, &s3::PATIENCE, &config::Process)?;
        Ok(Self { objects, once: Some(once) })
    }

    /// Where the settings say.
    ///
    /// # Errors
    /// When they do not fit together, or the archive cannot be opened.
    pub fn from_url(settings: &config::Archive) -> Result<Self, Error> {
        // The URL itself may hold what should not be shown.
        let place = settings.place().map_err(|e| Error::Open("archive.url".into(), e.into()))?;
        match place {
            Place::Memory => Ok(Self::memory()),
            Place::Folder(folder) => Self::directory(&folder),
            Place::Bucket { name, prefix } => {
                let secret = settings.secret_key.as_ref().map(|s| SecretString::from(s.expose()));
                Self::s3(&Bucket {
                    name,
                    prefix,
                    region: settings.region.clone(),
                    endpoint: settings.endpoint.clone(),
                    allow_http: settings.allow_http,
                    keys: settings.access_key.clone().zip(secret),
                })
            }
        }
    }

    /// On a store that was set up elsewhere.
    pub fn on(store: Arc<dyn ObjectStore>) -> Self {
        Self { objects: store, once: None }
    }

    async fn children(&self, folder: &str) -> Result<ListResult, Error> {
        let at = within(folder)?;
        let found = self.objects.list_with_delimiter(at.as_ref()).await;
        found.map_err(|e| failure("list", Error::List, folder, e))
    }
}

impl fmt::Debug for Store {
    /// By its name: what a client holds includes keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.objects)
    }
}

#[async_trait]
impl Archive for Store {
    async fn create(&self, path: &str, body: Bytes) -> Result<Put, Error> {
        let at = object(path)?;
        let put = match &self.once {
            Some(once) => s3::create(&**once, &*self.objects, &at, body).await,
            None => match self.objects.put_opts(&at, body.into(), PutMode::Create.into()).await {
                Ok(_) => Ok(Put::Created),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Exists),
                Err(e) => Err(e),
            },
        };
        put.map_err(|e| failure("create", Error::Create, path, e))
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let found = read(&*self.objects, &object(path)?).await;
        found.map_err(|e| failure("read", Error::Get, path, e))
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let at = within(folder)?;
        let found = self.objects.list(at.as_ref()).map_ok(|meta| String::from(meta.location));
        let mut paths: Vec<_> =
            found.try_collect().await.map_err(|e| failure("list", Error::List, folder, e))?;
        paths.sort_unstable();
        Ok(paths)
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, Error> {
        let found = self.children(folder).await?.common_prefixes;
        let mut names: Vec<_> = found.iter().filter_map(|p| p.filename().map(str::to_owned)).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn ages(&self, folder: &str) -> Result<Vec<(String, i64)>, Error> {
        let found = self.children(folder).await?.objects.into_iter();
        let mut ages: Vec<_> =
            found.map(|meta| (meta.location.into(), meta.last_modified.timestamp_millis())).collect();
        ages.sort_unstable();
        Ok(ages)
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        match self.objects.delete(&object(path)?).await {
            Err(e) if !is_absence(&e) => Err(failure("delete", Error::Delete, path, e)),
            _ => Ok(()),
        }
    }
}

/// An object; `None` where there is none.
pub(super) async fn read(objects: &dyn ObjectStore, at: &Path) -> object_store::Result<Option<Bytes>> {
    match objects.get(at).await {
        Ok(found) => found.bytes().await.map(Some),
        Err(e) if is_absence(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether there is no such object. S3 says 404 as well where there is no such bucket: that
/// must never be read as an empty archive.
fn is_absence(e: &object_store::Error) -> bool {
    matches!(e, object_store::Error::NotFound { .. }) && !is_no_bucket(e)
}

fn is_no_bucket(e: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(e, E::NotFound { .. } | E::Generic { .. }) && e.to_string().contains("NoSuchBucket")
}

fn is_refusal(e: &object_store::Error) -> bool {
    use object_store::Error as E;
    // A listing that fails has no kind; the text of the status is what there is.
    let status = |e: &E| ["401", "403"].iter().any(|s| e.to_string().contains(&format!("status code: {s}")));
    matches!(e, E::PermissionDenied { .. } | E::Unauthenticated { .. })
        || matches!(e, E::Generic { .. }) && status(e)
}

fn failure(
    doing: &'static str,
    other: fn(String, Cause) -> Error,
    path: &str,
    e: object_store::Error,
) -> Error {
    let path = path.to_owned();
    if is_refusal(&e) {
        return Error::Denied(doing, path, e.into());
    }
    if is_no_bucket(&e) { Error::NoBucket(doing, path, e.into()) } else { other(path, e.into()) }
}

fn object(path: &str) -> Result<Path, Error> {
    let parsed = Path::parse(path).ok().filter(|p| !p.as_ref().is_empty() && p.as_ref() == path);
    parsed.ok_or_else(|| Error::Path(path.to_owned()))
}

fn within(folder: &str) -> Result<Option<Path>, Error> {
    if folder.is_empty() { Ok(None) } else { object(folder).map(Some) }
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
        let url = format!("file://{}", folder.path().display());
        let second = Store::from_url(&config::Archive { url, ..config::Archive::default() }).unwrap();
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

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let archive = |url: &str| config::Archive { url: url.into(), ..config::Archive::default() };
        assert!(Store::from_url(&archive("memory:")).is_ok());
        assert!(matches!(Store::from_url(&archive("ftp://x")), Err(Error::Open(..))));
        let plain = config::Archive { endpoint: Some("http://s3.example".into()), ..archive("s3://b") };
        assert!(matches!(Store::from_url(&plain), Err(Error::Open(..))));
    }
}
