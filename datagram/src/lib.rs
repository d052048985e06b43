//! UDP datagrams in batches: many of them in one system call (`recvmmsg(2)`, `sendmmsg(2)`),
//! and those of one length to one peer in one pass through the kernel (`UDP_SEGMENT` and
//! `UDP_GRO` of `udp(7)`), where it can.
//!
//! The kernel's way with each datagram is what bulk UDP costs: on one machine 3 to 5 us a
//! question of DNS with a system call each, half of that in trains.

mod inbox;
mod outbox;
mod peer;
mod poller;
mod socket;

pub use inbox::{Datagram, Inbox};
pub use outbox::Outbox;
pub use peer::Peer;
pub use poller::{Poller, Waker};
pub use socket::{Options, Socket};

/// Datagrams in one system call.
pub const BATCH: usize = 64;

#[cfg(test)]
mod tests;
