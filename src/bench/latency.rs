//! How long things took: a histogram whose error is a thousandth at any length (HDR).

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time told apart, in nanoseconds: an hour. Longer ones count as an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Decimal digits kept of a time.
const DIGITS: u8 = 3;

/// Times, counted by their length to three digits. 400 KiB, whatever their number.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Histogram<u64>,
    shortest: Duration,
    longest: Duration,
    sum: Duration,
}

/// What a set of times is like, in milliseconds; all zero when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// The shortest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 90 % of them took no longer.
    pub p90: f64,
    /// 99 % of them took no longer.
    pub p99: f64,
    /// 99.9 % of them took no longer.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Latencies {
    /// No times yet.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "the bounds are constants that the histogram takes"
    )]
    pub fn new() -> Self {
        let counts = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("1 ns to an hour, 3 digits");
        Self { counts, shortest: Duration::MAX, longest: Duration::ZERO, sum: Duration::ZERO }
    }

    /// Counts one time.
    pub fn record(&mut self, time: Duration) {
        self.counts.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(LONGEST_NS));
        self.shortest = self.shortest.min(time);
        self.longest = self.longest.max(time);
        self.sum = self.sum.saturating_add(time);
    }

    /// Counts the times of another one as well.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so that each of the other's counts has its place here.
        self.counts.add(&other.counts).ok();
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// The time that this share of them (0 to 1) did not exceed, in milliseconds; 0 when there is none.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let exact = (ms(self.shortest), ms(self.longest));
        if self.count() == 0 {
            0.0
        } else {
            (self.counts.value_at_quantile(share) as f64 / 1e6).clamp(exact.0, exact.1)
        }
    }

    /// What they are like.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        if self.count() == 0 {
            return Quantiles::default();
        }
        Quantiles {
            min: ms(self.shortest),
            mean: ms(self.sum) / self.count() as f64,
            p50: self.quantile_ms(0.5),
            p90: self.quantile_ms(0.9),
            p99: self.quantile_ms(0.99),
            p99_9: self.quantile_ms(0.999),
            max: ms(self.longest),
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_thousandth() {
        let mut latencies = Latencies::new();
        for us in 1..=10_000 {
            latencies.record(Duration::from_micros(us));
        }
        let found = latencies.quantiles();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1.1e-3;
        assert_eq!((found.min, found.max), (0.001, 10.0));
        assert!(near(found.mean, 5.0005), "{found:?}");
        assert!(near(found.p50, 5.0) && near(found.p90, 9.0), "{found:?}");
        assert!(near(found.p99, 9.9) && near(found.p99_9, 9.99), "{found:?}");
    }

    #[test]
    fn none_is_zero_and_two_sets_are_one() {
        assert_eq!(Latencies::new().quantiles(), Quantiles::default());
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_millis(3));
        one.add(&other);
        let found = one.quantiles();
        assert_eq!((one.count(), found.min, found.mean, found.max), (2, 1.0, 2.0, 3.0));
        one.record(Duration::from_secs(100_000));
        assert!(one.quantiles().max >= 1e8);
    }
}
