//! The IDs of a socket.

use std::collections::VecDeque;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// No slot has this number.
const FREE: u32 = u32::MAX;

/// The 65,536 IDs of a socket, each free or of a question's slot.
///
/// They are drawn at random from those that have been free longest, so that a late answer
/// meets an ID that is not in use, and that who has seen some cannot tell the next.
#[derive(Debug)]
pub(super) struct Ids {
    slots: Box<[u32]>,
    free: VecDeque<u16>,
    /// How many stay free.
    kept: usize,
}

impl Ids {
    /// All IDs, of which `most` are in use at a time.
    pub(super) fn new(most: usize, rng: &mut StdRng) -> Self {
        let mut free: Vec<u16> = (0..=u16::MAX).collect();
        free.shuffle(rng);
        let kept = free.len().saturating_sub(most.max(1));
        Self { slots: vec![FREE; 1 << 16].into(), free: free.into(), kept }
    }

    pub(super) fn has_room(&self) -> bool {
        self.free.len() > self.kept
    }

    pub(super) fn take(&mut self, slot: u32, rng: &mut StdRng) -> Option<u16> {
        if !self.has_room() {
            return None;
        }
        let older = self.free.len() / 2;
        if older > 0 {
            let drawn = rng.random_range(0..older);
            self.free.swap(0, drawn);
        }
        let id = self.free.pop_front()?;
        self.slots[usize::from(id)] = slot;
        Some(id)
    }

    pub(super) fn slot(&self, id: u16) -> Option<u32> {
        Some(self.slots[usize::from(id)]).filter(|s| *s != FREE)
    }

    pub(super) fn free(&mut self, id: u16) {
        self.slots[usize::from(id)] = FREE;
        self.free.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn all_are_given_once_and_one_that_was_freed_rests() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ids = Ids::new(1 << 16, &mut rng);
        let first = ids.take(7, &mut rng).unwrap();
        assert_eq!(ids.slot(first), Some(7));
        ids.free(first);
        assert_eq!(ids.slot(first), None);
        let rest: Vec<u16> = (0..30_000).map(|slot| ids.take(slot, &mut rng).unwrap()).collect();
        assert!(!rest.contains(&first), "it comes back too soon");
        let mut all: HashSet<u16> = rest.into_iter().collect();
        all.extend((0..35_536).map(|slot| ids.take(slot, &mut rng).unwrap()));
        assert_eq!((all.len(), ids.take(0, &mut rng)), (65_536, None));
    }

    #[test]
    fn no_more_are_in_use_than_their_answers_have_room() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut ids = Ids::new(2, &mut rng);
        let first = ids.take(0, &mut rng).unwrap();
        assert!(ids.take(1, &mut rng).is_some() && ids.take(2, &mut rng).is_none() && !ids.has_room());
        ids.free(first);
        assert!(ids.take(2, &mut rng).is_some());
    }

    #[test]
    fn no_order_shows() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut ids = Ids::new(1 << 16, &mut rng);
        let mut round = || -> Vec<u16> {
            let drawn: Vec<u16> = (0..20_000).map(|slot| ids.take(slot, &mut rng).unwrap()).collect();
            drawn.iter().for_each(|id| ids.free(*id));
            drawn
        };
        let rounds = [round(), round(), round(), round(), round()];
        let steps = |r: &[u16]| -> HashSet<(u16, u16)> { r.windows(2).map(|w| (w[0], w[1])).collect() };
        let seen: HashSet<(u16, u16)> = rounds[..4].iter().flat_map(|r| steps(r)).collect();
        // Pairs of neighbours meet again by chance only: 20,000 * 80,000 of 65,536 squared.
        assert!(steps(&rounds[4]).intersection(&seen).count() < 10);
    }
}
