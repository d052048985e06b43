//! A result as people and scripts read it, wherever it comes from.

use std::collections::HashMap;
use std::io::{self, Write};

use kudzu_coordinator::rank::Candidate;
use kudzu_coordinator::tree::shown::Shown;
use kudzu_shared::escape;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::time::rfc3339;
use serde_json::Value;

use super::text::{count, octets, seconds, shown};
use super::{candidates, coverage, tree};
use crate::console::{Paint, Style, tell};
use crate::results::Summary;

/// What can be seen of a result, wherever it comes from.
pub struct Seen<'a> {
    /// The tree.
    pub tree: &'a dyn Shown,
    /// Best first.
    pub candidates: &'a [Candidate],
    /// Figures, and what was asked.
    pub summary: &'a Summary<'a>,
    /// Stubs in the tree.
    pub stubs: u64,
}

/// How people see it.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colours and width.
    pub style: Style,
    /// Whether observables are defanged.
    pub defang: bool,
    /// Whether every node is shown.
    pub full: bool,
    /// Levels shown below a root.
    pub depth: Option<u8>,
}

/// Writes a result as people read it.
///
/// # Errors
/// Those of the writer.
pub fn terminal(
    out: &mut dyn Write,
    seen: &Seen<'_>,
    look: Look,
    under: Option<&Observable>,
) -> io::Result<()> {
    let Look { style, defang, full, depth } = look;
    let start = under.and_then(|item| seen.tree.find(item));
    if let (Some(item), None) = (under, start) {
        tell(&format!("{} is not in the tree; here is the whole", escape::terminal(&item.to_string())));
    }
    let options = tree::Options { style, defang, full, depth, under: start };
    if let Some(why) = &seen.summary.partial {
        writeln!(out, "{}", style.paint(Paint::Warn, &format!("PARTIAL ({why})")))?;
    }
    tree::write(out, seen.tree, seen.candidates, &options)?;
    writeln!(out)?;
    candidates::write(out, seen.candidates, style, defang)?;
    writeln!(out)?;
    writeln!(out, "{}", style.paint(Paint::Head, "Coverage: what was asked, and what came of it"))?;
    for line in coverage::lines(seen.summary.coverage, style.width) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    for line in closing(seen.summary, seen.stubs) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The figures of a run, a line each.
pub fn closing(s: &Summary<'_>, stubs: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &s.partial {
        lines.push(format!(
            "PARTIAL ({why}): this is what there was; more may follow from a run with more time"
        ));
    }
    let unknown = coverage::unknown(s.coverage);
    if unknown > 0 {
        lines
            .push(format!("lookups that failed: {}; what they would have said is not known", count(unknown)));
    }
    lines.push(format!(
        "{} nodes, {} pairs, {} stubs for what was left out",
        count(s.nodes),
        count(s.edges),
        count(stubs)
    ));
    let times = s.serial_ms.checked_div(s.elapsed_ms.max(1)).unwrap_or(0);
    let mut time = format!("{} questions in {}", count(s.questions), seconds(s.elapsed_ms));
    if times > 1 {
        time.push_str(&format!(
            "; one after another they take {} ({} times as long)",
            seconds(s.serial_ms),
            count(times)
        ));
    }
    time.push_str(
        &s.first_tree_ms.map(|ms| format!("; first tree after {}", seconds(ms))).unwrap_or_default(),
    );
    lines.push(time);
    if let Some(peak) = s.peak_rss_bytes {
        let node = s.bytes_per_node.map(|b| format!("; its coordinator's structures hold {b:.0} B a node"));
        lines.push(format!("memory of the process {} at most{}", octets(peak), node.unwrap_or_default()));
    }
    if let Some(t) = &s.truth {
        lines.push(format!(
            "truth: {} planned domains, {} of them reachable: {} among the first {}, {} among the first {} (with {} decoys)",
            t.planned,
            t.reachable,
            t.found_in_n,
            t.reachable,
            t.found_in_2n,
            2 * t.reachable,
            t.decoys_in_2n
        ));
    }
    lines.push(format!("SHA-256 of the tree {}", s.sha256));
    lines
}

/// One document: the tree's lines are the elements of an array; behind it stand candidates and
/// figures, in this order.
///
/// # Errors
/// Those of the writers.
pub fn document<T>(
    out: &mut dyn Write,
    tree: impl FnOnce(&mut dyn Write) -> io::Result<T>,
    rest: impl FnOnce(&T) -> io::Result<[Value; 2]>,
) -> io::Result<T> {
    out.write_all(b"{\"tree\":[")?;
    let written = tree(&mut Elements::new(&mut *out))?;
    let [candidates, summary] = rest(&written)?;
    out.write_all(b"],\n\"candidates\":")?;
    serde_json::to_writer(&mut *out, &candidates)?;
    out.write_all(b",\n\"summary\":")?;
    serde_json::to_writer(&mut *out, &summary)?;
    out.write_all(b"}\n")?;
    Ok(written)
}

/// Puts a comma before each line but the first.
struct Elements<'a> {
    out: &'a mut dyn Write,
    fresh: bool,
    first: bool,
}

impl<'a> Elements<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, fresh: true, first: true }
    }
}

impl Write for Elements<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if self.fresh && !self.first {
                self.out.write_all(b",")?;
            }
            self.first = false;
            self.out.write_all(line)?;
            self.fresh = line.ends_with(b"\n");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// One row a node, with its canonical parent.
///
/// # Errors
/// Those of the writer.
pub fn csv(out: &mut dyn Write, seen: &Seen<'_>, defang: bool) -> io::Result<()> {
    let tree = seen.tree;
    let ranked: HashMap<u32, _> = seen
        .candidates
        .iter()
        .filter_map(|c| {
            let item = Observable::parse_as(Kind::from_name(c.kind)?, &c.value).ok()?;
            Some((tree.find(&item)?, c))
        })
        .collect();
    let head = "n,depth,kind,value,parent,relation,source,first_seen,last_seen,not_followed,rank,score,band";
    writeln!(out, "{head}")?;
    let mut edges = HashMap::new();
    let mut of = None;
    for node in (0..tree.count()).map(|n| tree.node(n)) {
        if of != node.parent {
            let all = node.parent.map(|p| tree.edges_from(p)).unwrap_or_default();
            // Of several that say the same the first one is shown.
            edges = all.into_iter().rev().map(|e| ((e.to, Some(e.relation)), e)).collect();
            of = node.parent;
        }
        let edge = edges.get(&(node.n, node.relation));
        let parent = node.parent.map(|p| shown(tree.node(p).observable, defang)).unwrap_or_default();
        let value = shown(node.observable, defang);
        write!(
            out,
            "{},{},{},{},{},{},{},{},{},{}",
            node.n,
            node.depth,
            node.observable.kind.as_str(),
            escape::csv_cell(&value),
            escape::csv_cell(&parent),
            node.relation.map_or("", |r| r.as_str()),
            edge.map_or("".into(), |e| escape::csv_cell(e.source)),
            edge.and_then(|e| e.first_seen).map(rfc3339).unwrap_or_default(),
            edge.and_then(|e| e.last_seen).map(rfc3339).unwrap_or_default(),
            node.suppressed.map_or("", |s| s.reason),
        )?;
        match ranked.get(&node.n) {
            Some(c) => writeln!(out, ",{},{},{}", c.rank, c.score, candidates::band(c.band))?,
            None => writeln!(out, ",,,")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_elements_however_they_are_cut() {
        for step in 1..9 {
            let mut page = b"[".to_vec();
            let mut elements = Elements::new(&mut page);
            for piece in b"{\"a\":1}\n{\"b\":2}\n{}\n".chunks(step) {
                elements.write_all(piece).unwrap();
            }
            page.extend_from_slice(b"]");
            let read: Value = serde_json::from_slice(&page).unwrap();
            assert_eq!(read.as_array().unwrap().len(), 3);
        }
    }
}
