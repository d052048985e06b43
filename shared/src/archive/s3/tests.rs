//! Answers that are lost or never come, on stores and servers made for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use tokio::net::TcpListener;

use super::*;
use crate::archive::Store;

/// What becomes of a put.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It fails.
    Fails,
    /// It is done, and the answer is lost.
    Lost,
    /// It comes to nothing for something that goes on at the same path.
    Conflict,
}

/// A store with a fate for each of its first puts.
#[derive(Debug)]
struct Flaky {
    store: Arc<InMemory>,
    fates: Mutex<Vec<Fate>>,
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flaky")
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let fate = crate::task::lock(&self.fates).pop();
        if matches!(fate, Some(Fate::Lost) | None) {
            let put = self.store.put_opts(at, payload, options).await;
            if fate.is_none() {
                return put.map_err(|e| match e {
                    object_store::Error::AlreadyExists { path, source } => {
                        let source = object_store::Error::Precondition { path: path.clone(), source };
                        object_store::Error::AlreadyExists { path, source: source.into() }
                    }
                    e => e,
                });
            }
        }
        let (path, source) = (at.to_string(), "conflict".into());
        match fate {
            Some(Fate::Conflict) => Err(object_store::Error::AlreadyExists { path, source }),
            _ => Err(object_store::Error::Generic { store: "Flaky", source: "no answer".into() }),
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.store.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.store.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

/// Creates "mine" where `there` may be already, by puts with these fates.
async fn put(there: Option<&'static str>, fates: &[Fate]) -> (object_store::Result<Put>, Option<Bytes>) {
    let (store, at) = (Arc::new(InMemory::new()), Path::from("a"));
    if let Some(there) = there {
        store.put_opts(&at, there.into(), PutMode::Create.into()).await.unwrap();
    }
    let fates = Mutex::new(fates.iter().rev().copied().collect());
    let once = Flaky { store: Arc::clone(&store), fates };
    let put = create(&once, &*store, &at, Bytes::from_static(b"mine")).await;
    (put, store::read(&*store, &at).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_writer_whose_answer_was_lost_knows_what_it_wrote() {
    use Fate::{Conflict, Fails, Lost};
    let mine = Some(Bytes::from_static(b"mine"));
    for fates in [&[][..], &[Lost], &[Fails, Lost, Fails], &[Conflict], &[Conflict, Conflict, Lost]] {
        let (put, there) = put(None, fates).await;
        assert_eq!((put.unwrap(), there), (Put::Created, mine.clone()), "{fates:?}");
    }
    let theirs = Some(Bytes::from_static(b"theirs"));
    for fates in [&[][..], &[Fails], &[Lost, Lost], &[Conflict]] {
        let (put, there) = put(Some("theirs"), fates).await;
        assert_eq!((put.unwrap(), there), (Put::Exists, theirs.clone()), "{fates:?}");
    }
    // Another's that is the same, and no answer lost.
    assert_eq!(put(Some("mine"), &[]).await.0.unwrap(), Put::Exists);
    assert_eq!(put(Some("mine"), &[Conflict]).await.0.unwrap(), Put::Exists);
    assert!(put(None, &[Fails; 4]).await.0.is_err());
    assert!(put(None, &[Conflict; 4]).await.0.is_err());
}

fn bucket(endpoint: String) -> Bucket {
    Bucket {
        name: "b".into(),
        prefix: String::new(),
        region: "us-east-1".into(),
        endpoint: Some(endpoint),
        allow_http: true,
        keys: Some(("key".into(), "secret".into())),
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_an_error() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let short = Duration::from_millis(100);
    let patience = Patience { connect: short, answer: short, tries: short };
    let [objects, once] = open(&bucket(endpoint), &patience, &HashMap::new()).unwrap();
    let begin = Instant::now();
    assert!(store::read(&*objects, &Path::from("a")).await.is_err());
    let empty = create(&*once, &*objects, &Path::from("a"), Bytes::new()).await;
    let full = create(&*once, &*objects, &Path::from("a"), Bytes::from_static(b"mine")).await;
    assert!(empty.is_err() && full.is_err());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn keys_may_come_from_the_environment() {
    let environment = |vars: &[(&str, &str)]| {
        let vars: HashMap<String, String> =
            vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let bucket = Bucket { keys: None, ..bucket("http://127.0.0.1:1".into()) };
        open(&bucket, &PATIENCE, &vars)
    };
    let keys = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_BUCKET", "other")];
    let [store, _] = environment(&keys).unwrap();
    assert_eq!(store.to_string(), "AmazonS3(b)");
    assert!(!format!("{store:?}").contains("hidden"));
    assert!(environment(&[]).is_ok());
    assert!(matches!(environment(&keys[..1]), Err(Error::Open(..))));
}

#[test]
fn a_store_shows_its_name_alone() {
    let store = Store::s3(&bucket("http://127.0.0.1:1".into())).unwrap();
    assert_eq!(format!("{store:?}"), "Store(AmazonS3(b))");
    let plain = Bucket { allow_http: false, ..bucket("http://127.0.0.1:1".into()) };
    assert!(matches!(Store::s3(&plain), Err(Error::Open(..))));
}
