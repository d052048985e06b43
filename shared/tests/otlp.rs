//! Spans on their way to a collector.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::Duration;

use kudzu_servers::{Collected, Collector};
use kudzu_shared::config::Telemetry;
use kudzu_shared::job::JobId;
use kudzu_shared::marking::{Pap, Tlp};
use kudzu_shared::observable::Observable;
use kudzu_shared::source::Class;
use kudzu_shared::telemetry::otlp;
use kudzu_shared::trace::{Span, Traceparent};
use kudzu_shared::wire::{Ask, Task, TaskLookup};

const PATIENCE: Duration = Duration::from_secs(20);

fn task(trace: Option<String>) -> Task {
    Task {
        job: JobId(7),
        epoch: 3,
        reply_to: "private-queue".into(),
        tenant: "private-tenant".into(),
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        deadline_ms: None,
        trace,
        looked_ms: None,
        asks: vec![Ask { source: "dns.name".into(), types: vec![1], limit: 1 }],
        lookups: vec![TaskLookup {
            seq: 1,
            ask: 0,
            questions: 1,
            key: Observable::parse("private.example.com").unwrap(),
        }],
    }
}

/// One test: what a process exports to is set once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_with_their_trace_and_parent() {
    let collector = Collector::start().unwrap();
    let settings = Telemetry { otlp: Some(format!("{}/", collector.url())) };
    otlp::start(&settings, "kudzu-test", "instance-1").unwrap();
    let given = Traceparent::random();
    let submit = Span::submit(Some(&given.to_string()), JobId(7));
    let job = Span::job(submit.traceparent().as_deref(), JobId(7), 3);
    let work = Span::task(&task(job.traceparent()), Class::Dns, true);
    // Nobody records this one: it goes on as it is.
    let silent = Traceparent { flags: 0, ..Traceparent::random() }.to_string();
    let unseen = Span::job(Some(&silent), JobId(8), 1);
    assert_eq!(unseen.traceparent().as_ref(), Some(&silent));
    let begun = Span::job(None, JobId(9), 1);
    let root = Traceparent::parse(&begun.traceparent().unwrap()).unwrap();
    assert!(root.is_sampled());

    let spans = [&submit, &job, &work].map(|s| Traceparent::parse(&s.traceparent().unwrap()).unwrap());
    assert!(spans.iter().all(|s| s.trace == given.trace && s.is_sampled()));
    drop((submit, job, work, unseen, begun));
    tokio::task::block_in_place(otlp::stop);

    let all = collector.wait(PATIENCE, |spans| (spans.len() == 4).then(|| spans.to_vec())).unwrap();
    let named = |name: &str, own: Traceparent, parent: Option<u64>| Collected {
        name: name.into(),
        trace: format!("{:032x}", own.trace),
        span: format!("{:016x}", own.span),
        parent: parent.map(|p| format!("{p:016x}")).unwrap_or_default(),
    };
    let [submit, job, work] = spans;
    for span in [
        named("submit", submit, Some(given.span)),
        named("job", job, Some(submit.span)),
        named("task", work, Some(job.span)),
        named("job", root, None),
    ] {
        assert!(all.contains(&span), "{span:?} is not in {all:?}");
    }
    for text in ["kudzu-test", "instance-1", "service.instance.id", "kudzu.lookups", "dns"] {
        assert!(collector.has(text), "{text}");
    }
    assert!(!collector.has("private"), "what is looked up, and for whom, is nobody's business");

    // After the stop it is as if it had never been on.
    let given = Some(given.to_string());
    assert_eq!(Span::job(given.as_deref(), JobId(1), 1).traceparent(), given);
    otlp::stop();
}
