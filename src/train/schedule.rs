//! Learning-rate schedules: constant, step and cosine, each with a linear warm-up.

use serde::{Deserialize, Serialize};

/// How the learning rate changes: the `[schedule]` table of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Its shape after the warm-up.
    pub(crate) kind: Kind,
    /// Steps over which the rate rises linearly from nothing.
    pub(crate) warmup_steps: u64,
    /// `step`: epochs between two drops.
    pub(crate) drop_epochs: u64,
    /// `step`: factor of each drop.
    pub(crate) drop_factor: f64,
    /// `cosine`: the share of the rate left at the end.
    pub(crate) final_share: f64,
}

/// The shapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The same throughout.
    #[default]
    Constant,
    /// Dropped by a factor every few epochs.
    Step,
    /// Half a cosine from all to the final share.
    Cosine,
}

impl Default for Config {
    fn default() -> Self {
        Self { kind: Kind::Constant, warmup_steps: 0, drop_epochs: 10, drop_factor: 0.1, final_share: 0.0 }
    }
}

impl Config {
    /// Checks every number against its range.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let checks = [
            ("drop_epochs", self.drop_epochs >= 1, "1 or more"),
            ("drop_factor", (0.0..=1.0).contains(&self.drop_factor), "0 to 1"),
            ("final_share", (0.0..=1.0).contains(&self.final_share), "0 to 1"),
        ];
        let wrong = checks.iter().find(|(_, holds, _)| !holds);
        wrong.map_or(Ok(()), |(key, _, expected)| Err(format!("schedule.{key}: expected {expected}")))
    }

    /// The factor of the learning rate at `step` (from 0) of `steps_per_epoch × epochs`.
    pub(crate) fn factor(&self, step: u64, steps_per_epoch: u64, epochs: u64) -> f64 {
        if step < self.warmup_steps {
            return (step + 1) as f64 / (self.warmup_steps + 1) as f64;
        }
        match self.kind {
            Kind::Constant => 1.0,
            Kind::Step => {
                let drops = step / steps_per_epoch.max(1) / self.drop_epochs.max(1);
                self.drop_factor.powi(i32::try_from(drops).unwrap_or(i32::MAX))
            }
            Kind::Cosine => {
                let falling = (steps_per_epoch * epochs).saturating_sub(self.warmup_steps).max(1);
                let done = ((step - self.warmup_steps) as f64 / falling as f64).min(1.0);
                let share = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
                self.final_share + (1.0 - self.final_share) * share
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(config: Config) -> Vec<f64> {
        (0..8).map(|step| (config.factor(step, 2, 4) * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn schedules_have_their_shapes() {
        let base = Config { warmup_steps: 1, drop_epochs: 2, drop_factor: 0.5, ..Config::default() };
        assert_eq!(factors(base), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(factors(Config { kind: Kind::Step, ..base }), [0.5, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]);
        let cosine = Config { kind: Kind::Cosine, warmup_steps: 0, final_share: 0.1, ..base };
        assert_eq!(factors(cosine), [1.0, 0.966, 0.868, 0.722, 0.55, 0.378, 0.232, 0.134]);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let wrong = Config { drop_factor: 2.0, ..Config::default() };
        assert_eq!(wrong.validate().unwrap_err(), "schedule.drop_factor: expected 0 to 1");
    }
}
