//! The ways from a seed to a node, parent by parent, the shortest first.

use std::collections::VecDeque;

use super::EdgeView;
use super::shown::Shown;

const FAR: u32 = u32::MAX;
/// Longer ways have at most so many steps more than the shortest.
const LONGER: u32 = 6;
/// Steps looked at for the longer ways of one parent: their number can be beyond all bounds.
const LOOKS: u32 = 200_000;

/// All pairs of a tree, by their key's node.
struct Pairs<'a> {
    /// Hops from a seed, by node.
    depths: Vec<u8>,
    edges: Vec<EdgeView<'a>>,
}

impl<'a> Pairs<'a> {
    fn of(tree: &'a dyn Shown) -> Self {
        let nodes = || 0..tree.count();
        Self {
            depths: nodes().map(|n| tree.node(n).depth).collect(),
            edges: nodes().flat_map(|n| tree.edges_from(n)).collect(),
        }
    }
}

/// How one parent is reached, and how it leads on.
#[derive(Debug)]
pub struct Parent<'a> {
    /// Its node.
    pub n: u32,
    /// Steps from the nearest seed; `None` where only the target leads to it.
    pub distance: Option<u32>,
    /// How many shortest ways there are to it.
    pub total: u64,
    /// How many longer ones were found.
    pub longer: u64,
    /// Whether there may be longer ones beside these.
    pub more: bool,
    /// Some of them, the shortest first: pairs from a seed to the parent.
    pub ways: Vec<Vec<EdgeView<'a>>>,
    /// The pairs from it to the target; more than one source may say the same.
    pub last: Vec<EdgeView<'a>>,
}

/// Everything that leads to the target, the nearest to a seed first; of so many parents a
/// few ways each. A way passes nothing twice, no second seed, and not the target.
pub fn parents(tree: &dyn Shown, target: u32, most: usize, ways: usize) -> Vec<Parent<'_>> {
    let tree = &Pairs::of(tree);
    let graph = Graph::new(tree, target);
    let mut last: Vec<EdgeView<'_>> =
        tree.edges.iter().filter(|e| e.to == target && e.from != target).copied().collect();
    last.sort_by_key(|e| (e.from, e.relation));
    let mut parents: Vec<Parent<'_>> = last
        .chunk_by(|a, b| a.from == b.from)
        .map(|group| {
            let n = group[0].from;
            let distance = graph.distance[n as usize];
            Parent {
                n,
                distance: (distance != FAR).then_some(distance),
                total: graph.count[n as usize],
                longer: 0,
                more: false,
                ways: Vec::new(),
                last: group.to_vec(),
            }
        })
        .collect();
    parents.sort_by_key(|p| (p.distance.unwrap_or(FAR), p.n));
    for parent in parents.iter_mut().take(most) {
        let Some(distance) = parent.distance else { continue };
        graph.ways(tree, parent.n, ways, &mut Vec::new(), &mut parent.ways);
        let mut longer = Longer { graph: &graph, tree, target, most: ways, looks: 0, back: Vec::new() };
        for length in distance + 1..=distance + LONGER {
            // What is cut at one length is found at the next.
            parent.more = false;
            longer.of_length(parent.n, length, parent);
        }
    }
    parents
}

/// Distances from the seeds without passing the target.
struct Graph {
    distance: Vec<u32>,
    count: Vec<u64>,
    /// Pairs by the node they lead to: where its part begins, and their numbers.
    starts: Vec<u32>,
    into: Vec<u32>,
}

impl Graph {
    fn new(tree: &Pairs<'_>, target: u32) -> Self {
        let nodes = tree.depths.len();
        let (starts, into) = index(nodes, &tree.edges, |e| e.to);
        let (outs, out) = index(nodes, &tree.edges, |e| e.from);
        let (mut distance, mut count) = (vec![FAR; nodes], vec![0_u64; nodes]);
        let mut open = VecDeque::new();
        for (n, _) in tree.depths.iter().enumerate().filter(|(_, depth)| **depth == 0) {
            (distance[n], count[n]) = (0, 1);
            open.push_back(n as u32);
        }
        while let Some(n) = open.pop_front() {
            if n == target {
                continue;
            }
            let mut before = None;
            for e in part(&outs, &out, n).iter().map(|e| &tree.edges[*e as usize]) {
                // Several pairs between the same two nodes are one step.
                if before == Some(e.to) {
                    continue;
                }
                before = Some(e.to);
                let (to, next) = (e.to as usize, distance[n as usize] + 1);
                if distance[to] == FAR {
                    distance[to] = next;
                    open.push_back(e.to);
                }
                if distance[to] == next {
                    count[to] = count[to].saturating_add(count[n as usize]);
                }
            }
        }
        Self { distance, count, starts, into }
    }

    /// Walks back from a node to seeds along ever shorter distances.
    fn ways<'a>(
        &self,
        tree: &Pairs<'a>,
        n: u32,
        most: usize,
        back: &mut Vec<EdgeView<'a>>,
        found: &mut Vec<Vec<EdgeView<'a>>>,
    ) {
        let distance = self.distance[n as usize];
        if distance == 0 {
            found.push(back.iter().rev().copied().collect());
            return;
        }
        let mut before = None;
        for e in part(&self.starts, &self.into, n).iter().map(|e| tree.edges[*e as usize]) {
            if found.len() >= most {
                return;
            }
            let from = self.distance[e.from as usize];
            if before == Some(e.from) || from == FAR || from + 1 != distance {
                continue;
            }
            before = Some(e.from);
            back.push(e);
            self.ways(tree, e.from, most, back, found);
            back.pop();
        }
    }
}

/// Ways of one length after another, so that shorter ones come first.
struct Longer<'g, 'a> {
    graph: &'g Graph,
    tree: &'g Pairs<'a>,
    target: u32,
    /// Ways kept.
    most: usize,
    looks: u32,
    back: Vec<EdgeView<'a>>,
}

impl<'a> Longer<'_, 'a> {
    /// Walks back so many steps; a seed ends a way, and only at its full length.
    fn of_length(&mut self, n: u32, left: u32, parent: &mut Parent<'a>) {
        let distance = self.graph.distance[n as usize];
        if distance == 0 {
            if left == 0 {
                parent.longer += 1;
                if parent.ways.len() < self.most {
                    parent.ways.push(self.back.iter().rev().copied().collect());
                }
            }
            return;
        }
        if distance > left {
            parent.more = true;
            return;
        }
        let mut before = None;
        for e in part(&self.graph.starts, &self.graph.into, n).iter().map(|e| self.tree.edges[*e as usize]) {
            if self.looks >= LOOKS {
                parent.more = true;
                return;
            }
            self.looks += 1;
            let passed =
                e.from == self.target || e.from == parent.n || self.back.iter().any(|b| b.from == e.from);
            if before == Some(e.from) || passed || self.graph.distance[e.from as usize] == FAR {
                continue;
            }
            before = Some(e.from);
            self.back.push(e);
            self.of_length(e.from, left - 1, parent);
            self.back.pop();
        }
    }
}

/// Numbers of pairs, grouped by a node of theirs; within a group ordered by the other end.
fn index(nodes: usize, edges: &[EdgeView<'_>], by: impl Fn(&EdgeView<'_>) -> u32) -> (Vec<u32>, Vec<u32>) {
    let mut order: Vec<u32> = (0..edges.len() as u32).collect();
    order.sort_by_key(|n| {
        let e = &edges[*n as usize];
        (by(e), e.from, e.to)
    });
    let mut starts = vec![0_u32; nodes + 1];
    for e in edges {
        starts[by(e) as usize + 1] += 1;
    }
    for n in 0..nodes {
        starts[n + 1] += starts[n];
    }
    (starts, order)
}

fn part<'a>(starts: &[u32], order: &'a [u32], n: u32) -> &'a [u32] {
    &order[starts[n as usize] as usize..starts[n as usize + 1] as usize]
}

#[cfg(test)]
mod tests {
    use super::super::read::Read;
    use super::super::read::tests::{TREE, read};
    use super::*;

    /// A tree of nodes `n0.com` and so on with these depths, and of these pairs.
    fn text(depths: &[u8], pairs: &[(u32, u32)]) -> Read {
        let mut text = String::from("{\"type\":\"job\",\"schema\":\"kudzu.tree/1\"}\n");
        for (n, depth) in (0..).zip(depths) {
            text.push_str(&format!(
                "{{\"type\":\"node\",\"n\":{n},\"kind\":\"domain-name\",\"value\":\"n{n}.com\",\"depth\":{depth}}}\n"
            ));
            for (from, to) in pairs.iter().filter(|(from, _)| *from == n) {
                text.push_str(&format!(
                    "{{\"type\":\"edge\",\"from\":{from},\"to\":{to},\"relation\":\"name-server\",\"source\":\"s\"}}\n"
                ));
            }
        }
        read(&(text + "{\"type\":\"end\"}\n")).unwrap()
    }

    #[test]
    fn longer_ways_follow_the_shortest_and_pass_nothing_twice() {
        // 0 to 1 to 4; 0 to 2 to 1; 0 to 2 to 3 to 1; 1 leads back to 2.
        let tree = text(&[0, 1, 1, 2, 2], &[(0, 1), (0, 2), (2, 1), (2, 3), (3, 1), (1, 2), (1, 4)]);
        let told = |ways| {
            let found = parents(&tree, 4, 10, ways);
            let steps = |w: &Vec<EdgeView<'_>>| w.iter().map(|e| e.from).collect::<Vec<_>>();
            (
                found[0].ways.iter().map(steps).collect::<Vec<_>>(),
                found[0].total,
                found[0].longer,
                found[0].more,
            )
        };
        assert_eq!(told(9), (vec![vec![0], vec![0, 2], vec![0, 2, 3]], 1, 2, false));
        assert_eq!(told(2), (vec![vec![0], vec![0, 2]], 1, 2, false));
    }

    #[test]
    fn every_parent_has_its_ways() {
        let tree = read(TREE).unwrap();
        let parents = parents(&tree, 4, 10, 3);
        let told: Vec<_> =
            parents.iter().map(|p| (p.n, p.distance, p.total, p.ways.len(), p.last.len())).collect();
        assert_eq!(told, [(1, Some(0), 1, 1, 1), (2, Some(1), 1, 2, 2), (3, Some(1), 1, 1, 1)]);
    }

    #[test]
    fn ways_do_not_pass_the_target_and_are_bounded() {
        // A diamond: 0 to 1, 2, 3, these to 4, and 4 to 5; 5 leads back to 1.
        let pairs = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (4, 5), (5, 1)];
        let tree = text(&[0, 1, 1, 1, 2, 3], &pairs);
        let to_five = parents(&tree, 5, 10, 2);
        assert_eq!(to_five.len(), 1);
        assert_eq!((to_five[0].total, to_five[0].ways.len(), to_five[0].distance), (3, 2, Some(2)));
        let to_one = parents(&tree, 1, 10, 2);
        let told: Vec<_> = to_one.iter().map(|p| (p.n, p.distance)).collect();
        assert_eq!(told, [(0, Some(0)), (5, Some(3))]);
    }
}
