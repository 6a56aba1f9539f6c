//! How long workers have been in their engines: one that hangs shows there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
