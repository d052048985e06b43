//! Coverage: what the tree demanded of each source, and what came of it.

use kudzu_shared::outcome::End;

use super::Tree;
use crate::core::store::state;
use crate::model::{Coverage, SourceCoverage};

impl Tree {
    /// Lookups and questions by source, end and verdict. Only what the tree demanded counts;
    /// what was skipped is no question that was asked.
    pub fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::new();
        for rule in &self.rules.asks {
            let entry = coverage.entry(rule.source.name.clone()).or_default();
            entry.unavailable.clone_from(&rule.source.unavailable);
        }
        for lookup in self.store.lookups.iter().filter(|l| l.is(state::DEMANDED)) {
            let rule = &self.rules.asks[usize::from(lookup.ask)];
            let Some(entry) = coverage.get_mut(&rule.source.name) else { continue };
            entry.lookups += 1;
            *entry.ends.entry(lookup.end().as_str()).or_default() += 1;
            for (_, verdict) in lookup.verdicts() {
                entry.questions += u64::from(verdict.end() != End::Skipped);
                *entry.verdicts.entry(verdict).or_default() += 1;
            }
        }
        for ((ask, verdict), (lookups, questions)) in &self.built.never {
            let rule = &self.rules.asks[usize::from(*ask)];
            let Some(entry) = coverage.get_mut(&rule.source.name) else { continue };
            entry.lookups += lookups;
            *entry.ends.entry(verdict.end().as_str()).or_default() += lookups;
            *entry.verdicts.entry(*verdict).or_default() += questions;
        }
        coverage
    }
}

impl SourceCoverage {
    /// Lookups with this end.
    pub fn count(&self, end: End) -> u64 {
        self.ends.get(end.as_str()).copied().unwrap_or(0)
    }
}
