//! A tree, read again from its canonical lines.

use std::collections::HashMap;

use kudzu_shared::escape;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::End;
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::Relation;
use kudzu_shared::time::{UnixSeconds, parse_time};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::shown::{Shown, is_failed};
use super::write::SCHEMA;
use super::{EdgeView, NodeView, StubView, Suppression};

/// A line longer than this is damaged.
const LONGEST: usize = 64 << 20;

/// Why lines are no tree.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// Not JSON, or without what it needs.
    #[error("line {line}: not a line of a kudzu tree (column {column}): it is damaged")]
    Line {
        /// Counted from 1.
        line: u64,
        /// Where reading it failed, counted from 1.
        column: usize,
    },
    /// It says what this program does not know.
    #[error("line {0}: {1}")]
    Unknown(u64, String),
    /// The last line is not the tree's end.
    #[error("its last line ({0}) is not an \"end\": it was cut off; get the result again")]
    Cut(u64),
}

/// A tree that was read: its lines are taken in pieces of any length.
#[derive(Debug, Default)]
pub struct Read {
    nodes: Vec<Node>,
    by_value: HashMap<Observable, u32>,
    children: Vec<Vec<u32>>,
    edges: Vec<Edge>,
    /// Where each node's pairs begin; they end where the next node's do.
    first_edge: Vec<usize>,
    stubs: Vec<StubView>,
    /// The stubs under each node, by number.
    under: HashMap<u32, Vec<usize>>,
    words: Vec<String>,
    known: HashMap<String, u16>,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    line: u64,
    ended: bool,
}

#[derive(Debug)]
struct Node {
    observable: Observable,
    depth: u8,
    parent: Option<u32>,
    relation: Option<Relation>,
    suppressed: Option<Suppression>,
    failed: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    to: u32,
    relation: Relation,
    source: u16,
    first_seen: Option<UnixSeconds>,
    last_seen: Option<UnixSeconds>,
    marking: Tlp,
    personal: bool,
}

/// All that a line may say.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(rename = "type")]
    what: String,
    schema: Option<String>,
    n: Option<u32>,
    kind: Option<String>,
    value: Option<String>,
    depth: Option<u8>,
    parent: Option<u32>,
    relation: Option<String>,
    suppressed: Option<SuppressedRow>,
    /// Of a node, what ended how; of coverage, a number.
    #[serde(borrow)]
    lookups: Option<&'a RawValue>,
    from: Option<u32>,
    to: Option<u32>,
    source: Option<String>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    marking: Option<Tlp>,
    #[serde(default)]
    personal: bool,
    reason: Option<String>,
    total: Option<u64>,
    #[serde(default)]
    sample: Vec<String>,
}

#[derive(Deserialize)]
struct SuppressedRow {
    reason: String,
    list: Option<String>,
    count: Option<u64>,
}

/// Why something is left out, in one word.
const REASONS: [&str; 10] = [
    "hub",
    "nodes",
    "fan-out",
    "wildcard",
    "limit",
    "depth",
    "own-asset",
    "excluded",
    "special-purpose",
    "later",
];

fn reason(text: &str) -> Result<&'static str, String> {
    let listed = || ListClass::ALL.into_iter().map(ListClass::as_str).find(|r| *r == text);
    let known = REASONS.into_iter().find(|r| *r == text).or_else(listed);
    known.ok_or_else(|| format!("a reason that is not known: {:?}", escape::shorten(text, 40)))
}

fn place(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn relation(name: Option<String>) -> Result<Option<Relation>, String> {
    let known = |name: String| {
        Relation::from_name(&name)
            .ok_or_else(|| format!("a relation that is not known: {:?}", escape::shorten(&name, 40)))
    };
    name.map(known).transpose()
}

impl Read {
    /// Reads canonical lines.
    ///
    /// # Errors
    /// Names the line that is damaged, or says that the end is missing.
    pub fn lines(text: &[u8]) -> Result<Self, ReadError> {
        let mut read = Self::default();
        read.take(text)?;
        read.end()
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// Names the line that is damaged.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), ReadError> {
        for part in piece.split_inclusive(|b| *b == b'\n') {
            let whole = part.ends_with(b"\n");
            if whole && self.rest.is_empty() {
                self.one(part)?;
                continue;
            }
            self.rest.extend_from_slice(part);
            if self.rest.len() > LONGEST {
                return Err(ReadError::Unknown(self.line + 1, "it has no end: it is damaged".into()));
            }
            if whole {
                let line = std::mem::take(&mut self.rest);
                self.one(&line)?;
            }
        }
        Ok(())
    }

    /// All of it was taken.
    ///
    /// # Errors
    /// When the end is missing.
    pub fn end(mut self) -> Result<Self, ReadError> {
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.one(&line)?;
        }
        if self.line == 0 {
            return Err(ReadError::Empty);
        }
        if !self.ended {
            return Err(ReadError::Cut(self.line));
        }
        self.first_edge.push(self.edges.len());
        let nodes = self.count();
        if let Some(edge) = self.edges.iter().find(|e| e.to >= nodes) {
            let what = format!("a pair leads to node {}, which is not there: it is damaged", edge.to);
            return Err(ReadError::Unknown(self.line, what));
        }
        Ok(self)
    }

    /// How many nodes have this one as their canonical parent.
    pub fn child_count(&self, n: u32) -> usize {
        self.children.get(place(n)).map_or(0, Vec::len)
    }

    /// Nodes and pairs: what it takes of memory is in proportion.
    pub fn size(&self) -> u64 {
        (self.nodes.len() + self.edges.len()) as u64
    }

    /// What was left out of the whole tree, under no node.
    pub fn loose_stubs(&self) -> impl Iterator<Item = &StubView> {
        self.stubs.iter().filter(|stub| stub.parent.is_none())
    }

    /// The stubs whose sample names an observable: it was left out there.
    pub fn left_out(&self, item: &Observable) -> Vec<&StubView> {
        let text = escape::terminal(&item.to_string()).into_owned();
        self.stubs.iter().filter(|stub| stub.sample.contains(&text)).collect()
    }

    fn one(&mut self, line: &[u8]) -> Result<(), ReadError> {
        self.line += 1;
        let damaged = |e: serde_json::Error| ReadError::Line { line: self.line, column: e.column() };
        let row: Row<'_> = serde_json::from_slice(line).map_err(damaged)?;
        self.row(row).map_err(|what| ReadError::Unknown(self.line, what))
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), String> {
        if self.line == 1 {
            let schema = row.schema.as_deref().unwrap_or("");
            if row.what != "job" || schema != SCHEMA {
                let said = escape::shorten(schema, 40);
                return Err(format!("not a tree of this version ({SCHEMA}), it says {said:?}"));
            }
            return Ok(());
        }
        if self.ended {
            return Err("a line after the end: two trees in one, or damaged".into());
        }
        match row.what.as_str() {
            "node" => self.node_row(row),
            "edge" => self.edge_row(row),
            "stub" => self.stub_row(row),
            "end" => {
                self.ended = true;
                Ok(())
            }
            // Lines that a later minor version adds are passed over.
            _ => Ok(()),
        }
    }

    fn node_row(&mut self, row: Row<'_>) -> Result<(), String> {
        let (Some(n), Some(kind), Some(value), Some(depth)) = (row.n, row.kind, row.value, row.depth) else {
            return Err("a node without n, kind, value or depth".into());
        };
        let expected = self.nodes.len();
        if place(n) != expected {
            return Err(format!("node {n} where {expected} should stand: lines are missing"));
        }
        let kind = Kind::from_name(&kind).ok_or("a node of a kind that is not known")?;
        // What cannot be read back any more is shown as it was written.
        let observable = Observable::parse_as(kind, &value).ok();
        let observable = observable.or_else(|| Observable::from_identity(&value));
        let observable = observable.ok_or("a node whose value cannot be read")?;
        let relation = relation(row.relation)?;
        let suppressed = match row.suppressed {
            Some(SuppressedRow { reason: why, list, count }) => {
                Some(Suppression { reason: reason(&why)?, list, count })
            }
            None => None,
        };
        let lookups: HashMap<String, String> = match row.lookups {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|e| format!("its lookups: {e}"))?,
            None => HashMap::new(),
        };
        let mut failed: Vec<&String> = Vec::new();
        for (source, ends) in &lookups {
            let words = ends.split([',', ' ']);
            let is = |w: &str| End::ALL.into_iter().any(|e| e.as_str() == w && is_failed(e));
            if words.into_iter().any(is) {
                failed.push(source);
            }
        }
        failed.sort();
        let failed = failed.into_iter().map(|s| self.word(s)).collect();
        if let Some(parent) = row.parent {
            self.children.get_mut(place(parent)).ok_or("a parent after its child")?.push(n);
        }
        self.by_value.entry(observable.clone()).or_insert(n);
        self.nodes.push(Node { observable, depth, parent: row.parent, relation, suppressed, failed });
        self.children.push(Vec::new());
        self.first_edge.push(self.edges.len());
        Ok(())
    }

    fn edge_row(&mut self, row: Row<'_>) -> Result<(), String> {
        let (Some(from), Some(to), Some(relation), Some(source)) =
            (row.from, row.to, relation(row.relation)?, row.source)
        else {
            return Err("a pair without from, to, relation or source".into());
        };
        if place(from) + 1 != self.nodes.len() {
            return Err(format!("a pair of node {from} out of its order: lines are missing"));
        }
        let time = |t: Option<String>| t.and_then(|t| parse_time(&t));
        let source = self.word(&source);
        let (first_seen, last_seen) = (time(row.first_seen), time(row.last_seen));
        let (marking, personal) = (row.marking.unwrap_or(Tlp::Clear), row.personal);
        self.edges.push(Edge { to, relation, source, first_seen, last_seen, marking, personal });
        Ok(())
    }

    fn stub_row(&mut self, row: Row<'_>) -> Result<(), String> {
        let (Some(why), Some(total)) = (row.reason, row.total) else {
            return Err("a stub without reason or total".into());
        };
        let (parent, relation, reason) = (row.parent, relation(row.relation)?, reason(&why)?);
        if let Some(parent) = parent {
            self.under.entry(parent).or_default().push(self.stubs.len());
        }
        self.stubs.push(StubView { parent, relation, reason, total, sample: row.sample });
        Ok(())
    }

    fn word(&mut self, word: &str) -> u16 {
        if let Some(n) = self.known.get(word) {
            return *n;
        }
        // Sources are few; beyond that number the last stands for the rest.
        let n = u16::try_from(self.words.len()).unwrap_or(u16::MAX);
        if n < u16::MAX {
            self.words.push(escape::terminal(word).into_owned());
            self.known.insert(word.to_owned(), n);
        }
        n
    }

    fn source(&self, n: u16) -> &str {
        self.words.get(usize::from(n)).map_or("", String::as_str)
    }

    fn at(&self, n: u32) -> &Node {
        &self.nodes[place(n)]
    }
}

impl Shown for Read {
    fn count(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    fn node(&self, n: u32) -> NodeView<'_> {
        let node = self.at(n);
        NodeView {
            n,
            observable: node.observable.as_ref(),
            depth: node.depth,
            parent: node.parent,
            relation: node.relation,
            suppressed: node.suppressed.as_ref(),
        }
    }

    fn find(&self, item: &Observable) -> Option<u32> {
        self.by_value.get(item).copied()
    }

    fn children(&self, n: u32) -> Vec<u32> {
        self.children.get(place(n)).cloned().unwrap_or_default()
    }

    fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>> {
        let at = place(n);
        let (Some(start), Some(end)) = (self.first_edge.get(at), self.first_edge.get(at + 1)) else {
            return Vec::new();
        };
        let view = |e: &Edge| EdgeView {
            from: n,
            to: e.to,
            relation: e.relation,
            source: self.source(e.source),
            first_seen: e.first_seen,
            last_seen: e.last_seen,
            marking: e.marking,
            personal: e.personal,
        };
        self.edges[*start..*end].iter().map(view).collect()
    }

    fn stubs(&self, n: u32) -> Vec<StubView> {
        let under = self.under.get(&n).into_iter().flatten();
        under.map(|at| self.stubs[*at].clone()).collect()
    }

    fn failed(&self, n: u32) -> Vec<&str> {
        self.at(n).failed.iter().map(|s| self.source(*s)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two seeds, two hosts between, one target that three things lead to.
    pub const TREE: &str = r#"{"type":"job","schema":"kudzu.tree/1"}
{"type":"node","n":0,"id":"x","kind":"ipv4-addr","value":"198.51.100.1","depth":0}
{"type":"edge","from":0,"to":2,"relation":"hosted-name","source":"pdns.addr","first_seen":"2025-01-02T00:00:00Z","last_seen":"2025-02-03T00:00:00Z"}
{"type":"edge","from":0,"to":3,"relation":"hosted-name","source":"pdns.addr"}
{"type":"stub","parent":0,"relation":"hosted-name","reason":"fan-out","total":9,"sample":["gone.com"]}
{"type":"node","n":1,"id":"x","kind":"domain-name","value":"seed.com","depth":0}
{"type":"edge","from":1,"to":4,"relation":"name-server","source":"dns.name"}
{"type":"node","n":2,"id":"x","kind":"domain-name","value":"a.com","depth":1,"parent":0,"relation":"hosted-name"}
{"type":"edge","from":2,"to":4,"relation":"name-server","source":"dns.name"}
{"type":"edge","from":2,"to":4,"relation":"name-server","source":"rdap.domain"}
{"type":"node","n":3,"id":"x","kind":"domain-name","value":"b.com","depth":1,"parent":0,"relation":"hosted-name"}
{"type":"edge","from":3,"to":4,"relation":"name-server","source":"dns.name"}
{"type":"edge","from":3,"to":2,"relation":"alias-of","source":"dns.name"}
{"type":"node","n":4,"id":"x","kind":"domain-name","value":"ns.rare.net","depth":1,"parent":1,"relation":"name-server"}
{"type":"edge","from":4,"to":5,"relation":"name-server-of","source":"pdns.rdata"}
{"type":"node","n":5,"id":"x","kind":"domain-name","value":"next.com","depth":2,"parent":4,"relation":"name-server-of"}
{"type":"coverage","source":"dns.name","lookups":3}
{"type":"end","state":"complete","nodes":6,"edges":7,"stubs":1}
"#;

    pub fn read(text: &str) -> Result<Read, ReadError> {
        let whole = Read::lines(text.as_bytes());
        // However it is cut, it is the same.
        let mut cut = Read::default();
        let taken = text.as_bytes().chunks(7).try_for_each(|piece| cut.take(piece));
        let cut = taken.and_then(|()| cut.end());
        match (&whole, &cut) {
            (Ok(a), Ok(b)) => {
                let told = |t: &Read| format!("{:?} {:?} {:?}", t.nodes, t.edges, t.stubs);
                assert_eq!(told(a), told(b));
            }
            (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
            _ => panic!("{whole:?} and {cut:?}"),
        }
        whole
    }

    #[test]
    fn what_was_written_is_read() {
        let tree = read(TREE).unwrap();
        assert_eq!(tree.find(&Observable::parse("next.com").unwrap()), Some(5));
        assert_eq!(tree.node(4).observable.to_string(), "ns.rare.net");
        assert_eq!((tree.count(), tree.edges_from(2).len(), tree.children(0)), (6, 2, vec![2, 3]));
    }

    #[test]
    fn what_was_left_out_is_found_in_its_stub() {
        let tree = read(TREE).unwrap();
        let gone = tree.left_out(&Observable::parse("gone.com").unwrap());
        let told: Vec<_> = gone.iter().map(|s| (s.parent, s.reason, s.total)).collect();
        assert_eq!(told, [(Some(0), "fan-out", 9)]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let cut: String = TREE.lines().take(9).map(|l| format!("{l}\n")).collect();
        let table = [
            (String::new(), "is empty"),
            ("{}\n".into(), "line 1: not a line"),
            ("{\"type\":\"job\",\"schema\":\"other/9\"}\n".into(), "not a tree of this version"),
            (cut, "it was cut off"),
            (TREE.repeat(2), "line 19: a line after the end"),
            (TREE.replace("\"n\":3,", "\"n\":7,"), "lines are missing"),
            (TREE.replace("\"to\":5", "\"to\":77"), "not there"),
            (TREE.replace("{\"type\":\"edge\",\"from\":1", "\u{1b}[31m{"), "line 7: not a line"),
            (TREE.replace("\"alias-of\"", "\"aunt-of\""), "relation that is not known: \"aunt-of\""),
        ];
        for (text, why) in table {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
