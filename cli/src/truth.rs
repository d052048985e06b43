//! How many of a simulated campaign's planned domains a ranking finds.

use std::collections::HashSet;

use kudzu_coordinator::rank::Candidate;
use kudzu_simnet::Truth;
use serde::Serialize;

/// What a ranking found of what a world hides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Score {
    /// Domains of the campaign.
    pub planned: usize,
    /// Those to which ties lead that the sources show; n below.
    pub reachable: usize,
    /// Of these, among the first n candidate domains.
    pub found_in_n: usize,
    /// Of these, among the first 2n.
    pub found_in_2n: usize,
    /// Domains that only look alike, among the first 2n.
    pub decoys_in_2n: usize,
}

/// Compares the ranked domains, best first, with the truth.
pub fn score(truth: &Truth, candidates: &[Candidate]) -> Score {
    let fold = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let seeds: HashSet<String> = truth.seeds.iter().map(|s| fold(s)).collect();
    // A seed is known and no candidate, so it is not counted on either side.
    let reachable: HashSet<String> = truth
        .planned
        .iter()
        .filter(|p| p.reachable)
        .map(|p| fold(&p.domain))
        .filter(|d| !seeds.contains(d))
        .collect();
    let decoys: HashSet<String> = truth.decoys.iter().map(|d| fold(&d.domain)).collect();
    let ranked: Vec<String> =
        candidates.iter().filter(|c| c.kind == "domain-name").map(|c| fold(&c.value)).collect();
    let n = reachable.len();
    let among =
        |set: &HashSet<String>, first: usize| ranked.iter().take(first).filter(|d| set.contains(*d)).count();
    Score {
        planned: truth.planned.len(),
        reachable: n,
        found_in_n: among(&reachable, n),
        found_in_2n: among(&reachable, 2 * n),
        decoys_in_2n: among(&decoys, 2 * n),
    }
}

#[cfg(test)]
mod tests {
    use kudzu_coordinator::rank::Band;
    use kudzu_simnet::{Decoy, DecoyKind, Planned};

    use super::*;

    fn candidate(rank: usize, value: &str, kind: &'static str) -> Candidate {
        Candidate {
            rank,
            value: value.into(),
            kind,
            score: 0.5,
            band: Band::Possible,
            single_tie: false,
            reasons: Vec::new(),
            registered: None,
            resolves: None,
            parked: false,
            sinkholed: false,
            addresses: Vec::new(),
            autonomous_systems: Vec::new(),
        }
    }

    fn planned(domain: &str, reachable: bool) -> Planned {
        Planned { domain: domain.into(), ties: Vec::new(), reachable, resolves: true }
    }

    #[test]
    fn the_first_n_and_2n_domains_are_counted() {
        let truth = Truth {
            seeds: vec!["192.0.2.1".into()],
            planned: vec![planned("a.com", true), planned("b.com", true), planned("hidden.com", false)],
            decoys: vec![Decoy { domain: "d.com".into(), kind: DecoyKind::PopularNs }],
            ..Truth::default()
        };
        let ranked = [
            candidate(1, "A.com.", "domain-name"),
            candidate(1, "192.0.2.7", "ipv4-addr"),
            candidate(2, "d.com", "domain-name"),
            candidate(3, "x.com", "domain-name"),
            candidate(4, "b.com", "domain-name"),
            candidate(5, "hidden.com", "domain-name"),
        ];
        let score = score(&truth, &ranked);
        let wanted = Score { planned: 3, reachable: 2, found_in_n: 1, found_in_2n: 2, decoys_in_2n: 1 };
        assert_eq!(score, wanted);
    }

    #[test]
    fn a_world_without_a_campaign_has_nothing_to_find() {
        let none = score(&Truth::default(), &[candidate(1, "x.com", "domain-name")]);
        assert_eq!(none, Score { planned: 0, reachable: 0, found_in_n: 0, found_in_2n: 0, decoys_in_2n: 0 });
    }
}
