//! What came of it, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use kudzu_shared::time::rfc3339;
use serde::Serialize;
use serde_json::json;

use super::celery::{self, Pool};
use super::figures::{Check, best, checks, figures, micros};
use super::processor::Used;
use super::{Options, Round};

/// All that was seen.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The day.
    pub date: String,
    /// Names.
    pub names: usize,
    /// What they follow from.
    pub seed: u64,
    /// How many of them Celery looked up.
    pub celery_names: usize,
    /// The machine.
    pub machine: String,
    /// What was compared.
    pub versions: Vec<(&'static str, String)>,
    /// Lookups at a time at which massdns is fastest.
    pub massdns_size: Option<usize>,
    /// Figures, medians over the rounds.
    pub figures: BTreeMap<&'static str, f64>,
    /// Microseconds of the processor a question, medians, by what used them: in kudzu's runs.
    pub kudzu_us: Used,
    /// The same a task, in those of Celery.
    pub celery_us: Used,
    /// How Celery's worker ran at its best.
    pub celery_pool: Option<Pool>,
    /// What must be so.
    pub checks: Vec<Check>,
    #[serde(skip)]
    rounds: Vec<Round>,
    #[serde(skip)]
    sizes: Vec<(usize, f64)>,
}

impl Report {
    /// Of all rounds.
    pub fn new(
        options: &Options,
        massdns: Option<(usize, Vec<(usize, f64)>)>,
        versions: Vec<(&'static str, String)>,
        rounds: Vec<Round>,
    ) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let now = rfc3339(i64::try_from(now).unwrap_or(0));
        let kudzu: Vec<&Used> = rounds.iter().map(|r| &r.kudzu.processor).collect();
        let celery: Vec<&celery::Run> = rounds.iter().filter_map(|r| best(&r.celery)).collect();
        let celery_used: Vec<&Used> = celery.iter().map(|run| &run.processor).collect();
        Self {
            date: now.chars().take(10).collect(),
            names: options.names,
            seed: options.seed,
            celery_names: options.celery_names,
            machine: machine(),
            versions,
            massdns_size: massdns.as_ref().map(|(size, _)| *size),
            figures: figures(options.names, &rounds),
            kudzu_us: micros(&kudzu, options.names),
            celery_us: micros(&celery_used, options.celery_names.max(1)),
            celery_pool: celery.last().map(|run| run.pool),
            checks: checks(&rounds),
            rounds,
            sizes: massdns.map(|(_, sizes)| sizes).unwrap_or_default(),
        }
    }

    /// Whether all that must be so is.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.met)
    }

    /// Writes it to a folder, for people and for programs.
    ///
    /// # Errors
    /// Those of the files.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).context("make the folder")?;
        let write = |name: &str, text: String| {
            std::fs::write(folder.join(name), text + "\n").with_context(|| format!("write {name}"))
        };
        let raw = json!({ "massdns_sizes": self.sizes, "rounds": self.rounds });
        write("summary.json", serde_json::to_string_pretty(self)?)?;
        write("raw.json", serde_json::to_string_pretty(&raw)?)?;
        write("README.md", self.page().trim_end().to_owned())
    }

    /// For people.
    fn page(&self) -> String {
        let figure = |name: &str| self.figures.get(name).copied();
        let command = format!(
            "kudzu-loadtest cold --names {} --celery-names {} --rounds {} --seed {}{} --kudzu PATH",
            self.names,
            self.celery_names,
            self.rounds.len(),
            self.seed,
            if self.massdns_size.is_some() { " --massdns FOLDER" } else { "" },
        );
        let mut page = format!(
            "# {} cold names\n\n`{command}` on {}: {}. NSD (one process), all that is compared, and what measures \
             share it. Each name is asked for A, once, by one after another in each round; rounds: {}, figures are medians. \
             `raw.json` has every run.\n\n",
            thousands(self.names as f64),
            self.date,
            self.machine,
            self.rounds.len()
        );
        page.push_str("| | names | wall | a second | CPU a name, without NSD |\n|---|---|---|---|---|\n");
        let mut row = |who: String, names: usize, key: [&str; 3]| {
            if let [Some(wall), Some(rate), Some(us)] = key.map(figure) {
                let (names, rate) = (thousands(names as f64), thousands(rate));
                // Nobody reads what does not come out.
                let _ = writeln!(page, "| {who} | {names} | {wall:.2} s | {rate} | {us:.1} us |");
            }
        };
        let size = self.massdns_size.map(|s| format!("massdns, `-s {s}`")).unwrap_or_default();
        row(size, self.names, ["massdns_s", "massdns_rate", "massdns_us"]);
        let cluster = "kudzu: RabbitMQ, Redis, coordinator, 2 workers".to_owned();
        row(cluster, self.names, ["kudzu_s", "kudzu_rate", "kudzu_us"]);
        let pool = self.celery_pool.map(|p| format!("Celery: RabbitMQ, Redis, `{p}`")).unwrap_or_default();
        row(pool, self.celery_names, ["celery_s", "celery_rate", "celery_us"]);
        if self.massdns_size.is_none() {
            page.push_str("\nmassdns was left out: no source folder was given (`--massdns FOLDER`).\n");
        }
        if self.celery_pool.is_none() {
            page.push_str("\nCelery was left out (`--celery-names 0`).\n");
        }
        page.push_str("\n## What must be so\n\n| | asked for | seen | met |\n|---|---|---|---|\n");
        for check in &self.checks {
            let met = if check.met { "yes" } else { "**no**" };
            let _ = writeln!(page, "| {} | {} | {} | {met} |", check.what, check.goal, check.seen);
        }
        page.push_str(
            "\n## Who uses the processor\n\nMicroseconds a name.\n\n| in a run of kudzu | |\n|---|---|\n",
        );
        for (what, us) in &self.kudzu_us {
            let _ = writeln!(page, "| {what} | {us:.2} |");
        }
        if !self.celery_us.is_empty() {
            page.push_str("\n| in a run of Celery | |\n|---|---|\n");
            for (what, us) in &self.celery_us {
                let _ = writeln!(page, "| {what} | {us:.1} |");
            }
        }
        page.push_str(&self.tries());
        page.push_str("\n## Versions\n\n");
        for (what, version) in &self.versions {
            let _ = writeln!(page, "- {what}: {version}");
        }
        page
    }

    /// How the best settings of the others were found.
    fn tries(&self) -> String {
        let mut page = String::new();
        let sizes: Vec<String> = self.sizes.iter().map(|(s, t)| format!("`-s {s}` {t:.2} s")).collect();
        let pools = self.rounds.first().map(|r| &r.celery[..]).unwrap_or_default();
        let pools: Vec<String> =
            pools.iter().map(|run| format!("`{}` {}/s", run.pool, thousands(run.rate))).collect();
        if !sizes.is_empty() || !pools.is_empty() {
            page.push_str("\n## What was tried\n\n");
        }
        if !sizes.is_empty() {
            let _ = writeln!(page, "- massdns: {}", sizes.join(", "));
        }
        if !pools.is_empty() {
            let _ = writeln!(page, "- Celery: {}", pools.join(", "));
        }
        page
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gib = kib.and_then(|k| k.trim().parse::<u64>().ok()).map_or(0, |k| k >> 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.map_or("?", |(_, model)| model.trim());
    format!("{cores} cores ({model}), {gib} GiB, Linux {}", kernel.trim())
}

/// A whole number with its thousands apart.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::cluster;
    use super::super::massdns;
    use super::super::names::Score;
    use super::super::run::Took;
    use super::*;

    fn round(massdns: f64, kudzu: f64, rate: f64) -> Round {
        let score = |names: usize| Score { right: names, lost: 0, wrong: 0 };
        let used =
            |what: &str, seconds: f64| Used::from([(what.to_owned(), seconds), ("NSD".to_owned(), 9.0)]);
        Round {
            massdns: Some(massdns::Run {
                took: Took { seconds: massdns, processor: 0.5 },
                score: score(1_000),
            }),
            kudzu: cluster::Run {
                seconds: kudzu,
                submit_seconds: 0.1,
                processor: used("worker-1", 0.02),
                score: score(1_000),
                faults: Vec::new(),
                jobs: Vec::new(),
                coverage: Vec::new(),
            },
            celery: vec![celery::Run {
                pool: celery::POOLS[0],
                seconds: 1.0,
                submit_seconds: 0.5,
                rate,
                processor: used("Celery", 0.2),
                score: score(100),
            }],
        }
    }

    fn report(rounds: Vec<Round>) -> Report {
        let options = Options {
            kudzu: "kudzu".into(),
            massdns: None,
            names: 1_000,
            celery_names: 100,
            rounds: rounds.len(),
            seed: 5,
            out: None,
        };
        Report::new(&options, Some((500, vec![(500, 1.0)])), vec![("NSD", "4".into())], rounds)
    }

    #[test]
    fn medians_are_of_rounds() {
        let report = report(vec![round(1.0, 2.0, 10.0), round(1.0, 3.0, 5.0), round(2.0, 2.0, 8.0)]);
        assert_eq!((report.figures["over_massdns"], report.figures["kudzu_s"]), (2.0, 2.0));
        assert_eq!((report.figures["kudzu_us"], report.kudzu_us["NSD"]), (20.0, 9_000.0));
        assert_eq!((report.figures["celery_us"], report.figures["celery_rate"]), (2_000.0, 8.0));
        assert!((report.figures["over_celery"] - 62.5).abs() < 0.01 && report.holds(), "{:?}", report.checks);
    }

    #[test]
    fn what_is_missed_is_told() {
        let mut bad = round(1.0, 3.0, 10.0);
        bad.kudzu.score = Score { right: 999, lost: 1, wrong: 0 };
        bad.kudzu.faults.push("the state is \"partial\"".into());
        bad.celery[0].score.wrong = 1;
        let report = report(vec![bad]);
        assert!(!report.holds() && report.checks.iter().all(|c| !c.met), "{:?}", report.checks);
        assert_eq!(report.page().matches("**no**").count(), 5);
    }

    #[test]
    fn a_page_has_what_was_measured_and_what_was_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut round = round(1.0, 2.0, 10.0);
        (round.massdns, round.celery) = (None, Vec::new());
        let report = Report { massdns_size: None, sizes: Vec::new(), ..report(vec![round]) };
        report.write(folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
        assert!(page.contains("| 1,000 | 2.00 s | 500 | 20.0 us |"), "{page}");
        assert!(page.contains("massdns was left out") && page.contains("Celery was left out"), "{page}");
        let summary = std::fs::read_to_string(folder.path().join("summary.json")).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&summary).unwrap()["names"], 1_000);
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([7.0, 1_000.4, 1_234_567.0].map(thousands), ["7", "1,000", "1,234,567"]);
    }
}
