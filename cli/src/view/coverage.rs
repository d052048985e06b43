//! What was asked of each source, and what came of it.

use kudzu_coordinator::model::{Coverage, SourceCoverage};
use kudzu_shared::escape;
use kudzu_shared::outcome::End;

use super::text::{Table, count};

/// The table's lines, the heading first.
pub fn lines(coverage: &Coverage, width: usize) -> Vec<String> {
    let titles = [
        "source",
        ">lookups",
        ">questions",
        ">found",
        ">empty",
        ">failed",
        ">throttled",
        ">skipped",
        ">dead",
        "why",
    ];
    let mut table = Table::new(&titles);
    for (source, c) in coverage {
        let mut cells = vec![escape::terminal(source).into_owned(), count(c.lookups), count(c.questions)];
        let ends = [End::Found, End::Empty, End::Failed, End::Throttled, End::Skipped, End::Dead];
        cells.extend(ends.map(|end| count(c.count(end))));
        cells.push(why(c));
        table.row(cells);
    }
    table.lines(width)
}

/// What stands behind failed and skipped lookups.
fn why(c: &SourceCoverage) -> String {
    let mut parts: Vec<String> = c.unavailable.iter().map(|u| escape::terminal(u).into_owned()).collect();
    let telling = c.verdicts.iter().filter(|(v, _)| !matches!(v.end(), End::Found | End::Empty));
    parts.extend(telling.map(|(v, n)| format!("{} {}", count(*n), v.as_str())));
    parts.join(", ")
}

/// Questions that are still not answered, over all sources: failed, throttled or dead lookups.
pub fn unknown(coverage: &Coverage) -> u64 {
    let ends = [End::Failed, End::Throttled, End::Dead];
    coverage.values().map(|c| ends.iter().map(|e| c.count(*e)).sum::<u64>()).sum()
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
        let lines = lines(&coverage, 120);
        assert_eq!(
            lines[1],
            "dns.name     1,200      7,200  1,000    190      10          0        0     0  10 timeout"
        );
        assert!(lines[2].ends_with("set pdns.url"));
        assert_eq!(unknown(&coverage), 10);
    }
}
