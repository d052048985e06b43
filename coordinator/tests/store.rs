//! The core's parts alone: chunks, the interner, queues, tickets, verdicts, wildcard zones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::world::{ip, name};
use kudzu_coordinator::core::chunk::ChunkVec;
use kudzu_coordinator::core::intern::Interner;
use kudzu_coordinator::core::queue::{Limits, Queue};
use kudzu_coordinator::core::store::{MAX_QUESTIONS, Store};
use kudzu_coordinator::core::ticket;
use kudzu_coordinator::tree::zones::Zones;
use kudzu_shared::observable::{Kind, Observable, ObservableRef};
use kudzu_shared::outcome::{Answer, Verdict};
use kudzu_shared::pair::{Pair, Relation};
use kudzu_shared::source::Class;
use proptest::prelude::*;

#[test]
fn chunks_keep_every_item_over_their_borders() {
    let mut list = ChunkVec::default();
    assert!(list.is_empty() && list.get(0).is_none());
    for n in 0..100_000u32 {
        assert_eq!(list.push(n * 3), n);
        assert_eq!(list.len(), n + 1);
    }
    list[16_384] = 1;
    assert_eq!((list[16_383], list[16_384], list[16_385]), (49_149, 1, 49_155));
    assert_eq!((list.get(99_999), list.get(100_000), list.get(u32::MAX)), (Some(&299_997), None, None));
    assert_eq!(list.iter().count(), 100_000);
    assert!(list.heap_bytes() >= 400_000);
}

#[test]
fn an_interner_knows_more_than_a_chunk_and_a_slab() {
    let mut interner = Interner::default();
    let item = |n: u32| name(&format!("name-with-some-length-to-fill-a-slab-{n}.alpha.com"));
    for n in 0..60_000 {
        assert_eq!(interner.intern(item(n).as_ref()), Some((n, true)));
    }
    for n in (0..60_000).step_by(997) {
        assert_eq!(interner.intern(item(n).as_ref()), Some((n, false)));
        assert_eq!(interner.get(n), item(n).as_ref());
        assert_eq!(interner.find(item(n).as_ref()), Some(n));
    }
    assert_eq!((interner.len(), interner.find(item(60_000).as_ref())), (60_000, None));
}

#[test]
fn the_longest_key_is_kept_and_a_longer_one_refused() {
    let mut interner = Interner::default();
    let long = vec![b'x'; 65_536];
    let url = |n: usize| ObservableRef { kind: Kind::Url, wire: &long[..n] };
    for n in 0..40 {
        // 40 of them pass two slabs.
        assert_eq!(interner.intern(url(65_535 - n)), Some((n as u32, true)));
    }
    assert_eq!(interner.intern(url(65_536)), None);
    assert_eq!(interner.get(0), url(65_535));
    assert_eq!(interner.get(39), url(65_496));
    let mut store = Store::default();
    assert_eq!((store.intern(url(65_536)), store.oversized), (None, 1));
}

#[test]
fn kinds_with_equal_bytes_are_apart() {
    let mut interner = Interner::default();
    let wire = [1, 2, 3, 4];
    let ids: BTreeSet<u32> = Kind::ALL
        .iter()
        .map(|kind| interner.intern(ObservableRef { kind: *kind, wire: &wire }).unwrap().0)
        .collect();
    assert_eq!(ids.len(), Kind::ALL.len());
}

proptest! {
    #[test]
    fn what_is_interned_comes_back(wires in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200)) {
        let mut interner = Interner::default();
        let mut known: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for wire in &wires {
            let (id, new) = interner.intern(ObservableRef { kind: Kind::Identity, wire }).unwrap();
            prop_assert_eq!(new, !known.contains_key(wire));
            prop_assert_eq!(*known.entry(wire.clone()).or_insert(id), id);
        }
        prop_assert_eq!(interner.len() as usize, known.len());
        for (wire, id) in known {
            prop_assert_eq!(interner.get(id).wire, &wire[..]);
        }
    }

    #[test]
    fn verdicts_of_a_lookup_do_not_meet(told in prop::collection::vec((0..MAX_QUESTIONS as u8, 0..Verdict::ALL.len()), 0..40)) {
        let mut store = Store::default();
        let key = store.intern(ip("45.0.0.1").as_ref()).unwrap();
        let id = store.register(key, 0);
        let mut last: BTreeMap<u8, Verdict> = BTreeMap::new();
        for (index, verdict) in told {
            store.lookups[id].set_verdict(index, Verdict::ALL[verdict]);
            last.insert(index, Verdict::ALL[verdict]);
        }
        store.lookups[id].set_verdict(MAX_QUESTIONS as u8, Verdict::Found); // There is no such question.
        prop_assert_eq!(store.lookups[id].verdicts().collect::<BTreeMap<_, _>>(), last);
    }

    #[test]
    fn tickets_tell_lookup_and_round(lookup in 0u32..1 << 30, round in 0..=ticket::ROUNDS) {
        let t = ticket::of(lookup, round);
        prop_assert_eq!((ticket::lookup(t), ticket::round(t)), (lookup, round));
    }

    /// Whatever is packed leaves once, in order, in tasks within their size.
    #[test]
    fn queues_pack_all_they_are_given(masks in prop::collection::vec(1u32..4096, 1..200), size in 1u32..64, window in 1u32..100) {
        let limits = Limits { window, task_questions: size, task_delay_ms: 5 };
        let mut queue = Queue::new(Class::Dns, limits);
        (0..masks.len() as u32).for_each(|id| queue.push(id, true));
        let (mut sent, mut now) = (Vec::new(), 0);
        while sent.len() < masks.len() {
            let mut tasks = Vec::new();
            while let Some(id) = queue.pop() {
                prop_assert!(queue.outstanding() < window);
                tasks.extend(queue.pack(now, id, masks[id as usize]));
            }
            prop_assert_eq!(queue.flush_due(now), None);
            let due = queue.due();
            now += 5;
            tasks.extend(queue.flush_due(now));
            prop_assert!(due.is_none_or(|d| d <= now));
            for task in tasks {
                let questions: u32 = task.lookups.iter().map(|(_, q)| q.count_ones()).sum();
                prop_assert!(questions <= size || task.lookups.len() == 1);
                queue.answered(questions);
                sent.extend(task.lookups);
            }
        }
        let all: Vec<(u32, u32)> = (0..).zip(masks).collect();
        prop_assert_eq!(sent, all);
        prop_assert_eq!((queue.outstanding(), queue.due()), (0, None));
    }
}

#[test]
fn demanded_lookups_go_first() {
    let mut queue = Queue::new(Class::Http, Limits { window: 10, task_questions: 10, task_delay_ms: 0 });
    queue.push(1, false);
    queue.push(2, true);
    assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(1), None));
    queue.push(3, true);
    assert!(queue.pack(0, 3, 0b111).is_none());
    queue.clear();
    assert_eq!((queue.outstanding(), queue.flush()), (0, None));
}

/// A zone with three names and its probes, which resolve to these.
fn probed(zones: &mut Zones, store: &mut Store, answers: &[&str]) -> Vec<Observable> {
    for n in ["a", "b", "c"] {
        zones.count(name(&format!("{n}.z.com")).as_ref(), 3);
    }
    let probes = zones.probes(7);
    for (n, (zone, probe)) in probes.iter().enumerate() {
        let key = Observable::from_name(probe);
        let id = store.intern(key.as_ref()).unwrap();
        let lookup = store.register(id, 0);
        zones.asked(*zone, lookup);
        let pairs = answers.get(n).map(|a| Pair::new(key.clone(), Relation::ResolvesTo, ip(a)));
        store.absorb(lookup, Answer { pairs: pairs.into_iter().collect(), ..Answer::default() });
    }
    zones.judge(store);
    probes.into_iter().map(|(_, name)| Observable::from_name(&name)).collect()
}

#[test]
fn a_zone_is_probed_once_by_names_that_the_salt_makes() {
    let (mut zones, mut store) = (Zones::default(), Store::default());
    let probes = probed(&mut zones, &mut store, &["45.0.0.1", "45.0.0.2", "45.0.0.1"]);
    assert_eq!(probes.iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(probes.iter().all(|p| p.to_string().ends_with(".z.com")));
    assert!(zones.probes(7).is_empty());
    let (mut other, mut again) = (Zones::default(), Zones::default());
    for n in ["a", "b", "c"] {
        other.count(name(&format!("{n}.z.com")).as_ref(), 3);
        again.count(name(&format!("{n}.z.com")).as_ref(), 3);
    }
    let texts = |z: &mut Zones, salt| {
        z.probes(salt).into_iter().map(|(_, n)| Observable::from_name(&n)).collect::<Vec<_>>()
    };
    assert_eq!(texts(&mut again, 7), probes);
    assert!(texts(&mut other, 8).iter().all(|p| !probes.contains(p)));
}

#[test]
fn a_wildcard_needs_all_of_its_probes() {
    let inside = name("new.z.com");
    for (answers, wild) in [
        (&["45.0.0.1", "45.0.0.1", "45.0.0.1"][..], true),
        (&["45.0.0.1", "45.0.0.1"][..], false),
        (&[][..], false),
    ] {
        let (mut zones, mut store) = (Zones::default(), Store::default());
        probed(&mut zones, &mut store, answers);
        assert_eq!(zones.is_wild(inside.as_ref()), wild, "{answers:?}");
        let admitted = (0..5).filter(|_| zones.admit(inside.as_ref(), 2)).count();
        assert_eq!(admitted, if wild { 2 } else { 5 });
    }
}

#[test]
fn what_lies_under_a_public_suffix_is_no_zone() {
    let mut zones = Zones::default();
    for n in 0..20 {
        zones.count(name(&format!("n{n}.co.uk")).as_ref(), 3);
        zones.count(name("com").as_ref(), 3);
        zones.count(ip("45.0.0.1").as_ref(), 3);
    }
    assert!(zones.probes(1).is_empty());
}

/// A zone whose probes have two aliases, told in this order; whether a name that resolves as
/// the first one's target is made up.
fn made_up_by_two_aliases(targets: [&str; 2]) -> bool {
    let (mut zones, mut store) = (Zones::default(), Store::default());
    zones.count(name("a.z.com").as_ref(), 1);
    let target = |n: &str| Pair::new(name(n), Relation::ResolvesTo, ip("45.0.0.9"));
    for (zone, probe) in zones.probes(7) {
        let key = Observable::from_name(&probe);
        let id = store.intern(key.as_ref()).unwrap();
        let lookup = store.register(id, 0);
        zones.asked(zone, lookup);
        let aliases = targets.map(|t| Pair::new(key.clone(), Relation::AliasOf, name(t)));
        let pairs = aliases.into_iter().chain([target("first.org")]).collect();
        store.absorb(lookup, Answer { pairs, ..Answer::default() });
    }
    zones.judge(&store);
    let made_up = ["b.z.com", "c.z.com"].map(|n| {
        let id = store.intern(name(n).as_ref()).unwrap();
        let lookup = store.register(id, 0);
        store.absorb(lookup, Answer { pairs: vec![target(n)], ..Answer::default() });
        zones.synthesised(&store, id, &[lookup]).is_some()
    });
    made_up[1]
}

#[test]
fn two_aliases_of_one_name_lead_the_same_way_in_any_order() {
    assert!(made_up_by_two_aliases(["first.org", "second.org"]));
    assert!(made_up_by_two_aliases(["second.org", "first.org"]));
}
