//! The promises of [`Archive`] as scenarios that every back end is held to.
#![allow(clippy::unwrap_used, reason = "a scenario fails by panicking")]

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::{Archive, Error, Put};
use crate::task;

/// Every scenario, on an archive without `conformance/` in it.
pub async fn all(archive: Arc<dyn Archive>) {
    the_first_write_stands(&*archive).await;
    what_is_not_there_is_none(&*archive).await;
    lists_are_sorted_and_by_whole_parts(&*archive).await;
    of_racing_writers_one_wins(Arc::clone(&archive)).await;
    large_and_empty_objects_come_back(&*archive).await;
    folders_are_what_is_directly_below(&*archive).await;
    ages_are_of_what_is_directly_below(&*archive).await;
    what_is_deleted_is_gone(&*archive).await;
    bad_paths_are_refused(&*archive).await;
    assert!(super::refuses_to_overwrite(&*archive).await.unwrap());
}

/// A second write changes nothing, and says so.
pub async fn the_first_write_stands(archive: &dyn Archive) {
    let path = "conformance/first/object";
    assert_eq!(archive.create(path, Bytes::from_static(b"one")).await.unwrap(), Put::Created);
    assert_eq!(archive.create(path, Bytes::from_static(b"two")).await.unwrap(), Put::Exists);
    assert_eq!(archive.get(path).await.unwrap().unwrap(), "one");
}

/// Absence is no error.
pub async fn what_is_not_there_is_none(archive: &dyn Archive) {
    assert_eq!(archive.get("conformance/none").await.unwrap(), None);
    assert!(archive.list("conformance/nowhere").await.unwrap().is_empty());
}

/// A folder's list has what is below it and nothing beside it.
pub async fn lists_are_sorted_and_by_whole_parts(archive: &dyn Archive) {
    for name in ["1/b", "1/a/z", "10/c", "1/a/y"] {
        archive.create(&format!("conformance/list/{name}"), Bytes::new()).await.unwrap();
    }
    let names = ["1/a/y", "1/a/z", "1/b"].map(|n| format!("conformance/list/{n}"));
    assert_eq!(archive.list("conformance/list/1").await.unwrap(), names);
    assert!(archive.list("").await.unwrap().len() >= 4);
}

/// Of writers at the same time, one is told that it created the object.
pub async fn of_racing_writers_one_wins(archive: Arc<dyn Archive>) {
    let path = "conformance/race";
    let writers: Vec<_> = (0..16)
        .map(|n: u32| {
            let archive = Arc::clone(&archive);
            task::spawn("writer", async move {
                let body = Bytes::from(n.to_string());
                (n, archive.create(path, body).await.unwrap())
            })
        })
        .collect();
    let mut winners = Vec::new();
    for writer in writers {
        let (n, put) = writer.await.unwrap();
        if put == Put::Created {
            winners.push(n);
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(archive.get(path).await.unwrap().unwrap(), winners[0].to_string());
}

/// Size does not matter.
pub async fn large_and_empty_objects_come_back(archive: &dyn Archive) {
    for (name, size) in [("empty", 0), ("large", 3 * 1024 * 1024 + 1)] {
        let path = format!("conformance/size/{name}");
        let body = Bytes::from(vec![7; size]);
        assert_eq!(archive.create(&path, body.clone()).await.unwrap(), Put::Created);
        assert_eq!(archive.get(&path).await.unwrap().unwrap(), body);
    }
}

/// The folders of a folder are those with objects below them, by name.
pub async fn folders_are_what_is_directly_below(archive: &dyn Archive) {
    for name in ["b/x", "a/y/z", "a/y/y", "10/x", "9", "a-file"] {
        archive.create(&format!("conformance/folders/{name}"), Bytes::new()).await.unwrap();
    }
    assert_eq!(archive.folders("conformance/folders").await.unwrap(), ["10", "a", "b"]);
    assert_eq!(archive.folders("conformance/folders/a").await.unwrap(), ["y"]);
    assert!(archive.folders("conformance/folders/a/y").await.unwrap().is_empty());
    assert!(archive.folders("conformance/nowhere").await.unwrap().is_empty());
    assert!(archive.folders("").await.unwrap().contains(&"conformance".to_owned()));
}

/// The ages in a folder are those of its own objects, and about right.
pub async fn ages_are_of_what_is_directly_below(archive: &dyn Archive) {
    for name in ["b", "a", "below/c", "10"] {
        archive.create(&format!("conformance/ages/{name}"), Bytes::new()).await.unwrap();
    }
    let ages = archive.ages("conformance/ages").await.unwrap();
    let paths: Vec<_> = ages.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["10", "a", "b"].map(|n| format!("conformance/ages/{n}")));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    for (path, at) in ages {
        assert!((now - at).abs() < 3_600_000, "{path} was written at {at}, and it is {now}");
    }
    assert!(archive.ages("conformance/nowhere").await.unwrap().is_empty());
}

/// A removal takes one object and is no error where there is none; a folder goes with the last.
pub async fn what_is_deleted_is_gone(archive: &dyn Archive) {
    let path = |name: &str| format!("conformance/delete/{name}");
    for name in ["1/a", "1/b/c", "2/a"] {
        archive.create(&path(name), Bytes::from_static(b"old")).await.unwrap();
    }
    archive.delete(&path("1/a")).await.unwrap();
    archive.delete(&path("1/a")).await.unwrap();
    archive.delete(&path("nowhere/a")).await.unwrap();
    // A folder is no object.
    archive.delete(&path("2")).await.unwrap_or_default();
    assert_eq!(archive.get(&path("1/a")).await.unwrap(), None);
    assert_eq!(archive.list(&path("1")).await.unwrap(), [path("1/b/c")]);
    assert_eq!(archive.get(&path("2/a")).await.unwrap().unwrap(), "old");
    archive.delete(&path("1/b/c")).await.unwrap();
    assert_eq!(archive.folders("conformance/delete").await.unwrap(), ["2"]);
    assert_eq!(archive.create(&path("1/a"), Bytes::from_static(b"new")).await.unwrap(), Put::Created);
    assert_eq!(archive.get(&path("1/a")).await.unwrap().unwrap(), "new");
}

/// No path leads out of the archive.
pub async fn bad_paths_are_refused(archive: &dyn Archive) {
    for path in ["", "/", "a//b", "/a", "a/", "../a", "a/../b", "a/./b"] {
        assert!(matches!(archive.create(path, Bytes::new()).await, Err(Error::Path(_))), "{path:?}");
        assert!(matches!(archive.get(path).await, Err(Error::Path(_))), "{path:?}");
        assert!(matches!(archive.delete(path).await, Err(Error::Path(_))), "{path:?}");
        if !path.is_empty() {
            assert!(matches!(archive.list(path).await, Err(Error::Path(_))), "{path:?}");
            assert!(matches!(archive.folders(path).await, Err(Error::Path(_))), "{path:?}");
            assert!(matches!(archive.ages(path).await, Err(Error::Path(_))), "{path:?}");
        }
    }
}
