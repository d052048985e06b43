//! The sections about what the processes of a cluster share.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::Secret;

/// Where the records of jobs and finished trees are kept.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Archive {
    /// `memory:`, `file:///absolute/folder`, or `s3://bucket[/prefix]`.
    pub url: String,
    /// An S3 server that is not Amazon's.
    pub endpoint: Option<String>,
    /// Whether that one may be asked without encryption.
    pub allow_http: bool,
    /// The bucket's region.
    pub region: String,
    /// The key's name; `None` for what the environment has.
    pub access_key: Option<String>,
    /// Its secret.
    pub secret_key: Option<Secret>,
    /// Days for which a finished job is kept; 0 for ever.
    pub retention_days: u32,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            url: "memory:".into(),
            endpoint: None,
            allow_http: false,
            region: "us-east-1".into(),
            access_key: None,
            secret_key: None,
            retention_days: 30,
        }
    }
}

/// What the URL of an archive names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This process.
    Memory,
    /// A folder.
    Folder(PathBuf),
    /// A bucket of S3, or a folder in it.
    Bucket {
        /// Its name.
        name: String,
        /// The folder; empty for all of it.
        prefix: String,
    },
}

/// Why the URL of an archive names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// No scheme, or another one. What stands for it may be a part of a secret.
    #[error("is no place for an archive: write memory:, file:///folder or s3://bucket/prefix")]
    Scheme,
    /// Something after `memory:`.
    #[error("memory has no parts: write memory:")]
    Memory,
    /// A path that is relative, or none.
    #[error("is no absolute path: write file:///folder, with three slashes")]
    Relative,
    /// No name of a bucket.
    #[error("names no bucket: write s3://bucket or s3://bucket/prefix")]
    NoBucket,
    /// A name that no bucket has, or keys before it.
    #[error(
        "is no name of a bucket: use letters, digits, - . and _; keys are set by access_key and secret_key"
    )]
    Bucket,
    /// A folder in the bucket with empty or dotted parts, or with a query.
    #[error("has an unusable folder after the bucket: write s3://bucket/one/two")]
    Prefix,
}

impl Archive {
    /// What the URL names.
    ///
    /// # Errors
    /// When it names nothing that an archive can be in.
    pub fn place(&self) -> Result<Place, PlaceError> {
        let (scheme, rest) = self.url.split_once(':').ok_or(PlaceError::Scheme)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Place::Memory),
            "memory" => Err(PlaceError::Memory),
            "file" => folder(&self.url).map(Place::Folder).ok_or(PlaceError::Relative),
            "s3" => bucket(rest.strip_prefix("//").ok_or(PlaceError::NoBucket)?),
            _ => Err(PlaceError::Scheme),
        }
    }

    /// How long a finished job is kept; `None` for ever.
    pub fn retention(&self) -> Option<Duration> {
        let days = u64::from(self.retention_days);
        (days > 0).then(|| Duration::from_secs(days * 24 * 60 * 60))
    }
}

/// The URL parser would make a relative path absolute.
fn folder(url: &str) -> Option<PathBuf> {
    let is_absolute = url.starts_with("file:///") && url.len() > "file:///".len();
    is_absolute.then(|| url::Url::parse(url).ok()?.to_file_path().ok()).flatten()
}

fn bucket(rest: &str) -> Result<Place, PlaceError> {
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(plain);
    if name.is_empty() {
        return Err(PlaceError::NoBucket);
    }
    if !is_part(name) {
        return Err(PlaceError::Bucket);
    }
    if !prefix.is_empty() && !prefix.split('/').all(is_part) {
        return Err(PlaceError::Prefix);
    }
    Ok(Place::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, PlaceError> {
        Archive { url: url.into(), ..Archive::default() }.place()
    }

    #[test]
    fn places_are_read() {
        let bucket =
            |name: &str, prefix: &str| Ok(Place::Bucket { name: name.into(), prefix: prefix.into() });
        assert_eq!(place("memory:"), Ok(Place::Memory));
        assert_eq!(place("file:///var/lib/a%20b"), Ok(Place::Folder("/var/lib/a b".into())));
        assert_eq!(place("s3://b"), bucket("b", ""));
        assert_eq!(place("s3://b/"), bucket("b", ""));
        assert_eq!(place("s3://b.c/d/e/"), bucket("b.c", "d/e"));
        assert_eq!(place("memory:x"), Err(PlaceError::Memory));
        for url in ["", "archive", "/var/lib", "http://b/c", "gs://b"] {
            assert_eq!(place(url), Err(PlaceError::Scheme), "{url}");
        }
        for url in ["file:var", "file:/var", "file://host/var", "file:///", "file://"] {
            assert_eq!(place(url), Err(PlaceError::Relative), "{url}");
        }
        for url in ["s3:", "s3:b", "s3://", "s3:///a"] {
            assert_eq!(place(url), Err(PlaceError::NoBucket), "{url}");
        }
        for url in ["s3://k:s@b", "s3://b?x=1", "s3://.."] {
            assert_eq!(place(url), Err(PlaceError::Bucket), "{url}");
        }
        for url in ["s3://b//a", "s3://b/../a", "s3://b/a?x", "s3://b/a//"] {
            assert_eq!(place(url), Err(PlaceError::Prefix), "{url}");
        }
    }

    #[test]
    fn retention_may_be_for_ever() {
        assert_eq!(Archive::default().retention(), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(Archive { retention_days: 0, ..Archive::default() }.retention(), None);
    }
}
