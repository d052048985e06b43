//! Wire messages: a fixed header, then records.
//!
//! Header (16 octets): magic `KDZU`, major, minor, kind, a zero octet, body length and
//! CRC-32 of the body, both u32 little endian. A record is a u32 length and a bincode
//! body (little endian, variable-length integers). A minor version appends fields at a
//! record's end, or records at a message's; readers skip what they do not know. A number
//! that a reader does not know and another major are refused, each by its own error.
//! Decoding is bounded by [`MAX_MESSAGE`].

mod answer;
mod backlog;
mod codec;
mod due;
mod over;
mod records;
mod results;
mod split;
mod task;

pub use answer::StoredAnswer;
pub use backlog::{Backlog, ClassFlow, SourceBacklog};
pub use codec::{Error, MAX_MESSAGE};
pub use due::Due;
pub use over::Over;
pub use results::{LookupResult, Results};
pub use split::PART;
pub use task::{Ask, Task, TaskLookup};

/// Major version: readers refuse another.
pub const MAJOR: u8 = 1;
/// Minor version: fields were appended only.
pub const MINOR: u8 = 2;
