//! Names of the figures that a run of some loads can have: a check of any other would be found
//! missed only when the run is over.

use std::collections::BTreeSet;

use crate::drive::{Counts, Job};
use crate::figures::{Stretch, figures};
use crate::sample::{INTERNET, SELF, Sample, Usage};
use crate::scenario::{Load, Shape, Size};
use crate::verify::Verdict;

/// Samples in which everything can be seen.
const SAMPLES: u32 = 20;

/// The names, as the figures of runs without a fault have them.
pub fn possible(shape: &Shape, loads: &[Load]) -> BTreeSet<String> {
    let samples = samples(shape);
    let (Some(before), Some(after)) = (samples.first(), samples.last()) else { return BTreeSet::new() };
    let stretches: Vec<Stretch> = loads
        .chunk_by(|_, next| next.beside)
        .map(|loads| Stretch {
            loads: loads.iter().map(|l| l.name.clone()).collect(),
            before: before.clone(),
            after: after.clone(),
        })
        .collect();
    // Some are of loads of one job, some of loads of several kinds.
    let of = |jobs: Vec<Job>| figures(&jobs, &stretches, &samples, Verdict::default());
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.extend(of(loads.iter().map(|load| job(load, &Size::default())).collect()).into_keys());
    names.extend(
        of(loads.iter().flat_map(|load| load.mix.iter().map(|s| job(load, s))).collect()).into_keys(),
    );
    names
}

/// The name that looks most like another.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let alike = |other: &String| strsim::jaro_winkler(name, other);
    names.max_by(|a, b| alike(a).total_cmp(&alike(b)))
}

fn samples(shape: &Shape) -> Vec<Sample> {
    let members = |kind: &'static str, count: usize| (1..=count).map(move |n| format!("{kind}-{n}"));
    let others = ["rabbitmq", "redis", INTERNET, SELF].map(str::to_owned);
    let names =
        members("coordinator", shape.coordinators).chain(members("worker", shape.workers)).chain(others);
    let usage = Usage { id: 1, cpu_s: 1.0, memory: 1 << 20, descriptors: 1, threads: 1 };
    let usage: std::collections::BTreeMap<_, _> = names.map(|name| (name, usage)).collect();
    let sample = |n| Sample { at_s: f64::from(n), usage: usage.clone(), counts: true, ..Sample::default() };
    (0..SAMPLES).map(sample).collect()
}

fn job(load: &Load, size: &Size) -> Job {
    let counts = Counts { questions: 1, nodes: 1, cached: Some(0), ..Counts::default() };
    Job {
        load: load.name.clone(),
        size: size.name.clone(),
        first_tree_s: Some(0.5),
        complete_s: Some(1.0),
        counts,
        ..Job::default()
    }
}
