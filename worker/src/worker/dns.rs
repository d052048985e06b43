//! DNS lookups of a task: their questions go to the resolver in few batches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kudzu_dns::{Reply, Sink};
use kudzu_shared::metrics::{OfClass, metrics};
use kudzu_shared::outcome::{Question, Verdict};
use kudzu_shared::source::Class;
use kudzu_shared::wire::LookupResult;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::stats::add;
use super::task::{Open, Run, guarded};
use crate::sources::{Found, Work};

/// A token is the lookup's place in its task, and the question's index below.
const INDEX_BITS: u32 = 8;
/// Longer than any job: where there is no deadline.
const FOREVER: Duration = Duration::from_secs(86_400 * 365);

/// A task asks for its slots in pieces of this share of all: one that is larger than what is
/// free begins with less.
const PIECE: usize = 8;

/// A lookup in flight.
struct Flight {
    lookup: Open,
    /// Questions that are not answered yet, bit by index.
    open: u32,
    /// When it was handed to the resolver.
    asked: Instant,
    found: Found,
    questions: Vec<Question>,
}

struct Flights<'a> {
    run: &'a Run,
    /// How many lookups were handed to the resolver.
    begun: usize,
    /// How long the lookup that waited longest waited to be sent.
    waited: Duration,
    all: Vec<Option<Flight>>,
    open: usize,
    done: Vec<LookupResult>,
    slots: Option<OwnedSemaphorePermit>,
}

fn place(token: u64) -> usize {
    usize::try_from(token >> INDEX_BITS).unwrap_or(usize::MAX)
}

/// Questions on their way to the resolver, and slots on their way from others.
type Step<T> = Option<BoxFuture<'static, T>>;

/// Asks until every lookup has ended, the job has, or nobody waits for it.
pub(super) async fn run(run: &Run, open: Vec<Open>) {
    let context = &run.context;
    let all = Vec::with_capacity(open.len());
    let (waited, done) = (Duration::ZERO, Vec::new());
    let mut flights = Flights { run, begun: 0, waited, all, open: 0, done, slots: None };
    let mut unsent: VecDeque<kudzu_dns::Question> = flights.build(open).into();
    flights.flush().await;
    // Room for every reply, so that the resolver never waits for this task. With the last
    // submission goes the sink: when the resolver ends, so do the replies.
    let (sink, mut replies) = Sink::new(unsent.len());
    let mut sink = Some(sink);
    let (mut sent, mut slots, mut submit): (usize, Step<_>, Step<_>) = (0, None, None);
    let end = tokio::time::sleep_until(run.end.unwrap_or_else(|| Instant::now() + FOREVER));
    tokio::pin!(end);
    while flights.open > 0 {
        let left = flights.all.len() - sent;
        if left > 0 && slots.is_none() && submit.is_none() {
            let piece = u32::try_from(left.min((context.most / PIECE).max(1))).unwrap_or(u32::MAX);
            slots = Some(Arc::clone(&context.slots).acquire_many_owned(piece).boxed());
        }
        tokio::select! {
            biased;
            batch = replies.next() => match batch {
                Some(batch) => {
                    flights.take(batch);
                    while let Some(batch) = replies.try_next() {
                        flights.take(batch);
                    }
                }
                None => flights.end(Verdict::Unreachable),
            },
            got = step(&mut slots), if slots.is_some() => {
                let Ok(got) = got else { return };
                sent += got.num_permits();
                let questions = flights.begin(got, &mut unsent, sent);
                let resolver = Arc::clone(&context.resolver);
                let sink = if sent < flights.all.len() { sink.clone() } else { sink.take() };
                submit = sink.map(|sink| async move { resolver.submit(questions, &sink).await }.boxed());
            }
            submitted = step(&mut submit), if submit.is_some() => if submitted.is_err() {
                sink = None; // And so the replies end.
            },
            () = run.held.gone() => return,
            () = &mut end => flights.end(Verdict::Deadline),
        }
        flights.flush().await;
    }
    let of = OfClass { class: Class::Dns.as_str() };
    metrics().limiter_wait.get_or_create(&of).observe(flights.waited.as_secs_f64());
}

/// Goes on with a step, which is over then. Cancel safe.
async fn step<T>(step: &mut Step<T>) -> T {
    match step {
        Some(going) => {
            let done = going.await;
            *step = None;
            done
        }
        None => std::future::pending().await,
    }
}

impl Flights<'_> {
    /// Takes slots in; gives the questions of the lookups before this place.
    fn begin(
        &mut self,
        slots: OwnedSemaphorePermit,
        unsent: &mut VecDeque<kudzu_dns::Question>,
        before: usize,
    ) -> Vec<kudzu_dns::Question> {
        self.run.flight.begin(slots.num_permits());
        match &mut self.slots {
            Some(mine) => mine.merge(slots),
            None => self.slots = Some(slots),
        }
        let asked = Instant::now();
        self.all[self.begun..before].iter_mut().flatten().for_each(|flight| flight.asked = asked);
        self.begun = before;
        let now = unsent.partition_point(|q| place(q.token) < before);
        let questions: Vec<_> = unsent.drain(..now).collect();
        add(&self.run.context.stats.dns_questions, questions.len());
        questions
    }

    fn build(&mut self, open: Vec<Open>) -> Vec<kudzu_dns::Question> {
        let mut questions = Vec::with_capacity(open.len());
        let now = Instant::now();
        for lookup in open {
            let built = {
                let asked = self.run.asked(&lookup);
                guarded(&self.run.context, || match lookup.source.work() {
                    Work::Dns(source) => source.build(&asked),
                    Work::Http(_) | Work::Local(_) => Vec::new(),
                })
            };
            match built {
                Ok(built) if !built.is_empty() => {
                    let place = u64::try_from(self.all.len()).unwrap_or(u64::MAX) << INDEX_BITS;
                    let wanted =
                        built.iter().fold(0, |bits, q| bits | 1_u32.checked_shl(q.index.into()).unwrap_or(0));
                    questions.extend(built.into_iter().map(|q| kudzu_dns::Question {
                        token: place | u64::from(q.index),
                        name: q.name,
                        qtype: q.qtype,
                    }));
                    let (found, answered) = (Found::default(), Vec::with_capacity(2));
                    self.all.push(Some(Flight {
                        lookup,
                        open: wanted,
                        asked: now,
                        found,
                        questions: answered,
                    }));
                    self.open += 1;
                }
                Ok(_) => self.refuse(lookup, Verdict::FormErr),
                Err(verdict) => self.refuse(lookup, verdict),
            }
        }
        questions
    }

    fn refuse(&mut self, lookup: Open, verdict: Verdict) {
        self.done.push(self.run.refuse_open(lookup, verdict));
    }

    fn take(&mut self, batch: Vec<Reply>) {
        let now = Instant::now();
        for reply in batch {
            // What is not its way there and back it spent here, with the limits of resolvers.
            if let Some(Some(flight)) = self.all.get(place(reply.token)) {
                let since = now.saturating_duration_since(flight.asked);
                self.waited = self.waited.max(since.saturating_sub(reply.rtt));
            }
            self.reply(&reply);
        }
    }

    fn reply(&mut self, reply: &Reply) {
        // The low bits are the index.
        let index = (reply.token & 0xff) as u8;
        let Some(slot) = self.all.get_mut(place(reply.token)) else { return };
        let bit = 1_u32.checked_shl(index.into()).unwrap_or(0);
        let Some(flight) = slot.as_mut().filter(|f| f.open & bit != 0) else { return };
        flight.open &= !bit;
        let (run, lookup, found) = (self.run, &flight.lookup, &mut flight.found);
        let asked = run.asked(lookup);
        let parsed = guarded(&run.context, || match lookup.source.work() {
            Work::Dns(source) => source.parse(&asked, index, reply, found),
            Work::Http(_) | Work::Local(_) => Verdict::FormErr,
        });
        let upstream = match reply.server {
            Some(addr) => run.context.upstreams.of_addr(addr),
            None => run.context.upstreams.of_name("resolver"),
        };
        flight.questions.push(Question {
            index,
            verdict: parsed.unwrap_or_else(|verdict| verdict),
            tries: reply.tries,
            rtt_us: u32::try_from(reply.rtt.as_micros()).unwrap_or(u32::MAX),
            upstream,
        });
        if flight.open == 0
            && let Some(flight) = slot.take()
        {
            self.finish(flight);
        }
    }

    fn finish(&mut self, flight: Flight) {
        let Flight { lookup, found, mut questions, .. } = flight;
        questions.sort_unstable_by_key(|q| q.index);
        self.done.push(self.run.finish(lookup, found, questions));
        self.open -= 1;
        // One that was never sent has none.
        drop(self.slots.as_mut().and_then(|slots| slots.split(1)));
    }

    /// Ends whatever is open; what was answered before stands.
    fn end(&mut self, verdict: Verdict) {
        let upstream = self.run.context.upstreams.of_name("");
        for mut flight in std::mem::take(&mut self.all).into_iter().flatten() {
            let open = (0..32_u8).filter(|i| flight.open >> i & 1 == 1);
            let question = |index| Question { index, verdict, tries: 0, rtt_us: 0, upstream };
            flight.questions.extend(open.map(question));
            self.finish(flight);
        }
    }

    async fn flush(&mut self) {
        let done = std::mem::take(&mut self.done);
        self.run.report(done).await;
    }
}
