//! The canonical form: NDJSON, the same bytes for the same job and outcomes (I3).

use std::io::{self, BufWriter, Write};

use kudzu_shared::escape::terminal;
use kudzu_shared::observable::{Observable, psl};
use kudzu_shared::time::{push_rfc3339, rfc3339};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::chunks::{self, Chunk, LINES};
use super::{EdgeView, NodeView, Said, StubView, Tree};
use crate::hex;

/// Octets that are hashed and written at a time, at most.
const BUFFER: usize = 1 << 18;

/// The schema's name and major version.
pub const SCHEMA: &str = "kudzu.tree/1";

/// What a written tree comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Nodes.
    pub nodes: u64,
    /// Pairs between nodes.
    pub edges: u64,
    /// Stubs.
    pub stubs: u64,
}

impl Written {
    /// The digest in hex.
    pub fn hex(&self) -> String {
        hex::encode(&self.sha256)
    }
}

struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hash.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Tree {
    /// Writes the canonical tree.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_ndjson(&self, out: &mut dyn Write, partial: Option<&str>) -> io::Result<Written> {
        let hashing = Hashing { inner: out, hash: Sha256::new() };
        let mut w = BufWriter::with_capacity((self.len() as usize * LINES).min(BUFFER), hashing);
        line(&mut w, &self.head())?;
        let (mut edges, mut stubs) = (0, 0);
        chunks::each(self, |chunk| {
            edges += chunk.edges;
            stubs += chunk.stubs;
            w.write_all(&chunk.lines)
        })?;
        let depth = self.unexpanded();
        if depth > 0 {
            let stub =
                StubView { parent: None, relation: None, reason: "depth", total: depth, sample: Vec::new() };
            line(&mut w, &stub_json(&stub))?;
            stubs += 1;
        }
        for (source, coverage) in self.coverage() {
            let mut row = json!({ "type": "coverage", "source": source });
            if let (Value::Object(row), Ok(Value::Object(rest))) = (&mut row, serde_json::to_value(&coverage))
            {
                row.extend(rest);
            }
            line(&mut w, &row)?;
        }
        let nodes = u64::from(self.len());
        let state = if partial.is_some() { "partial" } else { "complete" };
        let mut end =
            json!({ "type": "end", "state": state, "nodes": nodes, "edges": edges, "stubs": stubs });
        if let (Some(why), Value::Object(end)) = (partial, &mut end) {
            end.insert("why".into(), why.into());
        }
        line(&mut w, &end)?;
        w.flush()?;
        let hashing = w.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Written { sha256: hashing.hash.finalize().into(), nodes, edges, stubs })
    }

    /// The lines of one node: its own, and those of its pairs and stubs.
    pub(super) fn write_lines(&self, chunk: &mut Chunk, n: u32) -> io::Result<()> {
        let Chunk { lines, edges, stubs } = chunk;
        self.write_node(lines, &self.node(n))?;
        for edge in self.edges_from(n) {
            write_edge(lines, &edge)?;
            *edges += 1;
        }
        for stub in self.stubs(n) {
            line(lines, &stub_json(&stub))?;
            *stubs += 1;
        }
        Ok(())
    }

    /// What the tree depends on besides outcomes.
    fn head(&self) -> Value {
        let (spec, rules) = (&self.rules.spec, &self.rules);
        let packs: Vec<Value> = rules
            .packs
            .versions()
            .iter()
            .map(|p| json!({ "name": p.name, "version": p.version, "date": p.date, "sha256": p.sha256 }))
            .collect();
        json!({
            "type": "job",
            "schema": SCHEMA,
            "engine": env!("CARGO_PKG_VERSION"),
            "tenant": spec.tenant,
            "kind": spec.kind,
            "seeds": self.nodes().take_while(|n| n.depth == 0).map(|n| n.observable.to_string()).collect::<Vec<_>>(),
            "as_of": rfc3339(spec.as_of),
            "since": spec.since.map(rfc3339),
            "until": spec.until.map(rfc3339),
            "tlp": spec.policy.tlp,
            "pap": spec.policy.pap,
            "scope": texts(&spec.policy.scope),
            // What is one's own is nobody else's matter, and a tree is passed on.
            "exclude": digest_of(&spec.policy.exclude),
            "own_assets": digest_of(&spec.policy.own_assets),
            "allow_private": spec.policy.allow_private,
            "plan": { "name": clean(&rules.plan.name), "sha256": rules.plan.digest() },
            "asks": rules.asks.iter().map(|r| r.source.name.as_str()).collect::<Vec<_>>(),
            "budgets": rules.budgets,
            "packs": packs,
            "public_suffix_list": psl::psl_version(),
        })
    }

    /// Without building a JSON value, as for edges: this and they are nearly all lines.
    fn write_node(&self, w: &mut Vec<u8>, node: &NodeView<'_>) -> io::Result<()> {
        let (what, n) = (node.observable, node.n);
        put(w, r#"{"type":"node","n":"#);
        put_number(w, n);
        put_all(w, [r#","id":""#, &what.id(), r#"","kind":""#, what.kind.as_str(), r#"","value":"#]);
        put_json(w, &terminal(&what.to_string()))?;
        put(w, r#","depth":"#);
        put_number(w, node.depth.into());
        if let (Some(parent), Some(relation)) = (node.parent, node.relation) {
            put(w, r#","parent":"#);
            put_number(w, parent);
            put_all(w, [r#","relation":""#, relation.as_str(), "\""]);
        }
        if let Some(why) = node.suppressed {
            write!(w, r#","suppressed":{{"reason":"{}""#, why.reason)?;
            if let Some(list) = &why.list {
                put(w, r#","list":"#);
                put_json(w, &terminal(list))?;
            }
            if let Some(count) = why.count {
                write!(w, r#","count":{count}"#)?;
            }
            put(w, "}");
        }
        if self.is_personal(n) {
            put(w, r#","personal":true"#);
        }
        self.write_lookups(w, n)?;
        let facts = self.facts_json(n);
        if !facts.is_empty() {
            put(w, r#","facts":"#);
            serde_json::to_writer(&mut *w, &facts)?;
        }
        put(w, "}\n");
        Ok(())
    }

    fn write_lookups(&self, w: &mut Vec<u8>, n: u32) -> io::Result<()> {
        let lookups = self.lookups(n);
        for (at, (source, ..)) in lookups.iter().enumerate() {
            if lookups[..at].iter().any(|l| l.0 == *source) {
                continue; // Two asks of one source are told together.
            }
            put(w, if at == 0 { r#","lookups":{"# } else { "," });
            put_json(w, source)?;
            put(w, ":\"");
            for (nth, (_, end, verdicts)) in lookups[at..].iter().filter(|l| l.0 == *source).enumerate() {
                put_all(w, [if nth > 0 { ", " } else { "" }, end.as_str()]);
                verdicts.iter().for_each(|v| put_all(w, [" ", v.as_str()]));
            }
            put(w, "\"");
        }
        put(w, if lookups.is_empty() { "" } else { "}" });
        Ok(())
    }

    fn facts_json(&self, n: u32) -> Map<String, Value> {
        let mut facts: Map<String, Value> = Map::new();
        for (name, value) in self.facts(n) {
            let value: Value = match value {
                Said::Yes => true.into(),
                Said::Time(t) => rfc3339(t).into(),
                Said::Text(t) => clean(t).into(),
            };
            if let Value::Array(all) = facts.entry(name.as_str()).or_insert_with(|| Value::Array(Vec::new()))
            {
                all.push(value);
            }
        }
        facts
    }
}

/// Edges are most of the lines: written without building a JSON value. Every field is a
/// number or a word of ours, but for the source's name, which the configuration may choose.
fn write_edge(w: &mut Vec<u8>, e: &EdgeView<'_>) -> io::Result<()> {
    put(w, r#"{"type":"edge","from":"#);
    put_number(w, e.from);
    put(w, r#","to":"#);
    put_number(w, e.to);
    put_all(w, [r#","relation":""#, e.relation.as_str(), r#"","source":"#]);
    put_json(w, e.source)?;
    for (name, t) in [("first_seen", e.first_seen), ("last_seen", e.last_seen)] {
        if let Some(t) = t {
            put_all(w, [",\"", name, "\":\""]);
            push_rfc3339(w, t);
            put(w, "\"");
        }
    }
    if e.marking > kudzu_shared::marking::Tlp::Clear {
        put_all(w, [r#","marking":""#, e.marking.as_str(), "\""]);
    }
    if e.personal {
        put(w, r#","personal":true"#);
    }
    put(w, "}\n");
    Ok(())
}

/// Without the machinery of formats, which took a seventh of the time of a tree's lines.
fn put(w: &mut Vec<u8>, text: &str) {
    w.extend_from_slice(text.as_bytes());
}

fn put_all<const N: usize>(w: &mut Vec<u8>, texts: [&str; N]) {
    texts.into_iter().for_each(|text| put(w, text));
}

fn put_number(w: &mut Vec<u8>, n: u32) {
    put(w, itoa::Buffer::new().format(n));
}

fn put_json(w: &mut Vec<u8>, text: &str) -> io::Result<()> {
    Ok(serde_json::to_writer(w, text)?)
}

fn stub_json(s: &StubView) -> Value {
    json!({
        "type": "stub",
        "parent": s.parent,
        "relation": s.relation.map(kudzu_shared::pair::Relation::as_str),
        "reason": s.reason,
        "total": s.total,
        "sample": s.sample.iter().map(|t| clean(t)).collect::<Vec<_>>(),
    })
}

/// How many there are, and the SHA-256 of their sorted texts, a line each.
fn digest_of(list: &[Observable]) -> Value {
    let mut texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut hash = Sha256::new();
    texts.iter().for_each(|text| hash.update(format!("{text}\n")));
    json!({ "count": texts.len(), "sha256": hex::encode(&hash.finalize()) })
}

fn texts(list: &[Observable]) -> Vec<String> {
    list.iter().map(|o| clean(&o.to_string())).collect()
}

/// Upstream text in a form that no terminal and no viewer acts on.
fn clean(text: &str) -> String {
    terminal(text).into_owned()
}

fn line(w: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *w, value)?;
    w.write_all(b"\n")
}
