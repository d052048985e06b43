//! The request for a job, and the job it asks for.

use kudzu_shared::config::{self, Tenant};
use kudzu_shared::escape;
use kudzu_shared::job::{Budgets, JobId, JobKind, JobSpec, Policy};
use kudzu_shared::observable::Observable;
use kudzu_shared::source::SourceInfo;
use kudzu_shared::time::{UnixSeconds, parse_time};
use serde::{Deserialize, Serialize};
use serde_path_to_error::Segment;
use utoipa::ToSchema;

use super::problem::{Problem, Wrong};
use crate::plan::{Plan, covers};

/// Seeds of one job.
const SEEDS: usize = 100_000;
/// Errors that are told one by one.
const TOLD: usize = 50;

/// A job to run.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// `pivot` (recursive, the default) or `enrich` (one hop).
    #[schema(value_type = Option<String>)]
    pub kind: Option<JobKind>,
    /// Domains, addresses, URLs, AS numbers, e-mail addresses, hashes; defanged ones too.
    pub seeds: Vec<String>,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// `fast`, `infra` or `deep`; `infra` for a pivot, `fast` for enrich.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// A plan of one's own, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_text: Option<String>,
    /// Ask these sources only: `dns.name`, or `dns` for all of its kind.
    pub sources: Vec<String>,
    /// Do not ask these.
    pub no_sources: Vec<String>,
    /// Limits in place of the plan's.
    pub budgets: Limits,
    /// Marking of the seeds: clear, green, amber, amber+strict, red.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tlp: Option<String>,
    /// What may be contacted: clear, green, amber, red.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pap: Option<String>,
    /// Ask only about what lies in these.
    pub scope: Vec<String>,
    /// Never ask about these.
    pub exclude: Vec<String>,
    /// The submitter's own: never asked about, never candidates.
    pub own_assets: Vec<String>,
    /// Take private and other special-purpose addresses and names too.
    pub allow_private: bool,
    /// The present of the ranking, RFC 3339; now where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Leave out what was last seen before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Leave out what was first seen after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What probes for wildcard zones derive from; random where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<u64>,
}

/// Limits of a job.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Hops from a seed, at most 64.
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
    /// Milliseconds from the submit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// What a request is read against.
pub struct Context<'a> {
    /// The tenant, and what its jobs may do where they do not say.
    pub tenant: &'a str,
    /// Its defaults, if it has any.
    pub defaults: Option<&'a Tenant>,
    /// Lists of everybody's own assets and exclusions.
    pub policy: &'a config::PolicyDefaults,
    /// The sources there are.
    pub catalogue: &'a [SourceInfo],
    /// Now.
    pub now: UnixSeconds,
}

/// Gathers what is wrong, so that all of it is told at once.
#[derive(Default)]
struct Reader {
    wrong: Vec<Wrong>,
    untold: usize,
}

impl Reader {
    fn bad(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.wrong.len() < TOLD {
            let detail = escape::shorten(&detail.into(), 500).into_owned();
            self.wrong.push(Wrong { pointer: pointer.into(), detail });
        } else {
            self.untold += 1;
        }
    }

    fn observables(&mut self, field: &str, texts: &[String], special: bool) -> Vec<Observable> {
        let mut read = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            match Observable::parse(text) {
                Err(error) => self.bad(format!("/{field}/{at}"), error.to_string()),
                Ok(item) => match item.special_purpose().filter(|_| !special) {
                    Some(purpose) => {
                        let what =
                            format!("special purpose ({purpose}): set allow_private to ask all the same");
                        self.bad(format!("/{field}/{at}"), what);
                    }
                    None => read.push(item),
                },
            }
        }
        read
    }

    fn time(&mut self, field: &str, text: Option<&String>) -> Option<UnixSeconds> {
        let text = text?;
        let at = parse_time(text);
        if at.is_none() {
            self.bad(format!("/{field}"), "write 2026-03-01, or 2026-03-01T12:00:00Z");
        }
        at
    }

    fn marking<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        field: &str,
        text: Option<&String>,
        default: Option<T>,
    ) -> Option<T> {
        match text.map(|t| t.parse::<T>()) {
            Some(Ok(marking)) => return Some(marking),
            Some(Err(error)) => self.bad(format!("/{field}"), error.to_string()),
            None if default.is_none() => {
                self.bad(format!("/{field}"), "is required: this tenant has no default");
            }
            None => return default,
        }
        None
    }
}

/// A part of a JSON pointer (RFC 6901).
fn segment(part: &Segment) -> String {
    match part {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("/{variant}"),
        Segment::Unknown => String::new(),
    }
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// Names the field that cannot be read.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let pointer: String = error.path().iter().map(segment).collect();
            Problem::malformed(format!("the body: {}", error.inner())).at(pointer)
        })?;
        json.end().map_err(|e| Problem::malformed(format!("the body: {e}")))?;
        Ok(request)
    }

    /// The job that it asks for, under this id.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn job(&self, id: JobId, context: &Context<'_>) -> Result<(JobSpec, Plan, Budgets), Vec<Wrong>> {
        let mut reader = Reader::default();
        if self.seeds.is_empty() || self.seeds.len() > SEEDS {
            reader.bad("/seeds", format!("give 1 to {SEEDS} of them"));
        }
        if self.label.as_ref().is_some_and(|l| l.chars().count() > 200 || l.chars().any(escape::is_hidden)) {
            reader.bad("/label", "write at most 200 visible characters");
        }
        let kind = self.kind.unwrap_or(JobKind::Pivot);
        let tlp = reader.marking("tlp", self.tlp.as_ref(), context.defaults.map(|d| d.tlp));
        let pap = reader.marking("pap", self.pap.as_ref(), context.defaults.map(|d| d.pap));
        let with = |own: &[String], all: &[String]| [own, all].concat();
        let seeds = reader.observables("seeds", &self.seeds, self.allow_private);
        let scope = reader.observables("scope", &self.scope, true);
        let exclude = reader.observables("exclude", &with(&self.exclude, &context.policy.exclude), true);
        let own_assets = with(&self.own_assets, &context.policy.own_assets);
        let own_assets = reader.observables("own_assets", &own_assets, true);
        let (at, since, until) = (
            reader.time("at", self.at.as_ref()),
            reader.time("since", self.since.as_ref()),
            reader.time("until", self.until.as_ref()),
        );
        if since.zip(until).is_some_and(|(since, until)| since > until) {
            reader.bad("/since", "lies after until: nothing can have been seen then");
        }
        let plan = self.plan(kind, context, &mut reader);
        let (Some(plan), Some(tlp), Some(pap), true) = (plan, tlp, pap, reader.wrong.is_empty()) else {
            if reader.untold > 0 {
                let detail = format!("and {} more are wrong", reader.untold);
                reader.wrong.push(Wrong { pointer: String::new(), detail });
            }
            return Err(reader.wrong);
        };
        let policy = Policy { tlp, pap, scope, exclude, own_assets, allow_private: self.allow_private };
        let spec = JobSpec {
            id,
            tenant: context.tenant.into(),
            kind,
            seeds,
            policy,
            as_of: at.unwrap_or(context.now),
            since,
            until,
            salt: self.salt.unwrap_or_else(rand::random),
        };
        let budgets = plan.budgets;
        Ok((spec, plan, budgets))
    }

    fn plan(&self, kind: JobKind, context: &Context<'_>, reader: &mut Reader) -> Option<Plan> {
        let default = if kind == JobKind::Pivot { "infra" } else { "fast" };
        let plan = match (&self.plan, &self.plan_text) {
            (Some(_), Some(_)) => {
                reader.bad("/plan_text", "give the name of a plan or its text, not both");
                return None;
            }
            (_, Some(text)) => Plan::parse(text, "own"),
            (name, None) => {
                let name = name.as_deref().unwrap_or(default);
                let Some(plan) = Plan::builtin(name) else {
                    reader
                        .bad("/plan", format!("there is no such plan: there are {}", Plan::NAMES.join(", ")));
                    return None;
                };
                Ok(plan)
            }
        };
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                reader.bad("/plan_text", error.to_string());
                return None;
            }
        };
        let before = reader.wrong.len();
        for (field, list) in [("sources", &self.sources), ("no_sources", &self.no_sources)] {
            for (at, pattern) in list.iter().enumerate() {
                if !context.catalogue.iter().any(|s| covers(pattern, &s.name)) {
                    reader.bad(format!("/{field}/{at}"), "there is no such source: see /v1/sources");
                }
            }
        }
        plan.narrow(context.catalogue, &self.sources, &self.no_sources, |_| false);
        if plan.asks.is_empty() && reader.wrong.len() == before {
            reader.bad("/sources", "no source is left to ask");
        }
        if let Err(error) = plan.check(context.catalogue) {
            reader.bad("/plan_text", error.to_string());
        }
        let (limits, budgets) = (&self.budgets, &mut plan.budgets);
        budgets.depth = limits.depth.unwrap_or(budgets.depth);
        budgets.nodes = limits.nodes.unwrap_or(budgets.nodes);
        budgets.fan_out = limits.fan_out.unwrap_or(budgets.fan_out);
        budgets.questions = limits.questions.or(budgets.questions);
        budgets.deadline_ms = limits.deadline_ms.or(budgets.deadline_ms);
        if budgets.depth > 64 {
            reader.bad("/budgets/depth", "is at most 64");
        }
        if budgets.nodes == 0 {
            reader.bad("/budgets/nodes", "is at least 1");
        }
        if budgets.fan_out == 0 {
            reader.bad("/budgets/fan_out", "is at least 1");
        }
        Some(plan)
    }
}

#[cfg(test)]
mod tests {
    use kudzu_shared::marking::{Pap, Tlp};
    use kudzu_shared::observable::Kind;
    use kudzu_shared::pair::Relation;

    use super::*;

    fn read(request: &Request, defaults: Option<&Tenant>) -> Result<(JobSpec, Plan, Budgets), Vec<Wrong>> {
        let source = |name: &str| {
            let takes = vec![Kind::DomainName, Kind::Ipv4Addr, Kind::Ipv6Addr];
            SourceInfo::local(name.into(), String::new(), takes, vec![Relation::RelatedTo])
        };
        let catalogue = [source("x.one"), source("x.two"), source("y")];
        let policy = config::PolicyDefaults { exclude: vec!["bank.com".into()], ..Default::default() };
        let context = Context { tenant: "t", defaults, policy: &policy, catalogue: &catalogue, now: 77 };
        request.job(JobId(1), &context)
    }

    fn request() -> Request {
        Request {
            seeds: vec!["evil[.]com".into()],
            plan_text: Some("[[ask]]\nsource = \"x.one\"\n[[ask]]\nsource = \"x.two\"\n".into()),
            ..Request::default()
        }
    }

    fn pointers(wrong: &[Wrong]) -> Vec<&str> {
        wrong.iter().map(|w| w.pointer.as_str()).collect()
    }

    #[test]
    fn markings_are_required_or_the_tenants_own() {
        let wrong = read(&request(), None).unwrap_err();
        assert_eq!(pointers(&wrong), ["/tlp", "/pap"]);
        let tenant = Tenant { tlp: Tlp::Amber, pap: Pap::Red };
        let (spec, ..) = read(&Request { pap: Some("green".into()), ..request() }, Some(&tenant)).unwrap();
        assert_eq!((spec.policy.tlp, spec.policy.pap, spec.as_of), (Tlp::Amber, Pap::Green, 77));
        assert_eq!(spec.policy.exclude.len(), 1);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let request = Request {
            seeds: vec!["a..b".into(), "10.0.0.1".into(), "good.com".into()],
            sources: vec!["z".into()],
            tlp: Some("purple".into()),
            at: Some("soon".into()),
            budgets: Limits { nodes: Some(0), ..Limits::default() },
            ..request()
        };
        let wrong = read(&request, None).unwrap_err();
        let want = ["/tlp", "/pap", "/seeds/0", "/seeds/1", "/at", "/sources/0", "/budgets/nodes"];
        assert_eq!(pointers(&wrong), want);
    }

    #[test]
    fn what_is_wrong_is_told_in_bounds() {
        let seeds = (0..1_000).map(|_| "a..b".to_owned()).collect();
        let wrong = read(&Request { seeds, ..request() }, None).unwrap_err();
        assert_eq!(wrong.len(), TOLD + 1);
        assert_eq!(wrong[TOLD].detail, "and 952 more are wrong");
    }

    #[test]
    fn sources_narrow_the_plan_and_add_to_it() {
        let markings = Request { tlp: Some("clear".into()), pap: Some("green".into()), ..request() };
        let sources = |only: &[&str], without: &[&str]| {
            let list = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect();
            let request = Request { sources: list(only), no_sources: list(without), ..markings.clone() };
            let plan = read(&request, None).map(|(_, plan, _)| plan);
            plan.map(|p| p.asks.iter().map(|a| a.source.clone()).collect::<Vec<_>>())
        };
        assert_eq!(sources(&[], &[]).unwrap(), ["x.one", "x.two"]);
        assert_eq!(sources(&["x"], &["x.two"]).unwrap(), ["x.one"]);
        assert_eq!(sources(&["x.one", "y"], &[]).unwrap(), ["x.one", "y"]);
        assert_eq!(pointers(&sources(&["x"], &["x"]).unwrap_err()), ["/sources"]);
    }
}
