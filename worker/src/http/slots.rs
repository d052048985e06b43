//! Slots for exchanges: so many in all, and for one upstream at most half of them, rounded up.
//! One that is slow, or never answers, leaves the others theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Upstreams that are remembered before those are forgotten that have nothing open.
const REMEMBERED: usize = 256;

/// What a worker may have open.
pub(super) struct Slots {
    all: Semaphore,
    share: usize,
    upstreams: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// One of them; given back when it is dropped.
pub(super) struct Slot<'a> {
    _all: SemaphorePermit<'a>,
    _own: OwnedSemaphorePermit,
}

impl Slots {
    pub(super) fn new(all: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Semaphore::new(all), share: all.div_ceil(2), upstreams: Mutex::default() }
    }

    /// Waits for one. Cancel safe: dropped before, nothing is taken.
    pub(super) async fn acquire(&self, upstream: &str) -> Result<Slot<'_>, AcquireError> {
        // Its own first: who waits for a slow upstream holds none of all.
        let own = self.of(upstream).acquire_owned().await?;
        Ok(Slot { _own: own, _all: self.all.acquire().await? })
    }

    fn of(&self, upstream: &str) -> Arc<Semaphore> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = upstreams.get(upstream).and_then(Weak::upgrade) {
            return own;
        }
        if upstreams.len() >= REMEMBERED {
            upstreams.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.share));
        upstreams.insert(upstream.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn now<'a>(slots: &'a Slots, upstream: &str) -> Option<Slot<'a>> {
        slots.acquire(upstream).now_or_never()?.ok()
    }

    #[test]
    fn one_upstream_leaves_half_to_the_others() {
        for (all, share) in [(1, 1), (2, 1), (5, 3), (64, 32)] {
            let slots = Slots::new(all);
            let slow: Vec<Slot<'_>> = std::iter::from_fn(|| now(&slots, "slow")).collect();
            let other: Vec<Slot<'_>> = std::iter::from_fn(|| now(&slots, "other")).collect();
            assert_eq!((slow.len(), other.len()), (share, all - share), "of {all}");
            drop(slow);
            assert_eq!(now(&slots, "slow").is_some(), share > 0, "what is given back is there again");
        }
    }

    #[test]
    fn who_waits_for_a_slow_upstream_holds_nothing() {
        let slots = Slots::new(4);
        let _open = [now(&slots, "slow"), now(&slots, "slow")];
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(slots.acquire("slow"))).collect();
        assert!(waiting.iter_mut().all(|w| w.now_or_never().is_none()));
        let other: Vec<Slot<'_>> = std::iter::from_fn(|| now(&slots, "other")).collect();
        assert_eq!(other.len(), 2);
    }

    #[test]
    fn upstreams_without_anything_open_are_forgotten() {
        let slots = Slots::new(64);
        let _open = now(&slots, "busy");
        for n in 0..10 * REMEMBERED {
            assert!(now(&slots, &n.to_string()).is_some());
        }
        let upstreams = slots.upstreams.lock().unwrap();
        assert!(upstreams.len() <= REMEMBERED && upstreams["busy"].strong_count() > 0);
    }
}
