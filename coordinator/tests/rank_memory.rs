//! The ranking's own memory: a large tree leaves little room beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]
#![allow(dead_code, reason = "each test target uses its part")]

#[path = "rank/known.rs"]
mod known;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use known::{Known, addr, name};
use kudzu_coordinator::rank::rank;
use kudzu_shared::pair::{Pair, Relation};

/// Octets at most of what the ranking allocates at a time, for each node of four uses.
const BOUND: usize = 80;
const NAMES: u32 = 30_000;
/// Names on one address: few where the seed is, many elsewhere, so that belief stays where it is.
const FEW: u32 = 4;
const MANY: u32 = 100;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count of what it has given out.
struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its interface; this one only counts")]
// SAFETY: each call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps to what the interface asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to what the interface asks for.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Three names to a domain, each on two addresses and with two name servers.
fn world() -> Known {
    let mut known = Known::default();
    for n in 0..NAMES {
        let host = name(&format!("h{n}.zone{}.com", n / 3));
        let first = if n < NAMES / 100 { n / FEW } else { NAMES + n / MANY };
        let other = NAMES + n.wrapping_mul(0x9e37_79b9) % (NAMES / MANY);
        known.on(&host, &addr(first), 100, 0);
        known.pairs.push(Pair::new(host.clone(), Relation::ResolvesTo, addr(other)));
        for server in 0..2 {
            let server = name(&format!("ns{server}.dns{}.net", n % (NAMES / 100)));
            known.pairs.push(Pair::new(host.clone(), Relation::NameServer, server));
        }
    }
    known
}

#[test]
fn ranking_takes_few_octets_a_node() {
    let tree = world().tree(&[addr(7)]);
    assert!(tree.len() > NAMES, "{} nodes", tree.len());
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let candidates = rank(&tree);
    let taken = (PEAK.load(Ordering::Relaxed) - before) / tree.len() as usize;
    assert!(!candidates.is_empty());
    assert!(taken <= BOUND, "{taken} octets a node");
}
