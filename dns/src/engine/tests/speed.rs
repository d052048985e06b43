//! How much is asked at a time, against loss, outages and limits.

use super::net::{Net, Peer};
use super::*;
use crate::Verdict;

const MINUTE: Duration = Duration::from_secs(60);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// As NSD on loopback: 100,000 answers a second, and a receive buffer of 1,000 queries.
fn near() -> Peer {
    Peer { delay: (Duration::from_micros(50), ms(1)), capacity: Some((1e5, 1000)), ..Peer::default() }
}

#[test]
fn loss_costs_what_it_must() {
    for (loss, share) in [(0.01, 0.9999), (0.05, 0.999), (0.2, 0.99)] {
        for peer in [near(), Peer { capacity: Some((2e4, 500)), ..Peer::default() }] {
            let n = 40_000;
            let time = |loss: f64| {
                let peers = vec![Peer { loss, ..peer.clone() }; 2];
                let mut net = Net::new(7, peers, |c| c.in_flight = 4000);
                let time = net.ask(n, 10 * MINUTE);
                assert!(net.sends.values().all(|sends| *sends <= 3), "RFC 9520");
                let found = net.count(Verdict::Found) as f64 / n as f64;
                assert!(found >= if loss > 0.0 { share } else { 1.0 }, "{found} at {loss}");
                (time, net.log.len() as f64 / n as f64)
            };
            let ((without, _), (with, sends)) = (time(0.0), time(loss));
            // A send fails on either way; what is lost is sent again, up to five times.
            let fails: f64 = 1.0 - (1.0 - loss) * (1.0 - loss);
            let explained = (1.0 - fails.powi(5)) / (1.0 - fails);
            assert!(sends <= 1.05 * explained, "{sends} sends a question at {loss}, not {explained}");
            // The last ones are tried five times, and waited for.
            let last = ms(200) * 5 + Duration::from_secs(2);
            assert!(with <= without.mul_f64(1.3 * explained) + last, "{with:?}, not {without:?}, at {loss}");
        }
    }
}

/// Where half of all packets are lost each way, three quarters of the sends fail.
#[test]
fn what_can_be_had_of_a_bad_way_is_had() {
    let n = 4000;
    let peers = vec![Peer { loss: 0.5, ..Peer::default() }; 2];
    let mut net = Net::new(12, peers, |c| c.in_flight = 1000);
    net.ask(n, 10 * MINUTE);
    let found = net.count(Verdict::Found) as f64 / n as f64;
    assert!(found >= 1.0 - 0.75_f64.powi(5) - 0.03, "{found}");
    assert!(net.sends.values().all(|sends| *sends <= 3), "RFC 9520");
}

#[test]
fn any_number_in_flight_is_answered_whole() {
    let rate = |in_flight: usize| {
        let n = if in_flight < 100 { 2000 } else { 100_000 };
        let mut net = Net::new(3, vec![near()], |c| c.in_flight = in_flight);
        let time = net.ask(n, MINUTE);
        assert_eq!(net.count(Verdict::Found), n as usize, "{in_flight}");
        // The queue before the server does not overflow: hardly anything is sent twice.
        assert!(net.log.len() as f64 <= 1.02 * n as f64, "{} at {in_flight}", net.log.len());
        n as f64 / time.as_secs_f64()
    };
    let rates = [1, 10, 100, 300, 1000, 3000, 10_000].map(rate);
    let best = rates.into_iter().fold(0.0, f64::max);
    assert!(rates[6] >= 0.9 * best, "{rates:?}");
    assert!(best >= 0.9 * 1e5, "{rates:?}");
}

#[test]
fn after_an_outage_the_rate_is_back_soon() {
    let away = |at: Duration| (Duration::from_secs(5)..Duration::from_secs(35)).contains(&at);
    let peer = Peer { away, capacity: Some((1e4, 500)), ..Peer::default() };
    for (servers, rate) in [(1, None), (3, None), (1, Some(8000.0))] {
        let mut net = Net::new(5, vec![peer.clone(); servers], |c| {
            c.in_flight = 2000;
            c.servers.iter_mut().for_each(|s| s.rate = rate);
        });
        net.ask(200_000 * servers as u64, 4 * MINUTE);
        let per_second = |s: u64| {
            let of = |at: &Duration| at.as_secs() == s;
            net.answered.iter().filter(|(at, r)| of(at) && r.verdict == Verdict::Found).count()
        };
        let (before, after) = (per_second(3), per_second(38));
        assert!(after as f64 >= 0.9 * before as f64, "{after} a second after, {before} before");
        let probes = net.log.iter().filter(|(at, _)| away(*at) && at.as_secs() >= 8).count();
        assert!(probes <= 35 * servers, "{probes} queries to dead servers");
        // Those in flight then are lost; none ends without a word, and not all wait it out.
        assert!(net.count(Verdict::Timeout) <= 8 * 2000 * servers, "{}", net.count(Verdict::Timeout));
    }
}

/// A server that pauses: what comes meanwhile overflows its buffer.
#[test]
fn a_pause_costs_little_more_than_itself() {
    let time = |pause: Duration| {
        let pause = Some((ms(1500), ms(1500) + pause));
        let peer = Peer { delay: (ms(50), ms(55)), capacity: Some((1e5, 1000)), pause, ..Peer::default() };
        let mut net = Net::new(4, vec![peer; 2], |c| c.in_flight = 8000);
        let time = net.ask(400_000, MINUTE);
        assert_eq!(net.count(Verdict::Found), 400_000);
        time
    };
    let without = time(ms(0));
    for pause in [120, 200, 300, 500, 800] {
        let with = time(ms(pause));
        assert!(with <= without + ms(pause) + ms(1500), "{with:?} with {pause} ms, {without:?} without");
    }
}

#[test]
fn one_dead_server_of_eight_hardly_slows_the_rest() {
    let live = Peer { capacity: Some((5000.0, 300)), ..Peer::default() };
    let dead = Peer { away: |_| true, ..live.clone() };
    let time = |peers: Vec<Peer>| {
        let mut net = Net::new(9, peers, |c| c.in_flight = 8000);
        let time = net.ask(400_000, 4 * MINUTE);
        assert_eq!(net.count(Verdict::Found), 400_000);
        time
    };
    let without = time(vec![live.clone(); 7]);
    let with = time([vec![live; 7], vec![dead]].concat());
    assert!(with.as_secs_f64() <= 1.05 * without.as_secs_f64(), "{with:?}, not {without:?}");
}

#[test]
fn no_second_is_above_the_rate_asked_for() {
    let within = |times: &[Duration], rate: f64| {
        let mut from = 0;
        for (i, at) in times.iter().enumerate() {
            while times[from] + Duration::from_secs(1) <= *at {
                from += 1;
            }
            let count = (i + 1 - from) as f64;
            assert!(count <= rate, "{count} in the second before {at:?}, not {rate}");
        }
        let seconds = times.last().unwrap().as_secs_f64();
        assert!(times.len() as f64 / seconds >= 0.9 * rate, "{} in {seconds} s", times.len());
    };
    // Each server's own rate, with loss and retries.
    let lossy = Peer { loss: 0.01, ..Peer::default() };
    let mut net = Net::new(2, vec![lossy; 4], |c| {
        c.servers.iter_mut().for_each(|s| (s.rate, s.in_flight) = (Some(5000.0), Some(200)));
    });
    net.ask(100_000, MINUTE);
    for server in 0..4 {
        let of = |(at, s): &(Duration, u16)| (*s == server).then_some(*at);
        within(&net.log.iter().filter_map(of).collect::<Vec<_>>(), 5000.0);
    }
    // One rate over all of them.
    let mut net = Net::new(2, vec![Peer::default(); 4], |c| c.rate = Some(20_000.0));
    net.ask(100_000, MINUTE);
    within(&net.log.iter().map(|(at, _)| *at).collect::<Vec<_>>(), 20_000.0);
}

/// A server that drops whatever is above its limit ends up with about that much.
#[test]
fn who_bears_less_gets_less() {
    let small = Peer { capacity: Some((1000.0, 20)), ..Peer::default() };
    let mut net = Net::new(4, vec![small, near()], |c| {
        c.servers[0].rate = Some(10_000.0);
        c.servers[0].in_flight = Some(2000);
        c.in_flight = 4000;
    });
    net.ask(400_000, 4 * MINUTE);
    let end = net.elapsed();
    let late = |(at, s): &&(Duration, u16)| *s == 0 && *at * 2 > end;
    let sent = net.log.iter().filter(late).count() as f64 / (end.as_secs_f64() / 2.0);
    assert!(sent < 3000.0, "{sent} a second to a server that bears 1,000");
    assert!(net.count(Verdict::Found) >= 399_000);
}
