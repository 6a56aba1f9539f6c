//! When requests are due: a Poisson process, drawn from a seed.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The times at which requests are due, since the start: gaps are exponential, −ln(1 − u) / rate.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    generator: ChaCha8Rng,
    rate: f64,
    seconds: f64,
}

impl Arrivals {
    /// So many a second on average (more than 0).
    pub(super) fn new(rate: f64, seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed), rate, seconds: 0.0 }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let even: f64 = self.generator.random();
        self.seconds -= (1.0 - even).ln() / self.rate;
        Duration::try_from_secs_f64(self.seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(rate: f64, seed: u64, count: usize) -> Vec<f64> {
        let times: Vec<f64> = Arrivals::new(rate, seed).take(count).map(|time| time.as_secs_f64()).collect();
        [0.0].iter().chain(&times).zip(&times).map(|(before, after)| after - before).collect()
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
        let gaps = gaps(200.0, 7, 100_000);
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        // An exponential gap's deviation is its mean: 5 ms, here within five standard errors.
        assert!((mean / 0.005 - 1.0).abs() < 0.016, "{mean}");
        assert!((variance.sqrt() / 0.005 - 1.0).abs() < 0.032, "{variance}");
        let longer = gaps.iter().filter(|gap| **gap > 0.005).count() as f64 / count;
        assert!((longer - (-1.0_f64).exp()).abs() < 0.01, "{longer}");
    }

    #[test]
    fn counts_in_equal_spans_vary_as_much_as_their_mean() {
        let mut counts = [0_u32; 1000];
        for time in Arrivals::new(50.0, 3).take_while(|time| time.as_secs() < 1000) {
            counts[usize::try_from(time.as_secs()).unwrap()] += 1;
        }
        let mean = counts.iter().map(|count| f64::from(*count)).sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|count| (f64::from(*count) - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!((mean - 50.0).abs() < 1.2, "{mean}");
        assert!((variance / mean - 1.0).abs() < 0.25, "{variance} for {mean}");
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let times = |seed| Arrivals::new(1000.0, seed).take(100).collect::<Vec<_>>();
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
        assert!(times(1).is_sorted());
    }
}
