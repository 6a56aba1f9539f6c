//! How long workers have been in their engines: one that hangs shows there. And which steps are worth showing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::telemetry::metrics::STEP_METRICS_PERIOD;

/// Since when each worker has been in its engine, in nanoseconds after `origin`; 0 when it is not.
#[derive(Debug)]
pub(super) struct StepClocks {
    origin: Instant,
    entered: Vec<AtomicU64>,
}

impl StepClocks {
    pub(super) fn new(workers: usize) -> Self {
        Self { origin: Instant::now(), entered: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The time `at`, as nanoseconds after the start; never 0.
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// The worker enters its engine.
    pub(super) fn enter(&self, worker: usize, now: Instant) {
        self.set(worker, self.nanos(now));
    }

    /// The worker leaves its engine.
    pub(super) fn leave(&self, worker: usize) {
        self.set(worker, 0);
    }

    fn set(&self, worker: usize, nanos: u64) {
        if let Some(entered) = self.entered.get(worker) {
            entered.store(nanos, Ordering::Relaxed);
        }
    }

    /// The longest time that a worker has been in its engine.
    pub(super) fn longest(&self) -> Duration {
        let now = self.nanos(Instant::now());
        let entered = self.entered.iter().map(|entered| entered.load(Ordering::Relaxed));
        let nanos = entered.filter(|nanos| *nanos > 0).map(|nanos| now.saturating_sub(nanos)).max();
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

/// Which of a worker's steps are in the metrics. It goes by when they begin: a long one is no likelier to be seen than others.
#[derive(Debug, Default)]
pub(super) struct StepSampler {
    /// When the last of them began.
    last: Option<Instant>,
}

impl StepSampler {
    /// Whether a step that began at this time is.
    pub(super) fn takes(&mut self, began: Instant) -> bool {
        let passed = |last| began.saturating_duration_since(last);
        let takes = self.last.is_none_or(|last| passed(last) >= STEP_METRICS_PERIOD);
        if takes {
            self.last = Some(began);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use tower::Layer as _;

    use super::super::BatchLayer;
    use super::super::tests::{config, outcome, send};
    use super::super::toy::{Countdown, Row, row};
    use super::*;
    use crate::telemetry::metrics::install_metrics;

    #[test]
    fn a_long_step_is_no_likelier_to_be_seen_than_a_short_one() {
        let (mut sampler, start) = (StepSampler::default(), Instant::now());
        // The step that begins after 90 µs is long.
        let began = [0, 30, 60, 90, 990, 1020, 1085, 1090].map(|us| start + Duration::from_micros(us));
        let taken = began.map(|began| sampler.takes(began));
        assert_eq!(taken, [true, false, false, false, true, false, false, true]);
    }

    #[test]
    fn every_step_is_seen_where_all_are_long() {
        let (mut sampler, start) = (StepSampler::default(), Instant::now());
        assert!((0..10).all(|step| sampler.takes(start + step * STEP_METRICS_PERIOD)));
    }

    #[test]
    fn steps_are_in_the_metrics_no_more_often_than_they_may() {
        let (metrics, started) = (install_metrics(), Instant::now());
        let batch = BatchLayer::new(config("shown-steps", 8)).layer(|| Countdown::free(1));
        assert!(outcome(send(&batch, Row { steps: 10_000, ..row(1) })).is_ok());
        batch.join();
        let most = 1 + started.elapsed().as_micros() / STEP_METRICS_PERIOD.as_micros();
        let text = metrics.render();
        let count = text.lines().find_map(|line| {
            line.strip_prefix("sconce_step_seconds_count{model=\"shown-steps\"} ")?.parse::<u128>().ok()
        });
        assert!(count.is_some_and(|count| (1..=most).contains(&count)), "{count:?} of at most {most}");
    }
}
