//! The ranking on small trees that are given pair by pair.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

#[path = "rank/known.rs"]
mod known;
#[path = "rank/pinned.rs"]
mod pinned;

use std::collections::BTreeMap;

use known::{Known, addr, name, who};
use kudzu_coordinator::rank::{Candidate, rank};
use kudzu_shared::fact::FactName;
use kudzu_shared::observable::Observable;
use kudzu_shared::pair::Relation;
use proptest::prelude::*;

#[test]
fn sharing_an_address_at_the_time_ties_and_years_apart_does_not() {
    let mut k = Known::default();
    k.on(&name("now.com"), &addr(1), 60, 0);
    k.on(&name("old.com"), &addr(1), 2000, 1500);
    let c = k.candidates(&[addr(1)]);
    assert!(c["now.com"].score > 0.5, "{c:?}");
    assert!(!c.contains_key("old.com"), "{c:?}");
}

#[test]
fn one_kind_of_tie_is_marked_and_a_second_one_adds_to_it() {
    let mut k = Known::default();
    for d in ["a.com", "b.com", "c.com"] {
        k.on(&name(d), &addr(1), 60, 0);
    }
    for d in ["a.com", "d.com", "e.com"] {
        k.both(&name(d), Relation::RegisteredBy, &who("M. Mustermann"), Relation::RelatedTo);
    }
    k.on(&name("a.com"), &addr(2), 300, 200);
    k.on(&name("d.com"), &addr(2), 290, 210);
    let c = k.candidates(&[addr(1)]);
    assert!(c["b.com"].single_tie && c["e.com"].single_tie, "{c:?}");
    assert!(!c["d.com"].single_tie, "{c:?}");
    assert!(c["d.com"].score > c["e.com"].score, "{c:?}");
    assert!(c["d.com"].reasons.iter().all(|r| r.path.last().unwrap().value == "d.com"), "{c:?}");
}

#[test]
fn a_crowd_ties_nobody() {
    let mut k = Known::default();
    k.on(&name("evil.com"), &addr(1), 60, 0);
    for n in 0..100 {
        k.on(&name(&format!("shop{n}.com")), &addr(2), 500, 0);
    }
    k.on(&name("evil.com"), &addr(2), 50, 0);
    let c = k.candidates(&[addr(1)]);
    assert!(c.keys().all(|v| !v.starts_with("shop")), "{c:?}");
}

#[test]
fn own_and_excluded_things_are_no_candidates() {
    let mut k = Known::default();
    k.on(&name("www.mine.com"), &addr(1), 60, 0);
    k.on(&name("theirs.com"), &addr(1), 60, 0);
    assert!(k.candidates(&[addr(1)]).contains_key("mine.com"));
    k.own = vec![name("mine.com")];
    let again = k.candidates(&[addr(1)]);
    assert!(!again.contains_key("mine.com") && again.contains_key("theirs.com"));
}

fn host(n: u8, rename: bool) -> Observable {
    let other = n.wrapping_mul(37).wrapping_add(11);
    name(&if rename { format!("z{other}q.net") } else { format!("d{n}.com") })
}

fn at(n: u8, rename: bool) -> Observable {
    addr(if rename { 0x1000 + u32::from(n ^ 0x55) } else { u32::from(n) })
}

/// A random little world, and the same with every item renamed and the pairs shuffled.
fn world(ties: &[(u8, u8, u8, u16)], rename: bool) -> Known {
    let (host, at) = (|n: u8| host(n, rename), |n: u8| at(n, rename));
    let person = |n: u8| who(&if rename { format!("Erika {}", 255 - n) } else { format!("Max {n}") });
    let mut k = Known::default();
    for (domain, asset, kind, days) in ties {
        let (d, days) = (host(*domain), i64::from(*days % 900));
        match kind % 4 {
            0 | 1 => k.on(&d, &at(*asset % 24), days + 90, days),
            2 => k.both(&d, Relation::RegisteredBy, &person(*asset % 16), Relation::RelatedTo),
            _ => k.dated(&d, FactName::Registered, days),
        }
    }
    if rename {
        k.pairs.reverse();
        k.facts.reverse();
    }
    k
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn renaming_and_shuffling_every_item_leaves_the_scores(
        ties in prop::collection::vec((0u8..60, any::<u8>(), any::<u8>(), any::<u16>()), 20..160)
    ) {
        let renamed: BTreeMap<String, String> = (0..=u8::MAX)
            .flat_map(|n| [(host(n, false), host(n, true)), (at(n, false), at(n, true))])
            .map(|(before, after)| (before.to_string(), after.to_string()))
            .collect();
        let scores = |rename: bool| {
            let of = |c: &Candidate| {
                let value = if rename { c.value.clone() } else { renamed[&c.value].clone() };
                (value, ((c.score * 1e6).round() as u64, c.band, c.single_tie, c.reasons.len()))
            };
            let all = rank(&world(&ties, rename).tree(&[at(0, rename)]));
            all.iter().map(of).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(scores(false), scores(true));
    }
}
