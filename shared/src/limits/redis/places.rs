//! Places that this process holds at one upstream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::Instant;
use uuid::Uuid;

use super::scripts;
use crate::redis::Redis;
use crate::task::lock;

/// How long a place that nobody uses is kept for the next question.
const KEPT: Duration = Duration::from_millis(500);
/// Names that are kept to be given back where Redis is away.
const MOST_BACK: usize = 1024;
/// How often it is tried again where others have them all.
const AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Places {
    upstream: Box<str>,
    process: Uuid,
    state: Mutex<State>,
    freed: Notify,
    /// Held while names are said to Redis: one that was given back must not be said again.
    saying: Turn<()>,
}

#[derive(Default)]
struct State {
    /// How many there are, over all processes.
    all: Option<u32>,
    /// Names of those in use.
    used: Vec<String>,
    /// Those that are asked for: it is not known whether they are held.
    asked: Vec<String>,
    /// Those that nobody uses, and since when.
    kept: Vec<(String, Instant)>,
    /// Those to be given back.
    back: Vec<String>,
    next: u64,
}

/// A place in use. Dropped, it is free for the next.
pub(super) struct Place {
    places: Arc<Places>,
    name: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.places.state);
        if let Some(name) = take_out(&mut state.asked, &self.name) {
            // The answer was not waited for, or lost. What is too much lapses by itself.
            if state.back.len() < MOST_BACK {
                state.back.push(name);
            }
        }
        let Some(name) = take_out(&mut state.used, &self.name) else { return };
        let rest = state.used.len() + state.kept.len();
        if state.all.is_none_or(|all| rest < all as usize) {
            state.kept.push((name, Instant::now()));
            self.places.freed.notify_one();
        } else {
            state.back.push(name);
        }
    }
}

fn take_out(names: &mut Vec<String>, name: &str) -> Option<String> {
    let at = names.iter().position(|n| n == name)?;
    Some(names.swap_remove(at))
}

impl Places {
    pub(super) fn new(upstream: &str, process: Uuid) -> Self {
        Self {
            upstream: upstream.into(),
            process,
            state: Mutex::default(),
            freed: Notify::new(),
            saying: Turn::default(),
        }
    }

    pub(super) fn allow(&self, all: Option<u32>) {
        lock(&self.state).all = all;
    }

    pub(super) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        let State { used, asked, kept, back, .. } = &*state;
        used.is_empty() && asked.is_empty() && kept.is_empty() && back.is_empty()
    }

    /// Waits for a place; `None` where Redis is away. Cancel safe.
    pub(super) async fn take(self: &Arc<Self>, redis: &Redis, held: Duration) -> Option<Place> {
        loop {
            if let Some(place) = self.kept() {
                return Some(place);
            }
            {
                let _saying = self.saying.lock().await;
                self.give_back(redis).await;
            }
            let (place, all) = self.ask();
            let taken = scripts::take_place(redis, &self.upstream, all, held, &place.name).await?;
            self.answered(&place.name, taken);
            if taken {
                return Some(place);
            }
            // One of this process may be free before others give theirs back.
            let _ = tokio::time::timeout(AGAIN, self.freed.notified()).await;
        }
    }

    /// One that this process has kept.
    fn kept(self: &Arc<Self>) -> Option<Place> {
        let mut state = lock(&self.state);
        let (name, _) = state.kept.pop()?;
        state.used.push(name.clone());
        Some(Place { places: Arc::clone(self), name })
    }

    /// One that is to be asked for, and how many there are.
    fn ask(self: &Arc<Self>) -> (Place, u32) {
        let mut state = lock(&self.state);
        state.next += 1;
        let name = format!("{}:{}", self.process, state.next);
        state.asked.push(name.clone());
        (Place { places: Arc::clone(self), name }, state.all.unwrap_or(u32::MAX))
    }

    fn answered(&self, name: &str, taken: bool) {
        let mut state = lock(&self.state);
        let name = take_out(&mut state.asked, name);
        if taken {
            state.used.extend(name);
        }
    }

    /// While names are said.
    async fn give_back(&self, redis: &Redis) {
        let back = lock(&self.state).back.clone();
        if !back.is_empty() && scripts::free(redis, &self.upstream, &back).await {
            lock(&self.state).back.retain(|name| !back.contains(name));
        }
    }

    /// Holds what is in use, and gives back what nobody has used for a while.
    pub(super) async fn keep(&self, redis: &Redis, held: Duration) {
        let _saying = self.saying.lock().await;
        let names: Vec<String> = {
            let mut state = lock(&self.state);
            let old = state.kept.extract_if(.., |(_, since)| since.elapsed() >= KEPT);
            let old: Vec<String> = old.map(|(name, _)| name).collect();
            state.back.extend(old);
            let kept = state.kept.iter().map(|(name, _)| name);
            state.used.iter().chain(kept).cloned().collect()
        };
        self.give_back(redis).await;
        if !names.is_empty() {
            scripts::renew(redis, &self.upstream, held, &names).await;
        }
    }
}
