//! How much workers answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kudzu_shared::source::Class;

/// Questions that workers have answered, by class, each round counted: of all jobs that it was
/// given to, of those that are gone as well. It only grows.
#[derive(Debug, Default)]
pub struct Answers([AtomicU64; Class::ALL.len()]);

impl Answers {
    /// Counts some more.
    pub fn add(&self, class: Class, questions: u64) {
        self.0[class as usize].fetch_add(questions, Relaxed);
    }

    /// So many there were.
    pub fn of(&self, class: Class) -> u64 {
        self.0[class as usize].load(Relaxed)
    }
}
