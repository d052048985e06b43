//! The folder of a run: what was done, on what, what came of it, and the data.

mod charts;
mod machine;
mod page;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use machine::Machine;
pub use page::{number, text};

use crate::drive::Job;
use crate::figures::{Named, Stretch};
use crate::sample::{Sample, thin};
use crate::scenario::{Judged, Scenario, Shape};
use crate::trouble::Fault;
use crate::verify::Verdict;

/// Samples of an arm that are kept, about.
const SAMPLES: usize = 2_000;
/// Jobs of an arm that are kept; those with a problem are kept whatever.
const JOBS: usize = 2_000;
/// Problems that are told one by one.
const TOLD: usize = 20;

/// An arm as it went.
#[derive(Debug, Default)]
pub struct ArmRun {
    /// What it is called; nothing where there is one arm only.
    pub name: String,
    /// Its cluster; none where it is somebody else's.
    pub shape: Option<Shape>,
    /// Its loads, in order.
    pub loads: Vec<String>,
    /// Every job.
    pub jobs: Vec<Job>,
    /// What was seen of the processes.
    pub samples: Vec<Sample>,
    /// From before some loads to after them.
    pub stretches: Vec<Stretch>,
    /// What broke.
    pub faults: Vec<Fault>,
    /// What came of the jobs.
    pub verdict: Verdict,
    /// What is to be known of it.
    pub notes: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The scenario.
    pub scenario: String,
    /// What it shows.
    pub about: String,
    /// When it began, RFC 3339.
    pub date: String,
    /// The command that does it again.
    pub command: String,
    /// Whether it was run as it is written, and not smaller.
    pub whole: bool,
    /// What it was measured on.
    pub machine: Machine,
    /// Whether nothing was lost or wrong, and every check that counts is met.
    pub holds: bool,
    /// What had to come of it.
    pub checks: Vec<Judged>,
    /// What is to be known of it.
    pub notes: Vec<String>,
    /// What went wrong, the first of it.
    pub problems: Vec<String>,
    /// By arm.
    pub arms: Vec<ArmSummary>,
}

/// What came of an arm.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArmSummary {
    /// What it is called.
    pub name: String,
    /// Its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Its loads.
    pub loads: Vec<String>,
    /// What came of the jobs.
    pub verdict: Verdict,
    /// What broke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Its figures.
    pub figures: Named,
}

impl ArmSummary {
    /// Of an arm as it went.
    pub fn of(run: &ArmRun) -> Self {
        Self {
            name: run.name.clone(),
            shape: run.shape.clone(),
            loads: run.loads.clone(),
            verdict: run.verdict,
            faults: run.faults.clone(),
            figures: crate::figures::figures(&run.jobs, &run.stretches, &run.samples, run.verdict),
        }
    }
}

/// What went wrong with jobs, the first of it.
pub fn problems(runs: &[ArmRun]) -> Vec<String> {
    let all = runs.iter().flat_map(|run| run.jobs.iter().map(move |job| (run, job)));
    let told = all.flat_map(|(run, job)| {
        let who = [run.name.as_str(), job.load.as_str(), job.id.as_str()];
        let who = who.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ");
        job.problems.iter().map(move |problem| format!("{who}: {problem:.400}"))
    });
    told.take(TOLD).collect()
}

/// A folder that is not there yet: `<root>/<date>/<name>`, with a number where others are.
pub fn folder(root: &Path, date: &str, name: &str) -> PathBuf {
    let day = root.join(date);
    let numbered = (2..).map(|n| day.join(format!("{name}-{n}")));
    let mut all = std::iter::once(day.join(name)).chain(numbered);
    all.find(|folder| !folder.exists()).unwrap_or(day)
}

/// The name of a file of an arm.
fn named(file: &str, arm: &str, end: &str) -> String {
    if arm.is_empty() { format!("{file}.{end}") } else { format!("{file}-{arm}.{end}") }
}

/// Writes all of it.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, scenario: &Scenario, summary: &Summary, runs: &[ArmRun]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let put = |name: &str, text: &str| {
        fs::write(folder.join(name), text).with_context(|| format!("write {name} in {}", folder.display()))
    };
    put("scenario.toml", &toml::to_string(scenario).context("write the scenario")?)?;
    put("summary.json", &(serde_json::to_string_pretty(summary).context("write the summary")? + "\n"))?;
    for run in runs {
        put(&named("samples", &run.name, "csv"), &samples(&run.samples))?;
        jobs(&folder.join(named("jobs", &run.name, "ndjson")), &run.jobs)?;
    }
    let charts = charts::all(runs);
    for (name, plot) in &charts {
        put(name, &plot.svg())?;
    }
    let names: Vec<(&str, &str)> = charts.iter().map(|(n, plot)| (n.as_str(), plot.title.as_str())).collect();
    put("README.md", &page::page(summary, &names))
}

/// One row a sample: what is summed over everything, then four columns a process.
fn samples(samples: &[Sample]) -> String {
    let names: std::collections::BTreeSet<&str> =
        samples.iter().flat_map(|s| s.usage.keys()).map(String::as_str).collect();
    let mut out = "at_s,jobs,outstanding,asked_dns,asked_http".to_owned();
    for name in &names {
        out += &format!(",{name}.cpu_s,{name}.memory_kib,{name}.descriptors,{name}.threads");
    }
    for sample in thin(samples, SAMPLES) {
        let (asked, outstanding) = (&sample.asked, sample.outstanding);
        let (dns, http) = (asked.dns_udp + asked.dns_tcp, asked.rdap + asked.pdns + asked.certs);
        out += &format!("\n{:.2},{},{outstanding},{dns},{http}", sample.at_s, sample.jobs);
        for name in &names {
            match sample.usage.get(*name) {
                Some(u) => {
                    let kib = u.memory / 1024;
                    out += &format!(",{:.2},{kib},{},{}", u.cpu_s, u.descriptors, u.threads);
                }
                None => out += ",,,,",
            }
        }
    }
    out + "\n"
}

/// One object a job. Of very many, an even choice.
fn jobs(path: &Path, jobs: &[Job]) -> anyhow::Result<()> {
    let step = jobs.len().div_ceil(JOBS).max(1);
    let failed = || format!("write {}", path.display());
    let mut out = std::io::BufWriter::new(fs::File::create(path).with_context(failed)?);
    for (at, job) in jobs.iter().enumerate() {
        if at % step == 0 || !job.problems.is_empty() {
            serde_json::to_writer(&mut out, job).with_context(failed)?;
            out.write_all(b"\n").with_context(failed)?;
        }
    }
    out.flush().with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Usage;

    #[test]
    fn no_run_takes_the_place_of_another() {
        let root = tempfile::tempdir().unwrap();
        let first = folder(root.path(), "2026-12-01", "headline");
        assert!(first.ends_with("2026-12-01/headline"));
        fs::create_dir_all(&first).unwrap();
        assert!(folder(root.path(), "2026-12-01", "headline").ends_with("2026-12-01/headline-2"));
    }

    #[test]
    fn samples_have_a_column_for_each_process_that_was_ever_seen() {
        let of = |at_s: f64, name: &str| {
            let usage = Usage { memory: 2_048, threads: 3, ..Usage::default() };
            Sample { at_s, usage: [(name.to_owned(), usage)].into(), ..Sample::default() }
        };
        let text = samples(&[of(0.0, "redis"), of(0.25, "worker-1")]);
        let rows: Vec<usize> = text.lines().map(|row| row.split(',').count()).collect();
        assert_eq!(rows, [13, 13, 13], "{text}");
        assert!(text.ends_with("0.25,0,0,0,0,,,,,0.00,2,0,3\n"), "{text}");
    }
}
