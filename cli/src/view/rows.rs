//! Rows of enriched indicators.

use std::io::{self, Write};

use kudzu_coordinator::model::JobResult;
use kudzu_coordinator::tree::{EdgeView, Said, StubView, Tree};
use kudzu_shared::escape;
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::time::rfc3339;
use serde_json::{Map, Value, json};

use super::text::{defang_words, shown};
use crate::args::job::RowFormat;
use crate::indicators::Line;

/// What stands before the first row.
///
/// # Errors
/// Those of the writer.
pub fn begin(out: &mut dyn Write, format: RowFormat) -> io::Result<()> {
    match format {
        RowFormat::Ndjson => Ok(()),
        RowFormat::Json => out.write_all(b"["),
        RowFormat::Csv => writeln!(
            out,
            "line,input,kind,value,lookups,not_asked,left_out,relation,found_kind,found,source,first_seen,last_seen,error"
        ),
    }
}

/// What stands behind the last row.
///
/// # Errors
/// Those of the writer.
pub fn end(out: &mut dyn Write, format: RowFormat) -> io::Result<()> {
    if format == RowFormat::Json { out.write_all(b"]\n") } else { Ok(()) }
}

/// How rows look.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Their form.
    pub format: RowFormat,
    /// Whether observables are defanged.
    pub defang: bool,
    /// Whether this is the first row.
    pub first: bool,
}

/// The row or rows of one line.
///
/// # Errors
/// Those of the writer.
pub fn row(out: &mut dyn Write, line: &Line, result: Option<&JobResult>, form: Form) -> io::Result<()> {
    let tree = result.map(|r| &r.tree);
    match form.format {
        RowFormat::Csv => return csv(out, line, tree, form.defang),
        RowFormat::Json if !form.first => out.write_all(b",")?,
        RowFormat::Json | RowFormat::Ndjson => {}
    }
    serde_json::to_writer(&mut *out, &object(line, tree, form.defang))?;
    out.write_all(b"\n")
}

fn object(line: &Line, tree: Option<&Tree>, defang: bool) -> Value {
    let mut row = Map::new();
    row.insert("line".into(), line.number.into());
    let input = words(&line.text, defang);
    row.insert("input".into(), input.into());
    let item = match &line.indicator {
        Ok(item) => item,
        Err(bad) => {
            row.insert("error".into(), words(&bad.why, defang).into());
            return row.into();
        }
    };
    row.insert("id".into(), item.id().into());
    row.insert("kind".into(), item.kind().as_str().into());
    row.insert("value".into(), shown(item.as_ref(), defang).into());
    let Some((tree, n)) = tree.and_then(|t| Some((t, t.find(item)?))) else {
        row.insert("error".into(), "not looked up".into());
        return row.into();
    };
    if let Some(why) = tree.node(n).suppressed {
        row.insert("not_asked".into(), why.reason.into());
    }
    let lookups: Map<String, Value> =
        lookups(tree, n).into_iter().map(|(source, end)| (source, end.into())).collect();
    row.insert("lookups".into(), lookups.into());
    let found: Vec<Value> = tree.edges_from(n).iter().map(|e| pair(tree, e, defang)).collect();
    row.insert("found".into(), found.into());
    let facts = facts(tree, n, defang);
    if !facts.is_empty() {
        row.insert("facts".into(), facts.into());
    }
    let left_out: Vec<Value> = tree
        .stubs(n)
        .iter()
        .map(|s| json!({ "relation": s.relation.map(|r| r.as_str()), "reason": s.reason, "total": s.total }))
        .collect();
    if !left_out.is_empty() {
        row.insert("left_out".into(), left_out.into());
    }
    row.into()
}

fn pair(tree: &Tree, e: &EdgeView<'_>, defang: bool) -> Value {
    let to = tree.node(e.to).observable;
    let mut pair = Map::new();
    pair.insert("relation".into(), e.relation.as_str().into());
    pair.insert("kind".into(), to.kind.as_str().into());
    pair.insert("value".into(), shown(to, defang).into());
    pair.insert("source".into(), e.source.into());
    for (name, at) in [("first_seen", e.first_seen), ("last_seen", e.last_seen)] {
        if let Some(at) = at {
            pair.insert(name.into(), rfc3339(at).into());
        }
    }
    pair.into()
}

fn facts(tree: &Tree, n: u32, defang: bool) -> Map<String, Value> {
    let mut facts: Map<String, Value> = Map::new();
    for (name, value) in tree.facts(n) {
        let value: Value = match value {
            Said::Yes => true.into(),
            Said::Time(at) => rfc3339(at).into(),
            Said::Text(text) => words(text, defang).into(),
        };
        if let Value::Array(all) = facts.entry(name.as_str()).or_insert_with(|| Value::Array(Vec::new())) {
            all.push(value);
        }
    }
    facts
}

/// Text that came from outside, in the display form.
fn words(text: &str, defang: bool) -> String {
    let text = escape::terminal(text);
    if defang { defang_words(&text) } else { text.into_owned() }
}

/// What the lookups of each source ended with; behind a failure stands what failed.
fn lookups(tree: &Tree, n: u32) -> Vec<(String, String)> {
    joined(tree.lookups(n))
}

/// Two asks of one source are told together: neither hides the other.
fn joined(ended: Vec<(&str, End, Vec<Verdict>)>) -> Vec<(String, String)> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for (source, end, verdicts) in ended {
        let mut text = end.as_str().to_owned();
        for verdict in verdicts {
            text.push(' ');
            text.push_str(verdict.as_str());
        }
        match joined.iter_mut().find(|(name, _)| name == source) {
            Some((_, all)) => {
                all.push_str(", ");
                all.push_str(&text);
            }
            None => joined.push((source.to_owned(), text)),
        }
    }
    joined
}

/// What was left out of a row, in one cell.
fn left_out(stubs: &[StubView]) -> String {
    let one = |s: &StubView| {
        let relation = s.relation.map_or("in all", |r| r.as_str());
        format!("{relation}: {} {}", s.total, s.reason)
    };
    stubs.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn csv(out: &mut dyn Write, line: &Line, tree: Option<&Tree>, defang: bool) -> io::Result<()> {
    let input = words(&line.text, defang);
    let start = format!("{},{}", line.number, escape::csv_cell(&input));
    let item = match &line.indicator {
        Ok(item) => item,
        Err(bad) => {
            return writeln!(out, "{start}{}{}", ",".repeat(12), escape::csv_cell(&words(&bad.why, defang)));
        }
    };
    let value = shown(item.as_ref(), defang);
    let start = format!("{start},{},{}", item.kind().as_str(), escape::csv_cell(&value));
    let Some((tree, n)) = tree.and_then(|t| Some((t, t.find(item)?))) else {
        return writeln!(out, "{start}{}not looked up", ",".repeat(10));
    };
    let ends: Vec<String> =
        lookups(tree, n).into_iter().map(|(source, end)| format!("{source}: {end}")).collect();
    let start = format!(
        "{start},{},{},{}",
        escape::csv_cell(&ends.join("; ")),
        tree.node(n).suppressed.map_or("", |why| why.reason),
        escape::csv_cell(&left_out(&tree.stubs(n))),
    );
    let edges = tree.edges_from(n);
    if edges.is_empty() {
        return writeln!(out, "{start},,,,,,,");
    }
    for e in &edges {
        let to = tree.node(e.to).observable;
        writeln!(
            out,
            "{start},{},{},{},{},{},{},",
            e.relation.as_str(),
            to.kind.as_str(),
            escape::csv_cell(&shown(to, defang)),
            escape::csv_cell(e.source),
            e.first_seen.map(rfc3339).unwrap_or_default(),
            e.last_seen.map(rfc3339).unwrap_or_default(),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kudzu_shared::pair::Relation;

    use crate::indicators::Lines;

    fn written(text: &str, format: RowFormat) -> String {
        let mut lines = Lines::new(text.as_bytes(), false);
        let mut out = Vec::new();
        begin(&mut out, format).unwrap();
        while let Some(line) = lines.next_line().unwrap() {
            let form = Form { format, defang: false, first: line.number == 1 };
            row(&mut out, &line, None, form).unwrap();
        }
        end(&mut out, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_bad_line_has_a_row_of_its_own() {
        let text = written("a..b\n", RowFormat::Ndjson);
        let row: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((row["line"].as_u64(), row["input"].as_str()), (Some(1), Some("a..b")));
        assert!(row["error"].as_str().unwrap().contains("two dots"));
    }

    #[test]
    fn every_form_is_well_formed() {
        let json: Value = serde_json::from_str(&written("a..b\nevil.com\n", RowFormat::Json)).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 2);
        let csv = written("=cmd()\nevil.com\n", RowFormat::Csv);
        let columns = |line: &str| line.split(',').count();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[1].starts_with("1,'=cmd()"), "{csv}");
        // One comma is in the text of the error.
        assert_eq!(columns(lines[0]) + 1, columns(lines[1]), "{csv}");
        assert_eq!(columns(lines[0]), columns(lines[2]), "{csv}");
    }

    #[test]
    fn a_failed_ask_is_not_hidden_by_another_of_its_source() {
        let ended = vec![
            ("dns.name", End::Failed, vec![Verdict::Timeout]),
            ("rdap.domain", End::Found, Vec::new()),
            ("dns.name", End::Empty, Vec::new()),
        ];
        let told = joined(ended);
        assert_eq!(told[0], ("dns.name".into(), "failed timeout, empty".into()));
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn what_was_left_out_has_a_cell() {
        let stub = |relation, reason, total| StubView {
            parent: Some(0),
            relation,
            reason,
            total,
            sample: Vec::new(),
        };
        let stubs = [stub(Some(Relation::HostedName), "limit", 9), stub(None, "nodes", 2)];
        assert_eq!(left_out(&stubs), "hosted-name: 9 limit; in all: 2 nodes");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_defanged_too() {
        assert_eq!(words("`evil.com:x`: no", true), "`evil[.]com:x`: no");
    }
}
