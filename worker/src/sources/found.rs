//! What a lookup gathers.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::Total;
use kudzu_shared::pair::{Pair, Relation};

/// Octets of a text fact that are kept.
const MAX_TEXT: usize = 255;

/// Pairs, facts and true counts of one lookup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub pairs: Vec<Pair>,
    /// What was said.
    pub facts: Vec<Fact>,
    /// True counts where the pairs are capped.
    pub totals: Vec<Total>,
    /// The least time that the answers may be kept, where they say.
    pub ttl: Option<Duration>,
}

impl Found {
    /// Adds a pair without times.
    pub fn pair(&mut self, key: &Observable, relation: Relation, value: Observable) {
        if *key != value {
            self.pairs.push(Pair::new(key.clone(), relation, value));
        }
    }

    /// Adds a fact that names no person.
    pub fn fact(&mut self, subject: &Observable, name: FactName, value: FactValue) {
        self.facts.push(Fact { subject: subject.clone(), name, value, personal: false });
    }

    /// Adds a text fact, shortened at a character; none where the text is empty.
    pub fn text(&mut self, subject: &Observable, name: FactName, text: &str) {
        let text = shorten(text.trim());
        if !text.is_empty() {
            self.fact(subject, name, FactValue::Text(text.to_owned()));
        }
    }

    /// Notes how long an answer may be kept; the least counts.
    pub fn keep(&mut self, ttl: Option<u32>) {
        let ttl = ttl.map(|s| Duration::from_secs(u64::from(s)));
        self.ttl = [self.ttl, ttl].into_iter().flatten().min();
    }

    /// Whether there is any pair or fact.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.facts.is_empty()
    }

    /// Canonical order, each pair and fact once, and of each key and relation at most
    /// `limit` pairs: those seen last, then by value. Whatever is cut leaves its total,
    /// unless the source gave one.
    pub fn settle(&mut self, limit: usize) {
        self.pairs.sort_unstable_by(|a, b| {
            (&a.key, a.relation, Reverse(a.last_seen), &a.value, a.first_seen, a).cmp(&(
                &b.key,
                b.relation,
                Reverse(b.last_seen),
                &b.value,
                b.first_seen,
                b,
            ))
        });
        self.pairs.dedup();
        self.facts.sort_unstable();
        self.facts.dedup();
        if self.pairs.len() > limit {
            self.cut(limit);
        }
        self.totals.sort_unstable();
    }

    fn cut(&mut self, limit: usize) {
        let all = std::mem::take(&mut self.pairs);
        for group in all.chunk_by(|a, b| (&a.key, a.relation) == (&b.key, b.relation)) {
            let (key, relation) = (&group[0].key, group[0].relation);
            let known = self.totals.iter().any(|t| (&t.key, t.relation) == (key, relation));
            if group.len() > limit && !known {
                // Values, not rows: one seen twice is one.
                let values: HashSet<_> = group.iter().map(|p| &p.value).collect();
                let total = u64::try_from(values.len()).unwrap_or(u64::MAX);
                self.totals.push(Total { key: key.clone(), relation, total });
            }
            self.pairs.extend_from_slice(&group[..group.len().min(limit)]);
        }
    }
}

fn shorten(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asn(n: u32) -> Observable {
        Observable::from_asn(n)
    }

    #[test]
    fn a_cap_keeps_the_newest_and_tells_the_total() {
        let mut f = Found::default();
        for n in 0..10 {
            let pair = Pair::new(asn(1), Relation::SeenOn, asn(100 + n)).seen(None, Some(i64::from(n % 5)));
            f.pairs.extend([pair.clone(), pair]);
        }
        f.pair(&asn(1), Relation::Host, asn(7));
        f.pair(&asn(7), Relation::Host, asn(7));
        f.settle(3);
        let seen: Vec<String> = f.pairs.iter().map(|p| p.value.to_string()).collect();
        assert_eq!(seen, ["AS104", "AS109", "AS103", "AS7"]);
        assert_eq!(f.totals, [Total { key: asn(1), relation: Relation::SeenOn, total: 10 }]);
    }

    #[test]
    fn text_is_cut_at_a_character() {
        let mut f = Found::default();
        f.text(&asn(1), FactName::Label, &format!("{}é", "a".repeat(254)));
        f.text(&asn(1), FactName::Label, " \t ");
        assert_eq!(f.facts.len(), 1);
        assert_eq!(f.facts[0].value, FactValue::Text("a".repeat(254)));
    }
}
