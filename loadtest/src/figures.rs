//! Figures of a run, by name: what checks look at, what the summary shows, and what two runs
//! are compared by.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::drive::Job;
use crate::sample::{Sample, Usage, kind};
use crate::verify::Verdict;

/// Figures by name.
pub type Named = BTreeMap<String, f64>;

/// What happened from before the first job of some loads to after the last: loads beside each
/// other share it.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The loads.
    pub loads: Vec<String>,
    /// Right before.
    pub before: Sample,
    /// Right after.
    pub after: Sample,
}

/// Percentiles that are told.
const TOLD: [(&str, f64); 4] = [("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99)];
/// Microseconds in a second: what histograms count in.
const MICRO: f64 = 1e6;

/// Times, in bins of a thousandth of their size.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

impl Times {
    /// Of these seconds.
    #[expect(clippy::expect_used, reason = "a histogram of three digits can always be made")]
    pub fn of(seconds: impl Iterator<Item = f64>) -> Self {
        let mut histogram = Histogram::new(3).expect("of three digits");
        for time in seconds {
            // It grows as it must: nothing is refused.
            let _ = histogram.record((time * MICRO).round().max(0.0) as u64);
        }
        Self(histogram)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Below which this share of them lies, in seconds.
    pub fn at(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / MICRO
    }

    /// The longest.
    pub fn max(&self) -> f64 {
        self.0.max() as f64 / MICRO
    }

    fn note(&self, name: &str, into: &mut Named) {
        if self.is_empty() {
            return;
        }
        for (percentile, share) in TOLD {
            into.insert(format!("{name}.{percentile}"), self.at(share));
        }
        into.insert(format!("{name}.max"), self.max());
        into.insert(format!("{name}.mean"), self.0.mean() / MICRO);
    }
}

/// Times of jobs.
pub fn completes(jobs: &[&Job]) -> Times {
    Times::of(jobs.iter().filter_map(|j| j.complete_s))
}

/// Times to the first trees of jobs.
pub fn first_trees(jobs: &[&Job]) -> Times {
    Times::of(jobs.iter().filter_map(|j| j.first_tree_s))
}

/// All figures of an arm.
pub fn figures(jobs: &[Job], stretches: &[Stretch], samples: &[Sample], verdict: Verdict) -> Named {
    let mut named = Named::new();
    named.insert("jobs".into(), verdict.jobs as f64);
    named.extend(verdict.wrongs().map(|(name, count)| (name.to_owned(), count as f64)));
    for stretch in stretches {
        for load in &stretch.loads {
            let jobs: Vec<&Job> = jobs.iter().filter(|j| j.load == *load).collect();
            of_load(load, &jobs, &mut named);
            of_sizes(load, &jobs, &mut named);
        }
        let jobs: Vec<&Job> = jobs.iter().filter(|j| stretch.loads.contains(&j.load)).collect();
        of_stretch(stretch, &jobs, samples, &mut named);
    }
    for (what, figure) in GROWING {
        for (process, share) in growth(samples, figure) {
            named.insert(format!("growth.{what}.{process}"), share);
        }
        for (process, share) in rise(samples, figure) {
            named.insert(format!("rise.{what}.{process}"), share);
        }
    }
    named.extend(peaks(samples).into_iter().map(|(k, mib)| (format!("memory_mib.{k}"), mib)));
    named
}

fn of_load(load: &str, jobs: &[&Job], named: &mut Named) {
    let mut note = |what: &str, value: f64| {
        named.insert(format!("{load}.{what}"), value);
    };
    let sum = |count: fn(&Job) -> u64| jobs.iter().map(|j| count(j)).sum::<u64>() as f64;
    let begin = jobs.iter().map(|j| j.due_s).fold(f64::INFINITY, f64::min);
    let end = jobs.iter().filter_map(|j| Some(j.due_s + j.complete_s?)).fold(0.0, f64::max);
    let seconds = (end - begin).max(0.0);
    note("jobs", jobs.len() as f64);
    note("seconds", seconds);
    note("nodes", sum(|j| j.counts.nodes));
    note("questions", sum(|j| j.counts.questions));
    if let Some(cached) = jobs.iter().map(|j| j.counts.cached).sum::<Option<u64>>() {
        note("cached", cached as f64);
    }
    note("duplicates", sum(|j| j.counts.duplicates));
    note("taken_over", sum(|j| j.counts.taken_over));
    if seconds > 0.0 {
        note("questions_a_second", sum(|j| j.counts.questions) / seconds);
        note("jobs_a_second", jobs.len() as f64 / seconds);
    }
    let nodes = sum(|j| j.counts.nodes);
    if nodes > 0.0 && jobs.len() == 1 {
        note("heap_bytes_a_node", sum(|j| j.counts.heap_bytes) / nodes);
    }
    note("late_s.max", jobs.iter().map(|j| j.late_s).fold(0.0, f64::max));
    completes(jobs).note(&format!("{load}.complete_s"), named);
    first_trees(jobs).note(&format!("{load}.first_tree_s"), named);
    let milliseconds = |of: fn(&Job) -> u64| Times::of(jobs.iter().map(move |j| of(j) as f64 / 1e3));
    milliseconds(|j| j.counts.queue_wait_ms).note(&format!("{load}.queue_wait_s"), named);
    milliseconds(|j| j.counts.tree_ms).note(&format!("{load}.tree_s"), named);
}

/// The same by kind of job, where there are several.
fn of_sizes(load: &str, jobs: &[&Job], named: &mut Named) {
    let mut sizes: BTreeMap<&str, Vec<&Job>> = BTreeMap::new();
    for job in jobs.iter().filter(|j| !j.size.is_empty()) {
        sizes.entry(&job.size).or_default().push(job);
    }
    if sizes.len() < 2 {
        return;
    }
    for (size, jobs) in sizes {
        named.insert(format!("{load}.{size}.jobs"), jobs.len() as f64);
        completes(&jobs).note(&format!("{load}.{size}.complete_s"), named);
        first_trees(&jobs).note(&format!("{load}.{size}.first_tree_s"), named);
    }
}

/// What the processes did meanwhile, under the name of the first load.
fn of_stretch(stretch: &Stretch, jobs: &[&Job], samples: &[Sample], named: &mut Named) {
    let Stretch { loads, before, after } = stretch;
    let Some(load) = loads.first() else { return };
    let (questions, nodes) = (
        jobs.iter().map(|j| j.counts.questions).sum::<u64>() as f64,
        jobs.iter().map(|j| j.counts.nodes).sum::<u64>() as f64,
    );
    let mut note = |what: String, value: f64| {
        named.insert(format!("{load}.{what}"), value);
    };
    let dns = |s: &Sample| s.asked.dns_udp + s.asked.dns_tcp;
    let http = |s: &Sample| s.asked.rdap + s.asked.pdns + s.asked.certs;
    if before.counts {
        let asked = [dns(after) - dns(before), http(after) - http(before)];
        note("asked".into(), asked.iter().sum::<u64>() as f64);
        note("asked_dns".into(), asked[0] as f64);
        note("asked_http".into(), asked[1] as f64);
    }
    let (was, is) = (before.by_kind(|u| u.cpu_s), after.by_kind(|u| u.cpu_s));
    let mut all = 0.0;
    for (kind, now) in is {
        let used = now - was.get(&kind).unwrap_or(&0.0);
        all += used;
        note(format!("cpu_s.{kind}"), used);
        if questions > 0.0 {
            note(format!("cpu_us_a_question.{kind}"), used * MICRO / questions);
        }
    }
    note("cpu_s.all".into(), all);
    if questions > 0.0 {
        note("cpu_us_a_question.all".into(), all * MICRO / questions);
    }
    let held = |s: &Sample| s.by_kind(|u| u.memory as f64).get("coordinator").copied();
    if let (Some(was), Some(is), true) = (held(before), held(after), nodes > 0.0 && jobs.len() == 1) {
        note("bytes_a_node".into(), (is - was) / nodes);
        let meanwhile = samples.iter().filter(|s| (before.at_s..=after.at_s).contains(&s.at_s));
        let peak = meanwhile.filter_map(held).fold(is, f64::max);
        note("peak_bytes_a_node".into(), (peak - was) / nodes);
    }
}

/// One of the figures of a process.
type Figure = fn(&Usage) -> f64;

/// What must not grow.
const GROWING: [(&str, Figure); 3] = [
    ("memory", |u| u.memory as f64),
    ("descriptors", |u| u.descriptors as f64),
    ("threads", |u| u.threads as f64),
];

/// How much more each process has at the end of the second half than at its beginning, by the
/// straight line that fits best, as a share of what it had in the first half on average. Of
/// processes that were never started again: what begins anew cannot show what grows.
pub fn growth(samples: &[Sample], figure: Figure) -> Named {
    of_survivors(samples, figure, |points| {
        let (first, second) = points.split_at(points.len() / 2);
        let mean = mean(first, |p| p.1);
        let time = second.last()?.0 - second.first()?.0;
        (mean > 0.0 && time > 0.0).then(|| slope(second) * time / mean)
    })
}

/// How much more each process has in the last tenth than in the third tenth, when all has begun:
/// a step in between, which no line shows. Of processes that were never started again.
pub fn rise(samples: &[Sample], figure: Figure) -> Named {
    of_survivors(samples, figure, |points| {
        let tenth = (points.len() / 10).max(1);
        let begun = mean(points.get(2 * tenth..3 * tenth)?, |p| p.1);
        let last = mean(&points[points.len() - tenth..], |p| p.1);
        (begun > 0.0).then(|| last / begun - 1.0)
    })
}

/// By the name of a process, from what it had when.
fn of_survivors(samples: &[Sample], figure: Figure, of: impl Fn(&[(f64, f64)]) -> Option<f64>) -> Named {
    let mut series: BTreeMap<&str, Vec<(f64, Usage)>> = BTreeMap::new();
    for sample in samples {
        for (name, usage) in &sample.usage {
            series.entry(name).or_default().push((sample.at_s, *usage));
        }
    }
    series.retain(|_, usages| usages.windows(2).all(|w| w[0].1.id == w[1].1.id));
    let points = |usages: &[(f64, Usage)]| usages.iter().map(|(at, u)| (*at, figure(u))).collect::<Vec<_>>();
    series.iter().filter_map(|(name, usages)| Some(((*name).to_owned(), of(&points(usages))?))).collect()
}

fn mean(points: &[(f64, f64)], of: fn(&(f64, f64)) -> f64) -> f64 {
    points.iter().map(of).sum::<f64>() / points.len() as f64
}

/// Of the straight line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let (x, y) = (mean(points, |p| p.0), mean(points, |p| p.1));
    let up: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let along: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if along > 0.0 { up / along } else { 0.0 }
}

/// The most memory that a process of each kind had, in MiB.
fn peaks(samples: &[Sample]) -> Named {
    let mut peaks = Named::new();
    for (name, usage) in samples.iter().flat_map(|s| &s.usage) {
        let mib = usage.memory as f64 / f64::from(1 << 20);
        if mib > 0.0 {
            let peak = peaks.entry(kind(name).to_owned()).or_default();
            *peak = peak.max(mib);
        }
    }
    peaks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Counts;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let times = Times::of((1..=1_000).map(|n| f64::from(n) / 1_000.0));
        for (share, want) in [(0.5, 0.5), (0.95, 0.95), (0.999, 0.999)] {
            assert!((times.at(share) - want).abs() < 0.002, "{share}: {}", times.at(share));
        }
        assert!((times.max() - 1.0).abs() < 0.002);
        assert!(Times::of(std::iter::empty()).is_empty());
    }

    fn sample(at_s: f64, id: u32, memory: u64, cpu_s: f64) -> Sample {
        let usage = Usage { id, memory, cpu_s, ..Usage::default() };
        let usage = [("coordinator-1".to_owned(), usage)].into();
        Sample { at_s, usage, ..Sample::default() }
    }

    #[test]
    fn growth_is_that_of_the_second_half() {
        let flat: Vec<Sample> =
            (0..100).map(|n| sample(f64::from(n), 1, 1_000 + u64::from(n % 3 == 0), 0.0)).collect();
        let grown = growth(&flat, GROWING[0].1)["coordinator-1"];
        assert!(grown.abs() < 0.01, "{grown}");
        let rises = |n: i32| sample(f64::from(n), 1, 1_000 + 10 * u64::try_from(n).unwrap(), 0.0);
        let grown = growth(&(0..100).map(rises).collect::<Vec<_>>(), GROWING[0].1)["coordinator-1"];
        assert!((0.35..0.45).contains(&grown), "{grown}");
        let step = |n: i32| sample(f64::from(n), 1, if n < 40 { 1_000 } else { 4_000 }, 0.0);
        let steps: Vec<Sample> = (0..100).map(step).collect();
        assert!(growth(&steps, GROWING[0].1)["coordinator-1"].abs() < 0.01);
        let risen = rise(&steps, GROWING[0].1)["coordinator-1"];
        assert!((risen - 3.0).abs() < 0.01, "{risen}");
        let anew = |n: i32| sample(f64::from(n), u32::from(n > 50), 1_000, 0.0);
        assert!(growth(&(0..100).map(anew).collect::<Vec<_>>(), GROWING[0].1).is_empty());
    }

    #[test]
    fn a_question_costs_what_was_used_meanwhile() {
        let counts = Counts { questions: 1_000, nodes: 100, ..Counts::default() };
        let job = Job {
            load: "job".into(),
            due_s: 1.0,
            complete_s: Some(2.0),
            first_tree_s: Some(0.25),
            counts,
            ..Job::default()
        };
        let stretch = Stretch {
            loads: vec!["job".into()],
            before: sample(1.0, 1, 5_000, 0.5),
            after: sample(3.0, 1, 20_000, 0.55),
        };
        let samples = [sample(0.5, 1, 90_000, 0.5), sample(2.0, 1, 45_000, 0.5)];
        let named = figures(&[job], &[stretch], &samples, Verdict { jobs: 1, ..Verdict::default() });
        let near = |name: &str, want: f64| {
            assert!((named[name] - want).abs() < want / 500.0, "{name}: {}", named[name])
        };
        near("job.cpu_us_a_question.coordinator", 50.0);
        near("job.bytes_a_node", 150.0);
        near("job.peak_bytes_a_node", 400.0);
        near("job.questions_a_second", 500.0);
        near("job.complete_s.max", 2.0);
        near("job.first_tree_s.p50", 0.25);
        assert!(named["lost"].abs() < f64::EPSILON);
    }
}
