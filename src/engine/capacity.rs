//! How many rows an engine of a plan holds: as many as the operator says, or as a measurement of its cost says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cost::{Cost, Trial};
use super::{Plan, PlannedEngine};
use crate::batch::LoneRows;
use crate::limits::{
    ALONE_ROW_US_MAX, COST_CANDLE_MS_MAX, COST_KERNELS_MS_MAX, ENGINE_ROWS_AUTO_CPU_MAX,
    ENGINE_ROWS_AUTO_DEVICE_MAX, ENGINE_ROWS_DEFAULT, ENGINE_ROWS_MAX, LONE_ROW_US_MAX, STEP_PIXELS_MAX,
    STEP_TOKENS_MAX,
};
use crate::nn::Architecture;
use crate::value::Features;

/// Rows that are measured at most, unless an engine computes more of them at once.
const MEASURED_ROWS_MAX: usize = 48;
/// Tokens of a text that is measured: an engine that reads a token a step takes one of them.
const MEASURED_TOKENS: usize = 16;

/// How many rows an engine holds, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Rows.
    pub rows: usize,
    /// The cost that they were chosen by; `None` when they were said, or nothing could be measured.
    pub cost: Option<Cost>,
}

impl Plan {
    /// As many rows as were said, or else as few as reach nearly the highest throughput, by a measurement of a few
    /// milliseconds. Answers do not depend on it: it decides what is computed together, not how.
    #[must_use]
    pub fn capacity(&self, said: Option<usize>) -> Capacity {
        if let Some(rows) = said {
            return Capacity { rows: rows.clamp(1, ENGINE_ROWS_MAX), cost: None };
        }
        match self.cost() {
            Some(cost) => {
                let most =
                    if self.is_on_cpu() { ENGINE_ROWS_AUTO_CPU_MAX } else { ENGINE_ROWS_AUTO_DEVICE_MAX };
                Capacity { rows: cost.rows(self.rows_together(), most), cost: Some(cost) }
            }
            None => Capacity { rows: ENGINE_ROWS_DEFAULT, cost: None },
        }
    }

    /// Work that a step should have at most, in tokens or pixels. `None` where a step reads a token a row, whatever the
    /// texts' lengths.
    #[must_use]
    pub fn step_work_max(&self) -> Option<usize> {
        match self {
            Self::Lstm(..) => None,
            Self::Conv(..) => Some(STEP_PIXELS_MAX),
            Self::Candle(network, _) => Some(match network.architecture() {
                Architecture::LstmClassifier(_) => STEP_TOKENS_MAX,
                Architecture::ConvClassifier(_) => STEP_PIXELS_MAX,
            }),
        }
    }

    /// Which rows their callers may compute on an idle server. `None` where a row starts threads or a device of its own.
    #[must_use]
    pub fn lone_rows(&self) -> Option<LoneRows> {
        let [short_max, alone_max] = [LONE_ROW_US_MAX, ALONE_ROW_US_MAX].map(Duration::from_micros);
        (!matches!(self, Self::Candle(..))).then_some(LoneRows { short_max, alone_max })
    }

    /// `None` when the engine refuses the rows or panics; a version that does either is found out by its golden samples.
    fn cost(&self) -> Option<Cost> {
        let rows = measured_rows(self.rows_together());
        let most = rows.last().copied()?;
        let millis = if matches!(self, Self::Candle(..)) { COST_CANDLE_MS_MAX } else { COST_KERNELS_MS_MAX };
        let begun = Instant::now();
        let trial = Trial { rows: &rows, time: Duration::from_millis(millis), clock: &|| begun.elapsed() };
        let measure = || {
            let mut engine: PlannedEngine = self.engine(most);
            let examples: Vec<Features> = (0..most).map(|row| self.example(row)).collect();
            let row = |place: usize| examples.get(place).cloned().unwrap_or_else(|| self.example(place));
            Cost::measure(&mut engine, row, &trial)
        };
        catch_unwind(AssertUnwindSafe(measure)).ok().flatten()
    }

    /// A row that the network takes; rows differ, so that they read different parts of an embedding.
    fn example(&self, row: usize) -> Features {
        let architecture = match self {
            Self::Lstm(plan, _) => plan.architecture(),
            Self::Conv(plan, _) => return Features::Pixels(vec![0.5; plan.pixels()].into()),
            Self::Candle(network, _) => network.architecture(),
        };
        match architecture {
            Architecture::LstmClassifier(config) => {
                let id = |token: usize| (row * MEASURED_TOKENS + token) * 7919 % config.vocabulary.max(1);
                let ids = (0..MEASURED_TOKENS).map(|token| u32::try_from(id(token)).unwrap_or(0));
                Features::Tokens(ids.collect::<Arc<[u32]>>())
            }
            Architecture::ConvClassifier(config) => {
                Features::Pixels(vec![0.5; config.channels * config.height * config.width].into())
            }
        }
    }

    /// Rows that the engine computes at once within a step: fewer leave it part empty, and so do some more.
    fn rows_together(&self) -> usize {
        match self {
            Self::Lstm(plan, _) => plan.rows_together(),
            Self::Conv(plan, _) => plan.group(),
            Self::Candle(..) => 1,
        }
    }

    fn is_on_cpu(&self) -> bool {
        match self {
            Self::Lstm(..) | Self::Conv(..) => true,
            Self::Candle(_, device) => device.is_cpu(),
        }
    }
}

/// Numbers of rows to measure an engine with that computes so many `together`: whole groups, once and twice and so on. A
/// group that is not full takes nearly as long as one that is, which would pass for a cost of the step.
fn measured_rows(together: usize) -> Vec<usize> {
    let doubled = std::iter::successors(Some(together), |rows| rows.checked_mul(2));
    doubled.take_while(|rows| *rows <= MEASURED_ROWS_MAX.max(together)).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::engine::Precision;
    use crate::nn::{Weights, conv, lstm};

    fn architectures() -> [Architecture; 2] {
        let texts = lstm::Config {
            vocabulary: 5,
            embedding_dim: 4,
            hidden_dim: 4,
            layers: 1,
            bidirectional: false,
            pooling: lstm::Pooling::Last,
            dropout: 0.0,
            outputs: 2,
        };
        [Architecture::LstmClassifier(texts), Architecture::ConvClassifier(conv::Config::article(4))]
    }

    fn plans() -> Vec<Plan> {
        let plans = architectures().into_iter().flat_map(|architecture| {
            let mut generator = ChaCha8Rng::seed_from_u64(1);
            let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
            [
                Plan::new(&architecture, &weights, Precision::F32, &Device::Cpu).unwrap(),
                Plan::candle(&architecture, &weights, &Device::Cpu).unwrap(),
            ]
        });
        plans.collect()
    }

    #[test]
    fn every_engine_can_be_measured_and_what_is_chosen_is_within_bounds() {
        for plan in plans() {
            let Capacity { rows, cost } = plan.capacity(None);
            let cost = cost.unwrap_or_else(|| panic!("{plan:?} refuses its example"));
            assert!(cost.fixed >= 0.0 && cost.row >= 0.0 && cost.fixed + cost.row > 0.0, "{cost:?}");
            assert!((1..=ENGINE_ROWS_AUTO_CPU_MAX).contains(&rows), "{rows}");
            assert_eq!(rows % plan.rows_together(), 0, "{rows}");
        }
    }

    #[test]
    fn a_number_that_was_said_is_taken() {
        for plan in plans() {
            for (said, rows) in
                [(1, 1), (7, 7), (ENGINE_ROWS_MAX, ENGINE_ROWS_MAX), (usize::MAX, ENGINE_ROWS_MAX)]
            {
                assert_eq!(plan.capacity(Some(said)), Capacity { rows, cost: None });
            }
        }
    }

    #[test]
    fn only_an_engine_that_reads_a_token_a_step_has_no_budget() {
        let budgets: Vec<_> = plans().iter().map(Plan::step_work_max).collect();
        assert_eq!(budgets, [None, Some(STEP_TOKENS_MAX), Some(STEP_PIXELS_MAX), Some(STEP_PIXELS_MAX)]);
    }

    #[test]
    fn whole_groups_are_measured() {
        assert_eq!(measured_rows(1), [1, 2, 4, 8, 16, 32]);
        assert_eq!(measured_rows(6), [6, 12, 24, 48]);
        assert_eq!(measured_rows(16), [16, 32]);
        assert_eq!(measured_rows(64), [64]);
    }

    #[test]
    fn examples_are_rows_that_the_network_takes() {
        for (plan, architecture) in plans().chunks(2).zip(architectures()) {
            for plan in plan {
                assert_eq!(architecture.accepts(&plan.example(31)), Ok(()));
            }
        }
    }
}
