//! What a list may still spend: its chunks are jobs, and the budgets are those of the list.

use std::collections::BTreeMap;

use kudzu_coordinator::model::Coverage;
use kudzu_shared::outcome::End;
use kudzu_shared::source::SourceInfo;

/// Questions over all sources, and credits of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    questions: Option<u64>,
    credits: BTreeMap<String, u64>,
}

impl Allowance {
    /// At the start, for the sources that are asked.
    pub fn new(questions: Option<u64>, asked: &[SourceInfo]) -> Self {
        let credits = asked.iter().filter_map(|s| Some((s.name.clone(), s.credits?))).collect();
        Self { questions, credits }
    }

    /// Whether anything is limited, so that a chunk must wait for what the last one leaves.
    pub fn is_limited(&self) -> bool {
        self.questions.is_some() || !self.credits.is_empty()
    }

    /// Questions that are left.
    pub fn questions(&self) -> Option<u64> {
        self.questions
    }

    /// The sources with the credits that are left.
    pub fn catalogue(&self, all: &[SourceInfo]) -> Vec<SourceInfo> {
        let left = |s: &SourceInfo| self.credits.get(&s.name).copied().or(s.credits);
        all.iter().map(|s| SourceInfo { credits: left(s), ..s.clone() }).collect()
    }

    /// Takes off what a chunk used. What was skipped was not asked.
    pub fn spend(&mut self, used: &Coverage) {
        for (source, c) in used {
            self.questions = self.questions.map(|left| left.saturating_sub(c.questions));
            if let Some(left) = self.credits.get_mut(source) {
                *left = left.saturating_sub(c.lookups.saturating_sub(c.count(End::Skipped)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kudzu_coordinator::model::SourceCoverage;
    use kudzu_shared::config::Config;
    use kudzu_shared::outcome::Verdict;

    use super::*;

    #[test]
    fn a_chunk_leaves_the_next_one_what_it_did_not_use() {
        let mut config = Config::default();
        config.rdap.credits = Some(10);
        let all = crate::embedded::registry(&config).unwrap().catalogue();
        let mut left = Allowance::new(Some(100), &all);
        assert!(left.is_limited());
        let used = SourceCoverage {
            lookups: 7,
            questions: 4,
            ends: BTreeMap::from([("found", 3), ("failed", 1), ("skipped", 3)]),
            verdicts: BTreeMap::from([(Verdict::Found, 3), (Verdict::Timeout, 1), (Verdict::Budget, 3)]),
            unavailable: None,
        };
        left.spend(&Coverage::from([("rdap.domain".into(), used)]));
        assert_eq!(left.questions(), Some(96));
        let credits = |name: &str| left.catalogue(&all).iter().find(|s| s.name == name).unwrap().credits;
        assert_eq!(
            [credits("rdap.domain"), credits("rdap.ip"), credits("certs.name")],
            [Some(6), Some(10), None]
        );
        assert!(!Allowance::new(None, &[]).is_limited());
    }
}
