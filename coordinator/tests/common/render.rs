//! The reference tree as the lines that its canonical form must have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kudzu_shared::fact::FactValue;
use kudzu_shared::marking::Tlp;
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::{End, Verdict};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::time::rfc3339;
use serde_json::{Map, Value, json};

use super::outcome::Cut;
use super::reference::Reference;

fn clean(text: &str) -> String {
    kudzu_shared::escape::terminal(text).into_owned()
}

impl Reference<'_> {
    /// Every line but the first, which says what the tree depends on.
    pub fn lines(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        for n in 0..self.nodes.len() {
            lines.push(self.node(n));
            lines.extend(self.edges(n));
            lines.extend(self.stubs(n));
        }
        let unexpanded = self.unexpanded();
        if unexpanded > 0 {
            lines.push(stub(None, None, "depth", unexpanded, &[]));
        }
        let count = |kind: &str| lines.iter().filter(|l| l["type"] == kind).count();
        let end = json!({
            "type": "end", "state": "complete",
            "nodes": count("node"), "edges": count("edge"), "stubs": count("stub"),
        });
        lines.extend(self.coverage());
        lines.push(end);
        lines
    }

    fn node(&self, n: usize) -> Value {
        let node = &self.nodes[n];
        let mut o = Map::new();
        o.insert("type".into(), "node".into());
        o.insert("n".into(), n.into());
        o.insert("id".into(), node.what.id().into());
        o.insert("kind".into(), node.what.kind().as_str().into());
        o.insert("value".into(), clean(&node.what.to_string()).into());
        o.insert("depth".into(), node.depth.into());
        if let (Some(parent), Some(relation)) = (node.parent, node.relation) {
            o.insert("parent".into(), parent.into());
            o.insert("relation".into(), relation.as_str().into());
        }
        if let Some((reason, list, count)) = &node.suppressed {
            let mut why = Map::from_iter([("reason".to_owned(), Value::from(reason.as_str()))]);
            why.extend(list.as_ref().map(|l| ("list".into(), clean(l).into())));
            why.extend(count.map(|c| ("count".into(), c.into())));
            o.insert("suppressed".into(), why.into());
        }
        if self.personal.contains(&node.what) {
            o.insert("personal".into(), true.into());
        }
        let lookups = self.lookups_of(&node.what);
        if !lookups.is_empty() {
            o.insert("lookups".into(), json!(lookups));
        }
        let facts = self.facts(&node.what);
        if !facts.is_empty() {
            o.insert("facts".into(), json!(facts));
        }
        o.into()
    }

    fn lookups_of(&self, what: &Observable) -> BTreeMap<&str, String> {
        let mut told: BTreeMap<&str, String> = BTreeMap::new();
        let mut own: Vec<_> = self.lookups.iter().filter(|l| l.key == *what && l.depth.is_some()).collect();
        own.sort_by_key(|l| l.ask); // The plan's order, whatever was demanded first.
        for lookup in own {
            let mut words = vec![End::of(lookup.outcome.verdicts.iter().copied()).as_str()];
            let bad = |v: &&Verdict| !matches!(v.end(), End::Found | End::Empty);
            words.extend(lookup.outcome.verdicts.iter().filter(bad).map(|v| v.as_str()));
            let text = told.entry(&self.case.source(lookup.ask).name).or_default();
            *text += &format!("{}{}", if text.is_empty() { "" } else { ", " }, words.join(" "));
        }
        told
    }

    fn facts(&self, what: &Observable) -> BTreeMap<&'static str, Vec<Value>> {
        let said = self.lookups.iter().filter(|l| l.depth.is_some()).flat_map(|l| &l.outcome.facts);
        let own: BTreeSet<_> = said.filter(|f| f.subject == *what).map(|f| (f.name, &f.value)).collect();
        let mut facts: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
        for (name, value) in own {
            facts.entry(name.as_str()).or_default().push(match value {
                FactValue::Yes => true.into(),
                FactValue::Time(t) => rfc3339(*t).into(),
                FactValue::Text(t) => clean(t).into(),
            });
        }
        facts
    }

    fn edges(&self, n: usize) -> Vec<Value> {
        let mut edges: Vec<(&Pair, &str)> =
            self.kept(n).map(|(l, p)| (p, self.case.source(l.ask).name.as_str())).collect();
        edges.sort_by_key(|(p, source)| {
            let newest = Reverse(p.last_seen.unwrap_or(i64::MAX));
            (
                p.relation,
                newest,
                &p.value,
                *source,
                p.first_seen,
                p.last_seen,
                p.personal,
                p.marking.max(self.case.spec.policy.tlp),
            )
        });
        edges.dedup();
        edges.into_iter().map(|(p, source)| self.edge(n, p, source)).collect()
    }

    fn edge(&self, from: usize, p: &Pair, source: &str) -> Value {
        let mut o = Map::new();
        o.insert("type".into(), "edge".into());
        o.insert("from".into(), from.into());
        o.insert("to".into(), self.index[&p.value].into());
        o.insert("relation".into(), p.relation.as_str().into());
        o.insert("source".into(), source.into());
        o.extend(p.first_seen.map(|t| ("first_seen".into(), rfc3339(t).into())));
        o.extend(p.last_seen.map(|t| ("last_seen".into(), rfc3339(t).into())));
        let marking = p.marking.max(self.case.spec.policy.tlp);
        o.extend((marking > Tlp::Clear).then(|| ("marking".into(), marking.as_str().into())));
        o.extend(p.personal.then(|| ("personal".into(), true.into())));
        o.into()
    }

    fn stubs(&self, n: usize) -> Vec<Value> {
        let node = &self.nodes[n];
        if node.suppressed.is_some() || node.depth >= self.depth {
            return Vec::new();
        }
        let pairs = self.pairs(&node.what, u8::MAX);
        let mut by_relation: BTreeMap<Relation, Vec<&Pair>> = BTreeMap::new();
        for relation in self.counted(&node.what) {
            by_relation.entry(relation).or_default();
        }
        for pair in pairs {
            by_relation.entry(pair.relation).or_default().push(pair);
        }
        by_relation.iter().flat_map(|(relation, group)| self.stubs_of(n, *relation, group)).collect()
    }

    fn stubs_of(&self, n: usize, relation: Relation, group: &[&Pair]) -> Vec<Value> {
        let cut = self.cuts.get(&(n, relation)).copied().unwrap_or_default();
        let reported = self.reported(&self.nodes[n].what, relation).max(group.len() as u64);
        let values: Vec<&Observable> = group.iter().map(|p| &p.value).collect();
        if cut.hub {
            return vec![stub(Some(n), Some(relation), "hub", reported, &values)];
        }
        let missing = values.into_iter().filter(|v| !self.index.contains_key(v));
        let wild = |v: &&Observable| cut.wildcard && self.is_wild(v);
        let (wildcard, rest): (Vec<_>, Vec<_>) = missing.partition(wild);
        let mut stubs = Vec::new();
        if !wildcard.is_empty() {
            stubs.push(stub(Some(n), Some(relation), "wildcard", wildcard.len() as u64, &wildcard));
        }
        if !rest.is_empty() {
            stubs.push(stub(Some(n), Some(relation), reason(cut), rest.len() as u64, &rest));
        }
        let what = &self.nodes[n].what;
        let beyond = self.reported(what, relation).saturating_sub(self.sent(what, relation));
        if beyond > 0 {
            stubs.push(stub(Some(n), Some(relation), "limit", beyond, &[]));
        }
        stubs
    }

    fn unexpanded(&self) -> u64 {
        let takes = |what: &Observable| {
            let asks = 0..self.case.plan.asks.len() as u8;
            asks.into_iter()
                .any(|a| self.never_of(a).is_none() && self.case.source(a).takes.contains(&what.kind()))
        };
        let open = self.nodes.iter().filter(|n| n.depth == self.depth && n.suppressed.is_none());
        open.filter(|n| takes(&n.what)).count() as u64
    }

    /// One line a source, by name.
    pub fn coverage(&self) -> Vec<Value> {
        let asks = 0..self.case.plan.asks.len() as u8;
        let sources: BTreeMap<&str, u8> = asks.map(|a| (self.case.source(a).name.as_str(), a)).collect();
        sources.into_iter().map(|(name, ask)| self.covered(name, ask)).collect()
    }

    fn covered(&self, name: &str, ask: u8) -> Value {
        let (mut lookups, mut questions) = (0, 0);
        let (mut ends, mut verdicts) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
        let is_own = |ask: u8| self.case.source(ask).name == name;
        for lookup in self.lookups.iter().filter(|l| is_own(l.ask)) {
            lookups += 1;
            *ends.entry(End::of(lookup.outcome.verdicts.iter().copied()).as_str()).or_default() += 1;
            for verdict in &lookup.outcome.verdicts {
                questions += u64::from(verdict.end() != End::Skipped);
                *verdicts.entry(verdict.as_str()).or_default() += 1;
            }
        }
        for ((ask, verdict), n) in self.never.iter().filter(|((ask, _), _)| is_own(*ask)) {
            let each = u64::from(self.case.questions(*ask)) * n;
            lookups += n;
            *ends.entry(verdict.end().as_str()).or_default() += n;
            *verdicts.entry(verdict.as_str()).or_default() += each;
        }
        let mut line = json!({
            "type": "coverage", "source": name, "lookups": lookups, "questions": questions,
            "ends": ends, "verdicts": verdicts,
        });
        if let (Value::Object(o), Some(why)) = (&mut line, &self.case.source(ask).unavailable) {
            o.insert("unavailable".into(), why.as_str().into());
        }
        line
    }
}

fn reason(cut: Cut) -> &'static str {
    match cut {
        Cut { nodes: true, .. } => "nodes",
        Cut { fan_out: true, .. } => "fan-out",
        // The node's own level had closed when a lookup further down told of it.
        _ => "later",
    }
}

fn stub(
    parent: Option<usize>,
    relation: Option<Relation>,
    reason: &str,
    total: u64,
    out: &[&Observable],
) -> Value {
    json!({
        "type": "stub",
        "parent": parent,
        "relation": relation.map(Relation::as_str),
        "reason": reason,
        "total": total,
        "sample": out.iter().take(3).map(|o| clean(&o.to_string())).collect::<Vec<_>>(),
    })
}
