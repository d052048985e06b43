//! A scenario: what is run, on what, and what must come of it. `docs/LOAD.md` explains the
//! fields of its file.

mod builtin;
mod check;
mod faults;
mod shape;

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use builtin::{BUILTIN, about};
pub use check::{Bound, Check, Figures, Judged, judge};
pub use faults::{FaultKind, FaultSpec};
pub use shape::{ClusterSpec, Shape, SlowSpec};

use crate::possible::{nearest, possible};

/// Seconds from one fault to the next at least, where a run is made smaller: what was killed
/// needs some to come back.
const SOONEST_FAULT: f64 = 10.0;

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of the name.
    #[error(
        "there is no scenario {0}: there are {1} (cold is a command of its own); a file of one's own ends in .toml"
    )]
    Unknown(String, String),
    /// Its file cannot be read.
    #[error("read {0}")]
    Read(String, #[source] std::io::Error),
    /// It is no TOML, or has fields that there are not.
    #[error("scenario {0}")]
    Parse(String, #[source] toml::de::Error),
    /// It asks for what cannot be done.
    #[error("scenario {0}: {1}")]
    Wrong(String, String),
}

/// What is run, on what, and what must come of it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called: the name of its file.
    #[serde(skip)]
    pub name: String,
    /// What it shows, in a sentence.
    pub about: String,
    /// The cluster of all arms.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// Clusters, one after another; without any there is one.
    #[serde(default, rename = "arm", skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<Arm>,
    /// What is submitted, where an arm does not say.
    #[serde(default, rename = "load", skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<Load>,
    /// What breaks meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultSpec>,
    /// What must come of it.
    #[serde(default, rename = "check", skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

/// One cluster of a scenario.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// What it is called.
    pub name: String,
    /// What is different from the cluster of the scenario.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// What is submitted instead.
    #[serde(default, rename = "load", skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<Load>,
}

/// Jobs of one kind of arrival.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// What it is called.
    pub name: String,
    /// Begins with the load before it, not after it.
    #[serde(default)]
    pub beside: bool,
    /// Redis is emptied before.
    #[serde(default)]
    pub fresh: bool,
    /// So many jobs at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
    /// Or so many a second, at times by chance (Poisson), whether or not earlier ones have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// For so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Kinds of jobs; without any, the pivot of the world's campaign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mix: Vec<Size>,
    /// What must be true of each job.
    #[serde(default)]
    pub verify: Verify,
}

/// What must be true of each job of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// It ends complete, conserves its lookups, its coverage adds up, and its tree is that of
    /// one process.
    #[default]
    Full,
    /// All but the tree and the state, where failures of a source that depend on the time are
    /// in both.
    Ends,
}

/// A kind of job.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Size {
    /// What it is called.
    pub name: String,
    /// How often it comes, against the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// `pivot` or `enrich`.
    pub kind: Kind,
    /// Indicators of a job; without it those at which the world's campaign starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// So many different sets of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variants: Option<usize>,
    /// Name of a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Or a plan of its own, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_text: Option<String>,
    /// Ask these sources only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Do not ask these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_sources: Vec<String>,
    /// Hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
    /// Nodes in the tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// New nodes under one node by one relation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fan_out: Option<u32>,
    /// Questions over all sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub questions: Option<u64>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Follows what it finds.
    #[default]
    Pivot,
    /// Asks once.
    Enrich,
}

/// When the jobs of a load come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// All at the beginning.
    AtOnce(usize),
    /// By chance.
    Open {
        /// Jobs a second.
        rate: f64,
        /// For so long.
        seconds: f64,
    },
}

impl Load {
    /// When its jobs come.
    ///
    /// # Errors
    /// Says what is missing, or too much.
    pub fn pace(&self) -> Result<Pace, String> {
        match (self.jobs, self.rate, self.seconds) {
            (Some(jobs), None, None) if jobs > 0 => Ok(Pace::AtOnce(jobs)),
            (None, Some(rate), Some(seconds)) if rate > 0.0 && seconds > 0.0 => {
                Ok(Pace::Open { rate, seconds })
            }
            _ => Err(format!("load {}: give jobs, or rate and seconds", self.name)),
        }
    }
}

/// Makes a scenario smaller, or its load another.
#[derive(Debug, Clone, Default)]
pub struct Smaller {
    /// The size of the world is multiplied by this.
    pub size: Option<f64>,
    /// How long loads with a rate go on.
    pub seconds: Option<f64>,
    /// Jobs at once, at most.
    pub jobs: Option<usize>,
    /// Jobs a second of loads with a rate. This makes nothing smaller.
    pub rate: Option<f64>,
    /// Arms that are run; all where none is named.
    pub arms: Vec<String>,
}

impl Smaller {
    /// Whether what comes of it is still what the scenario asks for.
    pub fn is_whole(&self) -> bool {
        self.size.is_none() && self.seconds.is_none() && self.jobs.is_none() && self.arms.is_empty()
    }
}

impl Scenario {
    /// A built-in one by its name, or one's own by its path.
    ///
    /// # Errors
    /// When there is none, or it is wrong; says all of it.
    pub fn open(name: &str) -> Result<Self, Error> {
        if let Some((_, text)) = BUILTIN.iter().find(|(builtin, _)| *builtin == name) {
            return Self::parse(name, text);
        }
        if !name.ends_with(".toml") {
            let names: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
            return Err(Error::Unknown(name.into(), names.join(", ")));
        }
        let text = std::fs::read_to_string(name).map_err(|e| Error::Read(name.into(), e))?;
        let stem = Path::new(name).file_stem().map_or(name.into(), |s| s.to_string_lossy().into_owned());
        Self::parse(&stem, &text)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is wrong; says all of it.
    pub fn parse(name: &str, text: &str) -> Result<Self, Error> {
        let mut this: Self = toml::from_str(text).map_err(|e| Error::Parse(name.into(), e))?;
        this.name = name.into();
        let wrong = this.wrong();
        if wrong.is_empty() { Ok(this) } else { Err(Error::Wrong(name.into(), wrong.join("; "))) }
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let names: BTreeSet<&str> = self.arms.iter().map(|a| a.name.as_str()).collect();
        if names.len() != self.arms.len() {
            wrong.push("two arms have one name".into());
        }
        for arm in self.all_arms() {
            wrong.extend(self.shape(&arm).wrong());
            if arm.loads.is_empty() {
                wrong.push("there is no load".into());
            }
            let loads: BTreeSet<&str> = arm.loads.iter().map(|l| l.name.as_str()).collect();
            if loads.len() != arm.loads.len() {
                wrong.push("two loads have one name".into());
            }
            wrong.extend(arm.loads.iter().filter_map(|load| load.pace().err()));
            for load in &arm.loads {
                let sizes: BTreeSet<&str> = load.mix.iter().map(|s| s.name.as_str()).collect();
                if sizes.len() != load.mix.len() || (load.mix.len() > 1 && sizes.contains("")) {
                    wrong.push(format!("load {}: each job of a mix needs a name of its own", load.name));
                }
                if load.mix.iter().any(|size| size.plan.is_some() && size.plan_text.is_some()) {
                    wrong.push(format!("load {}: give plan or plan_text, not both", load.name));
                }
            }
        }
        if let Some(faults) = &self.faults
            && (faults.what.is_empty() || faults.every_s <= 0.0 || faults.for_s >= faults.every_s)
        {
            wrong.push("faults: name some, and let each be over before the next".into());
        }
        for check in &self.checks {
            let arms = [&check.arm, &check.over_arm].into_iter().flatten();
            wrong
                .extend(arms.filter(|a| !names.contains(a.as_str())).map(|a| format!("there is no arm {a}")));
            if check.bound().is_none() {
                wrong.push(format!("check {}: give at_most or at_least", check.figure));
            }
        }
        wrong.extend(self.unknown_figures());
        wrong.dedup();
        wrong
    }

    /// Checks of figures that no run has, each with one that it has.
    fn unknown_figures(&self) -> BTreeSet<String> {
        let mut unknown = BTreeSet::new();
        for arm in self.all_arms() {
            let names = possible(&self.shape(&arm), &arm.loads);
            for check in &self.checks {
                let here = |of: &Option<String>| of.as_ref().is_none_or(|name| *name == arm.name);
                let figure = Some(&check.figure).filter(|_| here(&check.arm));
                let over_arm = if check.over_arm.is_some() { &check.over_arm } else { &check.arm };
                let over = check.over.as_ref().filter(|_| here(over_arm));
                for figure in figure.into_iter().chain(over).filter(|f| !names.contains(*f)) {
                    let meant = nearest(figure, names.iter()).map_or("", String::as_str);
                    unknown.insert(format!("check {figure}: there is no such figure; is it {meant}?"));
                }
            }
        }
        unknown
    }

    /// Its arms, each with its loads; one where none is named.
    pub fn all_arms(&self) -> Vec<Arm> {
        let with_loads = |arm: &Arm| {
            let loads = if arm.loads.is_empty() { self.loads.clone() } else { arm.loads.clone() };
            Arm { loads, ..arm.clone() }
        };
        if self.arms.is_empty() {
            return vec![Arm { loads: self.loads.clone(), ..Arm::default() }];
        }
        self.arms.iter().map(with_loads).collect()
    }

    /// The cluster of an arm.
    pub fn shape(&self, arm: &Arm) -> Shape {
        Shape::default().with(&self.cluster).with(&arm.cluster)
    }

    /// The same, made smaller.
    pub fn smaller(mut self, by: &Smaller) -> Self {
        self.arms.retain(|arm| by.arms.is_empty() || by.arms.contains(&arm.name));
        let arms = self.arms.iter_mut().map(|a| (&mut a.cluster, &mut a.loads));
        for (cluster, loads) in arms.chain([(&mut self.cluster, &mut self.loads)]) {
            if let Some(size) = by.size {
                cluster.scale = cluster.scale.map(|scale| scale * size);
            }
            for load in loads {
                load.jobs = load.jobs.map(|jobs| by.jobs.map_or(jobs, |most| jobs.min(most)));
                load.seconds = load.seconds.map(|seconds| by.seconds.unwrap_or(seconds));
                load.rate = load.rate.map(|rate| by.rate.unwrap_or(rate));
            }
        }
        if let Some(size) = by.size {
            self.cluster.scale.get_or_insert(size);
        }
        if let (Some(faults), Some(seconds)) = (&mut self.faults, by.seconds) {
            faults.every_s = faults.every_s.min(seconds / 2.0).max(SOONEST_FAULT.min(faults.every_s));
            faults.for_s = faults.for_s.min(faults.every_s / 2.0);
        }
        self
    }
}

#[cfg(test)]
mod tests;
