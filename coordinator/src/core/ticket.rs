//! What a task calls a lookup, and its result repeats: the lookup and the round it was asked
//! in. A result of an earlier round never counts for a later one: with the same outcomes,
//! what a job takes would else depend on when they came.

use super::store::LookupId;

/// A lookup in a round. Whoever carries it need not know what it is made of.
pub type Ticket = u32;

const BITS: u32 = 2;

/// Later rounds that a ticket can tell apart.
pub const ROUNDS: u8 = (1 << BITS) - 1;

/// The ticket of a lookup in a round. Jobs of 2^30 lookups do not fit into memory.
pub const fn of(lookup: LookupId, round: u8) -> Ticket {
    lookup << BITS | (round & ROUNDS) as u32
}

/// The lookup.
pub const fn lookup(ticket: Ticket) -> LookupId {
    ticket >> BITS
}

/// The round: 0 is the first.
pub const fn round(ticket: Ticket) -> u8 {
    (ticket & ROUNDS as u32) as u8
}
