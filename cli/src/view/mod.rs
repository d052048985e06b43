//! What people read: the announcement, the tree, candidates, coverage, and explanations.

pub mod announce;
pub mod answers;
pub mod candidates;
pub mod coverage;
pub mod forms;
pub mod json;
pub mod page;
pub mod pick;
pub mod resolved;
pub mod rows;
pub mod text;
pub mod tree;
