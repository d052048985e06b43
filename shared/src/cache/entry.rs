//! What a cache holds: an answer, who gave it and when. A damaged entry is a miss.

use bytes::Bytes;

pub use crate::wire::StoredAnswer;

/// The entry's bytes; `None` where the answer is too large to keep.
pub fn encode(answer: &StoredAnswer) -> Option<Bytes> {
    answer.encode().ok()
}

/// Reads an entry; `None` where it is damaged, foreign or of another major version.
pub fn decode(entry: &[u8]) -> Option<StoredAnswer> {
    StoredAnswer::decode(entry).ok()
}
