//! What the allocator of the program, mimalloc, is told.

/// Gives memory that was freed back to the system. By itself the allocator keeps it for a second
/// after it was last used, and for longer in a process that has nothing to do; to give all back
/// at once costs a fourteenth more processor time.
#[expect(unsafe_code, reason = "no safe wrapper calls it; it may be called at any time by any thread")]
pub fn give_back() {
    // SAFETY: it takes no pointer, and frees only what nobody holds.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
