//! A tree branch by branch, and why something is in it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State as With};
use kudzu_shared::config::Scope;
use kudzu_shared::escape;
use kudzu_shared::job::JobId;
use kudzu_shared::observable::Observable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use super::trees::Opened;
use crate::tree::explain::{Explained, PairView, name};
use crate::tree::shown::Shown as _;
use crate::tree::{EdgeView, StubView, ways};

/// Children on one page, where it is not said, and at most.
const PAGE: (usize, usize) = (50, 500);
/// Things that lead to something, and ways to each, where it is not said, and at most.
const PARENTS: (usize, usize) = (10, 100);
const WAYS: (usize, usize) = (3, 20);

/// A node of a tree.
#[derive(Debug, Serialize, ToSchema)]
pub struct Item {
    /// Its number.
    n: u32,
    /// Its kind.
    kind: &'static str,
    /// Its text, with every hidden character escaped.
    value: String,
    /// Steps from a seed.
    depth: u8,
    /// Why it follows from its parent.
    relation: Option<&'static str>,
    /// What leads from its parent to it.
    pairs: Vec<PairView>,
    /// How many nodes have it as their parent.
    children: usize,
    /// How many nodes hang below it in all.
    below: u32,
    /// Why it was not followed.
    #[schema(value_type = Option<Object>)]
    not_followed: Option<Value>,
    /// Sources whose answer about it is not known, for they failed.
    failed: Vec<String>,
    /// Its rank, score and band as a candidate.
    #[schema(value_type = Option<Object>)]
    candidate: Option<Value>,
}

/// What was left out under a node.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stub {
    relation: Option<&'static str>,
    reason: &'static str,
    total: u64,
    sample: Vec<String>,
}

/// A node and a page of its children.
#[derive(Debug, Serialize, ToSchema)]
pub struct Branch {
    /// The node; none where the seeds are the children.
    node: Option<Item>,
    /// The children, in the order of the tree.
    children: Vec<Item>,
    /// How many there are.
    total: usize,
    /// What was left out beside them.
    stubs: Vec<Stub>,
    /// Where the next page starts; none where this is the last.
    next: Option<String>,
}

/// Which branch.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Of {
    of: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Item {
    /// A node, with the pairs of its parent that lead to it.
    fn new(opened: &Opened, n: u32, pairs: &[EdgeView<'_>]) -> Self {
        let tree = &opened.tree;
        let node = tree.node(n);
        let not_followed = node.suppressed.map(
            |s| json!({ "reason": s.reason, "list": s.list.as_deref().map(escape::terminal), "count": s.count }),
        );
        let candidate = opened.candidates.get(&n);
        Self {
            n,
            kind: node.observable.kind.as_str(),
            value: name(tree, n),
            depth: node.depth,
            relation: node.relation.map(|r| r.as_str()),
            pairs: pairs.iter().map(|e| PairView::new(tree, e)).collect(),
            children: tree.child_count(n),
            below: opened.below.get(n as usize).copied().unwrap_or(0),
            not_followed,
            failed: tree.failed(n).into_iter().map(String::from).collect(),
            candidate: candidate
                .map(|c| json!({ "rank": c["rank"], "score": c["score"], "band": c["band"] })),
        }
    }
}

impl Stub {
    fn new(stub: &StubView) -> Self {
        let sample = stub.sample.iter().map(|s| escape::terminal(s).into_owned()).collect();
        let relation = stub.relation.map(|r| r.as_str());
        Self { relation, reason: stub.reason, total: stub.total, sample }
    }
}

fn bounded(name: &str, asked: Option<usize>, (usual, most): (usize, usize)) -> Result<usize, Problem> {
    let n = asked.unwrap_or(usual);
    if (1..=most).contains(&n) {
        Ok(n)
    } else {
        Err(Problem::malformed(format!("{name}: write 1 to {most}")))
    }
}

impl Opened {
    /// The node that a number or an observable names.
    fn named(&self, text: &str) -> Result<u32, Problem> {
        let none = || Problem::not_found(format!("{} is not in the tree", escape::shorten(text, 100)));
        if let Ok(n) = text.parse::<u32>() {
            return (n < self.tree.count()).then_some(n).ok_or_else(none);
        }
        self.tree.find(&observable("of", text)?).ok_or_else(none)
    }
}

fn observable(what: &str, text: &str) -> Result<Observable, Problem> {
    Observable::parse(text).map_err(|e| Problem::malformed(format!("{what}: {e}")))
}

/// The children of a node, a page at a time; without `of`, the seeds.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/tree/children", tag = "results",
    params(
        ("id" = String, Path),
        ("of" = Option<String>, Query, description = "A node's number, or what it is: `evil.example`"),
        ("limit" = Option<usize>, Query, description = "Children on the page, 1 to 500; 50 where it is not said"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = Branch), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, body = Problem), (status = 409, body = Problem),
    )
)]
pub(super) async fn children(
    With(api): With<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<Of>,
) -> Result<Json<Branch>, Problem> {
    caller.may(Scope::Read)?;
    let limit = bounded("limit", asked.limit, PAGE)?;
    let (id, end, result) = api.ended(&caller, &id).await?;
    let opened = api.trees.get(api.cluster.shelf(), id, &end, &result).await?;
    let of = asked.of.as_deref().map(|text| opened.named(text)).transpose()?;
    let list = list(id, of);
    let after = asked.cursor.map(|c| api.cursors.read(&caller.tenant, &list, &c)).transpose()?;
    let start = after.and_then(|at| at.parse().ok()).unwrap_or(0_usize);
    let turn = api.looks().await?;
    // Heavy on the processor where there are many, so beside the runtime's threads.
    let page = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        page(&opened, of, start, limit)
    });
    let (branch, stop) = page.await.map_err(|_| Problem::damaged("its tree makes no sense"))?;
    let next = stop.map(|at| api.cursors.make(&caller.tenant, &list, &at.to_string()));
    Ok(Json(Branch { next, ..branch }))
}

/// A page of children, and where the next one starts.
fn page(opened: &Opened, of: Option<u32>, start: usize, limit: usize) -> (Branch, Option<usize>) {
    let tree = &opened.tree;
    let all: Vec<u32> = match of {
        Some(n) => tree.children(n),
        None => (0..tree.count()).take_while(|n| tree.node(*n).parent.is_none()).collect(),
    };
    let start = start.min(all.len());
    let stop = (start + limit).min(all.len());
    let shown = &all[start..stop];
    let mut leads: HashMap<u32, Vec<EdgeView<'_>>> = shown.iter().map(|n| (*n, Vec::new())).collect();
    for edge in of.map(|n| tree.edges_from(n)).unwrap_or_default() {
        if let Some(pairs) = leads.get_mut(&edge.to) {
            pairs.push(edge);
        }
    }
    let node = of.map(|n| {
        let pairs = tree.node(n).parent.map(|p| tree.edges_from(p)).unwrap_or_default();
        let pairs: Vec<_> = pairs.into_iter().filter(|e| e.to == n).collect();
        Item::new(opened, n, &pairs)
    });
    let children = shown.iter().map(|n| Item::new(opened, *n, &leads[n])).collect();
    let stubs = match of {
        Some(n) => tree.stubs(n).iter().map(Stub::new).collect(),
        None => tree.loose_stubs().map(Stub::new).collect(),
    };
    let branch = Branch { node, children, total: all.len(), stubs, next: None };
    (branch, (stop < all.len()).then_some(stop))
}

impl Api {
    /// A turn to look into a tree: each takes memory and a processor for a moment. Cancel safe.
    async fn looks(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.looking).acquire_owned().await;
        turn.map_err(|_| Problem::unavailable("busy", "this coordinator ends", 2))
    }
}

/// The name of a list of children, for its cursors.
fn list(id: JobId, of: Option<u32>) -> String {
    of.map_or_else(|| format!("{id} seeds"), |n| format!("{id} {n}"))
}

/// What shall be explained.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct What {
    value: Option<String>,
    parents: Option<usize>,
    ways: Option<usize>,
}

/// Why something is in the tree: everything that leads to it, with ways from the seeds.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/explain", tag = "results",
    params(
        ("id" = String, Path),
        ("value" = String, Query, description = "What it is: `evil.example`"),
        ("parents" = Option<usize>, Query, description = "Things that lead to it, 1 to 100; 10 where it is not said"),
        ("ways" = Option<usize>, Query, description = "Ways to each of these, 1 to 20; 3 where it is not said"),
    ),
    responses(
        (status = 200, body = Explained), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 404, body = Problem, description = "It is not in the tree; what was left out says so"),
        (status = 409, body = Problem),
    )
)]
pub(super) async fn explain(
    With(api): With<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(asked): Query<What>,
) -> Result<Json<Explained>, Problem> {
    caller.may(Scope::Read)?;
    let parents = bounded("parents", asked.parents, PARENTS)?;
    let most = bounded("ways", asked.ways, WAYS)?;
    let (id, end, result) = api.ended(&caller, &id).await?;
    let value = asked.value.ok_or_else(|| Problem::malformed("value: say what shall be explained"))?;
    let target = observable("value", &value)?;
    let opened = api.trees.get(api.cluster.shelf(), id, &end, &result).await?;
    let Some(n) = opened.tree.find(&target) else { return Err(absent(&opened, &target)) };
    let turn = api.looks().await?;
    // Heavy on the processor, so beside the runtime's threads.
    let explained = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let ways = ways::parents(&opened.tree, n, parents, most);
        Explained::new(&opened.tree, n, &ways, parents, opened.candidates.get(&n).cloned())
    });
    explained.await.map(Json).map_err(|_| Problem::damaged("its tree makes no sense"))
}

fn absent(opened: &Opened, target: &Observable) -> Problem {
    let mut text = format!("{} is not in the tree", escape::terminal(&target.to_string()));
    for stub in opened.tree.left_out(target).into_iter().take(5) {
        let under = stub.parent.map_or("it".into(), |n| name(&opened.tree, n));
        text.push_str(&format!(
            "; it is one of {} that were left out under {under} ({})",
            stub.total, stub.reason
        ));
    }
    Problem::not_found(text)
}
