//! The plots of a run.

use std::collections::BTreeSet;

use super::{ArmRun, named};
use crate::drive::Job;
use crate::figures::{Times, completes, first_trees};
use crate::plot::Plot;
use crate::sample::{INTERNET, SELF, Sample, Usage};

/// Samples over which a rate is taken: a second.
const WINDOW: usize = 4;
const SECONDS: &str = "seconds from the start";
/// Shares at which a curve of percentiles has points.
const SHARES: [f64; 16] =
    [0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999];

/// All of them, by the names of their files. Arms are compared where they fit into one plot.
pub fn all(runs: &[ArmRun]) -> Vec<(String, Plot)> {
    let mut all = vec![("throughput.svg".to_owned(), throughput(runs))];
    all.push(("outstanding.svg".into(), outstanding(runs)));
    if runs.iter().any(|run| run.jobs.len() > 3) {
        all.push(("jobs.svg".into(), jobs(runs)));
    }
    all.push(("latency.svg".into(), latency(runs)));
    for run in runs {
        all.push((named("cpu", &run.name, "svg"), cpu(run)));
        all.push((named("memory", &run.name, "svg"), memory(run)));
    }
    // A run on somebody else's cluster sees little.
    all.retain(|(_, plot)| plot.lines.iter().any(|l| l.points.iter().any(|(_, y)| *y > 0.0)));
    all
}

/// What a figure that only grows gains in a second.
fn rate(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let rates = samples.windows(WINDOW + 1).filter_map(|w| {
        let (from, to) = (w.first()?, w.last()?);
        let time = to.at_s - from.at_s;
        (time > 0.0).then(|| (to.at_s, ((figure(to) - figure(from)) / time).max(0.0)))
    });
    rates.collect()
}

fn name_of(run: &ArmRun, one: &str) -> String {
    if run.name.is_empty() { one.to_owned() } else { run.name.clone() }
}

fn mark(plot: &mut Plot, runs: &[ArmRun]) {
    if let [run] = runs {
        plot.marks.extend(run.faults.iter().map(|f| (f.at_s, f.what.to_string())));
    }
}

fn throughput(runs: &[ArmRun]) -> Plot {
    let mut plot = Plot::new("Questions that reach the simulated internet", SECONDS, "questions a second");
    for run in runs {
        let asked = |s: &Sample| {
            let a = &s.asked;
            (a.dns_udp + a.dns_tcp + a.rdap + a.pdns + a.certs) as f64
        };
        plot.line(&name_of(run, "questions"), rate(&run.samples, asked));
    }
    mark(&mut plot, runs);
    plot
}

fn outstanding(runs: &[ArmRun]) -> Plot {
    let mut plot = Plot::new("Questions outstanding, as coordinators tell it", SECONDS, "questions");
    for run in runs {
        let points = run.samples.iter().map(|s| (s.at_s, s.outstanding as f64)).collect();
        plot.line(&name_of(run, "outstanding"), points);
    }
    mark(&mut plot, runs);
    plot
}

fn jobs(runs: &[ArmRun]) -> Plot {
    let mut plot = Plot::new("Jobs that were due and have not ended", SECONDS, "jobs");
    for run in runs {
        plot.line(&name_of(run, "jobs"), run.samples.iter().map(|s| (s.at_s, s.jobs as f64)).collect());
    }
    mark(&mut plot, runs);
    plot
}

fn curve(times: &Times) -> Vec<(f64, f64)> {
    // A percentile that no job stands for would be made up.
    let seen = |share: &&f64| !times.is_empty() && (1.0 - **share) * times.len() as f64 >= 1.0;
    let mut points: Vec<(f64, f64)> = SHARES.iter().filter(seen).map(|s| (*s, times.at(*s))).collect();
    // The longest one stands for the last share that there is.
    if let Some(last) = points.last_mut() {
        let share = 1.0 - 1.0 / times.len() as f64;
        if share > last.0 {
            points.push((share, times.max()));
        } else {
            last.1 = times.max();
        }
    }
    points
}

fn latency(runs: &[ArmRun]) -> Plot {
    let title = "Time from when a job was due, as its user sees it";
    let mut plot = Plot { percentiles: true, ..Plot::new(title, "percentile of jobs", "seconds") };
    for run in runs {
        let loads: BTreeSet<&str> = run.jobs.iter().map(|j| j.load.as_str()).collect();
        for load in &loads {
            let jobs: Vec<&Job> = run.jobs.iter().filter(|j| j.load == **load).collect();
            let parts = [run.name.as_str(), if loads.len() > 1 { load } else { "" }];
            let name = parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ");
            plot.line(format!("{name} complete").trim(), curve(&completes(&jobs)));
            plot.line(format!("{name} first tree").trim(), curve(&first_trees(&jobs)));
        }
    }
    plot
}

/// Processes by kind: everything that any sample has.
fn kinds(samples: &[Sample], figure: fn(&Usage) -> f64) -> BTreeSet<String> {
    samples.iter().flat_map(|s| s.by_kind(figure).into_keys()).collect()
}

fn of(kind: &str) -> &str {
    match kind {
        SELF => "load generator",
        INTERNET => "simulated internet",
        "rabbitmq" => "RabbitMQ",
        "redis" => "Redis",
        "coordinator" => "coordinators",
        "worker" => "workers",
        other => other,
    }
}

fn cpu(run: &ArmRun) -> Plot {
    let title = format!("Processors used {}", run.name);
    let mut plot = Plot::new(title.trim(), SECONDS, "processors");
    for kind in kinds(&run.samples, |u| u.cpu_s) {
        let used = rate(&run.samples, |s| s.by_kind(|u| u.cpu_s).get(&kind).copied().unwrap_or(0.0));
        plot.line(of(&kind), used);
    }
    mark(&mut plot, std::slice::from_ref(run));
    plot
}

fn memory(run: &ArmRun) -> Plot {
    let title = format!("Memory {}", run.name);
    let mut plot = Plot::new(title.trim(), SECONDS, "MiB");
    for kind in kinds(&run.samples, |u| u.memory as f64) {
        let mib = |s: &Sample| {
            let octets = s.by_kind(|u| u.memory as f64).get(&kind).copied().unwrap_or(0.0);
            (s.at_s, octets / f64::from(1 << 20))
        };
        let points: Vec<(f64, f64)> = run.samples.iter().map(mib).collect();
        // It lives in the process of the load generator.
        if kind != INTERNET {
            let name = if kind == SELF { "generator, internet" } else { of(&kind) };
            plot.line(name, points);
        }
    }
    mark(&mut plot, std::slice::from_ref(run));
    plot
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: f64, cpu_s: f64) -> Sample {
        let usage = Usage { cpu_s, memory: 1 << 20, ..Usage::default() };
        let usage = [("worker-1".to_owned(), usage), ("worker-2".to_owned(), usage)].into();
        Sample { at_s, usage, ..Sample::default() }
    }

    #[test]
    fn a_run_has_its_plots() {
        let samples = (0..20).map(|n| sample(f64::from(n) / 4.0, f64::from(n) / 8.0)).collect();
        let job =
            Job { load: "job".into(), complete_s: Some(2.0), first_tree_s: Some(0.5), ..Job::default() };
        let run = ArmRun { samples, jobs: vec![job], ..ArmRun::default() };
        let all = all(&[run]);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["latency.svg", "cpu.svg", "memory.svg"], "those of nothing are left out");
        let (_, y) = all[1].1.lines[0].points[3];
        assert!((y - 1.0).abs() < 1e-9, "two workers at half a processor each: {y}");
    }

    #[test]
    fn no_percentile_is_made_up() {
        let times = Times::of((1..=20).map(f64::from));
        let last = curve(&times).last().copied().unwrap();
        assert!((last.0 - 0.95).abs() < 1e-9 && (last.1 - 20.0).abs() < 0.1, "{last:?}");
    }
}
