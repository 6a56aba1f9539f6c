//! How fast work gets done, measured while workers are busy: what a refused caller is told to wait, and whether a caller
//! computes its row itself.

use std::time::Duration;

/// Before anything was answered, and whenever nothing better is known.
const UNKNOWN: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Work this old counts half.
const HALF_LIFE_SECONDS: f64 = 2.0;

/// Work of the rows answered (tokens, pixels: a long text counts for what it takes) and the seconds that workers were
/// busy with them, both fading. Idle time does not count: after a quiet hour the rate is still that of a busy server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    work: f64,
    busy_seconds: f64,
}

impl Rate {
    /// One worker was busy for `took` and rows of this work left.
    pub(super) fn record(&mut self, work: usize, took: Duration) {
        let seconds = took.as_secs_f64();
        let fade = (-seconds / HALF_LIFE_SECONDS).exp2();
        self.work = self.work.mul_add(fade, work as f64);
        self.busy_seconds = self.busy_seconds.mul_add(fade, seconds);
    }

    /// How long a worker is expected to be busy with so much work; `None` before anything was answered.
    pub(super) fn expected(&self, work: usize) -> Option<Duration> {
        Duration::try_from_secs_f64(work as f64 * self.busy_seconds / self.work).ok()
    }

    /// When `workers` will have worked off the work that waits: callers that come back at the first free place are mostly
    /// refused again.
    pub(super) fn retry_after(&self, waiting: usize, workers: usize) -> Duration {
        let one = self.expected(waiting);
        one.map_or(UNKNOWN, |one| one.div_f64(workers.max(1) as f64)).clamp(RETRY_MIN, RETRY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_what_the_queue_takes_at_the_rate_of_the_last_answers() {
        let mut rate = Rate::default();
        assert_eq!(rate.retry_after(10, 2), UNKNOWN);
        // Ten times 10 tokens in 100 ms: 100 tokens a second a worker.
        (0..10).for_each(|_| rate.record(10, Duration::from_millis(100)));
        let wait = rate.retry_after(400, 2).as_secs_f64();
        assert!((wait - 2.0).abs() < 0.1, "{wait}");
        // It became ten times slower; the old rate fades.
        (0..20).for_each(|_| rate.record(10, Duration::from_secs(1)));
        let wait = rate.retry_after(40, 2).as_secs_f64();
        assert!((wait - 2.0).abs() < 0.3, "{wait}");
    }

    #[test]
    fn long_rows_wait_longer_than_short_ones() {
        // 1,000 tokens a second, whatever the lengths: nine rows of 10 tokens, then one of 910.
        let mut rate = Rate::default();
        for _ in 0..50 {
            (0..9).for_each(|_| rate.record(10, Duration::from_millis(10)));
            rate.record(910, Duration::from_millis(910));
        }
        // Twenty long rows, and twenty short ones: an estimate by rows would say 2 s for each.
        let long = rate.retry_after(20 * 910, 1).as_secs_f64();
        let short = rate.retry_after(20 * 10, 1).as_secs_f64();
        assert!((long - 18.2).abs() < 0.1 && (short - 0.2).abs() < 0.01, "{long} {short}");
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
