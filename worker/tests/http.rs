//! The HTTP client against hostile servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kudzu_shared::config::HttpLimits;
use kudzu_shared::limits::{self, Lease, Limit, Limiter, Permit};
use kudzu_shared::outcome::Verdict;
use kudzu_shared::time::SystemClock;
use kudzu_worker::http::{Exchange, Follow, Http, Missing, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Answers each request with what the function makes of its path and number; then closes.
struct Evil {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Evil {
    async fn start(say: impl Fn(&str, usize) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (mut tasks, count) = (JoinSet::new(), Arc::clone(&asked));
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buf = vec![0; 4096];
                let n = stream.read(&mut buf).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&buf[..n]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                let answer = say(&path, count.fetch_add(1, Relaxed));
                let _ = stream.write_all(&answer).await;
                if path == "/hang" {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
            }
        });
        Self { addr, asked, _tasks: tasks }
    }

    fn request(&self, path: &str) -> Request {
        let url = format!("http://{}{path}", self.addr).parse().unwrap();
        let mut request = Request::new(url, Limit::NONE, Duration::from_millis(700));
        request.allow_private = true;
        request
    }
}

fn http(max_body: u64) -> Http {
    let limits = HttpLimits { max_body, breaker_after_ms: 0, ..HttpLimits::default() };
    Http::new(limits, 8, Arc::new(limits::Memory::default()), Arc::new(SystemClock)).unwrap()
}

fn head(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

fn body(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut all = head("200 OK", &format!("content-length: {}\r\n{headers}", body.len()));
    all.extend(body);
    all
}

async fn get(evil: &Evil, path: &str) -> Result<usize, Verdict> {
    let http = http(100_000);
    Exchange::new(&http, None).get(&evil.request(path)).await.map(|r| r.body.len())
}

#[tokio::test]
async fn status_codes_have_their_verdicts() {
    let evil = Evil::start(|path, _| head(&format!("{} X", &path[1..]), "content-length: 0\r\n")).await;
    for (status, verdict) in [
        // The URL is wrong, unless a source knows better.
        ("404", Verdict::FormErr),
        ("401", Verdict::Refused),
        ("403", Verdict::Refused),
        ("500", Verdict::ServFail),
        ("501", Verdict::FormErr),
        ("503", Verdict::ServFail),
        ("418", Verdict::FormErr),
        ("302", Verdict::Malformed),
    ] {
        assert_eq!(get(&evil, &format!("/{status}")).await, Err(verdict), "{status}");
    }
    assert_eq!(get(&evil, "/200").await, Ok(0));
}

#[tokio::test]
async fn bodies_are_bounded_unpacked_or_not() {
    // 64 MiB of zeros in 64 KiB: deflate blocks of one repeated byte.
    let bomb = gzip_of_zeros(64 << 20);
    let evil = Evil::start(move |path, _| match path {
        "/bomb" => body("content-encoding: gzip\r\n", &bomb),
        "/endless" => [head("200 OK", ""), vec![b'x'; 400_000]].concat(),
        "/lies" => [head("200 OK", "content-length: 999999999\r\n"), vec![b'x'; 10]].concat(),
        "/junk" => vec![0; 5000],
        _ => body("", &[b'x'; 100_000]),
    })
    .await;
    assert_eq!(get(&evil, "/fits").await, Ok(100_000));
    assert_eq!(get(&evil, "/bomb").await, Err(Verdict::Limit));
    assert_eq!(get(&evil, "/endless").await, Err(Verdict::Limit));
    for path in ["/lies", "/junk"] {
        let end = get(&evil, path).await.unwrap_err();
        assert!(matches!(end, Verdict::Unreachable | Verdict::Malformed | Verdict::Timeout), "{path} {end}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_time_only() {
    let evil = Evil::start(|_, _| head("200 OK", "content-length: 10\r\n")).await;
    let begin = std::time::Instant::now();
    assert_eq!(get(&evil, "/hang").await, Err(Verdict::Timeout));
    let http = http(1000);
    let end = Some(Instant::now() + Duration::from_millis(200));
    let late = Exchange::new(&http, end).get(&evil.request("/hang")).await.map(|_| ());
    assert_eq!(late, Err(Verdict::Deadline));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn redirects_lead_nowhere_inside() {
    let targets = [
        "http://169.254.169.254/latest/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "//user:pass@example.com/",
        "http://127.0.0.1:22/",
        "http://example.com/other-host",
    ];
    let evil = Evil::start(move |path, _| {
        let at: usize = path[1..].parse().unwrap_or(0);
        head("302 Found", &format!("location: {}\r\ncontent-length: 0\r\n", targets[at]))
    })
    .await;
    for (at, target) in targets.iter().enumerate() {
        assert_eq!(get(&evil, &format!("/{at}")).await, Err(Verdict::Denied), "{target}");
    }
    // Public endpoints are held to public addresses, the first request too.
    let http = http(1000);
    let mut request = evil.request("/0");
    request.allow_private = false;
    let asked = evil.asked.load(Relaxed);
    assert_eq!(Exchange::new(&http, None).get(&request).await.map(|_| ()), Err(Verdict::Denied));
    // A name is held to them after resolution.
    request.url = format!("http://localhost:{}/", evil.addr.port()).parse().unwrap();
    assert_eq!(Exchange::new(&http, None).get(&request).await.map(|_| ()), Err(Verdict::Denied));
    assert_eq!(evil.asked.load(Relaxed), asked);
}

#[tokio::test]
async fn redirects_end() {
    let evil =
        Evil::start(|_, n| head("302 Found", &format!("location: /{n}\r\ncontent-length: 0\r\n"))).await;
    assert_eq!(get(&evil, "/x").await, Err(Verdict::Loop));
    assert_eq!(evil.asked.load(Relaxed), 4);
    let other = Evil::start(|_, _| body("", b"there")).await;
    let to = other.addr;
    let evil = Evil::start(move |_, _| {
        head("302 Found", &format!("location: http://{to}/\r\ncontent-length: 0\r\n"))
    })
    .await;
    assert_eq!(get(&evil, "/").await, Err(Verdict::Denied));
    let (http, mut request) = (http(1000), evil.request("/"));
    // An endpoint of one's own opens no way to another one inside.
    request.follow = Follow::Anywhere;
    assert_eq!(Exchange::new(&http, None).get(&request).await.map(|_| ()), Err(Verdict::Denied));
    assert_eq!(other.asked.load(Relaxed), 0);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let evil = Evil::start(|_, n| {
        if n == 0 { head("429 Slow", "retry-after: 1\r\ncontent-length: 0\r\n") } else { body("", b"now") }
    })
    .await;
    let http = http(1000);
    let begin = std::time::Instant::now();
    let mut exchange = Exchange::new(&http, None);
    assert_eq!(exchange.get(&evil.request("/")).await.unwrap().body, b"now");
    assert!(begin.elapsed() >= Duration::from_millis(990), "{:?}", begin.elapsed());
    assert_eq!(exchange.into_tally().tries, 2);
}

#[tokio::test]
async fn a_404_is_an_answer_where_the_source_says_so() {
    let evil = Evil::start(|path, _| {
        let text = &path.as_bytes()[1..];
        [head("404 X", &format!("content-length: {}\r\n", text.len())), text.to_vec()].concat()
    })
    .await;
    let http = http(1000);
    for (path, missing, verdict) in [
        ("/known", Missing::Error, Verdict::FormErr),
        ("/known", Missing::Empty, Verdict::NotFound),
        ("/known", Missing::EmptyIf(|body| body == b"known"), Verdict::NotFound),
        ("/other", Missing::EmptyIf(|body| body == b"known"), Verdict::FormErr),
    ] {
        let request = Request { missing, ..evil.request(path) };
        assert_eq!(Exchange::new(&http, None).get(&request).await.map(|_| ()), Err(verdict), "{path}");
    }
    let short = Request { max_body: Some(3), ..evil.request("/long") };
    let evil = Evil::start(|_, _| body("", b"long")).await;
    let short = Request { url: evil.request("/").url, ..short };
    assert_eq!(Exchange::new(&http, None).get(&short).await.map(|_| ()), Err(Verdict::Limit));
}

/// Zero seconds is not at once, and a job that can wait does.
#[tokio::test]
async fn an_upstream_that_never_has_time_is_throttled_in_the_end() {
    let evil = Evil::start(|_, _| head("429 Slow", "retry-after: 0\r\ncontent-length: 0\r\n")).await;
    let asked = async |end| {
        let http = http(1000);
        let before = evil.asked.load(Relaxed);
        let verdict = Exchange::new(&http, end).get(&evil.request("/")).await.map(|_| ());
        assert_eq!(verdict, Err(Verdict::Throttled));
        evil.asked.load(Relaxed) - before
    };
    assert_eq!(asked(None).await, 9);
    let tries = asked(Some(Instant::now() + Duration::from_secs(4))).await;
    assert!((10..=17).contains(&tries), "{tries}");
}

/// A hang that the job's end cuts off says nothing of the upstream, good or bad.
#[tokio::test]
async fn the_breaker_opens_on_failures_and_a_deadline_is_none() {
    let evil = Evil::start(|path, _| match path {
        "/hang" => head("200 OK", "content-length: 10\r\n"),
        _ => head(&format!("{} X", &path[1..]), "content-length: 0\r\n"),
    })
    .await;
    let http = http(1000);
    let ask = async |path, end| Exchange::new(&http, end).get(&evil.request(path)).await.map(|_| ());
    for _ in 0..30 {
        assert_eq!(ask("/501", None).await, Err(Verdict::FormErr));
    }
    for _ in 0..19 {
        assert_eq!(ask("/500", None).await, Err(Verdict::ServFail));
    }
    let soon = Some(Instant::now() + Duration::from_millis(100));
    assert_eq!(ask("/hang", soon).await, Err(Verdict::Deadline));
    // The server is not done with that one; this stands for the twentieth failure.
    assert_eq!(ask("/500", None).await, Err(Verdict::Timeout));
    let asked = evil.asked.load(Relaxed);
    assert_eq!(ask("/200", None).await, Err(Verdict::Breaker));
    assert_eq!(evil.asked.load(Relaxed), asked);
}

/// Grants at once, and notes to whom.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>, Mutex<Option<Instant>>);

#[async_trait]
impl Limiter for Notes {
    async fn acquire(&self, upstream: &str, _: &Limit) -> Permit {
        self.0.lock().unwrap().push(upstream.to_owned());
        Permit::FREE
    }

    async fn lease(&self, _: &str, _: &Limit, _: u32) -> Lease {
        Lease::none(Instant::now())
    }

    async fn penalise(&self, _: &str, _: Instant) {}

    fn penalised_until(&self, _: &str) -> Option<Instant> {
        self.1.lock().unwrap().filter(|until| *until > Instant::now())
    }
}

#[tokio::test]
async fn a_grant_is_given_back_where_the_upstream_asked_for_less_meanwhile() {
    let evil = Evil::start(|path, _| match path {
        "/hang" => head("200 OK", "content-length: 10\r\n"),
        _ => body("", b"x"),
    })
    .await;
    let notes = Arc::new(Notes::default());
    let http = Http::new(HttpLimits::default(), 1, Arc::clone(&notes) as _, Arc::new(SystemClock)).unwrap();
    let (slow, mut quick) = (evil.request("/hang"), evil.request("/"));
    quick.timeout = Duration::from_millis(100);
    let mut exchanges = [Exchange::new(&http, None), Exchange::new(&http, None)];
    let [first, second] = &mut exchanges;
    // The slot is free after a second; the penalty holds a little longer.
    let penalise = async { *notes.1.lock().unwrap() = Some(Instant::now() + Duration::from_millis(1_300)) };
    let begin = Instant::now();
    let _ = tokio::join!(biased; first.get(&slow), second.get(&quick), penalise);
    assert!(notes.0.lock().unwrap().len() > 2);
    assert!(begin.elapsed() >= Duration::from_millis(1_300));
}

#[tokio::test]
async fn each_credential_has_its_own_limit() {
    let evil = Evil::start(|_, _| body("", b"x")).await;
    let notes = Arc::new(Notes::default());
    let http = Http::new(HttpLimits::default(), 1, Arc::clone(&notes) as _, Arc::new(SystemClock)).unwrap();
    let own = Request { credential: Some("me".into()), ..evil.request("/") };
    for request in [own, evil.request("/")] {
        let mut exchange = Exchange::new(&http, None);
        exchange.get(&request).await.unwrap();
        assert_eq!(exchange.into_tally().upstream, Some(evil.addr.to_string()));
    }
    assert_eq!(*notes.0.lock().unwrap(), [format!("{} me", evil.addr), evil.addr.to_string()]);
}

/// A gzip stream of zeros, made of stored-free deflate blocks: literals and longest matches.
fn gzip_of_zeros(len: usize) -> Vec<u8> {
    // Fixed Huffman: one literal 0 (code 0x30, 8 bits), then matches of 258 at distance 1
    // (length code 285: 8 bits 0xc5, distance code 0: 5 bits), then end (7 zero bits).
    let mut bits: Vec<bool> = vec![true, true, false];
    let code =
        |bits: &mut Vec<bool>, value: u32, n: u32| bits.extend((0..n).rev().map(|i| value >> i & 1 == 1));
    code(&mut bits, 0x30, 8);
    for _ in 0..(len - 1) / 258 {
        code(&mut bits, 0xc5, 8);
        code(&mut bits, 0, 5);
    }
    code(&mut bits, 0, 7);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    out.extend(bits.chunks(8).map(|c| c.iter().enumerate().fold(0, |b, (i, bit)| b | u8::from(*bit) << i)));
    out.extend([0; 8]);
    out
}
