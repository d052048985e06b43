//! What one can see of a tree: of one that was just made, and of one that is read again from its
//! canonical lines.

use std::collections::HashMap;

use kudzu_shared::escape;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::outcome::End;
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::Relation;
use kudzu_shared::time::{UnixSeconds, parse_time};
use serde::Deserialize;

use super::{EdgeView, NodeView, StubView, Suppression, Tree};

/// A tree as views see it.
pub trait Shown: Sync {
    /// How many nodes there are.
    fn count(&self) -> u32;

    /// A node by number, which must be below [`Shown::count`].
    fn node(&self, n: u32) -> NodeView<'_>;

    /// The number of an observable, if it is in the tree.
    fn find(&self, item: &Observable) -> Option<u32>;

    /// The nodes whose canonical parent this is, in order.
    fn children(&self, n: u32) -> Vec<u32>;

    /// All pairs from a node to nodes, in canonical order.
    fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>>;

    /// What was left out under a node.
    fn stubs(&self, n: u32) -> Vec<StubView>;

    /// Sources whose answer about a node is not known, for they failed.
    fn failed(&self, n: u32) -> Vec<&str>;
}

/// Whether a lookup's end leaves its answer unknown.
fn is_failed(end: End) -> bool {
    matches!(end, End::Failed | End::Throttled | End::Dead)
}

impl Shown for Tree {
    fn count(&self) -> u32 {
        self.len()
    }

    fn node(&self, n: u32) -> NodeView<'_> {
        Tree::node(self, n)
    }

    fn find(&self, item: &Observable) -> Option<u32> {
        Tree::find(self, item)
    }

    fn children(&self, n: u32) -> Vec<u32> {
        Tree::children(self, n).collect()
    }

    fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>> {
        Tree::edges_from(self, n)
    }

    fn stubs(&self, n: u32) -> Vec<StubView> {
        Tree::stubs(self, n)
    }

    fn failed(&self, n: u32) -> Vec<&str> {
        let lookups = self.lookups(n).into_iter();
        lookups.filter(|(_, end, _)| is_failed(*end)).map(|(source, ..)| source).collect()
    }
}

/// A line that is none of a tree's.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not JSON, or without what it needs.
    #[error("line {0} of the tree cannot be read")]
    Line(usize, #[source] serde_json::Error),
    /// It says what this program does not know.
    #[error("line {0} of the tree has {1} that this program does not know")]
    Unknown(usize, &'static str),
    /// The last line is not the tree's end.
    #[error("the tree has no end: it was cut off")]
    Cut,
}

/// A tree that was read.
#[derive(Debug, Default)]
pub struct Read {
    nodes: Vec<Node>,
    by_value: HashMap<Observable, u32>,
    children: Vec<Vec<u32>>,
    edges: Vec<Edge>,
    /// Where each node's pairs begin; they end where the next node's do.
    first_edge: Vec<usize>,
    stubs: HashMap<u32, Vec<StubView>>,
    words: Vec<String>,
    known: HashMap<String, u16>,
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

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Job,
    Node {
        n: u32,
        kind: String,
        value: String,
        depth: u8,
        parent: Option<u32>,
        relation: Option<String>,
        suppressed: Option<SuppressedLine>,
        #[serde(default)]
        lookups: HashMap<String, String>,
    },
    Edge {
        from: u32,
        to: u32,
        relation: String,
        source: String,
        first_seen: Option<String>,
        last_seen: Option<String>,
        marking: Option<Tlp>,
        #[serde(default)]
        personal: bool,
    },
    Stub {
        parent: Option<u32>,
        relation: Option<String>,
        reason: String,
        total: u64,
        #[serde(default)]
        sample: Vec<String>,
    },
    Coverage,
    End,
}

#[derive(Deserialize)]
struct SuppressedLine {
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

fn reason(text: &str) -> Option<&'static str> {
    let listed = || ListClass::ALL.into_iter().map(ListClass::as_str).find(|r| *r == text);
    REASONS.into_iter().find(|r| *r == text).or_else(listed)
}

impl Read {
    /// Reads canonical lines.
    ///
    /// # Errors
    /// Names the line that is damaged, or says that the end is missing.
    pub fn lines(text: &[u8]) -> Result<Self, ReadError> {
        let mut read = Self::default();
        let lines = text.split(|b| *b == b'\n').filter(|l| !l.is_empty());
        for (number, line) in (1..).zip(lines) {
            let line = serde_json::from_slice(line).map_err(|e| ReadError::Line(number, e))?;
            read.line(line).map_err(|what| ReadError::Unknown(number, what))?;
        }
        if !read.ended {
            return Err(ReadError::Cut);
        }
        read.first_edge.push(read.edges.len());
        Ok(read)
    }

    fn line(&mut self, line: Line) -> Result<(), &'static str> {
        let place = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        match line {
            Line::Job | Line::Coverage => {}
            Line::End => self.ended = true,
            Line::Node { n, kind, value, depth, parent, relation, suppressed, lookups } => {
                if place(n) != self.nodes.len() {
                    return Err("a node out of its order");
                }
                let kind = Kind::from_name(&kind).ok_or("a kind")?;
                // What cannot be read back any more is shown as it was written.
                let observable = Observable::parse_as(kind, &value).ok();
                let observable = observable.or_else(|| Observable::from_identity(&value)).ok_or("a value")?;
                let relation = relation.map(|r| Relation::from_name(&r).ok_or("a relation")).transpose()?;
                let suppressed = match suppressed {
                    Some(SuppressedLine { reason: why, list, count }) => {
                        Some(Suppression { reason: reason(&why).ok_or("a reason")?, list, count })
                    }
                    None => None,
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
                if let Some(parent) = parent {
                    self.children.get_mut(place(parent)).ok_or("a parent after its child")?.push(n);
                }
                self.by_value.entry(observable.clone()).or_insert(n);
                self.nodes.push(Node { observable, depth, parent, relation, suppressed, failed });
                self.children.push(Vec::new());
                self.first_edge.push(self.edges.len());
            }
            Line::Edge { from, to, relation, source, first_seen, last_seen, marking, personal } => {
                if place(from) + 1 != self.nodes.len() {
                    return Err("a pair out of its order");
                }
                let time = |t: Option<String>| t.and_then(|t| parse_time(&t));
                let relation = Relation::from_name(&relation).ok_or("a relation")?;
                let source = self.word(&source);
                let (first_seen, last_seen) = (time(first_seen), time(last_seen));
                let marking = marking.unwrap_or(Tlp::Clear);
                self.edges.push(Edge { to, relation, source, first_seen, last_seen, marking, personal });
            }
            Line::Stub { parent, relation, reason: why, total, sample } => {
                let relation = relation.map(|r| Relation::from_name(&r).ok_or("a relation")).transpose()?;
                let reason = reason(&why).ok_or("a reason")?;
                let stub = StubView { parent, relation, reason, total, sample };
                if let Some(parent) = parent {
                    self.stubs.entry(parent).or_default().push(stub);
                }
            }
        }
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
        &self.nodes[usize::try_from(n).unwrap_or(usize::MAX)]
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
        self.children.get(usize::try_from(n).unwrap_or(usize::MAX)).cloned().unwrap_or_default()
    }

    fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>> {
        let at = usize::try_from(n).unwrap_or(usize::MAX);
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
        // One that leads to no node of the tree is shown nowhere.
        let known = |e: &&Edge| e.to < self.count();
        self.edges[*start..*end].iter().filter(known).map(view).collect()
    }

    fn stubs(&self, n: u32) -> Vec<StubView> {
        self.stubs.get(&n).cloned().unwrap_or_default()
    }

    fn failed(&self, n: u32) -> Vec<&str> {
        self.at(n).failed.iter().map(|s| self.source(*s)).collect()
    }
}
