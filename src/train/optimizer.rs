//! Adam, `AdamW` and SGD with momentum over plain slices, so that all their state can be written down.

use serde::{Deserialize, Serialize};

/// Which optimizer and its constants: the `[optimizer]` table of a recipe. Formulas: `PyTorch`'s `torch.optim`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Which one.
    pub(crate) kind: Kind,
    /// Step size before the schedule's factor.
    pub(crate) learning_rate: f64,
    /// Decay of the first moment (Adam, `AdamW`).
    pub(crate) beta1: f64,
    /// Decay of the second moment (Adam, `AdamW`).
    pub(crate) beta2: f64,
    /// Added to the root of the second moment (Adam, `AdamW`).
    pub(crate) epsilon: f64,
    /// Decoupled for `AdamW`, added to the gradient for the others.
    pub(crate) weight_decay: f64,
    /// Momentum of SGD.
    pub(crate) momentum: f64,
}

/// The optimizers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Adam, Kingma & Ba 2015.
    #[default]
    Adam,
    /// Adam with decoupled weight decay, Loshchilov & Hutter 2019.
    Adamw,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: Kind::Adam,
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            momentum: 0.9,
        }
    }
}

impl Config {
    /// Checks every constant against its range.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let checks = [
            (
                "learning_rate",
                self.learning_rate > 0.0 && self.learning_rate <= 100.0,
                "above 0, at most 100",
            ),
            ("beta1", (0.0..1.0).contains(&self.beta1), "0 or more, below 1"),
            ("beta2", (0.0..1.0).contains(&self.beta2), "0 or more, below 1"),
            ("epsilon", self.epsilon > 0.0 && self.epsilon <= 1.0, "above 0, at most 1"),
            ("weight_decay", (0.0..=100.0).contains(&self.weight_decay), "0 to 100"),
            ("momentum", (0.0..1.0).contains(&self.momentum), "0 or more, below 1"),
        ];
        let wrong = checks.iter().find(|(_, holds, _)| !holds);
        wrong.map_or(Ok(()), |(key, _, expected)| Err(format!("optimizer.{key}: expected {expected}")))
    }

    /// Updates one tensor in place. `step` counts from 1; `learning_rate` has the schedule's factor in it.
    pub(crate) fn update(&self, learning_rate: f64, step: u64, tensor: Slices<'_>) {
        match self.kind {
            Kind::Adam | Kind::Adamw => self.adam(learning_rate, step, tensor),
            Kind::Sgd => self.sgd(learning_rate, tensor),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the constants are used in f32, as the weights are")]
    fn adam(&self, learning_rate: f64, step: u64, tensor: Slices<'_>) {
        let steps = i32::try_from(step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - self.beta1.powi(steps);
        let correction2_root = (1.0 - self.beta2.powi(steps)).sqrt() as f32;
        let size = (learning_rate / correction1) as f32;
        let (beta1, beta2, epsilon) = (self.beta1 as f32, self.beta2 as f32, self.epsilon as f32);
        let (share1, share2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let is_decoupled = self.kind == Kind::Adamw;
        let kept = if is_decoupled { (1.0 - learning_rate * self.weight_decay) as f32 } else { 1.0 };
        let coupled = if is_decoupled { 0.0 } else { self.weight_decay as f32 };
        let moments = tensor.first.iter_mut().zip(tensor.second);
        for ((weight, gradient), (first, second)) in
            tensor.weights.iter_mut().zip(tensor.gradient).zip(moments)
        {
            let gradient = gradient + coupled * *weight;
            *first = beta1 * *first + share1 * gradient;
            *second = beta2 * *second + share2 * gradient * gradient;
            *weight = *weight * kept - size * *first / (second.sqrt() / correction2_root + epsilon);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the constants are used in f32, as the weights are")]
    fn sgd(&self, learning_rate: f64, tensor: Slices<'_>) {
        let (rate, decay, momentum) = (learning_rate as f32, self.weight_decay as f32, self.momentum as f32);
        for ((weight, gradient), velocity) in tensor.weights.iter_mut().zip(tensor.gradient).zip(tensor.first)
        {
            *velocity = momentum * *velocity + gradient + decay * *weight;
            *weight -= rate * *velocity;
        }
    }
}

/// One tensor, its gradient and its moments (zero before the first step), all of one length.
pub(crate) struct Slices<'a> {
    /// The weights, updated.
    pub(crate) weights: &'a mut [f32],
    /// Their gradient.
    pub(crate) gradient: &'a [f32],
    /// The first moment; SGD's velocity.
    pub(crate) first: &'a mut [f32],
    /// The second moment; not used by SGD.
    pub(crate) second: &'a mut [f32],
}

/// Scales the gradients so that their norm together is at most `norm_max`. Returns the norm before.
pub(crate) fn clip(gradients: &mut [Vec<f32>], norm_max: Option<f64>) -> f64 {
    let square = |values: &Vec<f32>| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
    let norm = gradients.iter().map(square).sum::<f64>().sqrt();
    if let Some(norm_max) = norm_max.filter(|norm_max| norm > *norm_max) {
        #[expect(clippy::cast_possible_truncation, reason = "a factor for f32 values")]
        let factor = (norm_max / norm) as f32;
        gradients.iter_mut().flatten().for_each(|value| *value *= factor);
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps from 1, -2 with gradients 0.5, -1 then 0.1, 0.2 then -0.3, 0.4.
    fn run(config: Config) -> Vec<f32> {
        let (mut weights, mut first, mut second) = (vec![1.0, -2.0], vec![0.0; 2], vec![0.0; 2]);
        for (index, gradient) in [[0.5, -1.0], [0.1, 0.2], [-0.3, 0.4]].iter().enumerate() {
            let slices = Slices { weights: &mut weights, gradient, first: &mut first, second: &mut second };
            config.update(config.learning_rate, index as u64 + 1, slices);
        }
        weights
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
    }

    #[test]
    fn steps_are_pytorchs() {
        let base = Config { learning_rate: 0.1, weight_decay: 0.01, ..Config::default() };
        assert_close(&run(base), &[0.795_446, -1.830_714_8]);
        assert_close(&run(Config { kind: Kind::Adamw, ..base }), &[0.795_907_9, -1.829_730_5]);
        assert_close(&run(Config { kind: Kind::Sgd, ..base }), &[0.870_094_8, -1.796_149_5]);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let mut gradients = vec![vec![3.0], vec![0.0, 4.0]];
        assert!((clip(&mut gradients, Some(1.0)) - 5.0).abs() < 1e-12);
        assert_close(&gradients.concat(), &[0.6, 0.0, 0.8]);
        let mut small = vec![vec![0.3]];
        clip(&mut small, Some(1.0));
        clip(&mut small, None);
        assert_close(&small.concat(), &[0.3]);
    }

    #[test]
    fn constants_out_of_range_are_named() {
        let wrong = Config { beta2: 1.0, ..Config::default() };
        assert_eq!(wrong.validate().unwrap_err(), "optimizer.beta2: expected 0 or more, below 1");
        let wrong = Config { learning_rate: f64::NAN, ..Config::default() };
        assert!(wrong.validate().unwrap_err().starts_with("optimizer.learning_rate"));
        Config::default().validate().unwrap();
    }
}
