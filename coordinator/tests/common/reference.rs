//! `T` a second time, slow and plain, on maps of observables, from the outcomes alone. It
//! shares no code with the tree it is compared to but the plan, the lists, `Policy::covers`
//! and the public suffix list.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kudzu_coordinator::plan::When;
use kudzu_shared::job::{JobKind, Policy};
use kudzu_shared::observable::{Kind, Name, Observable, psl};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::packs::ListClass;
use kudzu_shared::pair::{Pair, Relation};

use super::case::Case;
use super::outcome::{Cut, Demanded, Outcome, in_window, outcome, prefix, resolved, zones_above};

#[derive(Debug, Clone)]
pub struct Node {
    pub what: Observable,
    pub depth: u8,
    pub parent: Option<usize>,
    pub relation: Option<Relation>,
    /// Sum, over the ways from the level before, of a million divided by the values that
    /// came by that way.
    pub pull: u32,
    /// Reason, list, count.
    pub suppressed: Option<(String, Option<String>, Option<u64>)>,
}

#[derive(Debug, Default)]
struct Zone {
    names: u32,
    probed: bool,
    answers: BTreeSet<Observable>,
    kept: u32,
    representative: Option<Observable>,
}

/// The tree.
pub struct Reference<'a> {
    pub case: &'a Case,
    pub rounds: u8,
    pub depth: u8,
    pub nodes: Vec<Node>,
    pub index: BTreeMap<Observable, usize>,
    pub lookups: Vec<Demanded>,
    /// Lookups never asked in this job, by ask.
    pub never: BTreeMap<(u8, Verdict), u64>,
    pub cuts: BTreeMap<(usize, Relation), Cut>,
    by_key: BTreeMap<Observable, Vec<(usize, Pair)>>,
    /// Values by key and relation, whatever their time.
    sent: BTreeMap<(Observable, Relation), BTreeSet<Observable>>,
    parents: BTreeMap<Observable, BTreeSet<usize>>,
    prefixes: BTreeMap<[u8; 8], BTreeSet<usize>>,
    service: BTreeSet<Observable>,
    /// What some pair says names a person.
    pub personal: BTreeSet<Observable>,
    zones: BTreeMap<Observable, Zone>,
    spent: BTreeMap<String, u64>,
    asked: BTreeMap<u8, u64>,
    questions: u64,
}

impl<'a> Reference<'a> {
    pub fn new(case: &'a Case, rounds: u8) -> Self {
        let enrich = case.spec.kind == JobKind::Enrich;
        let mut r = Self {
            case,
            rounds,
            depth: if enrich { case.budgets.depth.min(1) } else { case.budgets.depth },
            nodes: Vec::new(),
            index: BTreeMap::new(),
            lookups: Vec::new(),
            never: BTreeMap::new(),
            cuts: BTreeMap::new(),
            by_key: BTreeMap::new(),
            sent: BTreeMap::new(),
            parents: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            service: BTreeSet::new(),
            personal: BTreeSet::new(),
            zones: BTreeMap::new(),
            spent: BTreeMap::new(),
            asked: BTreeMap::new(),
            questions: 0,
        };
        let seeds: BTreeSet<&Observable> = case.spec.seeds.iter().collect();
        seeds.into_iter().for_each(|s| r.enter(s.clone(), 0, None));
        let (mut start, mut depth) = (0, 0);
        while start < r.nodes.len() {
            let end = r.nodes.len();
            r.demand_level(start, end);
            r.probe();
            let offers = r.offers(start, end, depth);
            depth += 1;
            if depth <= r.depth {
                r.admit(&offers, depth);
            }
            start = end;
        }
        let persons = (0..r.nodes.len()).flat_map(|n| r.kept(n)).filter(|(_, p)| p.personal);
        r.personal = persons.map(|(_, p)| p.value.clone()).collect();
        r
    }

    /// The pairs of a node that are edges.
    pub fn kept(&self, n: usize) -> impl Iterator<Item = (&Demanded, &Pair)> {
        let hub = move |r: Relation| self.cuts.get(&(n, r)).is_some_and(|c| c.hub);
        let pairs = self.all_pairs(&self.nodes[n].what);
        pairs.filter(move |(_, p)| self.index.contains_key(&p.value) && !hub(p.relation))
    }

    /// Relations of which somebody counts the values of a node.
    pub fn counted(&self, what: &Observable) -> BTreeSet<Relation> {
        let totals = self.lookups.iter().filter(|l| l.depth.is_some()).flat_map(|l| &l.outcome.totals);
        totals.filter(|t| t.key == *what).map(|t| t.relation).collect()
    }

    /// How many of these values were sent.
    pub fn sent(&self, what: &Observable, relation: Relation) -> u64 {
        self.sent.get(&(what.clone(), relation)).map_or(0, |values| values.len() as u64)
    }

    fn enter(&mut self, what: Observable, depth: u8, way: Option<(usize, Relation)>) {
        for zone in zones_above(&what) {
            self.zones.entry(zone).or_default().names += 1;
        }
        let suppressed = self.listed(&what, depth == 0).or_else(|| self.popular(&what, depth));
        self.index.insert(what.clone(), self.nodes.len());
        let (parent, relation) = way.unzip();
        self.nodes.push(Node { what, depth, parent, relation, pull: 0, suppressed });
    }

    pub fn listed(&self, what: &Observable, seed: bool) -> Option<(String, Option<String>, Option<u64>)> {
        let policy = &self.case.spec.policy;
        if Policy::covers(&policy.own_assets, what) {
            return Some(("own-asset".into(), None, None));
        }
        if Policy::covers(&policy.exclude, what) {
            return Some(("excluded".into(), None, None));
        }
        if !policy.allow_private && what.special_purpose().is_some() {
            return Some(("special-purpose".into(), None, None));
        }
        let hit = self.case.packs.lookup(what.as_ref()).filter(|_| !seed)?;
        let dynamic = |o: &Observable| {
            self.case.packs.lookup(o.as_ref()).is_some_and(|l| l.class == ListClass::DynamicDns)
        };
        let above = what.name().and_then(|n| n.parent()).map(|p| Observable::from_name(&p));
        if dynamic(what) && above.is_some_and(|p| dynamic(&p)) {
            return None; // A customer's name, not the provider's.
        }
        Some((hit.class.as_str().into(), Some(hit.list.into()), None))
    }

    fn popular(&self, what: &Observable, depth: u8) -> Option<(String, Option<String>, Option<u64>)> {
        let own = self.parents.get(what).map_or(0, BTreeSet::len) as u64;
        let shared = prefix(what).and_then(|p| self.prefixes.get(&p)).map_or(0, BTreeSet::len) as u64;
        let list = (shared > own).then(|| "/64".to_owned());
        (depth > 0 && own.max(shared) > self.case.plan.hub.into())
            .then(|| ("hub".into(), list, Some(own.max(shared))))
    }

    /// What the plan asks of a level. Asks with a limit come last, about the nodes that most
    /// ways lead to, a way counting the less the more values came with it.
    fn demand_level(&mut self, start: usize, end: usize) {
        let mut limited: BTreeMap<u8, Vec<(Reverse<u32>, usize)>> = BTreeMap::new();
        for n in start..end {
            let node = self.nodes[n].clone();
            if node.depth >= self.depth || node.suppressed.is_some() {
                continue;
            }
            let asks = 0..self.case.plan.asks.len() as u8;
            let applying: Vec<u8> = asks.filter(|a| self.applies(*a, &node)).collect();
            for ask in applying {
                let limit = self.case.plan.asks[usize::from(ask)].per_level;
                if limit.is_some() && self.never_of(ask).is_none() {
                    limited.entry(ask).or_default().push((Reverse(node.pull), n));
                } else {
                    self.demand(ask, node.what.clone(), Some(node.depth));
                }
            }
        }
        for (ask, mut nodes) in limited {
            nodes.sort_unstable();
            let most = self.case.plan.asks[usize::from(ask)].per_level.map_or(0, |n| n as usize);
            for (at, (_, n)) in nodes.into_iter().enumerate() {
                if at < most {
                    self.demand(ask, self.nodes[n].what.clone(), Some(self.nodes[n].depth));
                } else {
                    *self.never.entry((ask, Verdict::Budget)).or_default() += 1;
                }
            }
        }
    }

    fn applies(&self, at: u8, node: &Node) -> bool {
        let ask = &self.case.plan.asks[usize::from(at)];
        let registrable = node.what.name().is_some_and(|n| psl::registrable(&n) == Some(n));
        let kinds = if ask.kinds.is_empty() { &self.case.source(at).takes } else { &ask.kinds };
        let condition = match ask.when {
            When::Always => true,
            When::Registrable => registrable,
            When::Subdomain => !registrable,
            When::Service => self.service.contains(&node.what),
        };
        ask.depth.0 <= node.depth
            && node.depth <= ask.depth.1
            && kinds.contains(&node.what.kind())
            && condition
    }

    /// What policy or configuration say of an ask in this job.
    pub fn never_of(&self, ask: u8) -> Option<Verdict> {
        let (policy, source) = (&self.case.spec.policy, self.case.source(ask));
        if policy.tlp > source.max_tlp || policy.pap > source.contact.strictest_pap() {
            return Some(Verdict::Policy);
        }
        source.unavailable.is_some().then_some(Verdict::Unconfigured)
    }

    fn demand(&mut self, ask: u8, key: Observable, depth: Option<u8>) {
        if let Some(verdict) = self.never_of(ask) {
            *self.never.entry((ask, verdict)).or_default() += 1;
            return;
        }
        let n = self.case.questions(ask);
        let scoped = [Kind::DomainName, Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::Netblock].contains(&key.kind());
        let scope = &self.case.spec.policy.scope;
        let source = self.case.source(ask);
        let spent = self.spent.get(&source.name).copied().unwrap_or(0);
        let over_credits = source.credits.is_some_and(|c| spent >= c);
        let over_questions = self.case.budgets.questions.is_some_and(|q| self.questions + u64::from(n) > q);
        let asked = self.asked.get(&ask).copied().unwrap_or(0) + u64::from(n);
        let over_own = self.case.plan.asks[usize::from(ask)].questions.is_some_and(|q| asked > q);
        let refused = if scoped && !scope.is_empty() && !Policy::covers(scope, &key) {
            Some(Verdict::Scope)
        } else {
            (over_credits || over_questions || over_own).then_some(Verdict::Budget)
        };
        let outcome = match refused {
            Some(v) => Outcome { verdicts: vec![v; n.into()], ..Outcome::default() },
            None => {
                *self.spent.entry(source.name.clone()).or_default() += 1;
                self.asked.insert(ask, asked);
                self.questions += u64::from(n);
                outcome(self.case, ask, &key, self.rounds)
            }
        };
        if depth.is_some() {
            for pair in outcome.pairs.iter().filter(|p| p.key != p.value) {
                let values = self.sent.entry((pair.key.clone(), pair.relation)).or_default();
                values.insert(pair.value.clone());
            }
            for pair in outcome.pairs.iter().filter(|p| p.key != p.value && in_window(self.case, p)) {
                self.by_key.entry(pair.key.clone()).or_default().push((self.lookups.len(), pair.clone()));
            }
        }
        self.lookups.push(Demanded { ask, key, depth, outcome });
    }

    /// Asks three made-up names of each zone that has as many names as the plan says.
    fn probe(&mut self) {
        let case = self.case;
        let asks = &case.plan.asks;
        let live = |at: &usize| {
            let source = case.source(*at as u8);
            asks[*at].types.iter().any(|t| t == "A") && source.returns.contains(&Relation::ResolvesTo)
        };
        let Some(at) = (0..asks.len()).find(live).filter(|at| self.never_of(*at as u8).is_none()) else {
            return;
        };
        let ripe = |z: &Zone| !z.probed && z.names >= case.plan.wildcard_after;
        let zones: Vec<Observable> =
            self.zones.iter().filter(|(_, z)| ripe(z)).map(|(name, _)| name.clone()).collect();
        for zone in zones {
            let mut answers: Vec<BTreeSet<Observable>> = Vec::new();
            for n in 0..3u8 {
                let label = format!("{:016x}", 0xabcd_ef00 + u64::from(n));
                let wire = [&[16], label.as_bytes(), zone.wire()].concat();
                let Some(name) = Name::from_wire(&wire) else { continue };
                let key = Observable::from_name(&name);
                if self.listed(&key, false).is_some() {
                    continue;
                }
                self.demand(at as u8, key.clone(), None);
                answers.push(resolved(self.lookups.last().expect("just demanded"), &key));
            }
            let zone = self.zones.entry(zone).or_default();
            zone.probed = true;
            if answers.len() == 3 && answers.iter().all(|a| !a.is_empty()) {
                zone.answers = answers.into_iter().flatten().collect();
            }
        }
    }

    /// The newest pair of each (relation, value) of a node, in canonical order; only those
    /// that lookups of nodes down to `depth` brought.
    pub fn pairs(&self, what: &Observable, depth: u8) -> Vec<&Pair> {
        let all = self.by_key.get(what).map_or(&[][..], Vec::as_slice);
        let known = all.iter().filter(|(l, _)| self.lookups[*l].depth.is_some_and(|d| d <= depth));
        let newest = |p: &Pair| Reverse(p.last_seen.unwrap_or(i64::MAX));
        let mut by_value: BTreeMap<(Relation, &Observable), &Pair> = BTreeMap::new();
        for (_, pair) in known {
            let kept = by_value.entry((pair.relation, &pair.value)).or_insert(pair);
            if newest(pair) < newest(kept) {
                *kept = pair;
            }
        }
        let mut pairs: Vec<&Pair> = by_value.into_values().collect();
        pairs.sort_by_key(|p| (p.relation, newest(p), &p.value));
        pairs
    }

    /// All pairs of a node, each with its lookup.
    pub fn all_pairs(&self, what: &Observable) -> impl Iterator<Item = (&Demanded, &Pair)> {
        self.by_key.get(what).into_iter().flatten().map(|(l, p)| (&self.lookups[*l], p))
    }

    /// The largest count that demanded lookups report.
    pub fn reported(&self, what: &Observable, relation: Relation) -> u64 {
        let totals = self.lookups.iter().filter(|l| l.depth.is_some()).flat_map(|l| &l.outcome.totals);
        totals.filter(|t| t.key == *what && t.relation == relation).map(|t| t.total).max().unwrap_or(0)
    }

    fn offers(&mut self, start: usize, end: usize, depth: u8) -> Vec<(usize, Relation, Observable)> {
        let mut offers = Vec::new();
        for n in start..end {
            let what = self.nodes[n].what.clone();
            if self.nodes[n].suppressed.is_none() && depth > 0 {
                let why = self.synthesised(&what).map(|zone| ("wildcard".into(), Some(zone), None));
                self.nodes[n].suppressed = why;
            }
            if self.nodes[n].suppressed.is_some() {
                continue;
            }
            let pairs: Vec<(Relation, Observable)> =
                self.pairs(&what, depth).into_iter().map(|p| (p.relation, p.value.clone())).collect();
            for group in pairs.chunk_by(|a, b| a.0 == b.0) {
                let relation = group[0].0;
                let count = self.reported(&what, relation).max(group.len() as u64);
                if depth > 0 && count > self.case.plan.hub_of(relation).into() {
                    self.cuts.entry((n, relation)).or_default().hub = true;
                    continue;
                }
                for (_, value) in group {
                    if matches!(
                        relation,
                        Relation::NameServer | Relation::PrimaryServer | Relation::MailExchange
                    ) {
                        self.service.insert(value.clone());
                    }
                    self.parents.entry(value.clone()).or_default().insert(n);
                    if let Some(p) = prefix(value) {
                        self.prefixes.entry(p).or_default().insert(n);
                    }
                    offers.push((n, relation, value.clone()));
                }
            }
        }
        offers
    }

    /// The zone whose wildcard makes a name up, but for the first such name.
    fn synthesised(&mut self, what: &Observable) -> Option<String> {
        let own: BTreeSet<Observable> =
            self.lookups.iter().filter(|l| l.key == *what).flat_map(|l| resolved(l, what)).collect();
        for name in zones_above(what) {
            let Some(zone) = self.zones.get_mut(&name).filter(|z| !z.answers.is_empty()) else { continue };
            if own.is_empty() || !own.is_subset(&zone.answers) {
                continue;
            }
            if zone.representative.get_or_insert_with(|| what.clone()) != what {
                return Some(name.to_string());
            }
        }
        None
    }

    fn admit(&mut self, offers: &[(usize, Relation, Observable)], depth: u8) {
        let mut taken: BTreeMap<(usize, Relation), u32> = BTreeMap::new();
        for (parent, relation, value) in offers {
            if self.index.contains_key(value) {
                continue;
            }
            let taken = taken.entry((*parent, *relation)).or_default();
            let full_wildcard = zones_above(value).iter().any(|z| {
                self.zones
                    .get(z)
                    .is_some_and(|z| !z.answers.is_empty() && z.kept >= self.case.plan.wildcard_keep)
            });
            let cut = self.cuts.entry((*parent, *relation)).or_default();
            if self.nodes.len() >= self.case.budgets.nodes as usize {
                cut.nodes = true;
            } else if *taken >= self.case.budgets.fan_out {
                cut.fan_out = true;
            } else if full_wildcard {
                cut.wildcard = true;
            } else {
                *taken += 1;
                for zone in zones_above(value) {
                    let zone = self.zones.entry(zone).or_default();
                    zone.kept += u32::from(!zone.answers.is_empty());
                }
                self.enter(value.clone(), depth, Some((*parent, *relation)));
            }
        }
        for group in offers.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            for n in group.iter().filter_map(|(_, _, value)| self.index.get(value)) {
                if self.nodes[*n].depth == depth {
                    self.nodes[*n].pull += 1_000_000 / group.len() as u32;
                }
            }
        }
    }

    /// Whether a name lies under a zone that is a wildcard.
    pub fn is_wild(&self, what: &Observable) -> bool {
        zones_above(what).iter().any(|z| self.zones.get(z).is_some_and(|z| !z.answers.is_empty()))
    }
}
