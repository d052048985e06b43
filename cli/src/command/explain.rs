//! `kudzu explain`

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use kudzu_coordinator::tree::EdgeView;
use kudzu_coordinator::tree::explain::Explained;
use kudzu_coordinator::tree::read::Read;
use kudzu_coordinator::tree::shown::Shown as _;
use kudzu_coordinator::tree::ways::{Parent, parents};
use kudzu_shared::escape;
use kudzu_shared::observable::Observable;
use kudzu_shared::time::rfc3339;
use serde_json::Value;

use crate::args::{Explain, ListFormat};
use crate::console::{self, Paint, Style};
use crate::exit::{End, Failure, Outcome};
use crate::view::json::{defanged, escaped};
use crate::view::text::{count, defang_words, shown};
use crate::view::tree::why;

/// Files of a folder that hold candidates are not larger than this.
const MAX_CANDIDATES: u64 = 256 << 20;
/// Octets of a tree that are read at a time.
const PIECE: usize = 1 << 20;

pub fn run(args: &Explain) -> Outcome {
    let target = Observable::parse(&args.observable).map_err(|e| Failure::Usage(e.into()))?;
    let (path, folder) = find(&args.result)?;
    let tree = read(&path)?;
    let Some(n) = tree.find(&target) else { return Err(absent(&tree, &target, args.defang)) };
    let found = Found {
        parents: parents(&tree, n, args.parents.into(), args.ways.into()),
        candidate: folder.and_then(|f| candidate(&f, &target)),
        tree: &tree,
        n,
    };
    let mut out = console::stdout();
    match args.format {
        ListFormat::Text => found.text(&mut out, args, Style::of_stdout())?,
        ListFormat::Json => {
            let Found { parents, candidate, .. } = found;
            let told = Explained::new(&tree, n, &parents, args.parents.into(), candidate);
            let told = serde_json::to_value(told).context("write the result as JSON")?;
            let told = if args.defang { defanged(told) } else { told };
            serde_json::to_writer_pretty(&mut out, &told).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(End::Complete)
}

fn find(result: &Path) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    if !result.is_dir() {
        return Ok((result.to_owned(), None));
    }
    let tree = result.join("tree.ndjson");
    if tree.is_file() {
        return Ok((tree, Some(result.to_owned())));
    }
    Err(Failure::failed(format!(
        "{}: there is no tree.ndjson in it: give the folder that a run with --out has written",
        result.display()
    )))
}

/// Reads a tree piece by piece.
fn read(path: &Path) -> anyhow::Result<Read> {
    let shown = path.display();
    let mut file = File::open(path).with_context(|| format!("open {shown}"))?;
    let (mut tree, mut piece) = (Read::default(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece).with_context(|| format!("read {shown}"))? {
            0 => break,
            n => tree.take(&piece[..n]).with_context(|| shown.to_string())?,
        }
    }
    let hint = || format!("{shown}: give the folder written by --out, or its tree.ndjson");
    tree.end().with_context(hint)
}

fn absent(tree: &Read, target: &Observable, defang: bool) -> Failure {
    let mut text = format!("{} is not in this result", shown(target.as_ref(), defang));
    for stub in tree.left_out(target).into_iter().take(5) {
        let under = stub.parent.map_or("it".into(), |n| shown(tree.node(n).observable, defang));
        text.push_str(&format!(
            "\nit is one of {} by {} that were left out under {under}: {}",
            count(stub.total),
            stub.relation.map_or("", |r| r.as_str()),
            escape::terminal(why(stub.reason))
        ));
    }
    Failure::failed(text)
}

/// The candidate's record in the same folder; a result without one is explained all the same.
fn candidate(folder: &Path, target: &Observable) -> Option<Value> {
    let path = folder.join("candidates.json");
    if std::fs::metadata(&path).ok()?.len() > MAX_CANDIDATES {
        return None;
    }
    let all: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    let text = escape::terminal(&target.to_string()).into_owned();
    let is_it = |c: &Value| c["value"] == text.as_str() && c["kind"] == target.kind().as_str();
    // What was written by somebody else may hold anything.
    escaped(&all.into_iter().find(is_it)?).ok()
}

/// What is not shown of the ways to a parent.
fn left_out(parent: &Parent<'_>) -> Option<String> {
    if parent.ways.is_empty() {
        return None;
    }
    let shown = parent.ways.len() as u64;
    let short = parent.total.saturating_sub(shown);
    let long = parent.longer.saturating_sub(shown.saturating_sub(parent.total));
    let mut parts = Vec::new();
    if short > 0 {
        parts.push(format!("{} more ways as short", count(short)));
    }
    if long > 0 {
        parts.push(format!("{} longer ones", count(long)));
    }
    let hint = if parts.is_empty() { "" } else { " (--ways N shows them)" };
    if parent.more {
        parts.push("perhaps others that are longer still".into());
    }
    (!parts.is_empty()).then(|| format!("… and {}{hint}", parts.join(", ")))
}

struct Found<'a> {
    tree: &'a Read,
    n: u32,
    parents: Vec<Parent<'a>>,
    candidate: Option<Value>,
}

impl Found<'_> {
    fn text(&self, out: &mut dyn Write, args: &Explain, style: Style) -> Result<(), Failure> {
        let node = self.tree.node(self.n);
        let name = shown(node.observable, args.defang);
        let what = match node.depth {
            0 => "a seed".to_owned(),
            1 => "1 step from a seed".to_owned(),
            n => format!("{n} steps from a seed"),
        };
        writeln!(out, "{} ({}): {what}", style.paint(Paint::Head, &name), node.observable.kind.as_str())?;
        if let Some(c) = &self.candidate {
            self.ranked(out, c, args.defang)?;
        }
        match self.parents.len() {
            0 => writeln!(out, "nothing in the tree leads to it")?,
            1 => writeln!(out, "1 thing leads to it:")?,
            n => writeln!(out, "{} things lead to it:", count(n as u64))?,
        }
        for (at, parent) in self.parents.iter().take(args.parents.into()).enumerate() {
            self.parent(out, at + 1, parent, args, style)?;
        }
        let more = self.parents.len().saturating_sub(args.parents.into());
        if more > 0 {
            writeln!(out, "… and {} more (--parents N shows them)", count(more as u64))?;
        }
        Ok(())
    }

    fn ranked(&self, out: &mut dyn Write, c: &Value, defang: bool) -> io::Result<()> {
        let text = |v: &Value| {
            let text = escape::terminal(v.as_str().unwrap_or("")).into_owned();
            if defang { defang_words(&text) } else { text }
        };
        let score = c["score"].as_f64().unwrap_or(0.0);
        writeln!(out, "candidate {}: {score:.2}, {}", c["rank"], text(&c["band"]))?;
        for reason in c["reasons"].as_array().into_iter().flatten() {
            writeln!(out, "  • {}", text(&reason["text"]))?;
        }
        Ok(())
    }

    fn parent(
        &self,
        out: &mut dyn Write,
        number: usize,
        parent: &Parent<'_>,
        args: &Explain,
        style: Style,
    ) -> Result<(), Failure> {
        let node = self.name(parent.n, args.defang);
        writeln!(out)?;
        writeln!(out, "{number}. from {}", style.paint(Paint::Head, &node))?;
        if parent.ways.is_empty() {
            let note = "   (no way from a seed leads there but through what is explained)";
            writeln!(out, "{}", style.paint(Paint::Dim, note))?;
        }
        for way in &parent.ways {
            let start = way.first().map_or(parent.n, |e| e.from);
            writeln!(out, "   {} (seed)", self.name(start, args.defang))?;
            for edge in way {
                self.step(out, std::slice::from_ref(edge), args.defang, style)?;
            }
            // Several sources that say the same are one step.
            for same in parent.last.chunk_by(|a, b| a.relation == b.relation) {
                self.step(out, same, args.defang, style)?;
            }
        }
        if let Some(left) = left_out(parent) {
            writeln!(out, "   {left}")?;
        }
        Ok(())
    }

    /// A step that one or more sources tell of.
    fn step(
        &self,
        out: &mut dyn Write,
        same: &[EdgeView<'_>],
        defang: bool,
        style: Style,
    ) -> Result<(), Failure> {
        let Some(e) = same.first() else { return Ok(()) };
        let day = |t: Option<i64>| t.map(|t| rfc3339(t).chars().take(10).collect::<String>());
        let told = same.iter().map(|e| {
            let seen = match (day(e.first_seen), day(e.last_seen)) {
                (None, None) => String::new(),
                (first, last) => format!(", {}–{}", first.unwrap_or_default(), last.unwrap_or_default()),
            };
            format!("{}{seen}", e.source)
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let told = style.paint(Paint::Dim, &format!("({})", escape::terminal(&told)));
        let (relation, name) = (e.relation.as_str(), self.name(e.to, defang));
        writeln!(out, "     → {relation:<20}  {name}  {told}")?;
        Ok(())
    }

    fn name(&self, n: u32, defang: bool) -> String {
        shown(self.tree.node(n).observable, defang)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_counted() {
        let parent = |total, longer, more, ways| Parent {
            n: 0,
            distance: Some(1),
            total,
            longer,
            more,
            ways: vec![Vec::new(); ways],
            last: Vec::new(),
        };
        let left = |p| left_out(&p).unwrap_or_default();
        assert_eq!(left(parent(1, 0, false, 1)), "");
        assert_eq!(
            left(parent(5, 2, false, 3)),
            "… and 2 more ways as short, 2 longer ones (--ways N shows them)"
        );
        assert_eq!(
            left(parent(1, 4, true, 3)),
            "… and 2 longer ones, perhaps others that are longer still (--ways N shows them)"
        );
        assert_eq!(left(parent(1, 0, true, 1)), "… and perhaps others that are longer still");
    }

    #[test]
    fn what_is_not_there_is_defanged_too() {
        let tree = r#"{"type":"job","schema":"kudzu.tree/1"}
{"type":"node","n":0,"kind":"ipv4-addr","value":"198.51.100.1","depth":0}
{"type":"stub","parent":0,"relation":"hosted-name","reason":"fan-out","total":9,"sample":["gone.com"]}
{"type":"end"}
"#;
        let tree = Read::lines(tree.as_bytes()).unwrap();
        let said = absent(&tree, &Observable::parse("gone.com").unwrap(), true).text();
        assert!(said.contains("gone[.]com") && said.contains("198[.]51[.]100[.]1"), "{said}");
    }
}
