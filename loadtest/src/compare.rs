//! Two runs beside each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::report::{Summary, number};

/// Two runs, figure by figure.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The first.
    pub before: Run,
    /// The second.
    pub after: Run,
    /// Why the figures may not be set beside each other.
    pub warnings: Vec<String>,
    /// By arm and name.
    pub figures: BTreeMap<String, Pair>,
}

/// Which run it was.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Its scenario.
    pub scenario: String,
    /// When it began.
    pub date: String,
    /// Its commit.
    pub commit: String,
    /// Its processors.
    pub machine: String,
}

/// A figure in both runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    /// In the first.
    pub before: Option<f64>,
    /// In the second.
    pub after: Option<f64>,
    /// The second over the first.
    pub ratio: Option<f64>,
}

/// Reads the summary of a run from its folder.
///
/// # Errors
/// When there is none.
pub fn open(folder: &Path) -> anyhow::Result<Summary> {
    let path = if folder.is_dir() { folder.join("summary.json") } else { folder.to_owned() };
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no summary of `run`", path.display()))
}

impl Comparison {
    /// Of two summaries.
    pub fn of(before: &Summary, after: &Summary) -> Self {
        let mut figures: BTreeMap<String, [Option<f64>; 2]> = BTreeMap::new();
        for (at, summary) in [before, after].into_iter().enumerate() {
            for arm in &summary.arms {
                for (name, value) in &arm.figures {
                    let name = [arm.name.as_str(), name].into_iter().filter(|p| !p.is_empty());
                    let name = name.collect::<Vec<_>>().join(" ");
                    figures.entry(name).or_default()[at] = Some(*value);
                }
            }
        }
        let pair = |[before, after]: [Option<f64>; 2]| {
            let ratio = before.zip(after).map(|(b, a)| a / b).filter(|r| r.is_finite());
            Pair { before, after, ratio }
        };
        let run = |s: &Summary| Run {
            scenario: s.scenario.clone(),
            date: s.date.clone(),
            commit: s.machine.commit.clone(),
            machine: format!("{} × {}", s.machine.cores, s.machine.cpu),
        };
        let figures = figures.into_iter().map(|(name, values)| (name, pair(values))).collect();
        Self { before: run(before), after: run(after), warnings: warnings(before, after), figures }
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (what, run) in [("before", &self.before), ("after ", &self.after)] {
            let Run { scenario, date, commit, machine } = run;
            out += &format!("{what}  {scenario}  {date}  {commit}  {machine}\n");
        }
        for warning in &self.warnings {
            out += &format!("warning  {warning}\n");
        }
        let width = self.figures.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        out += &format!("\n{:width$} {:>14} {:>14} {:>8}\n", "", "before", "after", "ratio");
        let shown = |value: Option<f64>| value.map_or("-".into(), number);
        for (name, pair) in &self.figures {
            let ratio = pair.ratio.map_or("-".into(), |r| format!("{r:.3}"));
            out +=
                &format!("{name:width$} {:>14} {:>14} {ratio:>8}\n", shown(pair.before), shown(pair.after));
        }
        out
    }
}

/// Why two runs are not alike.
fn warnings(before: &Summary, after: &Summary) -> Vec<String> {
    let mut warnings = Vec::new();
    for (which, run) in [("the first", before), ("the second", after)] {
        if !run.whole {
            warnings.push(format!("{which} was made smaller than its scenario: {}", run.command));
        }
        let wrong: usize = run.arms.iter().flat_map(|arm| arm.verdict.wrongs()).map(|(_, count)| count).sum();
        if wrong > 0 {
            warnings.push(format!("in {which} {wrong} jobs were lost or wrong, or could not be compared"));
        }
    }
    let names = |run: &Summary| run.arms.iter().map(|arm| arm.name.clone()).collect::<Vec<_>>();
    let shapes =
        |run: &Summary| run.arms.iter().map(|a| serde_json::to_value(&a.shape).ok()).collect::<Vec<_>>();
    let differ = [
        ("they are of two scenarios", before.scenario != after.scenario),
        ("their arms are not the same", names(before) != names(after)),
        (
            "their clusters are not the same: see shape in summary.json",
            names(before) == names(after) && shapes(before) != shapes(after),
        ),
        ("they ran on different processors", before.machine.cpu != after.machine.cpu),
        ("they had a different number of processors", before.machine.cores != after.machine.cores),
    ];
    warnings.extend(differ.into_iter().filter(|(_, differ)| *differ).map(|(what, _)| what.to_owned()));
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ArmSummary, Machine};
    use crate::verify::Verdict;

    fn summary(figures: &[(&str, f64)]) -> Summary {
        let arm = ArmSummary {
            name: "16".into(),
            shape: None,
            loads: Vec::new(),
            verdict: Verdict::default(),
            faults: Vec::new(),
            figures: figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        Summary {
            scenario: "scale".into(),
            about: String::new(),
            date: "2026-12-01T00:00:00Z".into(),
            command: String::new(),
            whole: true,
            machine: Machine::default(),
            holds: true,
            checks: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
            arms: vec![arm],
        }
    }

    #[test]
    fn figures_are_paired_by_arm_and_name() {
        let before = summary(&[("a", 10.0), ("gone", 1.0), ("none", 0.0)]);
        let after = summary(&[("a", 8.0), ("new", 2.0), ("none", 0.0)]);
        let both = Comparison::of(&before, &after);
        assert_eq!(both.figures["16 a"], Pair { before: Some(10.0), after: Some(8.0), ratio: Some(0.8) });
        assert_eq!(both.figures["16 gone"].ratio, None);
        assert_eq!(both.figures["16 none"].ratio, None, "nothing over nothing");
        assert!(both.text().lines().any(|l| l.starts_with("16 new") && l.ends_with('-')), "{}", both.text());
    }

    #[test]
    fn what_is_not_alike_is_told() {
        let whole = summary(&[("a", 1.0)]);
        assert_eq!(Comparison::of(&whole, &whole).warnings, [""; 0]);
        let mut smaller = Summary { whole: false, scenario: "warm".into(), ..summary(&[]) };
        smaller.arms[0].verdict.lost = 2;
        let told = Comparison::of(&whole, &smaller).text();
        for part in ["second was made smaller", "2 jobs were lost", "of two scenarios"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_summary_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&summary(&[("a", 1.5)])).unwrap();
        fs::write(folder.path().join("summary.json"), text).unwrap();
        let read = open(folder.path()).unwrap();
        assert!((read.arms[0].figures["a"] - 1.5).abs() < 1e-9);
        assert!(open(&folder.path().join("none")).is_err());
    }
}
