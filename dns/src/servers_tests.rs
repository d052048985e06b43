use super::*;

fn servers(n: u16, rate: Option<f64>, in_flight: Option<u32>) -> Servers {
    let addr = |i: u16| SocketAddr::from(([127, 0, 0, 1], i + 1));
    Servers::new((0..n).map(|i| Server { addr: addr(i), rate, in_flight }).collect(), None)
}

#[tokio::test(start_paused = true)]
async fn others_first_and_three_sends_at_most() {
    let s = servers(2, None, None);
    let mut asked = Vec::new();
    while let Choice::Send(server) = s.choose(&asked, Instant::now()) {
        asked.push(Sent { server, fate: Fate::Lost });
    }
    assert_eq!(asked.len(), 6);
    assert!(asked.chunks(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(s.choose(&asked, Instant::now()), Choice::Nobody);
}

#[tokio::test(start_paused = true)]
async fn one_that_had_its_say_is_not_asked_again() {
    let s = servers(2, None, None);
    let mut asked = vec![Sent { server: 0, fate: Fate::Answered }];
    for _ in 0..3 {
        assert_eq!(s.choose(&asked, Instant::now()), Choice::Send(1));
        asked.push(Sent { server: 1, fate: Fate::Lost });
    }
    assert_eq!(s.choose(&asked, Instant::now()), Choice::Nobody);
}

#[tokio::test(start_paused = true)]
async fn edns_is_left_out_for_a_while() {
    let s = servers(2, None, None);
    s.reads_plain_only(0, Instant::now());
    assert!(!s.edns(0, Instant::now()) && s.edns(1, Instant::now()));
    tokio::time::advance(PLAIN).await;
    assert!(s.edns(0, Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn no_window_of_a_second_is_above_the_rate() {
    for rate in [1_u32, 3, 10, 100, 1000] {
        let s = servers(1, Some(f64::from(rate)), None);
        // A token is taken for a question to this very server too.
        let ask = |n: usize| {
            if n.is_multiple_of(2) { s.choose(&[], Instant::now()) } else { s.again(0, Instant::now()) }
        };
        let mut sent = Vec::new();
        while sent.len() < 5 * rate as usize {
            match ask(sent.len()) {
                Choice::Send(_) => sent.push(Instant::now()),
                Choice::Wait(at) => tokio::time::sleep_until(at).await,
                Choice::Nobody => panic!("no server"),
            }
        }
        let second = Duration::from_secs(1);
        let within = |i: usize| sent[i..].iter().take_while(|t| **t < sent[i] + second).count();
        let most = (0..sent.len()).map(within).max();
        assert!(most <= Some(rate as usize), "{most:?} at {rate}");
        let took = *sent.last().unwrap() - sent[0];
        assert!(took <= Duration::from_millis(5200), "{took:?} at {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_out_holds_nobody_back() {
    let s = servers(2, None, None);
    (0..PATIENCE).for_each(|_| s.timed_out(0, Instant::now()));
    tokio::time::advance(Duration::from_millis(1001)).await;
    let after_1 = [Sent { server: 1, fate: Fate::Answered }];
    assert_eq!(s.choose(&after_1, Instant::now()), Choice::Send(0));
    assert_eq!(s.choose(&after_1, Instant::now()), Choice::Nobody);
    assert_eq!(s.choose(&[], Instant::now()), Choice::Send(1));
}

#[tokio::test(start_paused = true)]
async fn places_in_flight_are_given_back() {
    let s = servers(1, None, Some(2));
    assert_eq!(s.choose(&[], Instant::now()), Choice::Send(0));
    assert_eq!(s.choose(&[], Instant::now()), Choice::Send(0));
    assert!(matches!(s.choose(&[], Instant::now()), Choice::Wait(_)));
    s.release(0);
    assert_eq!(s.choose(&[], Instant::now()), Choice::Send(0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_benched_probed_and_forgiven() {
    let s = servers(2, None, None);
    (0..PATIENCE).for_each(|_| s.timed_out(0, Instant::now()));
    for _ in 0..10 {
        assert_eq!(s.choose(&[], Instant::now()), Choice::Send(1));
    }
    tokio::time::advance(Duration::from_millis(1001)).await;
    let probes = (0..10).filter(|_| s.choose(&[], Instant::now()) == Choice::Send(0)).count();
    assert_eq!(probes, 1);
    s.answered(0);
    s.release(0);
    let shared = (0..10).filter(|_| s.choose(&[], Instant::now()) == Choice::Send(0)).count();
    assert_eq!(shared, 5);
}

#[tokio::test(start_paused = true)]
async fn where_all_are_benched_they_are_asked_all_the_same() {
    let s = servers(2, None, None);
    (0..PATIENCE * 2).for_each(|i| s.timed_out((i % 2) as u16, Instant::now()));
    assert!(matches!(s.choose(&[], Instant::now()), Choice::Send(_)));
}

#[tokio::test(start_paused = true)]
async fn a_gate_has_its_say() {
    struct Shut(Instant);
    impl Gate for Shut {
        fn admit(&self, _: SocketAddr, _: Instant) -> Result<(), Instant> {
            Err(self.0)
        }
    }
    let at = Instant::now() + Duration::from_secs(9);
    let one = Server { addr: SocketAddr::from(([127, 0, 0, 1], 1)), rate: None, in_flight: Some(1) };
    let s = Servers::new(vec![one], Some(Arc::new(Shut(at))));
    for _ in 0..3 {
        assert_eq!(s.choose(&[], Instant::now()), Choice::Wait(at));
    }
}
