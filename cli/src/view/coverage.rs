//! What was asked of each source, and what came of it.

use kudzu_coordinator::model::{Coverage, SourceCoverage};
use kudzu_shared::escape;
use kudzu_shared::outcome::End;

use super::text::{Table, count, fit};

/// Ends that have a column; some only where there is something in it.
const ENDS: [(End, &str, bool); 6] = [
    (End::Found, ">found", true),
    (End::Empty, ">empty", true),
    (End::Failed, ">failed", true),
    (End::Throttled, ">throttled", false),
    (End::Skipped, ">skipped", false),
    (End::Dead, ">dead", false),
];

/// The table's lines, the heading first. What does not fit beside a row stands below it.
pub fn lines(coverage: &Coverage, width: usize) -> Vec<String> {
    let some = |end: End| coverage.values().any(|c| c.count(end) > 0);
    let ends: Vec<_> = ENDS.iter().filter(|(end, _, always)| *always || some(*end)).collect();
    let mut titles = vec!["source", ">lookups", ">questions"];
    titles.extend(ends.iter().map(|(_, title, _)| *title));
    let mut table = Table::new(&titles);
    for (source, c) in coverage {
        let mut cells = vec![escape::terminal(source).into_owned(), count(c.lookups), count(c.questions)];
        cells.extend(ends.iter().map(|(end, ..)| count(c.count(*end))));
        table.row(cells);
    }
    let rows = table.lines(width);
    let whys = std::iter::once(String::new()).chain(coverage.values().map(why));
    let mut lines = Vec::new();
    for (row, why) in rows.into_iter().zip(whys) {
        let beside = row.chars().count() + 2 + why.chars().count() <= width;
        match (why.is_empty(), beside) {
            (true, _) => lines.push(row),
            (false, true) => lines.push(format!("{row}  {why}")),
            (false, false) => lines.extend([row, fit(&format!("    {why}"), width)]),
        }
    }
    lines
}

/// What stands behind failed and skipped lookups.
fn why(c: &SourceCoverage) -> String {
    let mut parts: Vec<String> = c.unavailable.iter().map(|u| escape::terminal(u).into_owned()).collect();
    let telling = c.verdicts.iter().filter(|(v, _)| !matches!(v.end(), End::Found | End::Empty));
    parts.extend(telling.map(|(v, n)| format!("{} {}", count(*n), v.as_str())));
    parts.join(", ")
}

/// Adds one coverage to another, as of two jobs of one list.
pub fn add(total: &mut Coverage, more: &Coverage) {
    for (source, c) in more {
        let sum = total.entry(source.clone()).or_default();
        sum.lookups += c.lookups;
        sum.questions += c.questions;
        c.ends.iter().for_each(|(end, n)| *sum.ends.entry(end).or_default() += n);
        c.verdicts.iter().for_each(|(verdict, n)| *sum.verdicts.entry(*verdict).or_default() += n);
        sum.unavailable = sum.unavailable.take().or_else(|| c.unavailable.clone());
    }
}

/// Questions that are still not answered, over all sources: failed, throttled or dead lookups.
pub fn unknown(coverage: &Coverage) -> u64 {
    let ends = [End::Failed, End::Throttled, End::Dead];
    coverage.values().map(|c| ends.iter().map(|e| c.count(*e)).sum::<u64>()).sum()
}

/// What the sources told, whatever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Some answered.
    Something,
    /// So many lookups were asked, and none was answered.
    Nothing(u64),
    /// No source was asked.
    NotAsked,
}

/// Whether a result stands on any answer. What a process knows by itself does not count.
pub fn known(coverage: &Coverage) -> Known {
    let others = || coverage.iter().filter(|(name, _)| *name != "parts").map(|(_, c)| c);
    let sum = |ends: &[End]| -> u64 { others().flat_map(|c| ends.iter().map(|e| c.count(*e))).sum() };
    match (sum(&[End::Found, End::Empty]), sum(&[End::Failed, End::Throttled, End::Dead])) {
        (0, 0) => Known::NotAsked,
        (0, failed) => Known::Nothing(failed),
        _ => Known::Something,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kudzu_shared::outcome::Verdict;

    use super::*;

    #[test]
    fn what_failed_is_told_apart_from_what_is_empty() {
        let dns = SourceCoverage {
            lookups: 1200,
            questions: 7200,
            ends: BTreeMap::from([("found", 1000), ("empty", 190), ("failed", 10)]),
            verdicts: BTreeMap::from([
                (Verdict::Found, 7000),
                (Verdict::NxDomain, 190),
                (Verdict::Timeout, 10),
            ]),
            unavailable: None,
        };
        let pdns = SourceCoverage { unavailable: Some("set pdns.url".into()), ..SourceCoverage::default() };
        let coverage = Coverage::from([("dns.name".into(), dns), ("pdns.name".into(), pdns)]);
        let wide = lines(&coverage, 120);
        assert_eq!(wide[0], "source     lookups  questions  found  empty  failed");
        assert_eq!(wide[1], "dns.name     1,200      7,200  1,000    190      10  10 timeout");
        assert!(wide[2].ends_with("set pdns.url"));
        let narrow = lines(&coverage, 60);
        assert_eq!(narrow[2], "    10 timeout");
        assert!(narrow.iter().all(|l| l.chars().count() <= 60));
        assert_eq!(unknown(&coverage), 10);
        assert_eq!(known(&coverage), Known::Something);
    }

    #[test]
    fn coverages_add_up() {
        let one = SourceCoverage {
            lookups: 2,
            questions: 3,
            ends: BTreeMap::from([("failed", 2)]),
            verdicts: BTreeMap::from([(Verdict::Timeout, 3)]),
            unavailable: Some("off".into()),
        };
        let one = Coverage::from([("dns.name".into(), one)]);
        let mut total = Coverage::new();
        add(&mut total, &one);
        add(&mut total, &one);
        let sum = &total["dns.name"];
        assert_eq!((sum.lookups, sum.questions, sum.count(End::Failed)), (4, 6, 4));
        assert_eq!((sum.verdicts[&Verdict::Timeout], sum.unavailable.as_deref()), (6, Some("off")));
        let parts = SourceCoverage { ends: BTreeMap::from([("found", 2)]), ..SourceCoverage::default() };
        add(&mut total, &Coverage::from([("parts".into(), parts)]));
        assert_eq!((known(&total), known(&Coverage::new())), (Known::Nothing(4), Known::NotAsked));
    }
}
