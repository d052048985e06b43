//! The job API over HTTP, on back ends in memory: who may see what, what is refused and how, and
//! that nothing it is sent makes it do anything else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;
#[path = "api/damage.rs"]
mod damage;
#[path = "api/events.rs"]
mod events;
#[path = "api/replay.rs"]
mod replay;
#[path = "api/rig.rs"]
mod rig;

use std::time::Duration;

use kudzu_coordinator::api::Description;
use reqwest::{Method, StatusCode};
use rig::{Rig, json, request, rig, seed};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use utoipa::OpenApi as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_from_submit_to_result() {
    let rig = rig().await;
    let answer = rig.post("red", request()).header("idempotency-key", "k1").send().await.unwrap();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let job = json(answer, StatusCode::ACCEPTED).await;
    assert_eq!(location, format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
    let id = job["id"].as_str().unwrap();
    let job = rig.ended("red", id).await;
    assert_eq!(job["state"], "complete", "{job}");
    let again = json(
        rig.post("red", request()).header("idempotency-key", "k1").send().await.unwrap(),
        StatusCode::ACCEPTED,
    )
    .await;
    assert_eq!((&again["id"], &again["state"]), (&job["id"], &job["state"]));

    let tree = rig.call("red", Method::GET, &format!("/v1/jobs/{id}/tree")).send().await.unwrap();
    assert_eq!(tree.headers()["content-type"], "application/x-ndjson");
    let tree = tree.bytes().await.unwrap();
    let digest: String = Sha256::digest(&tree).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(job["result"]["sha256"], digest);
    for part in ["candidates", "coverage"] {
        let part = rig.call("red", Method::GET, &format!("/v1/jobs/{id}/{part}")).send().await.unwrap();
        json(part, StatusCode::OK).await;
    }
    let events = rig.call("red", Method::GET, &format!("/v1/jobs/{id}/events")).send().await.unwrap();
    let events = events.text().await.unwrap();
    assert!(events.contains("event: job") && events.contains("\"state\":\"complete\""), "{events}");

    let other = json!({ "seeds": ["other.example.com"], "tlp": "clear", "pap": "clear" });
    let other = rig.post("red", other).header("idempotency-key", "k1").send().await.unwrap();
    json(other, StatusCode::UNPROCESSABLE_ENTITY).await;

    let replayed = rig.call("red", Method::POST, &format!("/v1/jobs/{id}/replay")).send().await.unwrap();
    let replayed = json(replayed, StatusCode::ACCEPTED).await;
    assert_eq!(replayed["replay_of"], id);
    let replayed = rig.ended("red", replayed["id"].as_str().unwrap()).await;
    assert_eq!(replayed["result"]["sha256"], job["result"]["sha256"], "what was known stays known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_is_seen_in_other_forms_and_branch_by_branch() {
    let rig = rig().await;
    let id = rig.submit("red").await;
    let job = rig.ended("red", &id).await;
    let of = format!("/v1/jobs/{id}");
    for (form, kind) in [("csv", "text/csv; charset=utf-8"), ("text", "text/plain; charset=utf-8")] {
        let answer = rig.call("red", Method::GET, &format!("{of}/tree?format={form}")).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], kind);
        let text = answer.text().await.unwrap();
        assert!(text.contains(&id) && text.contains("\n1 {\"type\":"), "{text}");
    }
    for odd in ["tree?format=pdf", "tree?defang=true", "tree?form=csv", "tree/children?limit=0"] {
        rig.get(&format!("{of}/{odd}"), StatusCode::BAD_REQUEST).await;
    }

    // Every node is found under its parent, page by page, once.
    let (mut open, mut seen) = (vec![String::new()], 0);
    let mut last = Value::Null;
    while let Some(parent) = open.pop() {
        let list = format!("{of}/tree/children?limit=2{parent}");
        let mut page = rig.get(&list, StatusCode::OK).await;
        let (total, mut here) = (page["total"].as_u64().unwrap(), 0);
        loop {
            for child in page["children"].as_array().unwrap() {
                here += 1;
                open.push(format!("&of={}", child["n"]));
                assert_eq!(child["pairs"].as_array().unwrap().is_empty(), parent.is_empty(), "{child}");
                last = child.clone();
            }
            let Some(next) = page["next"].as_str() else { break };
            let foreign = format!("{of}/tree/children?limit=2&of=0&cursor={next}0");
            rig.get(&foreign, StatusCode::BAD_REQUEST).await;
            page = rig.get(&format!("{list}&cursor={next}"), StatusCode::OK).await;
        }
        assert_eq!(here, total);
        seen += here;
    }
    assert_eq!(job["result"]["nodes"], seen);
    rig.get(&format!("{of}/tree/children?of=999999"), StatusCode::NOT_FOUND).await;
    rig.get(&format!("{of}/tree/children?of=a..b"), StatusCode::BAD_REQUEST).await;

    let value = last["value"].as_str().unwrap();
    let why = rig.get(&format!("{of}/explain?value={value}"), StatusCode::OK).await;
    assert_eq!((&why["n"], &why["value"]), (&last["n"], &last["value"]));
    assert_eq!((&why["depth"], &why["kind"]), (&last["depth"], &last["kind"]), "{why}");
    rig.get(&format!("{of}/explain?value=not-in-there.example"), StatusCode::NOT_FOUND).await;
    for odd in ["explain", "explain?value=a..b", "explain?value=a.com&ways=0"] {
        rig.get(&format!("{of}/{odd}"), StatusCode::BAD_REQUEST).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_a_foreign_job_is_a_404() {
    let rig = rig().await;
    let id = rig.submit("red").await;
    rig.ended("red", &id).await;
    let description = serde_json::to_value(Description::openapi()).unwrap();
    let mut tried = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        if !path.contains("{id}") {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let foreign = rig.call("blue", method.clone(), &path.replace("{id}", &id)).send().await.unwrap();
            let foreign = json(foreign, StatusCode::NOT_FOUND).await;
            let nobody = "00000000-0000-0000-0000-000000000000";
            let none = rig.call("blue", method.clone(), &path.replace("{id}", nobody)).send().await.unwrap();
            assert_eq!(json(none, StatusCode::NOT_FOUND).await, foreign, "{method} {path} tells them apart");
            let asked = if path.ends_with("/explain") { format!("?value={}", seed()) } else { String::new() };
            let own = path.replace("{id}", &id) + &asked;
            let own = rig.call("red", method.clone(), &own).send().await.unwrap();
            assert!(own.status().is_success(), "{method} {path}: {}", own.status());
            let without = rig.call("", method, &path.replace("{id}", &id)).send().await.unwrap();
            json(without, StatusCode::UNAUTHORIZED).await;
            tried += 1;
        }
    }
    assert!(tried >= 7, "{tried}");
    let list = json(rig.call("blue", Method::GET, "/v1/jobs").send().await.unwrap(), StatusCode::OK).await;
    assert_eq!(list["total"], 0);
    // Neither its own key nor its own id gives one tenant another's job.
    let internal = rig.call("blue", Method::GET, &format!("/cluster/jobs/{id}")).send().await.unwrap();
    json(internal, StatusCode::NOT_FOUND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_does_what_its_scopes_say() {
    let rig = rig().await;
    let id = rig.submit("red").await;
    json(rig.post("reader", request()).send().await.unwrap(), StatusCode::FORBIDDEN).await;
    for action in ["cancel", "replay"] {
        let path = format!("/v1/jobs/{id}/{action}");
        let refused = rig.call("reader", Method::POST, &path).send().await.unwrap();
        json(refused, StatusCode::FORBIDDEN).await;
    }
    json(rig.call("reader", Method::GET, "/v1/jobs").send().await.unwrap(), StatusCode::OK).await;
    json(rig.call("nobody", Method::GET, "/v1/jobs").send().await.unwrap(), StatusCode::UNAUTHORIZED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_problems_that_say_what_to_do() {
    let rig = rig().await;
    let bad: [(String, StatusCode, &str); 9] = [
        ("{".into(), StatusCode::BAD_REQUEST, "the body"),
        ("[]".into(), StatusCode::BAD_REQUEST, "the body"),
        (json!({ "seeds": ["a.com"], "sedes": [] }).to_string(), StatusCode::BAD_REQUEST, "sedes"),
        (json!({ "seeds": "a.com" }).to_string(), StatusCode::BAD_REQUEST, "expected a sequence"),
        ("{}".into(), StatusCode::UNPROCESSABLE_ENTITY, "/seeds"),
        (json!({ "seeds": ["a..b"] }).to_string(), StatusCode::UNPROCESSABLE_ENTITY, "/seeds/0"),
        (json!({ "seeds": ["a.com"], "plan": "x" }).to_string(), StatusCode::UNPROCESSABLE_ENTITY, "/plan"),
        (
            json!({ "seeds": ["a.com"], "plan_text": "x = [" }).to_string(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "/plan_text",
        ),
        ("x".repeat(65 * 1024), StatusCode::PAYLOAD_TOO_LARGE, "65536"),
    ];
    for (body, status, says) in bad {
        let answer = json(rig.post("red", &body).send().await.unwrap(), status).await;
        let text = answer.to_string();
        assert!(text.contains(says), "{body:.60}: {text}");
    }
    // Without defaults of its own the other tenant must say both markings.
    let answer = rig.post("blue", json!({ "seeds": ["a.com"] })).send().await.unwrap();
    let answer = json(answer, StatusCode::UNPROCESSABLE_ENTITY).await;
    let pointers: Vec<&str> =
        answer["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert!(pointers.contains(&"/tlp") && pointers.contains(&"/pap"), "{answer}");

    let plain = rig.call("red", Method::POST, "/v1/jobs").body("{}").send().await.unwrap();
    json(plain, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    let twice = rig.post("red", request()).header("idempotency-key", "a").header("idempotency-key", "b");
    json(twice.send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    let key = rig.post("red", request()).header("idempotency-key", "x".repeat(300)).send().await.unwrap();
    json(key, StatusCode::BAD_REQUEST).await;
    for path in ["/v1/jobs?limit=0", "/v1/jobs?limit=x", "/v1/jobs?page=2", "/v1/jobs?cursor=00ff"] {
        json(rig.call("red", Method::GET, path).send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    }
    for path in ["/", "/v1", "/v1/jobs/", "/v1/jobs/x", "/v1/jobs/..%2f..", "/v1/jobs/%00"] {
        json(rig.call("red", Method::GET, path).send().await.unwrap(), StatusCode::NOT_FOUND).await;
    }
    let method = rig.call("red", Method::DELETE, "/v1/jobs").send().await.unwrap();
    json(method, StatusCode::METHOD_NOT_ALLOWED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_together_and_cursors_cannot_be_made_up() {
    let rig = rig().await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..7 {
        ids.insert(rig.submit("red").await);
    }
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=3".to_owned();
    let mut cursor = String::new();
    loop {
        let page = json(rig.call("red", Method::GET, &path).send().await.unwrap(), StatusCode::OK).await;
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|j| j["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut cursor);
        path = format!("/v1/jobs?limit=3&cursor={cursor}");
    }
    assert_eq!(seen.len(), 7);
    assert_eq!(seen.into_iter().collect::<std::collections::BTreeSet<_>>(), ids);
    // Another tenant cannot use it, nor can anybody change it.
    let foreign = rig.call("blue", Method::GET, &format!("/v1/jobs?cursor={cursor}")).send().await.unwrap();
    json(foreign, StatusCode::BAD_REQUEST).await;
    let changed = format!("/v1/jobs?cursor={}", cursor.replacen('3', "4", 1));
    if changed != format!("/v1/jobs?cursor={cursor}") {
        json(rig.call("red", Method::GET, &changed).send().await.unwrap(), StatusCode::BAD_REQUEST).await;
    }
}

/// What a server says to raw octets, until it closes.
async fn raw(rig: &Rig, octets: &[u8], wait: Duration) -> String {
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let _ = stream.write_all(octets).await;
    let mut said = Vec::new();
    let _ = tokio::time::timeout(wait, stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_bodies_and_time_are_bounded() {
    let rig = rig().await;
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(64 * 1024));
    let said = raw(&rig, long.as_bytes(), Duration::from_secs(5)).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431") || said.starts_with("HTTP/1.1 400"),
        "{said}"
    );
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let said = raw(&rig, many.as_bytes(), Duration::from_secs(5)).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431") || said.starts_with("HTTP/1.1 400"),
        "{said}"
    );
    // A body that never comes does not hold its place for ever.
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret-red\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let said = raw(&rig, head.as_bytes(), Duration::from_secs(10)).await;
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
    let alive = rig.call("", Method::GET, "/healthz").send().await.unwrap();
    assert!(alive.status().is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_described_and_nothing_else() {
    let rig = rig().await;
    let described =
        json(rig.call("", Method::GET, "/v1/openapi.json").send().await.unwrap(), StatusCode::OK).await;
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"), "{}", described["openapi"]);
    assert_eq!(described["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let submit = &described["paths"]["/v1/jobs"]["post"];
    assert!(submit["responses"]["default"]["content"]["application/problem+json"].is_object(), "{submit}");
    for (path, methods) in described["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{id}", "00000000-0000-0000-0000-000000000000");
            let answer = rig.call("red", method.clone(), &path).send().await.unwrap();
            let text = answer.text().await.unwrap();
            assert!(
                !text.contains("no such route") && !text.contains("about:blank#method"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scaler_asks_for_a_class_without_a_token() {
    let rig = rig().await;
    let ask = async |query: &str, status| {
        json(rig.call("", Method::GET, &format!("/scaling{query}")).send().await.unwrap(), status).await
    };
    for class in ["dns", "http", "local"] {
        let signal = ask(&format!("?class={class}"), StatusCode::OK).await;
        let nothing = json!({
            "class": class, "seconds_waiting": 0.0, "waiting_lookups": 0, "coordinators": 1, "unheard": 0,
        });
        assert_eq!(signal, nothing);
    }
    let none = ask("?class=smtp", StatusCode::NOT_FOUND).await;
    assert!(none["detail"].as_str().unwrap().contains("dns, http, local"), "{none}");
    for odd in ["", "?", "?klass=dns", "?class=dns&scope=own", "?class=dns&class=http"] {
        ask(odd, StatusCode::BAD_REQUEST).await;
    }
    let measured = rig.call("", Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for metric in ["kudzu_lookups_waiting", "kudzu_seconds_waiting"] {
        for class in ["dns", "http", "local"] {
            let line = format!("{metric}{{class=\"{class}\"}} ");
            assert!(measured.contains(&line), "{line} is missing:\n{measured}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_nothing_is_accepted_and_readiness_says_so() {
    let rig = rig().await;
    let ready = rig.call("", Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    rig.sim.broker.close();
    let refused = rig.post("red", request()).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    json(refused, StatusCode::SERVICE_UNAVAILABLE).await;
    let ready = rig.call("", Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    rig.shutdown.begin();
}
