//! What waits for workers in the whole cluster. Every coordinator tells the others what waits
//! with it, again and again; whoever is asked answers from what it has heard, at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kudzu_shared::broker::{Health, Subscription};
use kudzu_shared::source::{Class, SourceInfo};
use kudzu_shared::wire::{self, ClassFlow, SourceBacklog};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Shared;
use super::board::Board;
use crate::core::backlog::{Flow, Open, Speed, Waiting, seconds};

/// How often it is looked at how much was answered.
const SAMPLE: Duration = Duration::from_millis(250);
/// Samples from one word to the others to the next.
const SAY: u32 = 4;
/// How long a word counts: whoever said it may have died since, and its jobs be elsewhere.
const FRESH: Duration = Duration::from_secs(5);
/// How long it is told that somebody says nothing any more.
const MISSED: Duration = Duration::from_secs(60);
/// Others that are known at a time, at most.
const SENDERS: usize = 1_024;

/// What workers of one class are scaled by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Seconds of work that wait.
    pub seconds_waiting: f64,
    /// Lookups that have not ended.
    pub waiting_lookups: u64,
    /// Coordinators that this counts, this one among them.
    pub coordinators: usize,
    /// Coordinators that were heard of within the last minute, and not within the last seconds:
    /// what waits with them is not counted.
    pub unheard: usize,
}

/// What waits with the coordinators.
#[derive(Debug)]
pub struct Backlog {
    /// Unlike any other's, also than that of this one's last start.
    me: u128,
    /// By source, which upstream it asks.
    sources: HashMap<String, usize>,
    upstreams: Vec<Upstream>,
    state: Mutex<State>,
}

/// Sources that share a limit.
#[derive(Debug)]
struct Upstream {
    class: Class,
    name: String,
    limit: Option<f64>,
}

#[derive(Debug, Default)]
struct State {
    speeds: [Speed; Class::ALL.len()],
    answered: [u64; Class::ALL.len()],
    sampled: Option<Instant>,
    others: HashMap<u128, (Instant, wire::Backlog)>,
}

impl Backlog {
    /// Nothing yet, of these sources.
    pub fn new(catalogue: &[SourceInfo]) -> Self {
        let (mut upstreams, mut sources) = (Vec::<Upstream>::new(), HashMap::new());
        for source in catalogue {
            let name = match (source.class, &source.endpoint) {
                // Whatever they ask about, all of them ask the same resolvers.
                (Class::Dns, _) => "resolvers",
                (_, Some(endpoint)) => endpoint,
                (_, None) => &source.name,
            };
            let known = upstreams.iter().position(|u| u.class == source.class && u.name == name);
            let at = known.unwrap_or_else(|| {
                let (class, name) = (source.class, name.to_owned());
                upstreams.push(Upstream { class, name, limit: source.rate });
                upstreams.len() - 1
            });
            let limit = &mut upstreams[at].limit;
            *limit = limit.zip(source.rate).map(|(one, other)| one.max(other));
            sources.insert(source.name.clone(), at);
        }
        Self { me: rand::random(), sources, upstreams, state: Mutex::default() }
    }

    /// Takes note of what was answered since it was called last.
    fn sample(&self, board: &Board, now: Instant) {
        let (open, answered) = (board.open(), Class::ALL.map(|class| board.answers().of(class)));
        let mut state = self.state();
        let since = state.sampled.replace(now).map_or(Duration::ZERO, |before| now - before);
        let before = std::mem::replace(&mut state.answered, answered);
        for class in Class::ALL {
            let at = class as usize;
            let waits = open.keys().any(|source| self.class_of(source) == Some(class));
            let more = answered[at].saturating_sub(before[at]);
            state.speeds[at].sample(since.as_secs_f64(), more, waits);
        }
    }

    /// What the others are told.
    fn word(&self, board: &Board) -> wire::Backlog {
        let waits = |(source, open): (String, Open)| SourceBacklog {
            source,
            lookups: open.lookups,
            questions: open.questions,
        };
        let speeds = self.state().speeds;
        let flow = |class: Class| {
            let Flow { rate, quiet } = speeds[class as usize].flow();
            // A float that is too large for a number becomes the largest one.
            let (rate, quiet_ms) = ((rate * 1e3) as u64, (quiet * 1e3) as u64);
            ClassFlow { class: class.as_str().into(), rate, quiet_ms }
        };
        let waiting = board.open().into_iter().map(waits).take(wire::Backlog::SOURCES).collect();
        wire::Backlog { from: self.me, waiting, flows: Class::ALL.map(flow).into() }
    }

    /// Takes in what another one says.
    fn hear(&self, hint: &[u8], now: Instant) {
        // Of a version that this one does not know: then what it says is not.
        let Ok(word) = wire::Backlog::decode(hint) else { return };
        let others = &mut self.state().others;
        others.retain(|_, (heard, _)| now.duration_since(*heard) < MISSED);
        if word.from != self.me && (others.len() < SENDERS || others.contains_key(&word.from)) {
            others.insert(word.from, (now, word));
        }
    }

    /// What workers of a class are scaled by, all coordinators together.
    pub fn signal(&self, class: Class, board: &Board, now: Instant) -> Signal {
        let own = self.word(board);
        let state = self.state();
        let missed = state.others.values().filter(|(heard, _)| now.duration_since(*heard) < MISSED);
        let (fresh, unheard): (Vec<_>, Vec<_>) =
            missed.partition(|(heard, _)| now.duration_since(*heard) < FRESH);
        let words: Vec<&wire::Backlog> = fresh.iter().map(|(_, word)| word).chain([&own]).collect();
        let mut waiting: BTreeMap<usize, Open> = BTreeMap::new();
        let (mut rate, mut quiet) = (0.0, f64::INFINITY);
        for word in &words {
            let mut waits = false;
            for source in &word.waiting {
                let Some(at) = self.sources.get(&source.source).copied() else { continue };
                if self.upstreams[at].class == class {
                    let SourceBacklog { lookups, questions, .. } = *source;
                    *waiting.entry(at).or_default() += Open { lookups, questions };
                    waits |= lookups > 0;
                }
            }
            // Where nothing waits, the rate is that of workers that may be gone since.
            let flow = word.flows.iter().find(|f| waits && f.class == class.as_str());
            let Some(flow) = flow else { continue };
            rate += flow.rate as f64 / 1e3;
            // Where one is answered there are workers.
            quiet = f64::min(quiet, flow.quiet_ms as f64 / 1e3);
        }
        let waiting: Vec<Waiting> =
            waiting.into_iter().map(|(at, open)| Waiting { open, limit: self.upstreams[at].limit }).collect();
        let quiet = if quiet.is_finite() { quiet } else { 0.0 };
        Signal {
            seconds_waiting: seconds(&waiting, Flow { rate, quiet }),
            waiting_lookups: waiting.iter().fold(0, |sum, w| sum.saturating_add(w.open.lookups)),
            coordinators: words.len(),
            unheard: unheard.len(),
        }
    }

    /// Lookups of a class that wait with this coordinator.
    pub fn own(&self, class: Class, board: &Board) -> u64 {
        let open = board.open();
        let of = open.iter().filter(|(source, _)| self.class_of(source) == Some(class));
        of.map(|(_, open)| open.lookups).sum()
    }

    fn class_of(&self, source: &str) -> Option<Class> {
        self.sources.get(source).map(|at| self.upstreams[*at].class)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures, tells and hears until the shutdown begins.
pub(super) async fn run(shared: Arc<Shared>, mut hints: Box<dyn Subscription>) {
    let mut ticks = interval(SAMPLE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut tick, mut hears) = (0_u32, true);
    loop {
        tokio::select! {
            () = shared.shutdown.stopping() => return,
            _ = ticks.tick() => {
                shared.backlog.sample(&shared.board, Instant::now());
                if tick.is_multiple_of(SAY) {
                    say(&shared).await;
                }
                tick = tick.wrapping_add(1);
            }
            hint = hints.next(), if hears => match hint {
                Some(hint) => shared.backlog.hear(&hint, Instant::now()),
                None => hears = false,
            },
        }
    }
}

async fn say(shared: &Shared) {
    let broker = &shared.options.run.broker;
    // Words that wait for a broker are old when they come.
    if broker.health() != Health::Up {
        return;
    }
    let said = match shared.backlog.word(&shared.board).encode() {
        Ok(word) => broker.publish_fanout(wire::Backlog::TOPIC, word).await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = said {
        tracing::debug!(error, "the others are not told what waits here");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, class: Class, endpoint: Option<&str>, rate: Option<f64>) -> SourceInfo {
        let local = SourceInfo::local(name.into(), String::new(), vec![], vec![]);
        SourceInfo { class, endpoint: endpoint.map(Into::into), rate, ..local }
    }

    fn backlog() -> Backlog {
        Backlog::new(&[
            source("dns.name", Class::Dns, Some("192.0.2.1"), Some(1_000.0)),
            source("dns.origin", Class::Dns, Some("origin.example"), Some(1_000.0)),
            source("mine", Class::Http, Some("https://mine.example"), None),
            source("pairs", Class::Local, None, None),
        ])
    }

    fn word(from: u128, source: &str, lookups: u64, rate: u64, quiet_ms: u64) -> Vec<u8> {
        let waits = SourceBacklog { source: source.into(), lookups, questions: lookups };
        let waiting = Some(waits).filter(|waits| waits.lookups > 0).into_iter().collect();
        let flow = |class: Class| ClassFlow { class: class.as_str().into(), rate: rate * 1_000, quiet_ms };
        let flows = Class::ALL.map(flow).into();
        wire::Backlog { from, waiting, flows }.encode().unwrap().into()
    }

    #[test]
    fn what_others_say_adds_up_until_they_say_nothing_more() {
        let (backlog, board, start) = (backlog(), Board::default(), Instant::now());
        backlog.hear(&word(backlog.me, "mine", 7, 1, 0), start);
        let nothing = Signal { seconds_waiting: 0.0, waiting_lookups: 0, coordinators: 1, unheard: 0 };
        assert_eq!(backlog.signal(Class::Http, &board, start), nothing, "its own word is no other's");
        backlog.hear(&word(1, "mine", 9_999, 1, 0), start);
        backlog.hear(&word(1, "mine", 3_000, 100, 0), start);
        backlog.hear(&word(2, "mine", 1_000, 100, 90_000), start);
        backlog.hear(&word(3, "of.another.version", 1_000, 0, 0), start);
        backlog.hear(b"KDZU, or not", start);
        let signal = backlog.signal(Class::Http, &board, start);
        let want = Signal { seconds_waiting: 20.0, waiting_lookups: 4_000, coordinators: 4, unheard: 0 };
        assert_eq!(signal, want, "where one is answered there are workers");
        assert_eq!(backlog.signal(Class::Local, &board, start).seconds_waiting, 0.0);
        let later = backlog.signal(Class::Http, &board, start + FRESH);
        assert_eq!(later, Signal { unheard: 3, ..nothing });
        assert_eq!(backlog.signal(Class::Http, &board, start + MISSED), nothing);
    }

    #[test]
    fn the_rate_is_that_of_those_with_whom_something_waits() {
        let (backlog, board, now) = (backlog(), Board::default(), Instant::now());
        let seconds = || backlog.signal(Class::Http, &board, now).seconds_waiting;
        backlog.hear(&word(1, "mine", 50_000, 1_000, 0), now);
        backlog.hear(&word(2, "mine", 0, 16_000, 0), now);
        assert_eq!(seconds(), 50.0, "workers that answered the second one may be gone");
        backlog.hear(&word(2, "pairs", 7, 16_000, 0), now);
        assert_eq!(seconds(), 50.0, "what waits with it is of another class");
        backlog.hear(&word(1, "mine", 50_000, 0, 3_000), now);
        assert_eq!(seconds(), 3.0, "before the first answer no rate is better than an old one");
        backlog.hear(&word(2, "mine", 50_000, 16_000, 0), now);
        assert_eq!(seconds(), 6.25);
    }

    #[test]
    fn no_more_senders_are_kept_than_there_can_be() {
        let (backlog, board, now) = (backlog(), Board::default(), Instant::now());
        (0..2 * SENDERS as u128).for_each(|from| backlog.hear(&word(from, "mine", 1, 1, 0), now));
        let waiting = |at| backlog.signal(Class::Http, &board, at).waiting_lookups;
        assert_eq!(waiting(now), SENDERS as u64);
        backlog.hear(&word(0, "mine", 5, 1, 0), now);
        assert_eq!(waiting(now), SENDERS as u64 + 4, "who is known is heard");
        let later = now + MISSED;
        backlog.hear(&word(u128::MAX, "mine", 5, 1, 0), later);
        assert_eq!(waiting(later), 5, "once others are forgotten there is room");
    }

    #[test]
    fn sources_of_the_same_upstream_share_its_limit() {
        let (backlog, board, now) = (backlog(), Board::default(), Instant::now());
        backlog.hear(&word(1, "dns.name", 1_000_000, 1_000, 0), now);
        let one = backlog.signal(Class::Dns, &board, now).seconds_waiting;
        backlog.hear(&word(2, "dns.origin", 1_000_000, 0, 0), now);
        assert_eq!(backlog.signal(Class::Dns, &board, now).seconds_waiting, one);
    }
}
