//! Every metric's name, meaning and unit, and the functions that record them. Labels come from closed sets only:
//! outcomes and methods from lists, models and routes from those there are, so no caller can add a series.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
};
use metrics::{gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "sconce_requests_total";
const REQUEST_SECONDS: &str = "sconce_request_seconds";
const ROWS: &str = "sconce_rows_total";
const QUEUE_ROWS: &str = "sconce_queue_rows";
const QUEUE_SECONDS: &str = "sconce_queue_seconds";
const QUEUE_WORK: &str = "sconce_queue_work";
const BATCH_DISPATCHES: &str = "sconce_batch_dispatches_total";
const BATCH_DISPATCH_ROWS: &str = "sconce_batch_dispatch_rows";
const BATCH_ROWS: &str = "sconce_batch_rows";
const STEP_SECONDS: &str = "sconce_step_seconds";
const VERIFIED: &str = "sconce_verified_answers_total";
const LOADS: &str = "sconce_model_loads_total";
const LOAD_SECONDS: &str = "sconce_model_load_seconds";

/// 50 µs, a small conv net, to 120 s, the longest deadline; each some twice the last.
const SECONDS: [f64; 20] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0, 120.0,
];
/// One token of an LSTM takes some microseconds; everything longer is as above.
const STEP_SECONDS_BUCKETS: [f64; 14] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25,
    1.0, 10.0,
];
/// Powers of two up to the most rows that an engine may hold.
const BATCH_ROWS_BUCKETS: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// How often whoever runs the server calls `run_upkeep()` of the handle: until then histograms keep every sample.
pub const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// From one step of an engine that is recorded to the next: recording one takes some hundredths of a step of 10 µs.
pub const STEP_METRICS_PERIOD: Duration = Duration::from_micros(100);

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the process's recorder, once; a second call returns the first one's handle. What is recorded before is
/// lost, and a [`BatchMeter`] made before records nothing.
pub fn install_metrics() -> PrometheusHandle {
    HANDLE
        .get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder was installed before: /metrics stays empty");
            }
            describe();
            handle
        })
        .clone()
}

#[expect(clippy::expect_used, reason = "fails on an empty list of buckets only, and ours are constants")]
fn builder() -> PrometheusBuilder {
    let buckets: [(&str, &[f64]); 6] = [
        (REQUEST_SECONDS, &SECONDS),
        (QUEUE_SECONDS, &SECONDS),
        (LOAD_SECONDS, &SECONDS),
        (STEP_SECONDS, &STEP_SECONDS_BUCKETS),
        (BATCH_ROWS, &BATCH_ROWS_BUCKETS),
        (BATCH_DISPATCH_ROWS, &BATCH_ROWS_BUCKETS),
    ];
    buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds).expect("no list is empty")
    })
}

fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "HTTP requests answered, by matched route, method and status.");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Seconds from a request's header to its answer, by matched route."
    );
    describe_counter!(ROWS, Unit::Count, "Rows that left the batching layer, by model and outcome.");
    describe_gauge!(QUEUE_ROWS, Unit::Count, "Rows waiting, by model, all its versions together.");
    describe_histogram!(QUEUE_SECONDS, Unit::Seconds, "Seconds that a row waited for a worker, by model.");
    describe_gauge!(QUEUE_WORK, Unit::Count, "Tokens or pixels of the rows waiting for a worker, by model.");
    describe_counter!(
        BATCH_DISPATCHES,
        Unit::Count,
        "Times that rows went from the queue into an engine, by model and by what ended the taking: drained (nothing \
         waits any more), full (the engine has no more room), budget (a step's tokens or pixels), shared (idle workers \
         have the rest), idle (all of them were: the caller computed its row)."
    );
    describe_histogram!(
        BATCH_DISPATCH_ROWS,
        Unit::Count,
        "Rows that went from the queue into an engine at once, by model."
    );
    describe_histogram!(
        BATCH_ROWS,
        Unit::Count,
        "Rows held in a step of an engine, by model. Of the steps that begin within 0.1 ms the first counts."
    );
    describe_histogram!(
        STEP_SECONDS,
        Unit::Seconds,
        "Seconds that a step of an engine took, by model. Of the steps that begin within 0.1 ms the first counts."
    );
    describe_counter!(
        VERIFIED,
        Unit::Count,
        "Answers computed again alone, by model and outcome: `different` is a broken promise."
    );
    describe_counter!(LOADS, Unit::Count, "Versions loaded or refused, by model and outcome.");
    describe_histogram!(LOAD_SECONDS, Unit::Seconds, "Seconds that loading a version took, by model.");
}

/// How a row left the batching layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOutcome {
    /// With an answer.
    Answered,
    /// The engine found fault with it.
    Failed,
    /// Its deadline passed.
    Expired,
    /// Its caller was gone.
    Cancelled,
    /// It was never let in: the queue was full or closed.
    Refused,
    /// The engine panicked on it.
    Panicked,
}

impl RowOutcome {
    const ALL: [Self; 6] =
        [Self::Answered, Self::Failed, Self::Expired, Self::Cancelled, Self::Refused, Self::Panicked];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Panicked => "panicked",
        }
    }
}

/// What ended a worker's taking of rows from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatchReason {
    /// Nothing waits any more.
    Drained,
    /// The engine has no more room.
    Full,
    /// Another row would be more work than a step may have.
    Budget,
    /// The rest is left to idle workers.
    Shared,
    /// All workers are: the caller computes its row.
    Idle,
}

impl DispatchReason {
    const ALL: [Self; 5] = [Self::Drained, Self::Full, Self::Budget, Self::Shared, Self::Idle];

    fn as_str(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Full => "full",
            Self::Budget => "budget",
            Self::Shared => "shared",
            Self::Idle => "idle",
        }
    }
}

/// The metrics of one batching layer, looked up once: a step may take some microseconds, and looking up is one of them.
#[derive(Clone, Debug)]
pub struct BatchMeter {
    rows: [Counter; RowOutcome::ALL.len()],
    queue_rows: Gauge,
    queue_work: Gauge,
    dispatches: [Counter; DispatchReason::ALL.len()],
    dispatch_rows: Histogram,
    queue_seconds: Histogram,
    batch_rows: Histogram,
    step_seconds: Histogram,
}

impl BatchMeter {
    /// The metrics of `model`. Several meters of one model count into the same series.
    #[must_use]
    pub fn new(model: &str) -> Self {
        let label = || [("model", model.to_owned())];
        Self {
            rows: RowOutcome::ALL
                .map(|outcome| counter!(ROWS, "model" => model.to_owned(), "outcome" => outcome.as_str())),
            queue_rows: gauge!(QUEUE_ROWS, &label()),
            queue_work: gauge!(QUEUE_WORK, &label()),
            dispatches: DispatchReason::ALL.map(
                |reason| counter!(BATCH_DISPATCHES, "model" => model.to_owned(), "reason" => reason.as_str()),
            ),
            dispatch_rows: histogram!(BATCH_DISPATCH_ROWS, &label()),
            queue_seconds: histogram!(QUEUE_SECONDS, &label()),
            batch_rows: histogram!(BATCH_ROWS, &label()),
            step_seconds: histogram!(STEP_SECONDS, &label()),
        }
    }

    /// A row left the layer.
    pub fn row(&self, outcome: RowOutcome) {
        self.rows(outcome, 1);
    }

    /// So many rows left the layer.
    pub fn rows(&self, outcome: RowOutcome, rows: usize) {
        if let Some(counter) = self.rows.get(outcome as usize) {
            counter.increment(rows as u64);
        }
    }

    /// A row was admitted after waiting so long.
    pub fn waited(&self, queued: Duration) {
        self.queue_seconds.record(queued);
    }

    /// So many rows of so much work together were enqueued.
    pub fn enqueued(&self, rows: usize, work: usize) {
        self.queue_rows.increment(rows as f64);
        self.queue_work.increment(work as f64);
    }

    /// So many rows left the queue, admitted or dropped, of so much work together.
    pub fn dequeued(&self, rows: usize, work: usize) {
        self.queue_rows.decrement(rows as f64);
        self.queue_work.decrement(work as f64);
    }

    /// So many rows, at least one, went into an engine at once.
    pub fn dispatched(&self, rows: usize, reason: DispatchReason) {
        if let Some(counter) = self.dispatches.get(reason as usize) {
            counter.increment(1);
        }
        self.dispatch_rows.record(rows as f64);
    }

    /// An engine that holds `rows` advanced by a step.
    pub fn step(&self, rows: usize, took: Duration) {
        self.batch_rows.record(rows as f64);
        self.step_seconds.record(took);
    }
}

/// What came of computing an answer again, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The same bits.
    Equal,
    /// Other bits: the promise of batch invariance is broken.
    Different,
    /// The row fails alone.
    Failed,
    /// Not computed: too many were waiting.
    Skipped,
}

/// Counts of the answers of one model that were computed again.
#[derive(Clone, Debug)]
pub struct VerifyMeter([Counter; 4]);

impl VerifyMeter {
    /// The counts of `model`.
    #[must_use]
    pub fn new(model: &str) -> Self {
        let outcomes = ["equal", "different", "failed", "skipped"];
        Self(outcomes.map(|outcome| counter!(VERIFIED, "model" => model.to_owned(), "outcome" => outcome)))
    }

    /// One more.
    pub fn count(&self, outcome: Verified) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.increment(1);
        }
    }
}

/// The series of one route, found once by every thread: the recorder finds one by labels that have to be allocated.
struct RouteMeter {
    seconds: Histogram,
    /// How many were answered with each method and status.
    answered: Vec<((&'static str, u16), Counter)>,
}

thread_local! {
    static ROUTES: RefCell<HashMap<String, RouteMeter>> = RefCell::default();
}

/// A request was answered: matched route (never the raw path), method, status. Without a recorder nothing is kept: a series
/// found then would stay empty.
pub fn record_request(route: &str, method: &'static str, status: u16, took: Duration) {
    if HANDLE.get().is_none() {
        return;
    }
    let count = |meter: &mut RouteMeter| {
        meter.seconds.record(took);
        meter.answered(route, (method, status)).increment(1);
    };
    ROUTES.with_borrow_mut(|routes| match routes.get_mut(route) {
        Some(meter) => count(meter),
        None => count(routes.entry(route.to_owned()).or_insert_with(|| RouteMeter::new(route))),
    });
}

impl RouteMeter {
    fn new(route: &str) -> Self {
        let seconds = histogram!(REQUEST_SECONDS, "route" => route.to_owned());
        Self { seconds, answered: Vec::new() }
    }

    fn answered(&mut self, route: &str, with: (&'static str, u16)) -> &Counter {
        let known = self.answered.iter().position(|(of, _)| *of == with);
        let at = known.unwrap_or_else(|| {
            let (method, status) = (with.0.to_owned(), with.1.to_string());
            let labels = [("route", route.to_owned()), ("method", method), ("status", status)];
            self.answered.push((with, counter!(REQUESTS, &labels)));
            self.answered.len() - 1
        });
        &self.answered[at].1
    }
}

/// A version was loaded, or refused.
pub fn record_load(model: &str, loaded: bool, took: Duration) {
    let outcome = if loaded { "loaded" } else { "refused" };
    counter!(LOADS, "model" => model.to_owned(), "outcome" => outcome).increment(1);
    histogram!(LOAD_SECONDS, "model" => model.to_owned()).record(took);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_rendered_with_its_description_and_buckets() {
        let handle = install_metrics();
        install_metrics();
        let meter = BatchMeter::new("metrics-test");
        meter.enqueued(1, 7);
        meter.enqueued(2, 8);
        meter.dequeued(1, 7);
        meter.dispatched(3, DispatchReason::Budget);
        meter.row(RowOutcome::Panicked);
        meter.waited(Duration::from_millis(2));
        meter.step(5, Duration::from_micros(7));
        record_request("/metrics-test", "GET", 204, Duration::from_millis(3));
        record_request("/metrics-test", "GET", 204, Duration::from_millis(3));
        record_request("/metrics-test", "GET", 500, Duration::from_millis(3));
        record_load("metrics-test", false, Duration::from_secs(1));
        handle.run_upkeep();
        let text = handle.render();
        for expected in [
            "# HELP sconce_rows_total Rows that left",
            "sconce_queue_rows{model=\"metrics-test\"} 2",
            "sconce_queue_work{model=\"metrics-test\"} 8",
            "sconce_batch_dispatches_total{model=\"metrics-test\",reason=\"budget\"} 1",
            "sconce_batch_dispatches_total{model=\"metrics-test\",reason=\"full\"} 0",
            "sconce_batch_dispatch_rows_bucket{model=\"metrics-test\",le=\"2\"} 0",
            "sconce_batch_dispatch_rows_bucket{model=\"metrics-test\",le=\"4\"} 1",
            "sconce_rows_total{model=\"metrics-test\",outcome=\"panicked\"} 1",
            "sconce_rows_total{model=\"metrics-test\",outcome=\"answered\"} 0",
            "sconce_queue_seconds_bucket{model=\"metrics-test\",le=\"0.0025\"} 1",
            "sconce_batch_rows_bucket{model=\"metrics-test\",le=\"4\"} 0",
            "sconce_batch_rows_bucket{model=\"metrics-test\",le=\"8\"} 1",
            "sconce_step_seconds_bucket{model=\"metrics-test\",le=\"0.00001\"} 1",
            "sconce_requests_total{route=\"/metrics-test\",method=\"GET\",status=\"204\"} 2",
            "sconce_requests_total{route=\"/metrics-test\",method=\"GET\",status=\"500\"} 1",
            "sconce_request_seconds_count{route=\"/metrics-test\"} 3",
            "sconce_model_loads_total{model=\"metrics-test\",outcome=\"refused\"} 1",
            "sconce_model_load_seconds_count{model=\"metrics-test\"} 1",
        ] {
            assert!(text.contains(expected), "{expected} is not in:\n{text}");
        }
    }
}
