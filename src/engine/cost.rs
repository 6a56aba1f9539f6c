//! What a step of an engine costs, measured, and how many rows are worth putting into one.
//!
//! A step of n rows takes about `fixed + n · row` seconds, where n is whole groups of the rows that the engine computes
//! together: `fixed` is reading the weights and starting the work, `row` is the arithmetic. More rows share `fixed` among
//! them, and each one makes the step longer for all the others.

use std::time::Duration;

use crate::batch::Engine;

/// The share of the highest throughput, 1 / `row`, that is enough. It takes s / (1 − s) · fixed / row rows to reach a
/// share s: 19 times fixed / row for 95 %, and five times as many, with steps five times as long, for 99 %.
const THROUGHPUT_SHARE: f64 = 0.95;
/// Times that every number of rows is measured at most: the fastest of them is free of interruptions.
const ROUNDS_MAX: usize = 24;
/// Times that a number of rows is measured before the next one: the first pays for memory that was never touched.
const FIRST_TRIES: usize = 2;

/// What a step costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Seconds of a step, however many rows it has.
    pub fixed: f64,
    /// Seconds that each row adds.
    pub row: f64,
}

/// How a cost is measured.
pub(super) struct Trial<'a> {
    /// Numbers of rows to measure, ascending, at most the engine's capacity.
    pub(super) rows: &'a [usize],
    /// Time to spend. What would go beyond is left out, except the first number of rows.
    pub(super) time: Duration,
    /// The time since some moment.
    pub(super) clock: &'a dyn Fn() -> Duration,
}

/// The seconds that a step of this many rows took, the fastest of several.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    rows: usize,
    seconds: f64,
}

impl Cost {
    /// Times steps of an engine that holds nothing, with rows that `row` makes. `None` when it refuses them. The engine
    /// holds nothing afterwards.
    pub(super) fn measure<E: Engine>(
        engine: &mut E,
        row: impl Fn(usize) -> E::Row,
        trial: &Trial<'_>,
    ) -> Option<Self> {
        let begun = (trial.clock)();
        let fits = |seconds: f64| {
            let spent = (trial.clock)().saturating_sub(begun);
            spent.as_secs_f64() + seconds <= trial.time.as_secs_f64()
        };
        let mut steps = Steps { engine, clock: trial.clock };
        let mut fastest: Vec<Measured> = Vec::new();
        for &rows in trial.rows {
            let expected = fastest.last().map(|last| last.seconds * rows as f64 / last.rows as f64);
            if expected.is_some_and(|seconds| !fits(seconds)) {
                break;
            }
            let mut seconds = f64::INFINITY;
            for _ in 0..FIRST_TRIES {
                seconds = seconds.min(steps.time(rows, &row)?);
            }
            fastest.push(Measured { rows, seconds });
        }
        'rounds: for _ in FIRST_TRIES..ROUNDS_MAX {
            for known in &mut fastest {
                if !fits(known.seconds) {
                    break 'rounds;
                }
                known.seconds = known.seconds.min(steps.time(known.rows, &row)?);
            }
        }
        steps.engine.reset();
        Self::fit(&fastest)
    }

    /// The line through these measurements with the least squares of relative errors: a tenth too long is as wrong for
    /// one row as for many. Neither part is negative. `None` without a measurement.
    fn fit(measured: &[Measured]) -> Option<Self> {
        // Sums over the points of w, w·n, w·n², w·t and w·n·t, where w = 1 / t² makes the errors relative.
        let (mut ones, mut rows, mut squares, mut times, mut products) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for point in measured {
            let (n, t) = (point.rows as f64, point.seconds.max(f64::EPSILON * f64::EPSILON));
            let weight = 1.0 / (t * t);
            ones += weight;
            rows += weight * n;
            squares += weight * n * n;
            times += weight * t;
            products += weight * n * t;
        }
        if measured.is_empty() {
            return None;
        }
        // Of a single number of rows it is unknown which part is which: all of it counts as the row's.
        let alone = Self { fixed: 0.0, row: products / squares };
        let determinant = ones * squares - rows * rows;
        if measured.len() < 2 || determinant <= f64::EPSILON * ones * squares {
            return Some(alone);
        }
        let row = (ones * products - rows * times) / determinant;
        let fixed = (squares * times - rows * products) / determinant;
        Some(match (fixed > 0.0, row > 0.0) {
            (true, true) => Self { fixed, row },
            (false, _) => alone,
            (true, false) => Self { fixed: times / ones, row: 0.0 },
        })
    }

    /// The smallest multiple of `least` rows whose throughput is `THROUGHPUT_SHARE` of the highest, or the largest
    /// one within `most`.
    pub(super) fn rows(&self, least: usize, most: usize) -> usize {
        let least = least.max(1);
        let share = |rows: usize| {
            let together = rows as f64 * self.row;
            together / (self.fixed + together)
        };
        let enough = (least..=most).step_by(least).find(|rows| share(*rows) >= THROUGHPUT_SHARE);
        enough.unwrap_or(most / least * least).max(least)
    }
}

struct Steps<'a, E> {
    engine: &'a mut E,
    clock: &'a dyn Fn() -> Duration,
}

impl<E: Engine> Steps<'_, E> {
    /// Seconds of one step of `rows` rows.
    fn time(&mut self, rows: usize, row: &impl Fn(usize) -> E::Row) -> Option<f64> {
        self.engine.reset();
        for slot in 0..rows {
            self.engine.admit(slot, row(slot)).ok()?;
        }
        let mut finished = Vec::with_capacity(rows);
        let begun = (self.clock)();
        self.engine.step(&mut finished);
        Some((self.clock)().saturating_sub(begun).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::batch::RowError;

    const ROWS: [usize; 6] = [1, 2, 4, 8, 16, 32];

    /// Takes `fixed` and `row` nanoseconds of a clock of its own, and up to twice as long, or ten times at the worst.
    struct Toy {
        nanos: Arc<AtomicU64>,
        fixed: u64,
        row: u64,
        held: u64,
        noise: Option<u64>,
        steps: u64,
    }

    impl Engine for Toy {
        type Row = u64;
        type Answer = u64;

        fn capacity(&self) -> usize {
            32
        }

        fn admit(&mut self, slot: usize, row: u64) -> Result<(), RowError> {
            assert_eq!(slot as u64, self.held, "the engine is emptied before it is filled");
            if row == u64::MAX {
                return Err(RowError { reason: "refused".into() });
            }
            self.held += 1;
            Ok(())
        }

        fn step(&mut self, _: &mut Vec<(usize, Result<u64, RowError>)>) {
            self.steps += 1;
            let mut took = self.fixed + self.held * self.row;
            if let Some(seed) = self.noise {
                let draw = (self.steps + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
                took += if draw.is_multiple_of(8) { took * 9 } else { took * (draw % 1000) / 1000 };
            }
            self.nanos.fetch_add(took, Ordering::Relaxed);
        }

        fn evict(&mut self, _: usize) {}

        fn reset(&mut self) {
            self.held = 0;
        }
    }

    fn toy(fixed: u64, row: u64) -> Toy {
        Toy { nanos: Arc::default(), fixed, row, held: 0, noise: None, steps: 0 }
    }

    fn measure(toy: &mut Toy, millis: u64) -> Option<Cost> {
        let nanos = Arc::clone(&toy.nanos);
        let clock = || Duration::from_nanos(nanos.load(Ordering::Relaxed));
        Cost::measure(toy, |_| 0, &Trial { rows: &ROWS, time: Duration::from_millis(millis), clock: &clock })
    }

    #[test]
    fn a_quiet_machine_gives_the_cost_as_it_is() {
        for (fixed, row) in [(20_000, 9_000), (500, 100_000), (1_000_000, 10)] {
            let cost = measure(&mut toy(fixed, row), 1_000).unwrap();
            assert!((cost.fixed * 1e9 - fixed as f64).abs() < 1e-6 * (fixed + row) as f64, "{cost:?}");
            assert!((cost.row * 1e9 - row as f64).abs() < 1e-6 * (fixed + row) as f64, "{cost:?}");
        }
    }

    #[test]
    fn noise_that_only_delays_is_seen_through() {
        for seed in 0..50 {
            let mut noisy = Toy { noise: Some(seed), ..toy(20_000, 9_000) };
            let cost = measure(&mut noisy, 1_000).unwrap();
            assert!((cost.row * 1e9 - 9_000.0).abs() < 0.25 * 9_000.0, "{seed}: {cost:?}");
            assert!((cost.fixed * 1e9 - 20_000.0).abs() < 0.5 * 20_000.0, "{seed}: {cost:?}");
            assert_eq!(noisy.held, 0, "the engine is left empty");
        }
    }

    #[test]
    fn a_slow_engine_is_not_measured_beyond_the_time_given() {
        // One row takes 3 ms, 32 rows would take 96.
        let mut slow = toy(0, 3_000_000);
        let cost = measure(&mut slow, 8).unwrap();
        assert!((cost.row - 0.003).abs() < 1e-9 && cost.fixed.abs() < 1e-9, "{cost:?}");
        assert!(slow.nanos.load(Ordering::Relaxed) <= 8_000_000);
        // Even the first alone is beyond it.
        let mut slower = toy(0, 30_000_000);
        assert!((measure(&mut slower, 8).unwrap().row - 0.03).abs() < 1e-9);
        assert_eq!(slower.steps, FIRST_TRIES as u64);
    }

    #[test]
    fn an_engine_that_refuses_the_rows_has_no_cost() {
        let clock = || Duration::ZERO;
        let trial = Trial { rows: &ROWS, time: Duration::from_secs(1), clock: &clock };
        assert_eq!(Cost::measure(&mut toy(1, 1), |_| u64::MAX, &trial), None);
        assert_eq!(Cost::fit(&[]), None);
    }

    #[test]
    fn nothing_measured_makes_a_negative_part() {
        let point = |rows, seconds| Measured { rows, seconds };
        // Two rows in more than twice the time of one, and in less time than one.
        let superlinear = Cost::fit(&[point(1, 1.0), point(2, 3.0)]).unwrap();
        assert!(superlinear.fixed.abs() < 1e-12 && superlinear.row > 1.0, "{superlinear:?}");
        let shrinking = Cost::fit(&[point(1, 2.0), point(2, 1.0)]).unwrap();
        assert!(shrinking.row.abs() < 1e-12 && shrinking.fixed > 1.0, "{shrinking:?}");
        let instant = Cost::fit(&[point(1, 0.0), point(2, 0.0)]).unwrap();
        assert!(instant.fixed >= 0.0 && instant.row >= 0.0, "{instant:?}");
    }

    #[test]
    fn the_rows_are_the_fewest_with_the_share_of_the_throughput() {
        // ((fixed, row), least, most) → rows
        let cases = [
            // 0.95 / 0.05 = 19 rows for each row's time that is fixed.
            ((1.1, 1.0), 1, 64, 21),
            ((0.1, 1.0), 1, 64, 2),
            ((0.0, 1.0), 1, 64, 1),
            ((0.0, 1.0), 6, 64, 6),
            ((1.1, 1.0), 6, 64, 24),
            ((9.0, 1.0), 1, 64, 64),
            ((9.0, 1.0), 6, 64, 60),
            ((1.0, 0.0), 4, 64, 64),
            ((0.0, 0.0), 6, 64, 60),
            ((1.0, 1.0), 8, 4, 8),
        ];
        for ((fixed, row), least, most, expected) in cases {
            assert_eq!(Cost { fixed, row }.rows(least, most), expected, "{fixed} {row} {least} {most}");
        }
    }
}
