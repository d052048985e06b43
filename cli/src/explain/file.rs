//! A canonical tree on disk: pairs in memory, names where they stand in the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use kudzu_shared::escape;
use kudzu_shared::observable::Observable;
use serde::Deserialize;

/// A line longer than this is damaged.
const MAX_LINE: u64 = 64 << 20;
/// The schema that is read.
const SCHEMA: &str = "kudzu.tree/1";

/// One pair.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// The key's node.
    pub from: u32,
    /// The value's node.
    pub to: u32,
    /// Number of the relation's word.
    pub relation: u32,
    /// Number of the source's word.
    pub source: u32,
    /// Number of the word of the time first seen.
    pub first_seen: Option<u32>,
    /// Number of the word of the time last seen.
    pub last_seen: Option<u32>,
}

/// A tree file.
#[derive(Debug)]
pub struct TreeFile {
    path: PathBuf,
    file: File,
    /// Where each node's line starts.
    offsets: Vec<u64>,
    /// Hops from a seed, by node.
    pub depths: Vec<u8>,
    /// All pairs, by their key's node.
    pub edges: Vec<Edge>,
    words: Vec<String>,
    known: HashMap<String, u32>,
    /// The node asked for.
    pub target: Option<u32>,
    /// Where the target stands in a stub's sample: parent, relation, reason, total.
    pub left_out: Vec<(Option<u32>, String, String, u64)>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "type")]
    what: String,
    schema: Option<String>,
    n: Option<u32>,
    kind: Option<String>,
    value: Option<String>,
    depth: Option<u8>,
    from: Option<u32>,
    to: Option<u32>,
    parent: Option<u32>,
    relation: Option<String>,
    source: Option<String>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    reason: Option<String>,
    total: Option<u64>,
    sample: Option<Vec<String>>,
}

/// A node as its line says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: String,
    /// Its text, escaped already.
    pub value: String,
}

impl TreeFile {
    /// Reads a tree line by line, and finds the target in it.
    ///
    /// # Errors
    /// Names the line that is damaged.
    pub fn read(path: &Path, target: &Observable) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("open {shown}"))?;
        let mut reader =
            BufReader::with_capacity(1 << 18, file.try_clone().with_context(|| format!("open {shown}"))?);
        let mut tree = Self {
            path: path.to_owned(),
            file,
            offsets: Vec::new(),
            depths: Vec::new(),
            edges: Vec::new(),
            words: Vec::new(),
            known: HashMap::new(),
            target: None,
            left_out: Vec::new(),
        };
        let text = escape::terminal(&target.to_string()).into_owned();
        let (mut offset, mut number, mut ended) = (0, 0_u64, false);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut reader)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .with_context(|| format!("read {shown}"))? as u64;
            if length == 0 {
                break;
            }
            number += 1;
            if length == MAX_LINE {
                bail!("{shown}:{number}: the line has no end: the file is damaged");
            }
            let row: Row = serde_json::from_slice(&line).map_err(|e| damaged(path, number, &e))?;
            ended = row.what == "end";
            tree.take(row, number, offset, target, &text).with_context(|| format!("{shown}:{number}"))?;
            offset += length;
        }
        if number == 0 {
            bail!("{shown} is empty: give the folder written by --out, or its tree.ndjson");
        }
        if !ended {
            bail!(
                "{shown}: its last line ({number}) is not an \"end\": the file was cut; write the result again"
            );
        }
        let nodes = tree.offsets.len() as u32;
        if let Some(edge) = tree.edges.iter().find(|e| e.to >= nodes || e.from >= nodes) {
            bail!(
                "{shown}: a pair of nodes {} and {} that are not there: the file is damaged",
                edge.from,
                edge.to
            );
        }
        Ok(tree)
    }

    fn take(
        &mut self,
        row: Row,
        number: u64,
        offset: u64,
        target: &Observable,
        text: &str,
    ) -> anyhow::Result<()> {
        if number == 1 {
            let schema = row.schema.as_deref().unwrap_or("");
            if row.what != "job" || schema != SCHEMA {
                bail!("not a tree of this version ({SCHEMA}), it says {:?}", escape::shorten(schema, 40));
            }
            return Ok(());
        }
        match row.what.as_str() {
            "node" => {
                let expected = self.offsets.len() as u32;
                let (Some(n), Some(kind), Some(value), Some(depth)) = (row.n, row.kind, row.value, row.depth)
                else {
                    bail!("a node without n, kind, value or depth");
                };
                if n != expected {
                    bail!("node {n} where {expected} should stand: lines are missing");
                }
                if value == text && kind == target.kind().as_str() {
                    self.target = Some(n);
                }
                self.offsets.push(offset);
                self.depths.push(depth);
            }
            "edge" => {
                let (Some(from), Some(to), Some(relation), Some(source)) =
                    (row.from, row.to, row.relation, row.source)
                else {
                    bail!("a pair without from, to, relation or source");
                };
                let (relation, source) = (self.word(relation), self.word(source));
                let first_seen = row.first_seen.map(|t| self.word(t));
                let last_seen = row.last_seen.map(|t| self.word(t));
                self.edges.push(Edge { from, to, relation, source, first_seen, last_seen });
            }
            "stub" if row.sample.as_ref().is_some_and(|s| s.iter().any(|v| v == text)) => {
                let relation = row.relation.unwrap_or_default();
                self.left_out.push((
                    row.parent,
                    relation,
                    row.reason.unwrap_or_default(),
                    row.total.unwrap_or(0),
                ));
            }
            // Lines that a later minor version adds are passed over.
            _ => {}
        }
        Ok(())
    }

    fn word(&mut self, word: String) -> u32 {
        if let Some(n) = self.known.get(&word) {
            return *n;
        }
        let n = self.words.len() as u32;
        self.words.push(word.clone());
        self.known.insert(word, n);
        n
    }

    /// A word by its number.
    pub fn text(&self, word: u32) -> &str {
        self.words.get(word as usize).map_or("", String::as_str)
    }

    /// A node, read again from its line.
    ///
    /// # Errors
    /// When the file changed meanwhile.
    pub fn node(&self, n: u32) -> anyhow::Result<Node> {
        let read = || -> anyhow::Result<Node> {
            let offset = self.offsets.get(n as usize).context("there is no such node")?;
            let mut file = &self.file;
            file.seek(SeekFrom::Start(*offset))?;
            let mut line = Vec::new();
            BufReader::new(file).take(MAX_LINE).read_until(b'\n', &mut line)?;
            let node: Node = serde_json::from_slice(&line)?;
            // What was written by somebody else may hold anything.
            let clean = |t: &str| escape::terminal(t).into_owned();
            Ok(Node { kind: clean(&node.kind), value: clean(&node.value) })
        };
        read().with_context(|| format!("{}: read node {n} again", self.path.display()))
    }
}

fn damaged(path: &Path, number: u64, error: &serde_json::Error) -> anyhow::Error {
    let path = path.display();
    anyhow::anyhow!(
        "{path}:{number}: not a line of a kudzu tree (column {}): the file is damaged",
        error.column()
    )
}

#[cfg(test)]
pub mod tests {
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

    pub fn read(text: &str, target: &str) -> anyhow::Result<TreeFile> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        TreeFile::read(file.path(), &Observable::parse(target).unwrap())
    }

    #[test]
    fn nodes_are_read_where_they_stand() {
        let tree = read(TREE, "next.com").unwrap();
        assert_eq!(tree.target, Some(5));
        assert_eq!(tree.node(4).unwrap().value, "ns.rare.net");
        assert_eq!((tree.depths.len(), tree.edges.len()), (6, 8));
    }

    #[test]
    fn what_was_left_out_is_found_in_its_stub() {
        let tree = read(TREE, "gone.com").unwrap();
        assert_eq!(tree.target, None);
        assert_eq!(tree.left_out, [(Some(0), "hosted-name".into(), "fan-out".into(), 9)]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let cut: String = TREE.lines().take(9).map(|l| format!("{l}\n")).collect();
        let table = [
            (String::new(), "is empty"),
            ("{}\n".into(), ":1: not a line"),
            ("{\"type\":\"job\",\"schema\":\"other/9\"}\n".into(), "not a tree of this version"),
            (cut, "the file was cut"),
            (TREE.replace("\"n\":3,", "\"n\":7,"), "lines are missing"),
            (TREE.replace("\"to\":5", "\"to\":77"), "not there"),
            (TREE.replace("{\"type\":\"edge\",\"from\":1", "\u{1b}[31m{"), ":7: not a line"),
        ];
        for (text, why) in table {
            let error = format!("{:#}", read(&text, "next.com").unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
