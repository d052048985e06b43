//! What is damaged in the archive is a problem of its job: it is not served, and the other jobs
//! are.

use bytes::Bytes;
use kudzu_shared::archive::Archive as _;
use kudzu_shared::archive::sealed::{create_sealed, seal};
use kudzu_shared::job::JobId;
use reqwest::{Method, StatusCode};

use crate::rig::{Rig, json, rig, seed};

/// Puts something else in the place of an object.
async fn replace(rig: &Rig, path: &str, object: Bytes) {
    rig.archive.delete(path).await.unwrap();
    rig.archive.create(path, object).await.unwrap();
}

/// Flips a bit of it.
async fn damage(rig: &Rig, path: &str) {
    let mut object = rig.archive.get(path).await.unwrap().unwrap_or_else(|| panic!("no {path}")).to_vec();
    *object.last_mut().unwrap() ^= 1;
    replace(rig, path, object.into()).await;
}

async fn is_damaged(rig: &Rig, method: Method, path: &str) {
    let answer = rig.call("red", method, path).send().await.unwrap();
    let problem = json(answer, StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(problem["type"], "about:blank#damaged", "{path}: {problem}");
}

/// The states in the list, by job, as far as they are these two.
async fn listed(rig: &Rig, ids: [&str; 2]) -> [String; 2] {
    let list = rig.get("/v1/jobs", StatusCode::OK).await;
    assert_eq!(list["total"], 2, "{list}");
    ids.map(|id| {
        let job = list["jobs"].as_array().unwrap().iter().find(|j| j["id"] == id);
        job.unwrap_or_else(|| panic!("{id} is not in {list}"))["state"].as_str().unwrap().to_owned()
    })
}

async fn two_jobs(rig: &Rig) -> [String; 2] {
    let ids = [rig.submit("red").await, rig.submit("red").await];
    for id in &ids {
        assert_eq!(rig.ended("red", id).await["state"], "complete");
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_tree_is_not_served() {
    let rig = rig().await;
    let [bad, good] = &two_jobs(&rig).await;
    let piece = format!("jobs/{bad}/result/000001/tree-00000");
    let explain = format!("explain?value={}", seed());
    let parts =
        ["tree", "tree?format=json", "tree?format=csv", "tree?format=text", "tree/children", &explain];
    damage(&rig, &piece).await;
    for part in parts {
        is_damaged(&rig, Method::GET, &format!("/v1/jobs/{bad}/{part}")).await;
    }
    rig.archive.delete(&piece).await.unwrap();
    for part in parts {
        is_damaged(&rig, Method::GET, &format!("/v1/jobs/{bad}/{part}")).await;
    }
    // Whole, and no tree: there is no branch of it.
    create_sealed(&*rig.archive, &piece, b"{}\n").await.unwrap();
    for part in &parts[4..] {
        is_damaged(&rig, Method::GET, &format!("/v1/jobs/{bad}/{part}")).await;
    }
    for part in ["", "/candidates", "/coverage"] {
        rig.get(&format!("/v1/jobs/{bad}{part}"), StatusCode::OK).await;
    }
    assert_eq!(listed(&rig, [bad, good]).await, ["complete", "complete"]);
    rig.get(&format!("/v1/jobs/{good}/tree/children"), StatusCode::OK).await;
    damage(&rig, &format!("jobs/{bad}/result/000001/candidates")).await;
    for part in ["candidates", "tree?format=csv"] {
        is_damaged(&rig, Method::GET, &format!("/v1/jobs/{bad}/{part}")).await;
    }
}

/// The first piece has left by then: the answer has no end, and so whoever reads it knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_with_a_damaged_piece_further_on_is_cut_off() {
    let rig = rig().await;
    let [id, _] = &two_jobs(&rig).await;
    let (job, shelf): (JobId, _) = (id.parse().unwrap(), rig.cluster.shelf());
    let mut end = shelf.ended(job).await.unwrap().unwrap();
    end.result.as_mut().unwrap().pieces = 2;
    rig.archive.delete(&format!("jobs/{id}/end")).await.unwrap();
    shelf.end(job, &end).await.unwrap();
    shelf.put_piece(job, end.epoch, 1, b"{}\n").await.unwrap();
    damage(&rig, &format!("jobs/{id}/result/000001/tree-00001")).await;
    for form in ["ndjson", "csv"] {
        let call = rig.call("red", Method::GET, &format!("/v1/jobs/{id}/tree?format={form}"));
        let whole = match call.send().await {
            Ok(answer) => answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        assert!(!whole, "{form} looks whole");
    }
    is_damaged(&rig, Method::GET, &format!("/v1/jobs/{id}/tree/children")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_end_is_not_served() {
    let rig = rig().await;
    let [bad, good] = &two_jobs(&rig).await;
    let end = format!("jobs/{bad}/end");
    damage(&rig, &end).await;
    for what in ["a bit", "another document"] {
        let explain = format!("/explain?value={}", seed());
        for part in ["", "/events", "/tree", "/tree/children", "/candidates", "/coverage", &explain] {
            is_damaged(&rig, Method::GET, &format!("/v1/jobs/{bad}{part}")).await;
        }
        for action in ["cancel", "replay"] {
            is_damaged(&rig, Method::POST, &format!("/v1/jobs/{bad}/{action}")).await;
        }
        assert_eq!(listed(&rig, [bad, good]).await, ["dead", "complete"], "{what}");
        rig.get(&format!("/v1/jobs/{good}/tree/children"), StatusCode::OK).await;
        replace(&rig, &end, seal(br#"{"epoch":1}"#)).await;
    }
}
