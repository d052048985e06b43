//! What the allocator of the program, mimalloc, is told.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often memory was to be given back.
static TURN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The last turn that this thread took part in.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// Gives memory that was freed back to the system: this thread's now, that of the runtime's
/// others as soon as they have nothing to do. What one thread took and another freed only the
/// first can give back. By itself the allocator keeps it for a second after it was last used, and
/// for longer in a process that has nothing to do.
pub fn give_back() {
    TURN.fetch_add(1, Relaxed);
    when_idle();
}

/// Takes part in [`give_back`]; for a thread that has nothing to do.
pub fn when_idle() {
    let turn = TURN.load(Relaxed);
    if SEEN.replace(turn) != turn {
        collect();
    }
}

#[expect(unsafe_code, reason = "no safe wrapper calls it; it may be called at any time by any thread")]
fn collect() {
    // SAFETY: it takes no pointer, and frees only what nobody holds.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
