//! `T` against its second implementation (DESIGN, "T, precisely"), in the plainest order.
//! Replay a world with `KUDZU_TEST_SEED=17`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;

use common::case::{Case, Memo};
use common::driver::{self, Order};
use common::reference::Reference;
use common::{compare, worlds};
use kudzu_coordinator::core::job::Settings;

const COUNT: u64 = 3_000;

#[test]
fn the_tree_is_what_the_words_say() {
    let (mut nodes, mut largest) = (0, 0);
    for seed in worlds(COUNT) {
        let case = Case::new(seed);
        for rounds in [0, 2] {
            let reference = Reference::new(&case, rounds);
            let settings = Settings { rounds, ahead: rounds == 0, ..Settings::default() };
            let ran = driver::run(&reference, &Order::plain(settings), &mut Memo::new())
                .and_then(|ran| compare::check(&ran.tree, &reference).map(|_| ran));
            match ran {
                Ok(ran) => {
                    nodes += u64::from(ran.tree.len());
                    largest = largest.max(ran.tree.len());
                }
                Err(e) => panic!("{}={seed}, {rounds} rounds: {e}\n{}", common::SEED, case.plan.text),
            }
        }
    }
    println!("{nodes} nodes, {largest} in the largest tree");
}
