//! The checks catch bugs: each one that is planted here makes them fail.
//!
//! `cargo test -p kudzu-coordinator --features planted --test planted`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod common;

use common::case::{Case, Memo};
use common::compare;
use common::driver::{self, Order};
use common::reference::Reference;
use kudzu_coordinator::core::job::Settings;
use kudzu_coordinator::core::planted::{Bugs, Planted};

/// Worlds, and orders in each, in which a bug must show.
const WORLDS: u64 = 150;
const ORDERS: u64 = 20;

/// What one order comes to with a bug in the code; the checks are those of `orders.rs`.
fn broken(reference: &Reference<'_>, plain: &[u8], order: &Order, memo: &mut Memo) -> Option<String> {
    let ran = match driver::run(reference, order, memo) {
        Ok(ran) => ran,
        Err(e) => return Some(e),
    };
    let body = |b: &[u8]| compare::parse(b).unwrap_or_default();
    let same = ran.stopped || body(&ran.bytes) == body(plain);
    (!same).then(|| compare::same(&body(&ran.bytes), &body(plain)).unwrap_err())
}

/// Looks for an order that shows a bug; says which, and how.
fn shown(bug: Planted) -> Option<String> {
    for world in 0..WORLDS {
        let case = Case::new(world);
        let reference = Reference::new(&case, Settings::default().rounds);
        let mut memo = Memo::new();
        let plain = driver::run(&reference, &Order::plain(Settings::default()), &mut memo).unwrap().bytes;
        for n in 0..ORDERS {
            let mut order = Order::draw(world, n);
            order.settings.bugs = Bugs::with(bug);
            if let Some(e) = broken(&reference, &plain, &order, &mut memo) {
                return Some(format!("{world}:{n}: {e}"));
            }
        }
    }
    None
}

fn is_caught(bug: Planted, by: &str) {
    let shown = shown(bug).unwrap_or_else(|| panic!("{bug:?} is not caught"));
    println!("{bug:?} is caught in {shown}");
    assert!(shown.contains(by), "{bug:?} is caught by another check than {by:?}: {shown}");
}

macro_rules! caught {
    ($($name:ident: $bug:ident by $check:literal;)*) => {
        $(#[test]
        fn $name() {
            is_caught(Planted::$bug, $check);
        })*
    };
}

caught! {
    a_dropped_result: DropResult by "line ";
    a_result_that_ends_twice: EndTwice by "";
    a_late_result_that_counts: AcceptLate by "(I2)";
    a_forgotten_stub: ForgetStub by "\"stub\"";
    an_ignored_fan_out_cap: IgnoreFanOut by "more than";
    a_late_hub: LateHub by "\"hub\"";
    a_failure_told_as_empty: FailureAsEmpty by "";
    a_leaked_probe: LeakProbe by "";
    a_question_after_a_cancel: AskAfterCancel by "I5";
    a_lookup_asked_twice: AskTwice by "";
    a_round_before_its_time: AskEarly by "before its time";
    a_result_of_an_old_round: OldRound by "";
    an_excluded_thing_asked: AskExcluded by "asked about what is";
    a_lost_task: ForgetLost by "nothing to wait for";
    parts_of_two_sendings: MixParts by "is not the answer, whole";
}
