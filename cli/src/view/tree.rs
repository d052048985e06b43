//! The tree on a terminal.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use kudzu_coordinator::rank::Candidate;
use kudzu_coordinator::tree::shown::Shown;
use kudzu_coordinator::tree::{EdgeView, NodeView, StubView};
use kudzu_shared::escape;
use kudzu_shared::observable::{Kind, Observable};
use kudzu_shared::pair::Relation;

use super::pick::{Picked, Shape, below, pick};
use super::text::{count, shown, span};
use crate::console::{Paint, Style};

/// Lines that a person reads.
const LINES: usize = 56;
/// Candidates whose ways are shown.
const LEADS: usize = 10;
/// Relations told of what is folded.
const FOLDED: usize = 3;
/// Stubs shown under one node.
const STUBS: usize = 3;

/// What is shown, and how.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Colours and width.
    pub style: Style,
    /// Whether observables are defanged.
    pub defang: bool,
    /// Whether every node is shown.
    pub full: bool,
    /// Levels shown below a root.
    pub depth: Option<u8>,
    /// The node to start from, instead of the seeds.
    pub under: Option<u32>,
}

/// Writes the tree.
///
/// # Errors
/// Those of the writer.
pub fn write(
    out: &mut dyn Write,
    tree: &dyn Shown,
    candidates: &[Candidate],
    options: &Options,
) -> io::Result<()> {
    let parents: Vec<Option<u32>> = (0..tree.count()).map(|n| tree.node(n).parent).collect();
    let below = below(&parents);
    let roots: Vec<u32> = match options.under {
        Some(n) => vec![n],
        None => (0..tree.count()).take_while(|n| tree.node(*n).depth == 0).collect(),
    };
    let all_roots = roots.len();
    let ranked = by_node(tree, candidates);
    let first: HashMap<u32, f64> =
        ranked.iter().filter(|(_, c)| leads(c, candidates)).map(|(n, c)| (*n, c.score)).collect();
    let deepest =
        options.depth.map(|d| tree.node(roots.first().copied().unwrap_or(0)).depth.saturating_add(d));
    let children = |n: u32| {
        if deepest.is_some_and(|d| tree.node(n).depth >= d) {
            return Vec::new();
        }
        tree.children(n).into_iter().map(|c| (c, tree.node(c).relation.map_or(0, |r| r as u8))).collect()
    };
    let picked = if options.full {
        Picked::all(roots)
    } else {
        pick(&Shape { parents: &parents, children: &children, scores: &first }, &below, roots, LINES)
    };
    let mut writer = Writer { out, tree, below: &below, ranked: &ranked, picked: &picked, deepest, options };
    for root in &picked.roots {
        writer.node(*root, None, "", "")?;
    }
    let folded = all_roots - picked.roots.len();
    if folded > 0 {
        writer.line(vec![(
            Some(Paint::Dim),
            format!("… {} more seeds (--full shows all)", count(folded as u64)),
        )])?;
    }
    Ok(())
}

fn leads(candidate: &Candidate, all: &[Candidate]) -> bool {
    let domains = all.iter().any(|c| c.kind == Kind::DomainName.as_str());
    candidate.rank <= LEADS && (!domains || candidate.kind == Kind::DomainName.as_str())
}

fn by_node<'c>(tree: &dyn Shown, candidates: &'c [Candidate]) -> HashMap<u32, &'c Candidate> {
    let node = |c: &Candidate| {
        let kind = Kind::from_name(c.kind)?;
        tree.find(&Observable::parse_as(kind, &c.value).ok()?)
    };
    candidates.iter().filter_map(|c| Some((node(c)?, c))).collect()
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    tree: &'a dyn Shown,
    below: &'a [u32],
    ranked: &'a HashMap<u32, &'a Candidate>,
    picked: &'a Picked,
    deepest: Option<u8>,
    options: &'a Options,
}

/// Parts of a line, each with its paint.
type Parts = Vec<(Option<Paint>, String)>;

impl Writer<'_> {
    /// A node and what is shown below it; `before` stands before its line, `inside` before
    /// those of its children.
    fn node(&mut self, n: u32, edge: Option<&EdgeView<'_>>, before: &str, inside: &str) -> io::Result<()> {
        let view = self.tree.node(n);
        let open = self.deepest.is_none_or(|d| view.depth < d);
        let children: Vec<u32> = if open { self.tree.children(n) } else { Vec::new() };
        let shown: Vec<u32> = children.iter().copied().filter(|c| self.picked.shows(*c)).collect();
        let stubs = self.tree.stubs(n);
        self.line(self.node_parts(&view, edge, before, shown.is_empty(), &stubs))?;
        if shown.is_empty() {
            return Ok(());
        }
        let tail = self.tail(&children, &stubs);
        // Of several that say the same the first one is shown.
        let edges = self.tree.edges_from(n).into_iter().rev();
        let edges: HashMap<_, _> = edges.map(|e| ((e.to, Some(e.relation)), e)).collect();
        for (at, child) in shown.iter().enumerate() {
            let last = at + 1 == shown.len() && tail.is_empty();
            let (branch, rest) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let relation = self.tree.node(*child).relation;
            let edge = edges.get(&(*child, relation));
            self.node(*child, edge, &format!("{inside}{branch}"), &format!("{inside}{rest}"))?;
        }
        for (at, text) in tail.iter().enumerate() {
            let branch = if at + 1 == tail.len() { "└─ " } else { "├─ " };
            self.line(vec![(Some(Paint::Dim), format!("{inside}{branch}{text}"))])?;
        }
        Ok(())
    }

    /// What is folded or left out under a node, a line each.
    fn tail(&self, children: &[u32], stubs: &[StubView]) -> Vec<String> {
        let mut folded: BTreeMap<Option<Relation>, u64> = BTreeMap::new();
        let mut deeper = 0;
        for child in children.iter().filter(|c| !self.picked.shows(**c)) {
            *folded.entry(self.tree.node(*child).relation).or_default() += 1;
            deeper += u64::from(self.below[*child as usize]);
        }
        let mut lines = Vec::new();
        if !folded.is_empty() {
            lines.push(fold(&folded, deeper));
        }
        lines.extend(stubs.iter().take(STUBS).map(|s| self.stub(s)));
        if stubs.len() > STUBS {
            lines.push(format!("✂ {} more kinds left out", stubs.len() - STUBS));
        }
        lines
    }

    fn stub(&self, stub: &StubView) -> String {
        let relation = stub.relation.map_or("in all", Relation::as_str);
        let mut text = format!("✂ {} by {relation} left out: {}", count(stub.total), why(stub.reason));
        if !stub.sample.is_empty() {
            let sample = stub.sample.iter().map(|s| {
                let text = escape::terminal(s);
                if self.options.defang { super::text::defang_words(&text) } else { text.into_owned() }
            });
            text.push_str(&format!(" (such as {})", sample.collect::<Vec<_>>().join(", ")));
        }
        text
    }

    fn node_parts(
        &self,
        view: &NodeView<'_>,
        edge: Option<&EdgeView<'_>>,
        before: &str,
        leaf: bool,
        stubs: &[StubView],
    ) -> Parts {
        let mut parts: Parts = vec![(Some(Paint::Dim), before.to_owned())];
        if let Some(relation) = view.relation.filter(|_| !before.is_empty()) {
            parts.push((Some(Paint::Dim), format!("{} ", relation.as_str())));
        }
        let value = shown(view.observable, self.options.defang);
        let ranked = self.ranked.get(&view.n);
        let paint = if view.depth == 0 {
            Some(Paint::Head)
        } else {
            ranked.map(|c| super::candidates::paint(c.band))
        };
        parts.push((paint, value));
        if view.depth == 0 {
            parts.push((Some(Paint::Dim), "  seed".into()));
        }
        if let Some(c) = ranked {
            parts.push((paint, format!("  ◆ {:.2} {}", c.score, super::candidates::band(c.band))));
        }
        if let Some(edge) = edge {
            let seen = span(edge.first_seen, edge.last_seen);
            let told = if seen.is_empty() { String::new() } else { format!("  {seen}") };
            parts.push((Some(Paint::Dim), told));
        }
        if let Some(why) = view.suppressed {
            let list = why.list.as_deref().map(|l| format!(", {}", escape::terminal(l))).unwrap_or_default();
            let total = why.count.map(|c| format!(", {} related", count(c))).unwrap_or_default();
            parts.push((Some(Paint::Warn), format!("  not followed: {}{list}{total}", why.reason)));
        }
        let unknown = self.tree.failed(view.n);
        if !unknown.is_empty() {
            parts.push((Some(Paint::Bad), format!("  ! {} failed", unknown.join(", "))));
        }
        let hidden = self.below[view.n as usize];
        if leaf && hidden > 0 {
            parts.push((Some(Paint::Dim), format!("  +{} below", count(hidden.into()))));
        }
        if leaf {
            parts.extend(stubs.first().map(|s| (Some(Paint::Dim), format!("  {}", self.stub(s)))));
        }
        parts
    }

    /// Writes a line, cut to the width; colours are put on what is left.
    fn line(&mut self, parts: Parts) -> io::Result<()> {
        let style = self.options.style;
        let mut room = style.width;
        for (paint, text) in parts {
            if room == 0 {
                break;
            }
            let long = text.chars().count();
            let text = if long > room { super::text::fit(&text, room) } else { text };
            room -= long.min(room);
            let text = paint.map_or_else(|| text.clone(), |p| style.paint(p, &text));
            self.out.write_all(text.as_bytes())?;
        }
        self.out.write_all(b"\n")
    }
}

/// What is folded under a node, the most first.
fn fold(folded: &BTreeMap<Option<Relation>, u64>, deeper: u64) -> String {
    let mut by: Vec<(u64, &str)> =
        folded.iter().map(|(r, n)| (*n, r.map_or("seed", Relation::as_str))).collect();
    by.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let total: u64 = by.iter().map(|(n, _)| n).sum();
    let mut text = format!("… {} more", count(total));
    if let [(_, relation)] = by.as_slice() {
        text.push_str(&format!(" by {relation}"));
    } else {
        let mut parts: Vec<String> =
            by.iter().take(FOLDED).map(|(n, relation)| format!("{} by {relation}", count(*n))).collect();
        let rest: u64 = by.iter().skip(FOLDED).map(|(n, _)| n).sum();
        parts.extend((rest > 0).then(|| format!("{} otherwise", count(rest))));
        text.push_str(&format!(": {}", parts.join(", ")));
    }
    if deeper > 0 {
        text.push_str(&format!("; +{} below", count(deeper)));
    }
    text
}

/// Why something was left out, in words.
pub fn why(reason: &str) -> &str {
    match reason {
        "hub" => "too many share it to mean anything",
        "fan-out" => "over the limit of one relation under one node",
        "nodes" => "over the limit of nodes",
        "wildcard" => "any name exists there",
        "limit" => "the source was asked for fewer",
        "depth" => "at the last level",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_name_the_most_first() {
        let mut folded = BTreeMap::from([(Some(Relation::HostedName), 1234)]);
        assert_eq!(fold(&folded, 1), "… 1,234 more by hosted-name; +1 below");
        folded.insert(Some(Relation::ResolvesTo), 1);
        assert_eq!(fold(&folded, 0), "… 1,235 more: 1,234 by hosted-name, 1 by resolves-to");
        folded.insert(Some(Relation::NameServer), 2);
        folded.insert(Some(Relation::Registrar), 1);
        assert_eq!(
            fold(&folded, 77),
            "… 1,238 more: 1,234 by hosted-name, 2 by name-server, 1 by resolves-to, 1 otherwise; +77 below"
        );
    }
}
