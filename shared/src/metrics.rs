//! Metrics for Prometheus, their names in one place. No label says what is looked up.

use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A source, and how its lookup ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Lookup {
    /// Source instance.
    pub source: String,
    /// `found`, `empty`, `failed`, `throttled`, `skipped`, `dead`.
    pub end: &'static str,
}

/// How a job ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct JobEnd {
    /// `complete`, `partial` or `dead`.
    pub state: &'static str,
}

/// What is cached.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CacheAnswer {
    /// `hit` or `miss`.
    pub answer: &'static str,
}

/// What a message is.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Message {
    /// `task` or `job`.
    pub kind: &'static str,
}

/// All metrics of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Lookups answered by this worker.
    pub lookups: Family<Lookup, Counter>,
    /// Cache entries that were asked for.
    pub cache: Family<CacheAnswer, Counter>,
    /// How long lookups waited for the limits of their upstreams.
    pub limiter_wait: Histogram,
    /// Breakers that are open.
    pub breakers_open: Gauge,
    /// Messages that were delivered again.
    pub redelivered: Family<Message, Counter>,
    /// Lookups that killed a child process and were set aside.
    pub poisoned: Counter,
    /// From submit to the first take-over of a job.
    pub queue_wait: Histogram,
    /// From submit to end.
    pub jobs: Family<JobEnd, Histogram>,
    /// Jobs that run here.
    pub jobs_running: Gauge,
    /// Jobs without an end in the whole cluster.
    pub jobs_open: Gauge,
    /// Questions outstanding of the jobs that run here.
    pub outstanding: Gauge,
    /// Questions that one job may have outstanding.
    pub window: Gauge,
    /// Results for lookups that had ended.
    pub duplicates: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 22))
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("kudzu");
        let lookups = Family::default();
        registry.register("lookups", "Lookups answered, by source and end", lookups.clone());
        let cache = Family::default();
        registry.register("cache_requests", "Cache entries asked for", cache.clone());
        let limiter_wait = seconds();
        registry.register_with_unit(
            "limiter_wait",
            "Wait for the limits of an upstream",
            Unit::Seconds,
            limiter_wait.clone(),
        );
        let breakers_open = Gauge::default();
        registry.register("breakers_open", "Upstreams that are spared for now", breakers_open.clone());
        let redelivered = Family::default();
        registry.register("redelivered", "Messages delivered again", redelivered.clone());
        let poisoned = Counter::default();
        registry.register("poisoned", "Lookups that kill their process", poisoned.clone());
        let queue_wait = seconds();
        registry.register_with_unit(
            "queue_wait",
            "From the submit of a job to its first take-over",
            Unit::Seconds,
            queue_wait.clone(),
        );
        let jobs: Family<JobEnd, Histogram> = Family::new_with_constructor(seconds);
        registry.register_with_unit("job_duration", "From submit to end", Unit::Seconds, jobs.clone());
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let jobs_running = gauge(&mut registry, "jobs_running", "Jobs that run here");
        let jobs_open = gauge(&mut registry, "jobs_open", "Jobs without an end in the whole cluster");
        let outstanding = gauge(&mut registry, "outstanding_questions", "Questions sent and not answered");
        let window = gauge(&mut registry, "window_questions", "Questions that one job may have outstanding");
        let duplicates = Counter::default();
        registry.register("duplicates", "Results for lookups that had ended", duplicates.clone());
        Self {
            registry,
            lookups,
            cache,
            limiter_wait,
            breakers_open,
            redelivered,
            poisoned,
            queue_wait,
            jobs,
            jobs_running,
            jobs_open,
            outstanding,
            window,
            duplicates,
        }
    }

    /// As Prometheus reads them (OpenMetrics text).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // It only fails where the writer does, and a text does not.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// The type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_under_its_name() {
        let metrics = Metrics::new();
        metrics.lookups.get_or_create(&Lookup { source: "dns.name".into(), end: "found" }).inc_by(3);
        metrics.queue_wait.observe(0.5);
        metrics.jobs.get_or_create(&JobEnd { state: "complete" }).observe(12.0);
        let text = metrics.text();
        for line in [
            "kudzu_lookups_total{source=\"dns.name\",end=\"found\"} 3",
            "kudzu_queue_wait_seconds_count 1",
            "kudzu_job_duration_seconds_sum{state=\"complete\"} 12.0",
            "kudzu_outstanding_questions 0",
        ] {
            assert!(text.contains(line), "{line} is missing:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
