//! Whether an archive keeps the one promise that everything relies on.

use bytes::Bytes;
use uuid::Uuid;

use super::{Archive, Error, Put};

/// Tries whether the second writer of a path is told, and the first one's object stays: there
/// are S3 servers that overwrite, whatever `If-None-Match: *` (RFC 9110, section 13.1.2) says.
/// Leaves nothing behind where it may delete.
///
/// # Errors
/// When the archive cannot be asked, or refuses.
pub async fn refuses_to_overwrite(archive: &dyn Archive) -> Result<bool, Error> {
    let path = format!("probe/{}", Uuid::now_v7());
    let first = archive.create(&path, Bytes::from_static(b"first")).await?;
    let second = archive.create(&path, Bytes::from_static(b"second")).await?;
    let kept = archive.get(&path).await?;
    // Nothing else relies on this, and it may not be allowed.
    if let Err(error) = archive.delete(&path).await {
        tracing::debug!(%error, "what the probe has written stays");
    }
    Ok((first, second) == (Put::Created, Put::Exists) && kept.as_deref() == Some(b"first"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::archive::Store;

    /// As a server does that does not know the condition.
    #[derive(Default)]
    struct Overwrites(Mutex<BTreeMap<String, Bytes>>);

    #[async_trait]
    impl Archive for Overwrites {
        async fn create(&self, path: &str, body: Bytes) -> Result<Put, Error> {
            self.0.lock().unwrap().insert(path.to_owned(), body);
            Ok(Put::Created)
        }

        async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
            Ok(self.0.lock().unwrap().get(path).cloned())
        }

        async fn list(&self, _: &str) -> Result<Vec<String>, Error> {
            Ok(self.0.lock().unwrap().keys().cloned().collect())
        }

        async fn folders(&self, _: &str) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }

        async fn ages(&self, _: &str) -> Result<Vec<(String, i64)>, Error> {
            Ok(Vec::new())
        }

        async fn delete(&self, path: &str) -> Result<(), Error> {
            self.0.lock().unwrap().remove(path);
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_overwrites_is_found_out() {
        let (good, bad) = (Store::memory(), Overwrites::default());
        assert!(refuses_to_overwrite(&good).await.unwrap());
        assert!(!refuses_to_overwrite(&bad).await.unwrap());
        assert!(good.list("").await.unwrap().is_empty() && bad.list("").await.unwrap().is_empty());
    }
}
