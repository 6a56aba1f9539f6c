//! How fast rows leave, measured while workers are busy: what a refused caller is told to wait.

use std::time::Duration;

/// Before anything was answered, and whenever nothing better is known.
const UNKNOWN: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Work this old counts half.
const HALF_LIFE_SECONDS: f64 = 2.0;

/// Rows answered and the seconds that workers were busy with them, both fading. Idle time does not count: after a
/// quiet hour the rate is still that of a busy server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    rows: f64,
    busy_seconds: f64,
}

impl Rate {
    /// One worker was busy for `took` and `rows` left.
    pub(super) fn record(&mut self, rows: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        let fade = (-seconds / HALF_LIFE_SECONDS).exp2();
        self.rows = self.rows.mul_add(fade, rows as f64);
        self.busy_seconds = self.busy_seconds.mul_add(fade, seconds);
    }

    /// When `workers` will have worked off what waits: callers that come back at the first free place are mostly
    /// refused again.
    pub(super) fn retry_after(&self, waiting: usize, workers: usize) -> Duration {
        let seconds = waiting as f64 * self.busy_seconds / (self.rows * workers.max(1) as f64);
        Duration::try_from_secs_f64(seconds).unwrap_or(UNKNOWN).clamp(RETRY_MIN, RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_what_the_queue_takes_at_the_rate_of_the_last_answers() {
        let mut rate = Rate::default();
        assert_eq!(rate.retry_after(10, 2), UNKNOWN);
        // Ten steps of ten rows in 100 ms: 100 rows a second a worker.
        (0..10).for_each(|_| rate.record(10, Duration::from_millis(100)));
        let wait = rate.retry_after(400, 2).as_secs_f64();
        assert!((wait - 2.0).abs() < 0.1, "{wait}");
        // It became ten times slower; the old rate fades.
        (0..20).for_each(|_| rate.record(10, Duration::from_secs(1)));
        let wait = rate.retry_after(40, 2).as_secs_f64();
        assert!((wait - 2.0).abs() < 0.3, "{wait}");
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let mut rate = Rate::default();
        rate.record(0, Duration::from_secs(5));
        assert_eq!(rate.retry_after(1, 1), UNKNOWN);
        rate.record(1, Duration::from_secs(5));
        assert_eq!(rate.retry_after(1_000_000, 1), RETRY_MAX);
        let mut rate = Rate::default();
        rate.record(1000, Duration::from_nanos(10));
        assert_eq!(rate.retry_after(1, 8), RETRY_MIN);
    }
}
