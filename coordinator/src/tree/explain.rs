//! Why something is in a tree, as data.

use kudzu_shared::escape;
use kudzu_shared::time::rfc3339;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::EdgeView;
use super::shown::Shown;
use super::ways::Parent;

/// Why something is in a tree.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explained {
    /// Its text, with every hidden character escaped.
    pub value: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its number in the tree.
    pub n: u32,
    /// Steps from a seed, as the tree has it.
    pub depth: u8,
    /// How many things lead to it.
    pub parents_total: usize,
    /// The first of them, the nearest to a seed first.
    pub parents: Vec<ParentView>,
    /// What is known of it as a candidate.
    #[schema(value_type = Option<Object>)]
    pub candidate: Option<Value>,
}

/// One thing that leads to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParentView {
    /// Its text.
    value: String,
    /// Steps from the nearest seed; none where only the target leads to it.
    distance: Option<u32>,
    /// How many shortest ways there are to it.
    ways_total: u64,
    /// How many longer ones were found.
    longer_ways: u64,
    /// Whether there may be longer ones beside these.
    may_have_more: bool,
    /// Some of them: pairs from a seed to it.
    ways: Vec<Vec<PairView>>,
    /// The pairs from it to the target.
    last: Vec<PairView>,
}

/// One pair.
#[derive(Debug, Serialize, ToSchema)]
pub struct PairView {
    from: String,
    relation: &'static str,
    to: String,
    source: String,
    first_seen: Option<String>,
    last_seen: Option<String>,
}

impl Explained {
    /// A node, what leads to it, and its record as a candidate.
    pub fn new(
        tree: &dyn Shown,
        n: u32,
        parents: &[Parent<'_>],
        most: usize,
        candidate: Option<Value>,
    ) -> Self {
        let node = tree.node(n);
        Self {
            value: name(tree, n),
            kind: node.observable.kind.as_str(),
            n,
            depth: node.depth,
            parents_total: parents.len(),
            parents: parents.iter().take(most).map(|p| ParentView::new(tree, p)).collect(),
            candidate,
        }
    }
}

impl ParentView {
    fn new(tree: &dyn Shown, p: &Parent<'_>) -> Self {
        let pairs = |all: &[EdgeView<'_>]| all.iter().map(|e| PairView::new(tree, e)).collect();
        Self {
            value: name(tree, p.n),
            distance: p.distance,
            ways_total: p.total,
            longer_ways: p.longer,
            may_have_more: p.more,
            ways: p.ways.iter().map(|way| pairs(way)).collect(),
            last: pairs(&p.last),
        }
    }
}

impl PairView {
    /// Of a tree's pair.
    pub fn new(tree: &dyn Shown, e: &EdgeView<'_>) -> Self {
        Self {
            from: name(tree, e.from),
            relation: e.relation.as_str(),
            to: name(tree, e.to),
            source: e.source.to_owned(),
            first_seen: e.first_seen.map(rfc3339),
            last_seen: e.last_seen.map(rfc3339),
        }
    }
}

/// A node's text, with every hidden character escaped.
pub fn name(tree: &dyn Shown, n: u32) -> String {
    escape::terminal(&tree.node(n).observable.to_string()).into_owned()
}
