//! Metrics for Prometheus, their names in one place. No label says what is looked up.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

/// A source, and how its lookup ended.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Lookup {
    /// Source instance; `unknown` where there is none of the name.
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
    /// `hit` or `miss`; of a miss, `shared` where another job's lookup brought it.
    pub answer: &'static str,
}

/// What a message is.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Message {
    /// `task`, `job` or `result`.
    pub kind: &'static str,
}

/// A class of sources.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OfClass {
    /// `dns`, `http` or `local`.
    pub class: &'static str,
}

/// What a child process died of.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Death {
    /// `own` (of what it looked up), `outside` (somebody ended it) or `start` (it never began).
    pub cause: &'static str,
}

/// All metrics of this process. A coordinator counts some of them, a worker others.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Lookups answered by this worker.
    pub lookups: Family<Lookup, Counter>,
    /// Lookups that this worker asks now.
    pub in_flight: Family<OfClass, Gauge>,
    /// Cache entries that were asked for.
    pub cache: Family<CacheAnswer, Counter>,
    /// How long lookups waited for the limits of their upstreams; of a DNS task the lookup that
    /// waited longest.
    pub limiter_wait: Family<OfClass, Histogram>,
    /// Breakers that are not closed.
    pub breakers_open: Gauge,
    /// Questions that all resolvers may have at a time.
    pub dns_window: Gauge,
    /// Messages that were delivered again.
    pub redelivered: Family<Message, Counter>,
    /// Messages that could not be read.
    pub damaged: Family<Message, Counter>,
    /// Results that nobody waited for any more.
    pub unroutable: Counter,
    /// Children started, for tasks that came again.
    pub children: Counter,
    /// Children that ended before their work.
    pub child_deaths: Family<Death, Counter>,
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
    /// Lookups of the jobs that run here that have not ended.
    pub lookups_waiting: Family<OfClass, Gauge>,
    /// Seconds of work that wait in the whole cluster.
    pub seconds_waiting: Family<OfClass, Gauge<f64, AtomicU64>>,
    /// Results for lookups that had ended.
    pub duplicates: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 22))
}

/// Puts metrics under their names.
struct Names(Registry);

impl Names {
    fn put<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn time<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    fn times<L>(&mut self, name: &str, help: &str) -> Family<L, Histogram>
    where
        L: Clone + Hash + Eq + EncodeLabelSet + Debug + Send + Sync + 'static,
    {
        self.time(name, help, Family::new_with_constructor(seconds as fn() -> Histogram))
    }
}

impl Metrics {
    fn new() -> Self {
        let mut names = Names(Registry::with_prefix("kudzu"));
        let n = &mut names;
        Self {
            lookups: n.put("lookups", "Lookups answered, by source and end", Family::default()),
            in_flight: n.put("lookups_in_flight", "Lookups that are asked now", Family::default()),
            cache: n.put("cache_requests", "Cache entries asked for", Family::default()),
            limiter_wait: n.times("limiter_wait", "Wait for the limits of an upstream"),
            breakers_open: n.put("breakers_open", "Upstreams that are spared for now", Gauge::default()),
            dns_window: n.put("dns_window", "Questions that resolvers may have at a time", Gauge::default()),
            redelivered: n.put("redelivered", "Messages delivered again", Family::default()),
            damaged: n.put("damaged", "Messages that could not be read", Family::default()),
            unroutable: n.put("unroutable", "Results that nobody waited for any more", Counter::default()),
            children: n.put("children", "Child processes started", Counter::default()),
            child_deaths: n.put("child_deaths", "Child processes that ended early", Family::default()),
            poisoned: n.put("poisoned", "Lookups that kill their process", Counter::default()),
            queue_wait: n.time("queue_wait", "From the submit of a job to its first take-over", seconds()),
            jobs: n.times("job_duration", "From submit to end"),
            jobs_running: n.put("jobs_running", "Jobs that run here", Gauge::default()),
            jobs_open: n.put("jobs_open", "Jobs without an end in the whole cluster", Gauge::default()),
            outstanding: n.put("outstanding_questions", "Questions sent and not answered", Gauge::default()),
            window: n.put("window_questions", "Questions one job may have outstanding", Gauge::default()),
            lookups_waiting: n.put("lookups_waiting", "Lookups that have not ended", Family::default()),
            seconds_waiting: n.put(
                "seconds_waiting",
                "Seconds of work that wait in the cluster",
                Family::default(),
            ),
            duplicates: n.put("duplicates", "Results for lookups that had ended", Counter::default()),
            registry: names.0,
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

    #[test]
    fn every_metric_is_explained() {
        let m = Metrics::new();
        // Those with labels are told once there is one.
        drop(m.lookups.get_or_create(&Lookup { source: "x".into(), end: "found" }));
        drop(m.jobs.get_or_create(&JobEnd { state: "dead" }));
        drop(m.cache.get_or_create(&CacheAnswer { answer: "hit" }));
        drop(m.child_deaths.get_or_create(&Death { cause: "own" }));
        drop(m.redelivered.get_or_create(&Message { kind: "task" }));
        drop(m.damaged.get_or_create(&Message { kind: "task" }));
        drop(m.in_flight.get_or_create(&OfClass { class: "dns" }));
        drop(m.lookups_waiting.get_or_create(&OfClass { class: "dns" }));
        drop(m.seconds_waiting.get_or_create(&OfClass { class: "dns" }));
        drop(m.limiter_wait.get_or_create(&OfClass { class: "dns" }));
        let said = include_str!("../../docs/CLUSTER.md");
        let text = m.text();
        let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).filter_map(|l| l.split_once(' '));
        let mut all = 0;
        for (name, kind) in types {
            let of_samples = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            let row = format!("| `{of_samples}` | {kind} |");
            assert!(said.contains(&row), "docs/CLUSTER.md has no {row}");
            all += 1;
        }
        assert_eq!(said.matches("| `kudzu_").count(), all, "docs/CLUSTER.md names more than there are");
    }
}
