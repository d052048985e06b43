//! A collector that is not there.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::{Duration, Instant};

use kudzu_servers::Page;
use kudzu_shared::config::Telemetry;
use kudzu_shared::job::JobId;
use kudzu_shared::telemetry::{self, otlp};
use kudzu_shared::trace::Span;

fn warnings(page: &Page) -> usize {
    page.text().unwrap().lines().filter(|l| l.contains("does not take spans")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_costs_one_warning_and_nothing_else() {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = telemetry::subscriber("info", true, false, move || writer.clone()).unwrap();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    // A port that was free just now: connections are refused.
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Telemetry { otlp: Some(format!("http://{at}")) };
    otlp::start(&settings, "kudzu-test", "instance-1").unwrap();

    // More than wait at a time: what does not fit is dropped, and nobody is held up.
    let began = Instant::now();
    for n in 0..20_000 {
        drop(Span::job(None, JobId(n), 1));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    while warnings(&page) == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "no warning");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(Span::job(None, JobId(1), 1));
    let stopping = Instant::now();
    tokio::task::block_in_place(otlp::stop);
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    assert_eq!(warnings(&page), 1, "one is enough for a minute");
}
