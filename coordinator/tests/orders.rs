//! Any order of events leads to the same bytes, and no step breaks an invariant (I1 to I5).
//!
//! 102,000 orders by default. Replay one with `KUDZU_TEST_SEED=17:4` (world and order), run
//! more with `KUDZU_TEST_WORLDS=20000`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::case::{Case, Memo};
use common::driver::{self, Order};
use common::reference::Reference;
use common::{compare, orders, worlds};
use kudzu_coordinator::core::job::Settings;

/// Worlds, and orders in each.
const WORLDS: u64 = 1_020;
const ORDERS: u64 = 100;

/// Orders by how they ended.
#[derive(Default)]
struct Tally {
    complete: AtomicU64,
    stopped: AtomicU64,
    unused: AtomicU64,
}

#[test]
fn every_order_leads_to_the_same_bytes() {
    let (range, tally) = (worlds(WORLDS), Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for first in 0..threads {
            let (range, tally) = (range.clone(), &tally);
            scope.spawn(move || {
                for world in range.filter(|w| w % threads == first) {
                    in_world(world, tally);
                }
            });
        }
    });
    let [complete, stopped, unused] =
        [&tally.complete, &tally.stopped, &tally.unused].map(|n| n.load(Ordering::Relaxed));
    println!("{complete} orders complete, {stopped} stopped; {unused} lookups asked ahead for nothing");
    if range.end - range.start == WORLDS {
        assert!(complete >= 80_000 && stopped >= 5_000, "the orders became too tame");
        assert!(complete + stopped >= 100_000);
    }
}

fn in_world(world: u64, tally: &Tally) {
    let case = Case::new(world);
    let reference = Reference::new(&case, Settings::default().rounds);
    let mut memo = Memo::new();
    let plain = driver::run(&reference, &Order::plain(Settings::default()), &mut memo)
        .and_then(|ran| compare::check(&ran.tree, &reference))
        .unwrap_or_else(|e| panic!("{}={world}: {e}", common::SEED));
    for order in orders(ORDERS) {
        let drawn = Order::draw(world, order);
        let fail = |e: String| -> ! { panic!("{}={world}:{order}: {e}\n{drawn:?}", common::SEED) };
        let ran = driver::run(&reference, &drawn, &mut memo).unwrap_or_else(|e| fail(e));
        tally.unused.fetch_add(ran.unused, Ordering::Relaxed);
        let count = if ran.stopped { &tally.stopped } else { &tally.complete };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(e) = differs(&ran, &drawn, &plain) {
            fail(e);
        }
    }
}

/// Why a complete tree is not the plain order's.
fn differs(ran: &driver::Ran, order: &Order, plain: &[u8]) -> Option<String> {
    let (mut got, mut want) = (&ran.bytes[..], plain);
    if order.deadline.is_some() {
        // The head tells the deadline.
        (got, want) = (after_head(got), after_head(want));
    }
    if ran.stopped || got == want {
        return None;
    }
    let lines = |b: &[u8]| compare::parse(b).unwrap_or_default();
    Some(compare::same(&lines(&ran.bytes), &lines(plain)).err().unwrap_or("the bytes differ".into()))
}

fn after_head(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
    &bytes[end..]
}
