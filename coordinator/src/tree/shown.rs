//! What one can see of a tree: of one that was just made, and of one that is read again.

use kudzu_shared::observable::Observable;
use kudzu_shared::outcome::End;

use super::{EdgeView, NodeView, StubView, Tree};

/// A tree as views see it.
pub trait Shown: Sync {
    /// How many nodes there are.
    fn count(&self) -> u32;

    /// A node by number, which must be below [`Shown::count`].
    fn node(&self, n: u32) -> NodeView<'_>;

    /// The number of an observable, if it is in the tree.
    fn find(&self, item: &Observable) -> Option<u32>;

    /// The nodes whose canonical parent this is, in order.
    fn children(&self, n: u32) -> Vec<u32>;

    /// All pairs from a node to nodes, in canonical order.
    fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>>;

    /// What was left out under a node.
    fn stubs(&self, n: u32) -> Vec<StubView>;

    /// Sources whose answer about a node is not known, for they failed.
    fn failed(&self, n: u32) -> Vec<&str>;
}

/// Whether a lookup's end leaves its answer unknown.
pub(super) fn is_failed(end: End) -> bool {
    matches!(end, End::Failed | End::Throttled | End::Dead)
}

impl Shown for Tree {
    fn count(&self) -> u32 {
        self.len()
    }

    fn node(&self, n: u32) -> NodeView<'_> {
        Tree::node(self, n)
    }

    fn find(&self, item: &Observable) -> Option<u32> {
        Tree::find(self, item)
    }

    fn children(&self, n: u32) -> Vec<u32> {
        Tree::children(self, n).collect()
    }

    fn edges_from(&self, n: u32) -> Vec<EdgeView<'_>> {
        Tree::edges_from(self, n)
    }

    fn stubs(&self, n: u32) -> Vec<StubView> {
        Tree::stubs(self, n)
    }

    fn failed(&self, n: u32) -> Vec<&str> {
        let lookups = self.lookups(n).into_iter();
        lookups.filter(|(_, end, _)| is_failed(*end)).map(|(source, ..)| source).collect()
    }
}
