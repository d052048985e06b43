//! The archive on a real S3 server: what every back end promises, and what it says when the
//! server, the keys or the bucket are not as they should be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kudzu_servers::S3 as Server;
use kudzu_shared::archive::{Archive as _, Error, Put, Store, conformance, sealed};
use kudzu_shared::config::{Archive as Settings, Secret};

fn settings(server: &Server, place: &str) -> Settings {
    Settings {
        url: format!("s3://{place}"),
        endpoint: Some(server.endpoint()),
        allow_http: true,
        access_key: Some(Server::ACCESS_KEY.into()),
        secret_key: Some(Secret::from(Server::SECRET_KEY.to_owned())),
        ..Settings::default()
    }
}

fn open(server: &Server, place: &str) -> Store {
    Store::from_url(&settings(server, place)).unwrap()
}

/// An error and what is behind it, as a log would show it.
fn whole(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_keeps_the_promises() {
    let server = Server::start().unwrap();
    conformance::all(Arc::new(open(&server, Server::BUCKET))).await;
    // A folder of the bucket is an archive of its own.
    let inner = open(&server, &format!("{}/of/two", Server::BUCKET));
    assert!(inner.list("").await.unwrap().is_empty());
    conformance::all(Arc::new(inner.clone())).await;
    assert!(inner.list("").await.unwrap().iter().all(|path| path.starts_with("conformance/")));
}

/// Each writer has connections of its own, as processes would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_one_wins() {
    let server = Server::start().unwrap();
    let [one, two] = [open(&server, Server::BUCKET), open(&server, Server::BUCKET)];
    let body = |name: &'static str| Bytes::from(name.repeat(20_000));
    for n in 0..100 {
        let path = format!("jobs/{n}/claim");
        let (first, second) = tokio::join!(one.create(&path, body("one")), two.create(&path, body("two")));
        let winner = match (first.unwrap(), second.unwrap()) {
            (Put::Created, Put::Exists) => "one",
            (Put::Exists, Put::Created) => "two",
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(one.get(&path).await.unwrap().unwrap(), body(winner), "{path}");
    }
    assert_eq!(two.folders("jobs").await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_refusal_names_what_to_check_and_no_secret() {
    let server = Server::start().unwrap();
    let secret = "wrong-and-not-to-be-shown";
    let secret_key = Some(Secret::from(secret.to_owned()));
    let archive = Store::from_url(&Settings { secret_key, ..settings(&server, Server::BUCKET) }).unwrap();
    let mut failed = vec![
        archive.create("a", Bytes::new()).await.unwrap_err(),
        archive.get("a").await.unwrap_err(),
        archive.list("").await.unwrap_err(),
        archive.folders("a").await.unwrap_err(),
        archive.delete("a").await.unwrap_err(),
    ];
    for error in &failed {
        assert!(matches!(error, Error::Denied(..)), "{error:?}");
        assert!(error.to_string().contains("archive.secret_key"), "{error}");
    }
    // A bucket that is not there is no empty archive.
    let archive = open(&server, "none");
    failed.push(archive.get("a").await.unwrap_err());
    assert!(matches!(failed[5], Error::NoBucket("read", ..)), "{:?}", failed[5]);
    assert!(matches!(archive.list("").await, Err(Error::NoBucket(..))));
    assert!(matches!(archive.ages("").await, Err(Error::NoBucket(..))));
    assert!(matches!(archive.delete("a").await, Err(Error::NoBucket(..))));
    assert!(matches!(archive.create("a", Bytes::new()).await, Err(Error::NoBucket(..))));
    for error in &failed {
        let text = whole(error);
        assert!(!text.contains(secret) && !text.contains(Server::SECRET_KEY), "{text}");
    }
    let shown = format!("{archive:?} {:?}", settings(&server, "none"));
    assert!(!shown.contains(Server::SECRET_KEY), "{shown}");
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_and_no_absence() {
    let mut server = Server::start().unwrap();
    let archive = open(&server, Server::BUCKET);
    assert_eq!(sealed::create_sealed(&archive, "jobs/1", b"record").await.unwrap(), Put::Created);
    server.kill();
    let begin = Instant::now();
    assert!(matches!(archive.get("jobs/1").await, Err(Error::Get(..))));
    assert!(matches!(archive.get("jobs/2").await, Err(Error::Get(..))));
    assert!(matches!(archive.create("jobs/3", Bytes::new()).await, Err(Error::Create(..))));
    assert!(matches!(archive.list("").await, Err(Error::List(..))));
    assert!(matches!(archive.delete("jobs/1").await, Err(Error::Delete(..))));
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    server.boot().unwrap();
    assert_eq!(sealed::get_sealed(&archive, "jobs/1").await.unwrap().unwrap(), "record");
    assert_eq!(archive.get("jobs/3").await.unwrap(), None);
}
