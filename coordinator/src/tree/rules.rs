//! The rules of one job: what its plan, policy and lists say of a node.

use std::sync::Arc;

use kudzu_shared::job::{Budgets, JobKind, JobSpec, Policy};
use kudzu_shared::observable::{Kind, Name, ObservableRef, psl};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::packs::{Cover, ListClass, Packs};
use kudzu_shared::pair::Relation;
use kudzu_shared::rtype;
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::wire::Ask;

use crate::core::store::flag;
use crate::plan::{Plan, PlanAsk, When};

/// What a job's tree depends on, besides outcomes.
#[derive(Debug)]
pub struct Rules {
    /// The job.
    pub spec: JobSpec,
    /// Its plan.
    pub plan: Plan,
    /// Its limits: the plan's, or the job's own.
    pub budgets: Budgets,
    /// The plan's asks with what their sources declare.
    pub asks: Vec<Rule>,
    /// Suppression lists.
    pub packs: Arc<Packs>,
    own_assets: Cover,
    exclude: Cover,
    scope: Cover,
}

/// One ask of the plan, resolved.
#[derive(Debug)]
pub struct Rule {
    /// The plan's words.
    pub ask: PlanAsk,
    /// The source's.
    pub source: SourceInfo,
    /// Questions of one lookup.
    pub questions: u8,
    /// Why it is never asked in this job (policy, no endpoint).
    pub never: Option<Verdict>,
    /// The first ask of the same source: all of them spend its credits together.
    pub purse: usize,
}

/// Why a node is shown and not asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The reason in one word.
    pub reason: &'static str,
    /// The list or zone that says so.
    pub list: Option<String>,
    /// How many are related to it, where a count is the reason.
    pub count: Option<u64>,
}

impl Rule {
    /// Whether no budget of its own can refuse one of its lookups: what may be refused is
    /// never asked ahead.
    pub fn is_unlimited(&self) -> bool {
        self.source.credits.is_none() && self.ask.per_level.is_none() && self.ask.questions.is_none()
    }
}

impl Rules {
    /// Resolves a plan against the sources there are. [`Plan::check`] has passed: an ask of
    /// an unknown source is dropped here.
    pub fn new(
        spec: JobSpec,
        plan: Plan,
        mut budgets: Budgets,
        sources: &[SourceInfo],
        packs: Arc<Packs>,
    ) -> Self {
        let mut asks: Vec<Rule> = plan
            .asks
            .iter()
            .filter_map(|ask| {
                let source = sources.iter().find(|s| s.name == ask.source)?.clone();
                let never = never(&spec.policy, &source);
                // At most MAX_QUESTIONS types pass the plan's check.
                let questions = ask.types.len().clamp(1, usize::from(u8::MAX)) as u8;
                Some(Rule { ask: ask.clone(), source, questions, never, purse: 0 })
            })
            .collect();
        let purse = |r: &Rule| asks.iter().position(|a| a.source.name == r.source.name).unwrap_or(0);
        let purses: Vec<usize> = asks.iter().map(purse).collect();
        for (rule, purse) in asks.iter_mut().zip(purses) {
            rule.purse = purse;
        }
        if spec.kind == JobKind::Enrich {
            budgets.depth = budgets.depth.min(1); // What is found is told, and not asked about.
        }
        let [own_assets, exclude, scope] =
            [&spec.policy.own_assets, &spec.policy.exclude, &spec.policy.scope].map(|l| Cover::of(l));
        Self { spec, plan, budgets, asks, packs, own_assets, exclude, scope }
    }

    /// The plan's asks as tasks say them.
    pub fn wire_asks(&self) -> Vec<Ask> {
        let ask = |r: &Rule| Ask {
            source: r.source.name.clone(),
            types: r.ask.types.iter().filter_map(|t| rtype::number(t)).collect(),
            limit: r.ask.limit,
        };
        self.asks.iter().map(ask).collect()
    }

    /// Whether a rule asks about a node.
    pub fn applies(&self, rule: &Rule, item: ObservableRef<'_>, depth: u8, flags: u8) -> bool {
        let kinds = if rule.ask.kinds.is_empty() { &rule.source.takes } else { &rule.ask.kinds };
        (rule.ask.depth.0..=rule.ask.depth.1).contains(&depth)
            && kinds.contains(&item.kind)
            && match rule.ask.when {
                When::Always => true,
                When::Service => flags & (flag::NAME_SERVER | flag::MAIL_HOST) != 0,
                When::Registrable => is_registrable(item),
                When::Subdomain => !is_registrable(item),
            }
    }

    /// Why a node is not asked about, by policy and lists alone. Seeds pass the lists: who
    /// names a thing wants it asked.
    pub fn suppression(&self, item: ObservableRef<'_>, seed: bool) -> Option<Suppression> {
        let plain = |reason| Some(Suppression { reason, list: None, count: None });
        if self.own_assets.covers(item) {
            return plain("own-asset");
        }
        if self.exclude.covers(item) {
            return plain("excluded");
        }
        if !self.spec.policy.allow_private && item.special_purpose().is_some() {
            return plain("special-purpose");
        }
        if seed {
            return None;
        }
        let listed = self.packs.lookup(item)?;
        if listed.class == ListClass::DynamicDns && self.parent_listed(item) {
            return None; // The provider is the hub; a name below it belongs to whoever took it.
        }
        Some(Suppression { reason: listed.class.as_str(), list: Some(listed.list.into()), count: None })
    }

    fn parent_listed(&self, item: ObservableRef<'_>) -> bool {
        let parent = Name::from_wire(item.wire).and_then(|n| n.parent());
        parent.is_some_and(|p| {
            let parent = ObservableRef { kind: Kind::DomainName, wire: p.wire() };
            self.packs.lookup(parent).is_some_and(|l| l.class == ListClass::DynamicDns)
        })
    }

    /// Whether the job's scope allows to ask about a node.
    pub fn in_scope(&self, item: ObservableRef<'_>) -> bool {
        let scoped = matches!(item.kind, Kind::DomainName | Kind::Ipv4Addr | Kind::Ipv6Addr | Kind::Netblock);
        self.scope.is_empty() || !scoped || self.scope.covers(item)
    }

    /// The rule that wildcard probes use: live DNS that tells addresses.
    pub fn probe_rule(&self) -> Option<u8> {
        let live = |r: &Rule| {
            r.source.class == Class::Dns
                && r.source.returns.contains(&Relation::ResolvesTo)
                && r.ask.types.iter().any(|t| t == "A")
                && r.never.is_none()
        };
        self.asks.iter().position(live).and_then(|at| u8::try_from(at).ok())
    }
}

fn never(policy: &Policy, source: &SourceInfo) -> Option<Verdict> {
    if policy.tlp > source.max_tlp || policy.pap > source.contact.strictest_pap() {
        return Some(Verdict::Policy);
    }
    source.unavailable.as_ref().map(|_| Verdict::Unconfigured)
}

fn is_registrable(item: ObservableRef<'_>) -> bool {
    item.kind == Kind::DomainName
        && Name::from_wire(item.wire).is_some_and(|n| psl::registrable(&n).as_ref() == Some(&n))
}
