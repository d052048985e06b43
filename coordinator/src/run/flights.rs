//! Equal lookups of several jobs are asked once: the first one asks, and the others wait for
//! what it brings. The cache knows of an answer only once it is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kudzu_shared::cache::{Key, ttl};
use kudzu_shared::marking::Tlp;
use kudzu_shared::wire::{LookupResult, StoredAnswer};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::core::store::LookupId;
use crate::core::ticket::{self, Ticket};

/// What the first one brought; nothing where it brought nothing that may be shared.
pub type Brought = Option<StoredAnswer>;

/// What other jobs may take of a result: what a cache may keep, too.
pub fn brought(result: &LookupResult, upstreams: &[String]) -> Brought {
    let whole = result.part.of <= 1 && ttl::of_answer(&result.answer, None).is_some();
    whole.then(|| StoredAnswer {
        observed_ms: result.observed_ms,
        upstreams: upstreams.to_vec(),
        answer: result.answer.clone(),
        settled: false,
    })
}

/// Lookups are equal where they share a cache entry, and workers mark what they bring alike.
type Equal = (Key, Tlp);

/// The lookups on their way of all jobs of this coordinator, and who waits for each.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashMap<Equal, Vec<oneshot::Sender<Brought>>>>);

/// The lookups of one job that are on their way. Dropped, whoever waits for one asks itself.
#[derive(Debug)]
pub struct Claims {
    flights: Arc<Flights>,
    tlp: Tlp,
    /// By lookup: an answer may come to a later round than the one that was asked.
    mine: Mutex<FxHashMap<LookupId, Key>>,
}

impl Claims {
    /// Of a job with this marking.
    pub fn new(flights: Arc<Flights>, tlp: Tlp) -> Self {
        Self { flights, tlp, mine: Mutex::default() }
    }

    /// Takes a lookup upon this job; where another one has an equal one on its way, gives what
    /// that one will bring.
    pub fn claim(&self, ticket: Ticket, key: &Key) -> Option<oneshot::Receiver<Brought>> {
        let mut mine = lock(&self.mine);
        if mine.contains_key(&ticket::lookup(ticket)) {
            return None; // It is sent again.
        }
        let mut flights = lock(&self.flights.0);
        if let Some(waiting) = flights.get_mut(&(key.clone(), self.tlp)) {
            let (tell, told) = oneshot::channel();
            waiting.push(tell);
            return Some(told);
        }
        flights.insert((key.clone(), self.tlp), Vec::new());
        mine.insert(ticket::lookup(ticket), key.clone());
        None
    }

    /// A lookup has come back; whoever waits for it is told. `bring` is called where somebody does.
    pub fn came(&self, ticket: Ticket, bring: impl Fn() -> Brought) {
        let Some(key) = lock(&self.mine).remove(&ticket::lookup(ticket)) else { return };
        for waiting in self.flights.land(key, self.tlp) {
            let _ = waiting.send(bring()); // Its job may be over.
        }
    }
}

impl Flights {
    fn land(&self, key: Key, tlp: Tlp) -> Vec<oneshot::Sender<Brought>> {
        lock(&self.0).remove(&(key, tlp)).unwrap_or_default()
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let mine = std::mem::take(self.mine.get_mut().unwrap_or_else(PoisonError::into_inner));
        for key in mine.into_values() {
            drop(self.flights.land(key, self.tlp));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use kudzu_shared::outcome::Answer;

    use super::*;

    fn brought() -> Brought {
        Some(StoredAnswer { observed_ms: 7, upstreams: vec![], answer: Answer::default(), settled: false })
    }

    #[test]
    fn one_asks_and_the_others_wait() {
        let flights = Arc::new(Flights::default());
        let [first, second] = [(); 2].map(|()| Claims::new(Arc::clone(&flights), Tlp::Clear));
        let key = Key::from_static(b"k");
        assert!(first.claim(1, &key).is_none());
        assert!(first.claim(1, &key).is_none(), "sent again, it does not wait for itself");
        let mut told = second.claim(9, &key).unwrap();
        assert!(told.try_recv().is_err());
        first.came(1, brought);
        assert_eq!(told.try_recv().unwrap(), brought());
        assert!(second.claim(9, &key).is_none());
    }

    #[test]
    fn an_answer_to_a_later_round_lands_it() {
        let flights = Arc::new(Flights::default());
        let [first, second] = [(); 2].map(|()| Claims::new(Arc::clone(&flights), Tlp::Clear));
        let key = Key::from_static(b"k");
        assert!(first.claim(ticket::of(7, 0), &key).is_none());
        let mut told = second.claim(ticket::of(9, 0), &key).unwrap();
        // What others have settled gets the ticket of the last round.
        first.came(ticket::of(7, ticket::ROUNDS), brought);
        assert_eq!(told.try_recv().unwrap(), brought());
    }

    #[test]
    fn another_marking_is_another_lookup() {
        let flights = Arc::new(Flights::default());
        let [clear, green] = [Tlp::Clear, Tlp::Green].map(|tlp| Claims::new(Arc::clone(&flights), tlp));
        let key = Key::from_static(b"k");
        assert!(clear.claim(1, &key).is_none());
        assert!(green.claim(1, &key).is_none());
    }

    #[test]
    fn who_waits_for_a_job_that_ends_asks_itself() {
        let flights = Arc::new(Flights::default());
        let [first, second] = [(); 2].map(|()| Claims::new(Arc::clone(&flights), Tlp::Clear));
        let key = Key::from_static(b"k");
        assert!(first.claim(1, &key).is_none());
        let mut told = second.claim(9, &key).unwrap();
        drop(first);
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(second.claim(9, &key).is_none());
        drop(second);
        assert!(lock(&flights.0).is_empty());
    }
}
