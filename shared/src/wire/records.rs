//! Domain types as records: enums by their numbers, observables checked when read.
//!
//! Kept apart from the types themselves, whose derived form follows the order of their
//! variants. Fields are appended only.

use bincode::{BorrowDecode, Encode};

use super::codec::Error;
use super::task::{Ask, TaskLookup};
use crate::fact::{Fact, FactName, FactValue};
use crate::marking::{Pap, Tlp};
use crate::observable::{Kind, Observable};
use crate::outcome::{Question, Total, Verdict};
use crate::pair::{Pair, Relation};

/// What travels as a record.
pub(super) trait Record: Sized {
    /// Its form on the wire, borrowed from the value or from the message.
    type Wire<'a>: Encode + BorrowDecode<'a, ()>
    where
        Self: 'a;

    fn wire(&self) -> Self::Wire<'_>;
    fn read(wire: Self::Wire<'_>) -> Result<Self, Error>;
}

#[derive(Encode, BorrowDecode)]
pub(super) struct Obs<'a> {
    kind: u8,
    wire: &'a [u8],
}

impl<'a> Obs<'a> {
    pub(super) fn of(observable: &'a Observable) -> Self {
        Self { kind: observable.kind() as u8, wire: observable.wire() }
    }

    pub(super) fn read(self) -> Result<Observable, Error> {
        let kind = known("kind", self.kind, Kind::from_u8)?;
        Observable::from_wire(kind, self.wire).ok_or(Error::Damaged("observable"))
    }
}

fn known<T>(what: &'static str, number: u8, find: impl Fn(u8) -> Option<T>) -> Result<T, Error> {
    find(number).ok_or(Error::Unknown { what, number })
}

pub(super) fn tlp(number: u8) -> Result<Tlp, Error> {
    known("TLP", number, Tlp::from_u8)
}

pub(super) fn pap(number: u8) -> Result<Pap, Error> {
    known("PAP", number, |n| Pap::ALL.into_iter().find(|p| *p as u8 == n))
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireQuestion {
    index: u8,
    verdict: u8,
    tries: u8,
    rtt_us: u32,
    upstream: u16,
}

impl Record for Question {
    type Wire<'a> = WireQuestion;

    fn wire(&self) -> WireQuestion {
        let Self { index, verdict, tries, rtt_us, upstream } = *self;
        WireQuestion { index, verdict: verdict as u8, tries, rtt_us, upstream }
    }

    fn read(wire: WireQuestion) -> Result<Self, Error> {
        let WireQuestion { index, verdict, tries, rtt_us, upstream } = wire;
        Ok(Self { index, verdict: known("verdict", verdict, Verdict::from_u8)?, tries, rtt_us, upstream })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WirePair<'a> {
    key: Obs<'a>,
    relation: u8,
    value: Obs<'a>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    marking: u8,
    personal: bool,
}

impl Record for Pair {
    type Wire<'a> = WirePair<'a>;

    fn wire(&self) -> WirePair<'_> {
        let Self { key, relation, value, first_seen, last_seen, marking, personal } = self;
        WirePair {
            key: Obs::of(key),
            relation: *relation as u8,
            value: Obs::of(value),
            first_seen: *first_seen,
            last_seen: *last_seen,
            marking: *marking as u8,
            personal: *personal,
        }
    }

    fn read(wire: WirePair<'_>) -> Result<Self, Error> {
        let WirePair { key, relation, value, first_seen, last_seen, marking, personal } = wire;
        let relation = known("relation", relation, Relation::from_u8)?;
        let (key, value, marking) = (key.read()?, value.read()?, tlp(marking)?);
        Ok(Self { key, relation, value, first_seen, last_seen, marking, personal })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireFact<'a> {
    subject: Obs<'a>,
    name: u8,
    value: WireValue<'a>,
    personal: bool,
}

#[derive(Encode, BorrowDecode)]
enum WireValue<'a> {
    Yes,
    Time(i64),
    Text(&'a str),
}

impl Record for Fact {
    type Wire<'a> = WireFact<'a>;

    fn wire(&self) -> WireFact<'_> {
        let Self { subject, name, value, personal } = self;
        let value = match value {
            FactValue::Yes => WireValue::Yes,
            FactValue::Time(at) => WireValue::Time(*at),
            FactValue::Text(text) => WireValue::Text(text),
        };
        WireFact { subject: Obs::of(subject), name: *name as u8, value, personal: *personal }
    }

    fn read(wire: WireFact<'_>) -> Result<Self, Error> {
        let WireFact { subject, name, value, personal } = wire;
        let find = |n| FactName::ALL.into_iter().find(|f| *f as u8 == n);
        let value = match value {
            WireValue::Yes => FactValue::Yes,
            WireValue::Time(at) => FactValue::Time(at),
            WireValue::Text(text) => FactValue::Text(text.to_owned()),
        };
        Ok(Self { subject: subject.read()?, name: known("fact", name, find)?, value, personal })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireTotal<'a> {
    key: Obs<'a>,
    relation: u8,
    total: u64,
}

impl Record for Total {
    type Wire<'a> = WireTotal<'a>;

    fn wire(&self) -> WireTotal<'_> {
        let Self { key, relation, total } = self;
        WireTotal { key: Obs::of(key), relation: *relation as u8, total: *total }
    }

    fn read(wire: WireTotal<'_>) -> Result<Self, Error> {
        let WireTotal { key, relation, total } = wire;
        Ok(Self { key: key.read()?, relation: known("relation", relation, Relation::from_u8)?, total })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireAsk<'a> {
    source: &'a str,
    types: Vec<u16>,
    limit: u32,
}

impl Record for Ask {
    type Wire<'a> = WireAsk<'a>;

    fn wire(&self) -> WireAsk<'_> {
        WireAsk { source: &self.source, types: self.types.clone(), limit: self.limit }
    }

    fn read(wire: WireAsk<'_>) -> Result<Self, Error> {
        let WireAsk { source, types, limit } = wire;
        Ok(Self { source: source.to_owned(), types, limit })
    }
}

#[derive(Encode, BorrowDecode)]
pub(super) struct WireLookup<'a> {
    seq: u32,
    ask: u8,
    questions: u32,
    key: Obs<'a>,
}

impl Record for TaskLookup {
    type Wire<'a> = WireLookup<'a>;

    fn wire(&self) -> WireLookup<'_> {
        let Self { seq, ask, questions, key } = self;
        WireLookup { seq: *seq, ask: *ask, questions: *questions, key: Obs::of(key) }
    }

    fn read(wire: WireLookup<'_>) -> Result<Self, Error> {
        let WireLookup { seq, ask, questions, key } = wire;
        Ok(Self { seq, ask, questions, key: key.read()? })
    }
}
