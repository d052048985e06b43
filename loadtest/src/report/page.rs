//! What people read of a run.

use super::{ArmSummary, Summary};
use crate::cluster::UNSPARED;
use crate::scenario::{Bound, Judged};

/// How what is told was measured.
const MEASURED: &str = "\
- Times count from when a job was due, not from when it was sent, and end when its user hears of it: the harness follows each job by its events (`GET /v1/jobs/{id}/events`), as `kudzu watch` does. A coordinator tells the end at once, and where a job stands four times a second: a first tree is seen up to a quarter of a second after it is there.
- Arrivals with a rate are open-loop: drawn before the run from a seed (Poisson), and never held back by jobs that have not ended.
- Percentiles are of an HDR histogram with three digits.
- Questions are those of the jobs (`progress.questions`), answers from the cache among them. How many came from the cache is left out where there are tenants: the API tells none of them. Throughput over time and `asked` are what the simulated internet received.
- Processor time is user and system time of each process and its children, from `/proc`, from right before the first job of a load until right after the last one; loads beside each other share it. The simulated internet runs on threads of the load generator, and is told from it by their names. RabbitMQ's schedulers do not spin unless `spin` is set.
- Memory a node is (memory of the coordinators right after the end - right before the submit) / nodes of the tree.
- A job is right if it ended complete, every lookup has one end, the lookups of each source are those of its ends, and the SHA-256 of its tree is that of a reference, which is found after the load: a pivot by `kudzu pivot` in one process that asks the same simulated internet, a list by the same job alone and with nothing cached. Trees of tenants are compared without the first line, which names the tenant.
";

/// A table in Markdown: the first row is its head.
fn table(rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let Some((head, body)) = rows.split_first() else { return String::new() };
    if body.is_empty() {
        return String::new();
    }
    let rule: Vec<String> = (0..head.len()).map(|n| if n == 0 { "---" } else { "---:" }.into()).collect();
    let body: String = body.iter().map(|row| line(row)).collect();
    line(head) + &line(&rule) + &body + "\n"
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// As people read it: three digits, thousands apart.
pub fn number(x: f64) -> String {
    let digits = match x.abs() {
        size if size >= 100.0 || x.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{x:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(w, r)| (w, Some(r)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |w| ("-", w));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            apart.push(',');
        }
        apart.push(digit);
    }
    format!("{sign}{apart}{}", rest.map(|r| format!(".{r}")).unwrap_or_default())
}

/// The tables of a run.
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    let mut part = |title: &str, table: String| {
        if !table.is_empty() {
            out += &format!("{title}\n\n{table}");
        }
    };
    part("Checks:", checks(&summary.checks));
    part("Jobs:", jobs(&summary.arms));
    part("Work done:", loads(&summary.arms));
    part("Seconds from when a job was due:", times(&summary.arms));
    part("Against linear in the workers:", linear(&summary.arms));
    part("Microseconds of processor time a question:", cpu(&summary.arms));
    part("Memory:", memory(&summary.arms));
    part("Growth over the second half, as a share of the first half:", growth(&summary.arms));
    out
}

/// `README.md` of a run, with its plots.
pub fn page(summary: &Summary, plots: &[(&str, &str)]) -> String {
    let Summary { scenario, about, date, command, .. } = summary;
    let verdict = if summary.holds { "Everything holds." } else { "**Not everything holds.**" };
    let mut out = format!("# {scenario}\n\n{about}.\n\n    {command}\n\nBegun {date}. {verdict}");
    if !summary.whole {
        out += " It was made smaller than it is written: only what is lost or wrong counts.";
    }
    out += "\n\n";
    for (what, lines) in
        [("To be known:", &summary.notes), ("What went wrong, the first of it:", &summary.problems)]
    {
        if !lines.is_empty() {
            let lines: String = lines.iter().map(|l| format!("- {}\n", l.replace('\n', " "))).collect();
            out += &format!("{what}\n\n{lines}\n");
        }
    }
    out += "## What came of it\n\n";
    out += &text(summary);
    let faults: Vec<String> = (summary.arms.iter().flat_map(|a| &a.faults))
        .map(|f| format!("{} {} at {:.0} s", f.what, f.member, f.at_s))
        .collect();
    if !faults.is_empty() {
        out += &format!("Faults: {}.\n\n", faults.join(", "));
    }
    out += "## Over time\n\n";
    for (file, title) in plots {
        out += &format!("![{title}]({file})\n\n");
    }
    out += "## How it is measured\n\n";
    out += MEASURED;
    out += "\n## On what\n\n";
    let rows = summary.machine.rows().into_iter().map(Vec::from);
    out += &table(&std::iter::once(row(["machine", ""])).chain(rows).collect::<Vec<_>>());
    out += &clusters(&summary.arms);
    out += "Data: `scenario.toml` (what was run), `summary.json` (all figures; `kudzu-loadtest compare` takes \
            two such folders), `samples*.csv` (every process over time), `jobs*.ndjson` (each job).\n";
    out
}

fn checks(checks: &[Judged]) -> String {
    let mut rows = vec![row(["check", "bound", "seen", "", ""])];
    for check in checks {
        let bound = match check.bound {
            Bound::AtMost(most) => format!("at most {}", number(most)),
            Bound::AtLeast(least) => format!("at least {}", number(least)),
        };
        let seen = check.value.map_or("unknown".into(), number);
        let met = if check.met { "met" } else { "**missed**" };
        let counts = if check.counts { "" } else { "does not count" };
        rows.push(vec![check.what.clone(), bound, seen, met.into(), counts.into()]);
    }
    table(&rows)
}

fn jobs(arms: &[ArmSummary]) -> String {
    let head = [
        "arm",
        "jobs",
        "lost",
        "incomplete",
        "wrong SHA-256",
        "astray",
        "bad coverage",
        "compared",
        "uncompared",
        "references",
    ];
    let mut rows = vec![row(head)];
    for arm in arms {
        let v = &arm.verdict;
        let counts = [
            v.jobs,
            v.lost,
            v.incomplete,
            v.wrong_sha256,
            v.astray,
            v.bad_coverage,
            v.compared,
            v.uncompared,
            v.references,
        ];
        rows.push([arm.name.clone()].into_iter().chain(counts.map(|c| number(c as f64))).collect());
    }
    table(&rows)
}

/// A row for each load of each arm, with these figures.
fn by_load(arms: &[ArmSummary], head: &[&str], figures: &[&str]) -> String {
    let mut rows = vec![head.iter().map(|h| (*h).to_owned()).collect()];
    for arm in arms {
        for load in &arm.loads {
            let figure = |f: &&str| arm.figures.get(&format!("{load}.{f}")).copied();
            let values: Vec<Option<f64>> = figures.iter().map(figure).collect();
            if values.iter().any(Option::is_some) {
                let values = values.into_iter().map(|v| v.map_or(String::new(), number));
                rows.push([arm.name.clone(), load.clone()].into_iter().chain(values).collect());
            }
        }
    }
    table(&rows)
}

fn loads(arms: &[ArmSummary]) -> String {
    let head =
        ["arm", "load", "jobs", "seconds", "questions", "a second", "nodes", "cached", "asked upstream"];
    let figures = ["jobs", "seconds", "questions", "questions_a_second", "nodes", "cached", "asked"];
    by_load(arms, &head, &figures)
}

fn times(arms: &[ArmSummary]) -> String {
    let percentiles = ["p50", "p90", "p95", "p99", "max"];
    let mut rows = vec![["arm", "job", "time"].iter().chain(&percentiles).map(|c| (*c).to_owned()).collect()];
    for arm in arms {
        for (what, told) in [("first_tree_s", "to the first tree"), ("complete_s", "to complete")] {
            let end = format!(".{what}.p50");
            for job in arm.figures.keys().filter_map(|name| name.strip_suffix(&end)) {
                let figure = |p: &&str| arm.figures.get(&format!("{job}.{what}.{p}")).copied();
                let values = percentiles.iter().map(|p| figure(p).map_or(String::new(), number));
                let head = [arm.name.clone(), job.to_owned(), told.to_owned()];
                rows.push(head.into_iter().chain(values).collect());
            }
        }
    }
    table(&rows)
}

/// Where arms differ in their workers: the rate of each against that of the first.
fn linear(arms: &[ArmSummary]) -> String {
    let workers = |arm: &ArmSummary| arm.shape.as_ref().map_or(0, |s| s.workers);
    let Some(first) = arms.first().filter(|a| arms.iter().any(|b| workers(b) != workers(a))) else {
        return String::new();
    };
    let mut rows = vec![row(["arm", "workers", "questions a second", "of linear"])];
    for arm in arms {
        let Some(load) = arm.loads.first() else { continue };
        let rate =
            |a: &ArmSummary| a.figures.get(&format!("{load}.questions_a_second")).copied().unwrap_or(0.0);
        let times = workers(arm) as f64 / workers(first).max(1) as f64;
        let share = rate(arm) / (rate(first) * times) * 100.0;
        rows.push(vec![
            arm.name.clone(),
            workers(arm).to_string(),
            number(rate(arm)),
            format!("{share:.1} %"),
        ]);
    }
    table(&rows)
}

fn cpu(arms: &[ArmSummary]) -> String {
    let kinds = ["coordinator", "worker", "rabbitmq", "redis", "simnet", "loadtest", "all"];
    let figures = kinds.map(|kind| format!("cpu_us_a_question.{kind}"));
    let figures: Vec<&str> = figures.iter().map(String::as_str).collect();
    let head = [
        "arm",
        "load",
        "coordinators",
        "workers",
        "RabbitMQ",
        "Redis",
        "simulated internet",
        "load generator",
        "all",
    ];
    by_load(arms, &head, &figures)
}

fn memory(arms: &[ArmSummary]) -> String {
    let kinds = ["coordinator", "worker", "rabbitmq", "redis"];
    let head = ["arm", "coordinators, MiB at most in one", "workers", "RabbitMQ", "Redis", "octets a node"];
    let mut rows = vec![row(head)];
    for arm in arms {
        let peak =
            |kind: &str| arm.figures.get(&format!("memory_mib.{kind}")).map_or(String::new(), |m| number(*m));
        let a_node: Vec<String> = (arm.loads.iter())
            .filter_map(|load| Some((load, arm.figures.get(&format!("{load}.bytes_a_node"))?)))
            .map(|(load, octets)| format!("{load} {}", number(*octets)))
            .collect();
        let cells = kinds.map(peak);
        rows.push([arm.name.clone()].into_iter().chain(cells).chain([a_node.join(", ")]).collect());
    }
    table(&rows)
}

/// Of runs that last: what a short one grows by says nothing.
fn growth(arms: &[ArmSummary]) -> String {
    let mut rows = vec![row(["process", "memory", "descriptors", "threads"])];
    for arm in arms.iter().filter(|a| !a.faults.is_empty()) {
        for process in arm.figures.keys().filter_map(|name| name.strip_prefix("growth.memory.")) {
            let share = |what: &str| {
                let share = arm.figures.get(&format!("growth.{what}.{process}"));
                share.map_or(String::new(), |s| format!("{:+.1} %", s * 100.0))
            };
            let cells = ["memory", "descriptors", "threads"].map(share);
            rows.push([process.to_owned()].into_iter().chain(cells).collect());
        }
    }
    table(&rows)
}

fn clusters(arms: &[ArmSummary]) -> String {
    let head = ["arm", "coordinators", "workers", "tenants", "world", "answers after", "settings"];
    let mut rows = vec![row(head)];
    for arm in arms {
        let Some(s) = &arm.shape else { continue };
        let slow = s.slow.map(|slow| match slow.ms {
            Some(ms) => format!(", {:?} {ms} ms later", slow.service),
            None => format!(", {:?} never", slow.service),
        });
        rows.push(vec![
            arm.name.clone(),
            s.coordinators.to_string(),
            s.workers.to_string(),
            s.tenants.to_string(),
            format!("seed {} scale {}", s.seed, s.scale),
            format!("{} ms{}", s.latency_ms, slow.unwrap_or_default()),
            format!("`{} {}`", UNSPARED.join(" "), s.settings.join(" ")),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Machine;
    use crate::scenario::Shape;
    use crate::verify::Verdict;

    fn arm(name: &str, workers: usize, rate: f64) -> ArmSummary {
        let figures = [
            ("job.questions_a_second".to_owned(), rate),
            ("job.complete_s.p50".to_owned(), 9.25),
            ("job.cpu_us_a_question.all".to_owned(), 48.0),
        ];
        ArmSummary {
            name: name.into(),
            shape: Some(Shape { workers, ..Shape::default() }),
            loads: vec!["job".into()],
            verdict: Verdict { jobs: 1, ..Verdict::default() },
            faults: Vec::new(),
            figures: figures.into(),
        }
    }

    fn summary() -> Summary {
        let bound = Bound::AtMost(9.5);
        let missed = Judged { what: "a".into(), value: Some(10.0), bound, met: false, counts: true };
        Summary {
            scenario: "scale".into(),
            about: "Workers".into(),
            date: "2026-12-01T00:00:00Z".into(),
            command: "kudzu-loadtest run scale".into(),
            whole: true,
            machine: Machine::default(),
            holds: false,
            checks: vec![missed],
            notes: vec!["one thing".into()],
            problems: Vec::new(),
            arms: vec![arm("1", 1, 100.0), arm("16", 16, 1_520.0)],
        }
    }

    #[test]
    fn numbers_are_read_by_people() {
        let seen = [0.0, 0.1234, 9.5, 48.26, 380_000.0, 1_234_567.8, -1_000.0, 999.96].map(number);
        assert_eq!(seen, ["0", "0.123", "9.50", "48.3", "380,000", "1,234,568", "-1,000", "1,000"]);
    }

    #[test]
    fn a_page_tells_what_was_missed_and_how_it_scales() {
        let page = page(&summary(), &[("cpu.svg", "Processors used")]);
        for part in [
            "| a | at most 9.50 | 10 | **missed** |  |",
            "**Not everything holds.**",
            "- one thing",
            "| 16 | 16 | 1,520 | 95.0 % |",
            "![Processors used](cpu.svg)",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("Growth"), "nothing broke, and it was short");
    }
}
