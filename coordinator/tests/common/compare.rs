//! Compares a tree, by its canonical bytes and by its views, with the reference.

use std::collections::BTreeMap;

use kudzu_coordinator::tree::Tree;
use serde_json::{Value, json};

use super::reference::Reference;

/// The canonical bytes, their SHA-256 checked.
pub fn bytes(tree: &Tree, partial: Option<&str>) -> Result<Vec<u8>, String> {
    use sha2::Digest as _;
    let mut out = Vec::new();
    let written = tree.write_ndjson(&mut out, partial).map_err(|e| e.to_string())?;
    let digest: [u8; 32] = sha2::Sha256::digest(&out).into();
    if digest == written.sha256 { Ok(out) } else { Err("the SHA-256 is not that of the bytes".into()) }
}

/// The lines after the first.
pub fn parse(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    if text.bytes().any(|b| b != b'\n' && b.is_ascii_control()) {
        return Err("a control character in the canonical form".into());
    }
    text.lines().skip(1).map(|l| serde_json::from_str(l).map_err(|e| format!("{e}: {l}"))).collect()
}

/// The first line that differs.
pub fn same(got: &[Value], want: &[Value]) -> Result<(), String> {
    let differs = got.iter().zip(want).position(|(g, w)| g != w);
    match differs.or_else(|| (got.len() != want.len()).then(|| got.len().min(want.len()))) {
        None => Ok(()),
        Some(at) => {
            let line = |list: &[Value]| list.get(at).map_or("nothing".into(), Value::to_string);
            Err(format!("line {at}:\n  tree      {}\n  reference {}", line(got), line(want)))
        }
    }
}

/// The tree is the reference's, in its bytes and in its views.
pub fn check(tree: &Tree, reference: &Reference<'_>) -> Result<Vec<u8>, String> {
    let bytes = bytes(tree, None)?;
    let lines = reference.lines();
    same(&parse(&bytes)?, &lines)?;
    let of = |kind: &str| lines.iter().filter(|l| l["type"] == kind).cloned().collect::<Vec<_>>();
    same(&nodes(tree), &of("node").iter().map(short).collect::<Vec<_>>())?;
    same(&edges(tree), &of("edge"))?;
    same(&stubs(tree), &of("stub"))?;
    children(tree)?;
    coverage(tree, reference)?;
    Ok(bytes)
}

/// A node's line without what no view has.
fn short(line: &Value) -> Value {
    let keys = ["n", "value", "depth", "parent", "relation"];
    Value::Object(keys.iter().map(|k| ((*k).to_owned(), line[*k].clone())).collect())
}

fn nodes(tree: &Tree) -> Vec<Value> {
    let view = |n: kudzu_coordinator::tree::NodeView<'_>| {
        json!({
            "n": n.n, "value": n.observable.to_string(), "depth": n.depth,
            "parent": n.parent, "relation": n.relation.map(|r| r.as_str()),
        })
    };
    tree.nodes().map(view).collect()
}

fn edges(tree: &Tree) -> Vec<Value> {
    use kudzu_shared::marking::Tlp;
    use kudzu_shared::time::rfc3339;
    let mut all = Vec::new();
    for e in (0..tree.len()).flat_map(|n| tree.edges_from(n)) {
        let mut line = json!({
            "type": "edge", "from": e.from, "to": e.to, "relation": e.relation.as_str(), "source": e.source,
        });
        if let Value::Object(o) = &mut line {
            o.extend(e.first_seen.map(|t| ("first_seen".into(), rfc3339(t).into())));
            o.extend(e.last_seen.map(|t| ("last_seen".into(), rfc3339(t).into())));
            o.extend((e.marking > Tlp::Clear).then(|| ("marking".into(), e.marking.as_str().into())));
            o.extend(e.personal.then(|| ("personal".into(), true.into())));
        }
        all.push(line);
    }
    all
}

fn stubs(tree: &Tree) -> Vec<Value> {
    let stub =
        |parent: Option<u32>, relation: Option<&str>, reason: &str, total: u64, sample: Vec<String>| {
            json!({
                "type": "stub", "parent": parent, "relation": relation,
                "reason": reason, "total": total, "sample": sample,
            })
        };
    let views = (0..tree.len()).flat_map(|n| tree.stubs(n));
    let mut all: Vec<Value> =
        views.map(|s| stub(s.parent, s.relation.map(|r| r.as_str()), s.reason, s.total, s.sample)).collect();
    let depth = tree.unexpanded();
    if depth > 0 {
        all.push(stub(None, None, "depth", depth, Vec::new()));
    }
    all
}

/// Each node is found, and is a child of its parent and of no other.
fn children(tree: &Tree) -> Result<(), String> {
    let mut parents: BTreeMap<u32, u32> = BTreeMap::new();
    for n in 0..tree.len() {
        for child in tree.children(n) {
            if parents.insert(child, n).is_some() {
                return Err(format!("node {child} is a child twice"));
            }
        }
        let what = tree.node(n).observable.to_owned();
        if tree.find(&what) != Some(n) {
            return Err(format!("{what} is not found as node {n}"));
        }
    }
    match tree.nodes().find(|n| parents.get(&n.n).copied() != n.parent) {
        Some(n) => Err(format!("node {} is not among its parent's children", n.n)),
        None => Ok(()),
    }
}

fn coverage(tree: &Tree, reference: &Reference<'_>) -> Result<(), String> {
    let got: Vec<Value> = tree
        .coverage()
        .into_iter()
        .map(|(source, coverage)| {
            let mut line = json!({ "type": "coverage", "source": source });
            if let (Value::Object(line), Ok(Value::Object(rest))) =
                (&mut line, serde_json::to_value(&coverage))
            {
                line.extend(rest);
            }
            line
        })
        .collect();
    same(&got, &reference.coverage())
}
