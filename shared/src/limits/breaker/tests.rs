use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_millis(10);

fn quick() -> Settings {
    Settings { consecutive: 3, samples: 10, ratio: 0.5, lasting: Duration::ZERO, ..Settings::default() }
}

fn ask(b: &mut Breaker, s: &Settings, now: Instant) -> Option<Ticket> {
    match b.allow(s, now) {
        Decision::Ask(ticket) => Some(ticket),
        Decision::Wait(_) => None,
    }
}

fn fail(b: &mut Breaker, s: &Settings, now: Instant) {
    let ticket = ask(b, s, now).unwrap();
    b.record(s, ticket, now, false);
}

#[test]
fn opens_after_failures_in_a_row() {
    let (s, now, mut b) = (quick(), Instant::now(), Breaker::new(1));
    fail(&mut b, &s, now);
    fail(&mut b, &s, now);
    let ticket = ask(&mut b, &s, now).unwrap();
    b.record(&s, ticket, now, true);
    fail(&mut b, &s, now);
    fail(&mut b, &s, now);
    assert!(b.is_closed());
    fail(&mut b, &s, now);
    assert!(!b.is_closed());
    assert_eq!(ask(&mut b, &s, now), None);
}

#[test]
fn opens_by_the_share_of_failures() {
    let s = Settings { consecutive: 100, ..quick() };
    let (now, mut b) = (Instant::now(), Breaker::new(1));
    for n in 0..9 {
        let ticket = ask(&mut b, &s, now).unwrap();
        b.record(&s, ticket, now, n % 2 == 0);
    }
    assert!(b.is_closed());
    fail(&mut b, &s, now);
    assert!(!b.is_closed());
}

#[test]
fn one_probe_at_a_time_then_closed() {
    let (s, now, mut b) = (quick(), Instant::now(), Breaker::new(1));
    let early = ask(&mut b, &s, now).unwrap();
    (0..3).for_each(|_| fail(&mut b, &s, now));
    let Decision::Wait(until) = b.allow(&s, now) else { panic!("is open") };
    assert!(until >= now + s.open_min / 2 && until <= now + s.open_min);
    let probe = ask(&mut b, &s, until).unwrap();
    assert_eq!(b.allow(&s, until), Decision::Wait(until + s.probe));
    // An answer to a question from before it opened says nothing.
    b.record(&s, early, until, true);
    assert!(!b.is_closed());
    b.record(&s, probe, until, true);
    assert!(b.is_closed());
}

#[test]
fn a_lost_probe_is_replaced_and_a_failed_one_doubles_the_pause() {
    let (s, mut now, mut b) = (quick(), Instant::now(), Breaker::new(7));
    (0..3).for_each(|_| fail(&mut b, &s, now));
    now += s.open_max;
    let lost = ask(&mut b, &s, now).unwrap();
    now += s.probe;
    let probe = ask(&mut b, &s, now).unwrap();
    assert_ne!(lost, probe);
    b.record(&s, probe, now, false);
    let Decision::Wait(until) = b.allow(&s, now) else { panic!("is open") };
    assert!(until >= now + s.open_min && until <= now + 2 * s.open_min);
}

#[test]
fn the_same_seed_gives_the_same_pause() {
    let now = Instant::now();
    let pause = |seed| {
        let (s, mut b) = (quick(), Breaker::new(seed));
        (0..3).for_each(|_| fail(&mut b, &s, now));
        b.allow(&s, now)
    };
    assert_eq!(pause(5), pause(5));
    assert_ne!(pause(5), pause(6));
}

#[test]
fn the_map_keeps_upstreams_apart_and_bounded() {
    let (now, breakers) = (Instant::now(), Breakers::new(quick(), 1, 2));
    let fail = |upstream: &str| {
        if let Decision::Ask(ticket) = breakers.allow(upstream, now) {
            breakers.record(upstream, ticket, now, false);
        }
    };
    (0..3).for_each(|_| fail("down"));
    assert!(matches!(breakers.allow("down", now), Decision::Wait(_)));
    assert!(matches!(breakers.allow("up", now), Decision::Ask(_)));
    fail("a");
    fail("b");
    assert_eq!(lock(&breakers.map).len(), 2);
}

proptest! {
    /// Whatever happens: at most one question passes per probe time while not closed, and
    /// an upstream that answers again is closed again.
    #[test]
    fn spares_the_upstream_and_recovers(
        seed: u64,
        steps in prop::collection::vec((any::<bool>(), 0u32..200, any::<bool>()), 1..300),
    ) {
        let (s, mut now, mut b) = (quick(), Instant::now(), Breaker::new(seed));
        let mut pending = Vec::new();
        let mut last_probe: Option<Instant> = None;
        for (ok, wait, late) in steps {
            now += STEP * wait;
            let closed = b.is_closed();
            if let Some(ticket) = ask(&mut b, &s, now) {
                if closed {
                    last_probe = None;
                } else {
                    let soonest = s.open_min / 2;
                    prop_assert!(last_probe.is_none_or(|at| now >= at + soonest));
                    last_probe = Some(now);
                }
                pending.push((ticket, ok));
            }
            if !late {
                for (ticket, ok) in pending.drain(..) {
                    b.record(&s, ticket, now, ok);
                }
            }
        }
        for _ in 0..4 {
            now += s.open_max + s.probe;
            let ticket = ask(&mut b, &s, now).unwrap();
            b.record(&s, ticket, now, true);
        }
        prop_assert!(b.is_closed());
    }
}

#[test]
fn what_fails_for_a_moment_opens_nothing() {
    let s = Settings { lasting: Duration::from_secs(5), ..quick() };
    let (start, mut b) = (Instant::now(), Breaker::new(1));
    for n in 0..100 {
        fail(&mut b, &s, start + n * STEP);
    }
    assert!(b.is_closed(), "a hundred failures within a second");
    fail(&mut b, &s, start + s.lasting);
    assert!(!b.is_closed());
}
