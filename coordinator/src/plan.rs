//! Plans: which sources and record types apply to which kind of observable at which
//! depth, with which caps. TOML; `fast`, `infra` and `deep` are built in.

use std::collections::BTreeMap;

use kudzu_shared::escape;
use kudzu_shared::job::Budgets;
use kudzu_shared::observable::Kind;
use kudzu_shared::pair::Relation;
use kudzu_shared::source::SourceInfo;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::store::MAX_QUESTIONS;
use crate::hex;

/// Asks that one plan can have.
pub const MAX_ASKS: usize = 64;

/// Why a plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not TOML, or not a plan's fields.
    #[error("plan {name}: {message}")]
    Syntax {
        /// The plan's name or file.
        name: String,
        /// Where and what, in the words of the parser.
        message: String,
    },
    /// A value that makes no sense.
    #[error("plan {name}: {message}")]
    Value {
        /// The plan's name or file.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
}

/// A plan, checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Its text: part of what the tree depends on.
    pub text: String,
    /// Limits of a job under this plan; a job may set its own.
    pub budgets: Budgets,
    /// What is asked, in order.
    pub asks: Vec<PlanAsk>,
    /// Above this many values of one relation, or parents, a node is a hub.
    pub hub: u32,
    /// The same for single relations.
    pub hub_by_relation: BTreeMap<Relation, u32>,
    /// From this many names on, the zone above them is probed for a wildcard.
    pub wildcard_after: u32,
    /// Names that are kept under a zone that was found to be a wildcard.
    pub wildcard_keep: u32,
}

/// What is asked of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanAsk {
    /// Source instance.
    pub source: String,
    /// Question types by name; empty where a lookup is one question.
    pub types: Vec<String>,
    /// Depths of the nodes it is asked about, both ends included.
    pub depth: (u8, u8),
    /// Kinds it is asked about; empty for all that the source takes.
    pub kinds: Vec<Kind>,
    /// Rows wanted at most.
    pub limit: u32,
    /// Which of them.
    pub when: When,
    /// Nodes of one level that it is asked about at most: those first that most ways lead
    /// to, ways with few siblings counting more. `None` for all.
    pub per_level: Option<u32>,
    /// Questions that it may take of a job at most; the rest is skipped (budget).
    pub questions: Option<u64>,
}

/// A condition on a node beyond kind and depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// No condition.
    Always,
    /// A name that is its own registrable domain.
    Registrable,
    /// A name below its registrable domain.
    Subdomain,
    /// A name that a node uses as name server or mail host.
    Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    #[serde(default)]
    budgets: RawBudgets,
    #[serde(default = "hub")]
    hub: u32,
    #[serde(default)]
    hub_by_relation: BTreeMap<String, u32>,
    #[serde(default = "wildcard_after")]
    wildcard_after: u32,
    #[serde(default = "wildcard_keep")]
    wildcard_keep: u32,
    #[serde(default)]
    ask: Vec<RawAsk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBudgets {
    depth: u8,
    nodes: u32,
    fan_out: u32,
    questions: Option<u64>,
    deadline_s: Option<u64>,
}

impl Default for RawBudgets {
    fn default() -> Self {
        Self { depth: 4, nodes: 1_000_000, fan_out: 500, questions: None, deadline_s: Some(600) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAsk {
    source: String,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    depth: Option<(u8, u8)>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default = "limit")]
    limit: u32,
    #[serde(default = "always")]
    when: When,
    per_level: Option<u32>,
    questions: Option<u64>,
}

fn hub() -> u32 {
    500
}

fn wildcard_after() -> u32 {
    10
}

fn wildcard_keep() -> u32 {
    10
}

fn limit() -> u32 {
    2000
}

fn always() -> When {
    When::Always
}

/// Whether a pattern means a source: `dns` stands for `dns.name`, `dns.addr` and so on.
pub fn covers(pattern: &str, source: &str) -> bool {
    source.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What is wrong, and in which line.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', "; ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return message };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    format!("line {}: {message}: {}", number + 1, escape::shorten(line, 100))
}

impl Plan {
    /// The names of the built-in plans.
    pub const NAMES: [&'static str; 3] = ["fast", "infra", "deep"];

    /// A built-in plan.
    pub fn builtin(name: &str) -> Option<Plan> {
        let text = match name {
            "fast" => include_str!("../plans/fast.toml"),
            "infra" => include_str!("../plans/infra.toml"),
            "deep" => include_str!("../plans/deep.toml"),
            _ => return None,
        };
        Plan::parse(text, name).ok() // A test reads each.
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// Where it is no TOML, has unknown fields, or values that make no sense.
    pub fn parse(text: &str, name: &str) -> Result<Plan, PlanError> {
        let raw: Raw = toml::from_str(text)
            .map_err(|e| PlanError::Syntax { name: name.into(), message: syntax(text, &e) })?;
        let bad = |message: String| PlanError::Value { name: name.into(), message };
        let mut hub_by_relation = BTreeMap::new();
        for (relation, n) in &raw.hub_by_relation {
            let known = Relation::from_name(relation)
                .ok_or_else(|| bad(format!("hub_by_relation: there is no relation {relation:?}")))?;
            hub_by_relation.insert(known, *n);
        }
        if raw.ask.is_empty() || raw.ask.len() > MAX_ASKS {
            return Err(bad(format!("it must have 1 to {MAX_ASKS} [[ask]] tables")));
        }
        if raw.budgets.nodes == 0 || raw.budgets.depth > 64 || raw.budgets.fan_out == 0 {
            return Err(bad("budgets: nodes and fan_out must be at least 1, depth at most 64".into()));
        }
        let asks = raw.ask.iter().map(|a| check_ask(a).map_err(bad)).collect::<Result<_, _>>()?;
        Ok(Plan {
            name: raw.name.clone().unwrap_or_else(|| name.into()),
            text: text.into(),
            budgets: Budgets {
                depth: raw.budgets.depth,
                nodes: raw.budgets.nodes,
                fan_out: raw.budgets.fan_out,
                questions: raw.budgets.questions,
                deadline_ms: raw.budgets.deadline_s.map(|s| s.saturating_mul(1000)),
            },
            asks,
            hub: raw.hub,
            hub_by_relation,
            wildcard_after: raw.wildcard_after,
            wildcard_keep: raw.wildcard_keep,
        })
    }

    /// SHA-256 of its text, in hex: pinned by every job.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.text.as_bytes()))
    }

    /// The number above which a relation of a node makes it a hub.
    pub fn hub_of(&self, relation: Relation) -> u32 {
        self.hub_by_relation.get(&relation).copied().unwrap_or(self.hub)
    }

    /// Keeps to the sources that were asked for: what a pattern of `only` covers (all, where there
    /// is none) and no pattern of `without`. One that `only` names in full, or that is `by_hand`,
    /// is meant to be asked whatever the plan says.
    pub fn narrow(
        &mut self,
        catalogue: &[SourceInfo],
        only: &[String],
        without: &[String],
        by_hand: impl Fn(&SourceInfo) -> bool,
    ) {
        self.add_sources(catalogue.iter().filter(|s| only.contains(&s.name) || by_hand(s)));
        let any = |patterns: &[String], name: &str| patterns.iter().any(|p| covers(p, name));
        self.retain_sources(|name| (only.is_empty() || any(only, name)) && !any(without, name));
    }

    /// Keeps only the sources for which `keep` holds; used by `--source` and `--no-source`.
    pub fn retain_sources(&mut self, keep: impl Fn(&str) -> bool) {
        self.asks.retain(|a| keep(&a.source));
    }

    /// Adds an ask for each source that the plan does not name (pair sets and declared
    /// sources that the user gave by hand), at every depth.
    pub fn add_sources<'a>(&mut self, sources: impl IntoIterator<Item = &'a SourceInfo>) {
        for source in sources {
            if self.asks.len() < MAX_ASKS && !self.asks.iter().any(|a| a.source == source.name) {
                self.asks.push(PlanAsk {
                    source: source.name.clone(),
                    types: source.types.clone(),
                    depth: (0, u8::MAX),
                    kinds: Vec::new(),
                    limit: limit(),
                    when: When::Always,
                    per_level: None,
                    questions: None,
                });
            }
        }
    }

    /// Checks the asks against the sources there are.
    ///
    /// # Errors
    /// Names the first ask that no source can answer.
    pub fn check(&self, catalogue: &[SourceInfo]) -> Result<(), PlanError> {
        let bad = |message: String| PlanError::Value { name: self.name.clone(), message };
        for ask in &self.asks {
            let Some(source) = catalogue.iter().find(|s| s.name == ask.source) else {
                let known: Vec<_> = catalogue.iter().map(|s| s.name.as_str()).collect();
                return Err(bad(format!(
                    "there is no source {:?}; there are {}",
                    ask.source,
                    known.join(", ")
                )));
            };
            if let Some(odd) = ask.types.iter().find(|t| !source.types.contains(t)) {
                let known = source.types.join(", ");
                return Err(bad(format!("source {} has no type {odd:?}; it has {known}", source.name)));
            }
            if let Some(odd) = ask.kinds.iter().find(|k| !source.takes.contains(k)) {
                return Err(bad(format!("source {} does not take {odd}", source.name)));
            }
        }
        Ok(())
    }
}

fn check_ask(raw: &RawAsk) -> Result<PlanAsk, String> {
    let depth = raw.depth.unwrap_or((0, u8::MAX));
    if depth.0 > depth.1 {
        return Err(format!("ask {}: depth [{}, {}] is empty", raw.source, depth.0, depth.1));
    }
    if raw.types.len() > MAX_QUESTIONS {
        return Err(format!("ask {}: at most {MAX_QUESTIONS} types", raw.source));
    }
    if raw.limit == 0 {
        return Err(format!("ask {}: limit must be at least 1", raw.source));
    }
    let kinds = raw
        .kinds
        .iter()
        .map(|k| Kind::from_name(k).ok_or_else(|| format!("ask {}: there is no kind {k:?}", raw.source)))
        .collect::<Result<_, _>>()?;
    Ok(PlanAsk {
        source: raw.source.clone(),
        types: raw.types.clone(),
        depth,
        kinds,
        limit: raw.limit,
        when: raw.when,
        per_level: raw.per_level,
        questions: raw.questions,
    })
}
