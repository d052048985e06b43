//! Which nodes of a large tree a person is shown: ways to the best candidates first, then
//! what the most hangs below.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Nodes of one relation under one node that are shown without a candidate below them.
const ALIKE: usize = 5;
/// Roots shown of a job with many seeds.
const ROOTS: usize = 10;

/// What is shown of a tree.
#[derive(Debug, Default)]
pub struct Picked {
    /// The roots, in order.
    pub roots: Vec<u32>,
    /// Every node shown; `None` for all.
    shown: Option<HashSet<u32>>,
}

impl Picked {
    /// All nodes.
    pub fn all(roots: Vec<u32>) -> Self {
        Self { roots, shown: None }
    }

    /// Whether a node is shown.
    pub fn shows(&self, n: u32) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.contains(&n))
    }
}

/// A tree as numbers: parents come before their children.
pub struct Shape<'a> {
    /// The parent of each node; `None` for a root.
    pub parents: &'a [Option<u32>],
    /// The children of a node, and for each a number that equal relations share.
    pub children: &'a dyn Fn(u32) -> Vec<(u32, u8)>,
    /// Scores of candidates, by node.
    pub scores: &'a HashMap<u32, f64>,
}

/// How many nodes hang below each.
pub fn below(parents: &[Option<u32>]) -> Vec<u32> {
    let mut below = vec![0_u32; parents.len()];
    for (n, parent) in parents.iter().enumerate().rev() {
        if let Some(parent) = parent {
            below[*parent as usize] += below[n] + 1;
        }
    }
    below
}

/// Picks nodes for about so many lines, from these roots down.
pub fn pick(shape: &Shape<'_>, below: &[u32], mut roots: Vec<u32>, lines: usize) -> Picked {
    let lead = leads(shape);
    let rank = |n: u32| {
        let lead = lead.get(&n).copied().unwrap_or(0.0);
        // Scores have six places; as numbers they order totally.
        ((lead * 1e6) as u64, below[n as usize], Reverse(n))
    };
    roots.sort_by_key(|n| Reverse(rank(*n)));
    roots.truncate(ROOTS);
    roots.sort_unstable();
    let mut shown: HashSet<u32> = roots.iter().copied().collect();
    let mut heap = BinaryHeap::new();
    let mut relation_of = HashMap::new();
    let open = |n: u32, heap: &mut BinaryHeap<_>, relation_of: &mut HashMap<u32, u8>| {
        for (child, relation) in (shape.children)(n) {
            relation_of.insert(child, relation);
            heap.push(rank(child));
        }
    };
    for root in &roots {
        open(*root, &mut heap, &mut relation_of);
    }
    // A shown node costs a line; the first under a parent also that of what is folded there.
    let mut used = roots.len();
    let mut parents_open = HashSet::new();
    let mut alike: HashMap<(Option<u32>, u8), usize> = HashMap::new();
    while let Some((lead, _, Reverse(n))) = heap.pop() {
        let parent = shape.parents[n as usize];
        let same = alike.entry((parent, relation_of.get(&n).copied().unwrap_or(0))).or_default();
        if lead == 0 && *same >= ALIKE {
            continue;
        }
        let cost = if parents_open.contains(&parent) { 1 } else { 2 };
        if used + cost > lines {
            break;
        }
        *same += 1;
        used += cost;
        parents_open.insert(parent);
        shown.insert(n);
        open(n, &mut heap, &mut relation_of);
    }
    Picked { roots, shown: Some(shown) }
}

/// For each node on the way to a candidate, the best score below it or at it.
fn leads(shape: &Shape<'_>) -> HashMap<u32, f64> {
    let mut leads: HashMap<u32, f64> = HashMap::new();
    for (n, score) in shape.scores {
        let mut at = Some(*n);
        while let Some(n) = at {
            let lead = leads.entry(n).or_default();
            *lead = lead.max(*score);
            at = shape.parents[n as usize];
        }
    }
    leads
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root with 1,000 children; child 500 has 50, of which one is a candidate.
    fn tree() -> Vec<Option<u32>> {
        let first = std::iter::once(None).chain((0..1000).map(|_| Some(0)));
        first.chain((0..50).map(|_| Some(500))).chain([Some(7); 20]).collect()
    }

    fn shown(scores: &HashMap<u32, f64>, lines: usize) -> Vec<u32> {
        let parents = tree();
        let children = |n: u32| {
            let of = |(c, p): (usize, &Option<u32>)| (*p == Some(n)).then_some((c as u32, 1));
            parents.iter().enumerate().filter_map(of).collect::<Vec<_>>()
        };
        let shape = Shape { parents: &parents, children: &children, scores };
        let below = below(&parents);
        assert_eq!((below[0], below[500], below[7]), (1070, 50, 20));
        let picked = pick(&shape, &below, vec![0], lines);
        let mut all: Vec<u32> = (0..parents.len() as u32).filter(|n| picked.shows(*n)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn ways_to_candidates_come_first_and_lines_are_kept() {
        let scores = HashMap::from([(1060, 0.9)]);
        // Node 1060 hangs below node 7.
        assert_eq!(shown(&scores, 5), [0, 7, 1060]);
    }

    #[test]
    fn without_candidates_the_largest_come_first() {
        let all = shown(&HashMap::new(), 6);
        assert!(all.contains(&500) && all.contains(&7), "{all:?}");
        assert!(all.len() <= 5);
    }

    #[test]
    fn few_of_a_kind_are_shown() {
        let all = shown(&HashMap::new(), 1000);
        let top = all.iter().filter(|n| (1..=1000).contains(*n)).count();
        assert_eq!(top, ALIKE);
    }
}
