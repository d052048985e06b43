//! Facts in sixteen octets each: equal texts are kept once.

use kudzu_shared::fact::{Fact, FactName, FactValue};
use kudzu_shared::observable::{Kind, ObservableRef};
use kudzu_shared::time::UnixSeconds;
use rustc_hash::FxHashMap;

use super::chunk::ChunkVec;
use super::intern::{Interner, ObsId};
use super::store::{LookupId, NIL};

/// The value of a fact. The order is that of [`FactValue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said<'a> {
    /// It is so.
    Yes,
    /// A point in time.
    Time(UnixSeconds),
    /// Raw upstream text; hostile, escape it for where it goes.
    Text(&'a str),
}

/// One fact, in the list of its subject.
#[derive(Debug, Clone, Copy)]
struct Packed {
    next: u32,
    lookup: LookupId,
    /// The time, or the number of the text or the wide time.
    value: u32,
    name: FactName,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Yes,
    Time,
    /// A time that no `u32` holds.
    Wide,
    Text,
}

/// What is said of observables beside their pairs.
#[derive(Debug, Default)]
pub struct Facts {
    first: FxHashMap<ObsId, u32>,
    all: ChunkVec<Packed>,
    wide: Vec<UnixSeconds>,
    texts: Interner,
}

impl Facts {
    /// None yet. The key guards against texts made to collide.
    pub fn keyed(key: u64) -> Self {
        Self { texts: Interner::keyed(key), ..Self::default() }
    }

    /// Adds a fact of a subject; false where its text is too long to be kept.
    pub fn add(&mut self, subject: ObsId, lookup: LookupId, fact: &Fact) -> bool {
        let (form, value) = match &fact.value {
            FactValue::Yes => (Form::Yes, 0),
            FactValue::Time(at) => match u32::try_from(*at) {
                Ok(at) => (Form::Time, at),
                Err(_) => {
                    self.wide.push(*at);
                    // There are no more of them than facts, which are numbered so.
                    (Form::Wide, (self.wide.len() - 1) as u32)
                }
            },
            FactValue::Text(text) => {
                let item = ObservableRef { kind: Kind::Identity, wire: text.as_bytes() };
                let Some((number, _)) = self.texts.intern(item) else { return false };
                (Form::Text, number)
            }
        };
        let next = self.first.get(&subject).copied().unwrap_or(NIL);
        let at = self.all.push(Packed { next, lookup, value, name: fact.name, form });
        self.first.insert(subject, at);
        true
    }

    /// The facts of a subject, newest first, each with the lookup that brought it.
    pub fn of(&self, subject: ObsId) -> impl Iterator<Item = (LookupId, FactName, Said<'_>)> {
        let mut at = self.first.get(&subject).copied();
        std::iter::from_fn(move || {
            let fact = *self.all.get(at?)?;
            at = (fact.next != NIL).then_some(fact.next);
            Some((fact.lookup, fact.name, self.said(&fact)))
        })
    }

    fn said(&self, fact: &Packed) -> Said<'_> {
        match fact.form {
            Form::Yes => Said::Yes,
            Form::Time => Said::Time(fact.value.into()),
            Form::Wide => Said::Time(self.wide.get(fact.value as usize).copied().unwrap_or_default()),
            // Only texts are put there.
            Form::Text => Said::Text(str::from_utf8(self.texts.get(fact.value).wire).unwrap_or_default()),
        }
    }

    /// Octets held.
    pub fn heap_bytes(&self) -> usize {
        let first = self.first.capacity() * (size_of::<(ObsId, u32)>() + 1) * 8 / 7;
        first + self.all.heap_bytes() + self.wide.capacity() * 8 + self.texts.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use kudzu_shared::observable::Observable;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = FactValue> {
        let time = prop_oneof![any::<i64>(), (0..4_000_000_000i64)];
        prop_oneof![Just(FactValue::Yes), time.prop_map(FactValue::Time), ".{0,9}".prop_map(FactValue::Text)]
    }

    proptest! {
        #[test]
        fn facts_come_back(all in prop::collection::vec((0..4u32, any::<u32>(), value()), 0..40)) {
            let mut facts = Facts::keyed(7);
            for (subject, lookup, value) in &all {
                let (of, value) = (Observable::from_asn(*subject), value.clone());
                let fact = Fact { subject: of, name: FactName::Text, value, personal: false };
                prop_assert!(facts.add(*subject, *lookup, &fact));
            }
            for subject in 0..4 {
                let mut want: Vec<_> = all.iter().filter(|f| f.0 == subject).collect();
                want.reverse();
                let got: Vec<_> = facts.of(subject).collect();
                prop_assert_eq!(got.len(), want.len());
                for ((lookup, _, said), (_, asked, value)) in got.into_iter().zip(want) {
                    let same = match value {
                        FactValue::Yes => said == Said::Yes,
                        FactValue::Time(at) => said == Said::Time(*at),
                        FactValue::Text(text) => said == Said::Text(text),
                    };
                    prop_assert!(same && lookup == *asked, "{:?} {:?}", said, value);
                }
            }
        }
    }

    #[test]
    fn a_fact_takes_sixteen_octets() {
        assert_eq!(size_of::<Packed>(), 16);
    }
}
