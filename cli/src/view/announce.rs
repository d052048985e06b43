//! What will be asked of whom, and how long it may take: said before anything is asked.

use std::collections::BTreeMap;

use kudzu_coordinator::plan::{Plan, When};
use kudzu_shared::escape;
use kudzu_shared::job::{JobKind, JobSpec, Policy};
use kudzu_shared::source::{Contact, SourceInfo};
use kudzu_shared::time::rfc3339;
use serde::Serialize;

use super::text::{Table, count, seconds};

/// Nodes that a first, small look brings to each source that takes them; a guess that only
/// orders of magnitude rest on.
const SAMPLE: u64 = 1_000;

/// How many indicators a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// So many.
    Exactly(usize),
    /// So many have come so far.
    AtLeast(usize),
}

/// Everything that is said before a job.
#[derive(Debug, Serialize)]
pub struct Announcement {
    command: &'static str,
    seeds: usize,
    /// Whether more may come: the list has no end that can be seen.
    more_seeds: bool,
    plan: String,
    tlp: &'static str,
    pap: &'static str,
    as_of: String,
    budgets: kudzu_shared::job::Budgets,
    asked: Vec<Asked>,
    not_asked: Vec<NotAsked>,
    estimate: Estimate,
}

/// A source that will be asked.
#[derive(Debug, Serialize)]
struct Asked {
    source: String,
    endpoint: Option<String>,
    reaches: &'static str,
    /// Questions a second; `None` where nothing limits them.
    rate: Option<f64>,
    credits: Option<u64>,
    /// Questions that fit before the deadline at this rate.
    at_most: Option<u64>,
}

/// A source that the plan names and that will not be asked.
#[derive(Debug, Serialize)]
struct NotAsked {
    source: String,
    why: String,
}

/// How long it may take.
#[derive(Debug, Serialize)]
struct Estimate {
    /// Where each question is known beforehand: their number.
    questions: Option<u64>,
    /// Whether these are those of the indicators seen so far.
    at_least: bool,
    /// At the limits in force; for a pivot, if 1,000 nodes reach every source.
    about_ms: Option<u64>,
    /// What the limits make slowest.
    slowest: Option<String>,
    /// The end at the latest.
    deadline_ms: Option<u64>,
}

impl Announcement {
    /// Of a job under a plan; of a list its first job stands for the rest.
    pub fn new(
        command: &'static str,
        spec: &JobSpec,
        plan: &Plan,
        catalogue: &[SourceInfo],
        listed: Option<Listed>,
    ) -> Self {
        let (seeds, more) = match listed {
            None => (spec.seeds.len(), false),
            Some(Listed::Exactly(n)) => (n, false),
            Some(Listed::AtLeast(n)) => (n, true),
        };
        let (mut asked, mut not_asked) = (Vec::new(), Vec::new());
        // Lookups by source, and how many questions one is.
        let mut load: BTreeMap<&str, (u64, u64, &SourceInfo)> = BTreeMap::new();
        for ask in &plan.asks {
            let Some(info) = catalogue.iter().find(|s| s.name == ask.source) else { continue };
            if let Some(why) = refusal(&spec.policy, info) {
                not_asked.push(NotAsked { source: info.name.clone(), why });
                continue;
            }
            let questions = ask.types.len().max(1) as u64;
            let keys = match spec.kind {
                JobKind::Pivot => SAMPLE,
                JobKind::Enrich => {
                    let kinds = if ask.kinds.is_empty() { &info.takes } else { &ask.kinds };
                    let known = spec.seeds.iter().filter(|s| kinds.contains(&s.kind())).count() as u64;
                    // The first seeds stand for the rest.
                    let share = known as f64 / spec.seeds.len().max(1) as f64;
                    (share * seeds as f64).round() as u64
                }
            };
            // A service is one node among many.
            let keys = if ask.when == When::Service { keys / 20 } else { keys };
            let entry = load.entry(&info.name).or_insert((0, questions, info));
            entry.0 += keys;
            if asked.iter().any(|a: &Asked| a.source == info.name) {
                continue;
            }
            let within = plan.budgets.deadline_ms.zip(info.rate.filter(|r| r.is_finite()));
            asked.push(Asked {
                source: info.name.clone(),
                endpoint: info.endpoint.clone(),
                reaches: reaches(info.contact),
                rate: info.rate.filter(|r| r.is_finite()),
                credits: info.credits,
                at_most: within.map(|(ms, rate)| (rate * ms as f64 / 1000.0) as u64),
            });
        }
        let estimate = estimate(spec.kind, plan, &load, more);
        Self {
            command,
            seeds,
            more_seeds: more,
            plan: plan.name.clone(),
            tlp: spec.policy.tlp.as_str(),
            pap: spec.policy.pap.as_str(),
            as_of: rfc3339(spec.as_of),
            budgets: plan.budgets,
            asked,
            not_asked,
            estimate,
        }
    }

    /// The lines for people.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let budgets = &self.budgets;
        let unit = if self.seeds == 1 { "indicator" } else { "indicators" };
        let mut head = format!(
            "kudzu {}: {}{} {unit}, plan {}, {}, {}, as of {}",
            self.command,
            if self.more_seeds { "at least " } else { "" },
            count(self.seeds as u64),
            escape::terminal(&self.plan),
            self.tlp,
            self.pap,
            self.as_of,
        );
        if self.command != "demo" && matches!(self.pap, "PAP:GREEN" | "PAP:CLEAR") {
            head.push_str(
                " (live DNS reaches the target's own servers; --pap amber asks third parties only)",
            );
        }
        let mut lines = vec![head];
        let mut limits = format!(
            "limits: depth {}, {} nodes, {} by one relation under one node",
            budgets.depth,
            count(budgets.nodes.into()),
            count(budgets.fan_out.into())
        );
        limits.push_str(&budgets.questions.map(|q| format!(", {} questions", count(q))).unwrap_or_default());
        lines.push(limits);
        let mut table = Table::new(&["asks", "reaches", ">at most", "of"]);
        for a in &self.asked {
            let rate = a.rate.map_or("no limit".into(), |r| format!("{}/s", rate(r)));
            let of = a.endpoint.as_deref().map(|e| escape::terminal(e).into_owned()).unwrap_or_default();
            table.row(vec![a.source.clone(), a.reaches.into(), rate, of]);
        }
        lines.extend(table.lines(width));
        for n in &self.not_asked {
            lines.push(format!("not asked: {}: {}", n.source, escape::terminal(&n.why)));
        }
        lines.push(self.estimate.line());
        lines
    }
}

impl Estimate {
    fn line(&self) -> String {
        let least = if self.at_least { "at least " } else { "" };
        let mut text = match (self.questions, self.about_ms, &self.slowest) {
            (Some(q), Some(ms), Some(slowest)) if ms >= 1000 => {
                format!(
                    "estimate: {least}{} questions; {least}about {} at these limits ({slowest} is slowest)",
                    count(q),
                    seconds(ms)
                )
            }
            (Some(q), ..) => {
                format!("estimate: {least}{} questions; these limits hold nothing back", count(q))
            }
            (None, Some(ms), Some(slowest)) if ms >= 1000 => format!(
                "estimate: each {} nodes take about {} at these limits ({slowest} is slowest)",
                count(SAMPLE),
                seconds(ms)
            ),
            (None, ..) => "estimate: seconds; these limits hold nothing back".into(),
        };
        if let Some(deadline) = self.deadline_ms {
            text.push_str(&format!("; ends after {} at the latest", seconds(deadline)));
        }
        text
    }
}

fn estimate(
    kind: JobKind,
    plan: &Plan,
    load: &BTreeMap<&str, (u64, u64, &SourceInfo)>,
    at_least: bool,
) -> Estimate {
    // Sources with one endpoint share its rate.
    let mut by_upstream: BTreeMap<(&str, &str), (u64, f64)> = BTreeMap::new();
    let mut total = 0;
    for (name, (keys, questions, info)) in load {
        total += keys * questions;
        let Some(rate) = info.rate.filter(|r| r.is_finite() && *r > 0.0) else { continue };
        let group = name.split('.').next().unwrap_or(name);
        let entry = by_upstream.entry((group, info.endpoint.as_deref().unwrap_or(""))).or_insert((0, rate));
        entry.0 += keys * questions;
    }
    let times =
        by_upstream.into_iter().map(|((group, _), (n, rate))| ((n as f64 / rate * 1000.0) as u64, group));
    let slowest = times.max();
    Estimate {
        questions: (kind == JobKind::Enrich).then_some(total),
        at_least,
        about_ms: slowest.map(|(ms, _)| ms),
        slowest: slowest.map(|(_, group)| group.to_owned()),
        deadline_ms: plan.budgets.deadline_ms,
    }
}

/// Why a source is not asked, whatever it is about.
pub fn refusal(policy: &Policy, info: &SourceInfo) -> Option<String> {
    if let Some(why) = &info.unavailable {
        return Some(why.clone());
    }
    if policy.pap > info.contact.strictest_pap() {
        return Some(format!("{} forbids it, it reaches {}", policy.pap.as_str(), reaches(info.contact)));
    }
    let (given, most) = (policy.tlp, info.max_tlp);
    (given > most).then(|| format!("{} forbids it, it may see {} at most", given.as_str(), most.as_str()))
}

/// Whom a source reaches, in words.
pub const fn reaches(contact: Contact) -> &'static str {
    match contact {
        Contact::Target => "the target",
        Contact::ThirdParty => "a third party",
        Contact::Nobody => "nobody",
    }
}

/// A rate without needless digits.
pub fn rate(per_second: f64) -> String {
    if per_second >= 10.0 { count(per_second as u64) } else { format!("{per_second}") }
}

#[cfg(test)]
mod tests {
    use kudzu_shared::config::Config;
    use kudzu_shared::marking::{Pap, Tlp};
    use kudzu_shared::observable::{Kind, Observable};
    use kudzu_shared::source::Class;

    use super::*;
    use crate::args::job::{PolicyArgs, TimeArgs};
    use crate::job;

    fn source(name: &str, contact: Contact, rate: Option<f64>) -> SourceInfo {
        SourceInfo {
            name: name.into(),
            doc: String::new(),
            class: Class::Http,
            takes: vec![Kind::DomainName],
            returns: Vec::new(),
            contact,
            max_tlp: Tlp::Clear,
            marking: Tlp::Clear,
            types: Vec::new(),
            endpoint: Some(format!("https://{name}/")),
            unavailable: None,
            credits: None,
            licensed: false,
            rate,
            digest: 0,
        }
    }

    fn announce(kind: JobKind, pap: Pap, tlp: Tlp) -> Vec<String> {
        announce_list(kind, pap, tlp, Listed::Exactly(20))
    }

    fn announce_list(kind: JobKind, pap: Pap, tlp: Tlp, listed: Listed) -> Vec<String> {
        let text = "[[ask]]\nsource = \"live\"\n[[ask]]\nsource = \"slow\"\n[[ask]]\nsource = \"none\"\n";
        let plan = Plan::parse(text, "mine").unwrap();
        let mut unavailable = source("none", Contact::Nobody, None);
        unavailable.unavailable = Some("set none.url".into());
        let catalogue = [
            source("live", Contact::Target, None),
            source("slow", Contact::ThirdParty, Some(2.0)),
            unavailable,
        ];
        let mut policy = job::policy(&PolicyArgs::default(), &Config::default()).unwrap();
        (policy.pap, policy.tlp) = (pap, tlp);
        let time = TimeArgs { at: Some(0), ..TimeArgs::default() };
        let seeds = vec![Observable::parse("a.com").unwrap(), Observable::parse("1.1.1.1").unwrap()];
        let spec = job::spec(kind, seeds, policy, time, Some(1)).unwrap();
        Announcement::new("pivot", &spec, &plan, &catalogue, Some(listed)).lines(120)
    }

    #[test]
    fn it_says_who_is_asked_and_who_is_not() {
        insta::assert_snapshot!(announce(JobKind::Pivot, Pap::Green, Tlp::Clear).join("\n"), @r"
        kudzu pivot: 20 indicators, plan mine, TLP:CLEAR, PAP:GREEN, as of 1970-01-01T00:00:00Z (live DNS reaches the target's own servers; --pap amber asks third parties only)
        limits: depth 4, 1,000,000 nodes, 500 by one relation under one node
        asks  reaches         at most  of
        live  the target     no limit  https://live/
        slow  a third party       2/s  https://slow/
        not asked: none: set none.url
        estimate: each 1,000 nodes take about 8 min 20 s at these limits (slow is slowest); ends after 10 min at the latest
        ");
    }

    #[test]
    fn policy_is_told_before_it_is_kept() {
        let text = announce(JobKind::Pivot, Pap::Amber, Tlp::Clear).join("\n");
        assert!(text.contains("not asked: live: PAP:AMBER forbids it, it reaches the target"), "{text}");
        let text = announce(JobKind::Pivot, Pap::Green, Tlp::Red).join("\n");
        assert!(text.contains("not asked: slow: TLP:RED forbids it, it may see TLP:CLEAR at most"), "{text}");
    }

    #[test]
    fn bulk_work_is_counted() {
        let text = announce(JobKind::Enrich, Pap::Green, Tlp::Clear).join("\n");
        assert!(
            text.contains("estimate: 20 questions; about 5.0 s at these limits (slow is slowest)"),
            "{text}"
        );
        let text = announce_list(JobKind::Enrich, Pap::Green, Tlp::Clear, Listed::AtLeast(4)).join("\n");
        assert!(text.contains("at least 4 indicators") && text.contains("at least 4 questions"), "{text}");
    }
}
