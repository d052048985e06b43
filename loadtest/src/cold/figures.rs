//! Figures over all rounds, and what they have to be.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names::Score;
use super::processor::Used;
use super::{Round, celery};

/// Wall time over that of massdns: what it may be at most, and what is aimed at.
const OVER_MASSDNS: (f64, f64) = (2.5, 1.5);
/// Lookups a second over those of Celery, at least.
const OVER_CELERY: f64 = 50.0;

/// One thing that must be so.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// What was asked for.
    pub goal: String,
    /// What was seen.
    pub seen: String,
    /// Whether it is so.
    pub met: bool,
}

/// The fastest of these.
pub fn best(runs: &[celery::Run]) -> Option<&celery::Run> {
    runs.iter().max_by(|a, b| a.rate.total_cmp(&b.rate))
}

/// The middle one, or between the two there.
fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => values.get(middle).copied(),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Microseconds a piece, medians over the runs, by what used them.
pub fn micros(runs: &[&Used], pieces: usize) -> Used {
    let kinds = runs.iter().flat_map(|used| used.keys());
    let each = |kind: &String| median(runs.iter().map(|used| used.get(kind).copied().unwrap_or(0.0)));
    kinds.filter_map(|kind| Some((kind.clone(), each(kind)? * 1e6 / pieces as f64))).collect()
}

/// Medians over the rounds, by name.
pub fn figures(names: usize, rounds: &[Round]) -> BTreeMap<&'static str, f64> {
    let massdns = || rounds.iter().filter_map(|r| r.massdns.as_ref());
    let celery = || rounds.iter().filter_map(|r| best(&r.celery));
    let used = |used: &Used| used.iter().filter(|(what, _)| *what != "NSD").map(|(_, s)| s).sum::<f64>();
    let n = names as f64;
    let tasks = celery().next().map_or(1, |run| run.score.right + run.score.lost) as f64;
    let all = [
        ("massdns_s", median(massdns().map(|m| m.took.seconds))),
        ("massdns_rate", median(massdns().map(|m| n / m.took.seconds))),
        ("massdns_us", median(massdns().map(|m| m.took.processor * 1e6 / n))),
        ("kudzu_s", median(rounds.iter().map(|r| r.kudzu.seconds))),
        ("kudzu_submit_s", median(rounds.iter().map(|r| r.kudzu.submit_seconds))),
        ("kudzu_rate", median(rounds.iter().map(|r| n / r.kudzu.seconds))),
        ("kudzu_us", median(rounds.iter().map(|r| used(&r.kudzu.processor) * 1e6 / n))),
        ("celery_s", median(celery().map(|c| c.seconds))),
        ("celery_rate", median(celery().map(|c| c.rate))),
        ("celery_us", median(celery().map(|c| used(&c.processor) * 1e6 / tasks))),
        ("over_massdns", over_massdns(rounds)),
        ("over_celery", over_celery(names, rounds)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Wall times of one round are compared with each other: the machine is not the same all the time.
fn over_massdns(rounds: &[Round]) -> Option<f64> {
    median(rounds.iter().filter_map(|r| Some(r.kudzu.seconds / r.massdns.as_ref()?.took.seconds)))
}

fn over_celery(names: usize, rounds: &[Round]) -> Option<f64> {
    median(rounds.iter().filter_map(|r| Some(names as f64 / r.kudzu.seconds / best(&r.celery)?.rate)))
}

/// What must be so, and whether it is.
pub fn checks(rounds: &[Round]) -> Vec<Check> {
    let kudzu = || rounds.iter().map(|r| &r.kudzu);
    let (lost, wrong) =
        kudzu().fold((0, 0), |(lost, wrong), run| (lost + run.score.lost, wrong + run.score.wrong));
    let faults: Vec<&String> = kudzu().flat_map(|run| &run.faults).collect();
    let names = rounds.first().map_or(0, |r| r.kudzu.score.right + r.kudzu.score.lost);
    let mut checks = vec![
        Check {
            what: "kudzu: names lost, and answers that are wrong",
            goal: "none".into(),
            seen: format!("{lost} lost, {wrong} wrong"),
            met: (lost, wrong) == (0, 0),
        },
        Check {
            what: "kudzu: coverage, trees and lookups add up",
            goal: "in every job".into(),
            seen: faults.first().map_or("in every job".into(), |f| format!("{} faults: {f}", faults.len())),
            met: faults.is_empty(),
        },
    ];
    if let Some(over) = over_massdns(rounds) {
        let (most, aim) = OVER_MASSDNS;
        checks.push(Check {
            what: "wall time over that of massdns",
            goal: format!("at most {most}, better {aim}"),
            seen: format!("{over:.2}"),
            met: over <= most,
        });
    }
    if let Some(over) = over_celery(names, rounds) {
        checks.push(Check {
            what: "lookups a second over those of Celery",
            goal: format!("at least {OVER_CELERY}"),
            seen: format!("{over:.1}"),
            met: over >= OVER_CELERY,
        });
    }
    let massdns = rounds.iter().filter_map(|r| r.massdns.as_ref()).map(|m| m.score);
    let others: Vec<_> = massdns.chain(rounds.iter().flat_map(|r| &r.celery).map(|c| c.score)).collect();
    if !others.is_empty() {
        let off: usize = others.iter().map(|s| s.lost + s.wrong).sum();
        checks.push(Check {
            what: "the others did the same work: names lost, and answers that are wrong",
            goal: "none".into(),
            seen: format!("{off}"),
            met: others.iter().all(Score::is_clean),
        });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_counts() {
        assert_eq!((median([3.0, 1.0, 2.0]), median([1.0, 2.0]), median([])), (Some(2.0), Some(1.5), None));
    }
}
