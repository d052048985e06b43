//! The shape of a campaign: which domains share what, so that ties lead from the seed to all of them.

use crate::rng::Stream;
use crate::truth::Tie;

/// Deepest thing that leads on, counted in steps from the seed address; domains stand one step further.
const DEEPEST: usize = 4;

/// Something that several domains of the campaign share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) tie: Tie,
    /// Steps from the seed address.
    pub(super) depth: usize,
    pub(super) capacity: usize,
    pub(super) members: Vec<usize>,
}

/// A domain of the campaign.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub(super) depth: usize,
    /// What it shares, by number.
    pub(super) shares: Vec<usize>,
    pub(super) resolves: bool,
    pub(super) reachable: bool,
}

/// A campaign before it gets names and times.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub(super) shared: Vec<Shared>,
    pub(super) members: Vec<Member>,
}

impl Shape {
    /// Grows from the seed address, which is the first shared thing.
    pub(super) fn grow(chance: &mut Stream) -> Self {
        let count = chance.between(40, 120) as usize;
        let loners = (count / 20).max(1);
        let mut shape = Self::default();
        shape.share(Tie::Address, 0, chance.spread(8, 24) as usize);
        for n in 0..count - loners {
            // The first ones stand on the seed address, so that it is one.
            let resolves = n < 4 || chance.chance(0.89);
            let parent = if n < 4 { 0 } else { shape.parent(chance, resolves) };
            shape.add(parent, resolves, chance);
        }
        for n in 0..loners {
            shape.members.push(Member { resolves: n % 3 != 2, ..Member::default() });
        }
        shape.prune();
        shape
    }

    /// The ties of a member, sorted.
    pub(super) fn ties(&self, member: usize) -> Vec<Tie> {
        let mut ties: Vec<Tie> = self.members[member].shares.iter().map(|s| self.shared[*s].tie).collect();
        ties.sort_unstable();
        ties.dedup();
        ties
    }

    /// What a member shares of one kind.
    pub(super) fn share_of(&self, member: usize, tie: Tie) -> Option<usize> {
        self.members[member].shares.iter().copied().find(|s| self.shared[*s].tie == tie)
    }

    fn share(&mut self, tie: Tie, depth: usize, capacity: usize) -> usize {
        self.shared.push(Shared { tie, depth, capacity, members: Vec::new() });
        self.shared.len() - 1
    }

    /// An open thing that leads to a new domain; a new one from an older domain when there is none.
    fn parent(&mut self, chance: &mut Stream, resolves: bool) -> usize {
        let open: Vec<usize> = (0..self.shared.len())
            .filter(|s| {
                let shared = &self.shared[*s];
                leads_on(shared.tie)
                    && shared.members.len() < shared.capacity
                    && (resolves || shared.tie != Tie::Address)
            })
            .collect();
        if !open.is_empty() && chance.chance(0.85) {
            return *chance.pick(&open);
        }
        let from: Vec<usize> = (0..self.members.len())
            .filter(|m| self.members[*m].depth < DEEPEST && self.members[*m].resolves)
            .collect();
        let start = *chance.pick(&from);
        let held = self.ties(start);
        let wanted = [Tie::Address, Tie::NameServerPair, Tie::Certificate, Tie::MailHost];
        let free: Vec<Tie> =
            wanted.into_iter().filter(|t| !held.contains(t) && (resolves || *t != Tie::Address)).collect();
        if free.is_empty() {
            return open.first().copied().unwrap_or_else(|| self.second_certificate(start, chance));
        }
        let tie = *chance.pick(&free);
        let fresh = self.share(tie, self.members[start].depth + 1, capacity(tie, chance));
        self.join(start, fresh);
        fresh
    }

    /// A domain can stand in any number of certificates.
    fn second_certificate(&mut self, start: usize, chance: &mut Stream) -> usize {
        let fresh =
            self.share(Tie::Certificate, self.members[start].depth + 1, capacity(Tie::Certificate, chance));
        self.join(start, fresh);
        fresh
    }

    fn join(&mut self, member: usize, shared: usize) {
        self.members[member].shares.push(shared);
        self.shared[shared].members.push(member);
    }

    /// Adds a domain found through `parent`, with up to three ties of other kinds.
    fn add(&mut self, parent: usize, resolves: bool, chance: &mut Stream) {
        let depth = self.shared[parent].depth + 1;
        self.members.push(Member { depth, shares: Vec::new(), resolves, reachable: true });
        let member = self.members.len() - 1;
        self.join(member, parent);
        let more = if chance.chance(0.18) { 0 } else { chance.between(1, 3) };
        let mut kinds = [
            Tie::Address,
            Tie::NameServerPair,
            Tie::Certificate,
            Tie::MailHost,
            Tie::Registrant,
            Tie::RegistrationBurst,
        ];
        chance.shuffle(&mut kinds);
        let fit =
            kinds.into_iter().filter(|t| *t != self.shared[parent].tie && (resolves || *t != Tie::Address));
        for tie in fit.take(more as usize).collect::<Vec<_>>() {
            let open = (0..self.shared.len())
                .find(|s| {
                    let shared = &self.shared[*s];
                    // Joining something nearer would make this domain nearer than its own branch.
                    shared.tie == tie && shared.members.len() < shared.capacity && shared.depth + 1 >= depth
                })
                .filter(|_| chance.chance(0.8));
            if let Some(open) = open {
                self.join(member, open);
            } else if depth < DEEPEST || !leads_on(tie) {
                let fresh = self.share(tie, depth + 1, capacity(tie, chance));
                self.join(member, fresh);
            }
        }
        self.add_move(member, chance);
    }

    /// Some with an address have been on another one of the campaign as well.
    fn add_move(&mut self, member: usize, chance: &mut Stream) {
        let Some(held) = self.share_of(member, Tie::Address).filter(|_| chance.chance(0.2)) else { return };
        let depth = self.members[member].depth;
        let open = (1..self.shared.len()).find(|s| {
            let shared = &self.shared[*s];
            *s != held
                && shared.tie == Tie::Address
                && shared.members.len() < shared.capacity
                && shared.depth + 1 >= depth
        });
        if let Some(open) = open {
            self.join(member, open);
        } else if depth < DEEPEST {
            let fresh = self.share(Tie::Address, depth + 1, capacity(Tie::Address, chance));
            self.join(member, fresh);
        }
    }

    /// What only one domain has is no tie.
    fn prune(&mut self) {
        for s in 0..self.shared.len() {
            if let [only] = self.shared[s].members[..] {
                self.members[only].shares.retain(|held| *held != s);
                self.shared[s].members.clear();
            }
        }
    }
}

/// Whether the sources can be asked who else has it.
fn leads_on(tie: Tie) -> bool {
    match tie {
        Tie::Address | Tie::NameServerPair | Tie::Certificate | Tie::MailHost => true,
        // Registries show a registrant, but few let anybody search by one; a burst cannot be searched at all.
        Tie::Registrant | Tie::RegistrationBurst => false,
    }
}

fn capacity(tie: Tie, chance: &mut Stream) -> usize {
    let (low, high) = match tie {
        Tie::Address => (3, 24),
        Tie::NameServerPair => (3, 20),
        Tie::Registrant => (3, 12),
        Tie::RegistrationBurst => (3, 10),
        Tie::Certificate => (2, 25),
        Tie::MailHost => (3, 12),
    };
    chance.spread(low, high) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn campaigns_hang_together() {
        for seed in 0..200 {
            let shape = Shape::grow(&mut Stream::new(seed, 1));
            let count = shape.members.len();
            assert!((40..=120).contains(&count), "seed {seed}: {count}");
            let mut reached = vec![false; count];
            let mut queue = vec![0];
            let mut seen = vec![false; shape.shared.len()];
            while let Some(s) = queue.pop() {
                if std::mem::replace(&mut seen[s], true) || !leads_on(shape.shared[s].tie) {
                    continue;
                }
                for m in &shape.shared[s].members {
                    reached[*m] = true;
                    queue.extend(&shape.members[*m].shares);
                }
            }
            for (m, member) in shape.members.iter().enumerate() {
                assert_eq!(member.reachable, reached[m], "seed {seed}, member {m}");
                assert_eq!(member.reachable, !shape.ties(m).is_empty());
                assert!(member.depth <= DEEPEST + 1);
            }
        }
    }

    #[test]
    fn a_quarter_has_a_single_tie() {
        let (mut single, mut all) = (0_usize, 0_usize);
        for seed in 0..100 {
            let shape = Shape::grow(&mut Stream::new(seed, 1));
            let tied: Vec<usize> = (0..shape.members.len()).filter(|m| shape.members[*m].reachable).collect();
            single += tied.iter().filter(|m| shape.ties(**m).len() == 1).count();
            all += tied.len();
        }
        let share = single as f64 / all as f64;
        assert!((0.18..0.36).contains(&share), "{share}");
    }
}
