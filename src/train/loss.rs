//! Losses with their gradients in closed form: cross-entropy, and binary cross-entropy with logits.
//!
//! Both are computed in f64 from the logits, never from probabilities, so that no logit overflows them.
//! Formulas: `PyTorch`'s `CrossEntropyLoss(weight, label_smoothing)` and `BCEWithLogitsLoss`.

use crate::value::Objective;

/// The loss of one objective.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// How outputs become scores.
    pub(crate) objective: Objective,
    /// Share of the target spread over all labels, 0 to 1.
    pub(crate) label_smoothing: f64,
    /// Weight of each label, in the manifest's order.
    pub(crate) label_weights: Vec<f64>,
}

/// Loss of some rows: a weighted sum, the weights it was summed with, and its gradient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evaluated {
    /// Mean loss.
    pub(crate) mean: f64,
    /// Loss of each row, not weighted.
    pub(crate) rows: Vec<f64>,
    /// Derivative of the mean by each logit; same layout as the logits.
    pub(crate) gradient: Vec<f32>,
}

impl Loss {
    /// Evaluates rows of `outputs` logits each; `labels` are the labels that hold for each row.
    pub(crate) fn evaluate<'a>(
        &self,
        logits: &[f32],
        outputs: usize,
        labels: impl IntoIterator<Item = &'a [u32]>,
    ) -> Evaluated {
        let mut rows = Vec::new();
        let mut gradient = Vec::with_capacity(logits.len());
        let (mut sum, mut weight_sum) = (0.0, 0.0);
        for (logits, labels) in logits.chunks_exact(outputs).zip(labels) {
            let row = self.row(logits, labels);
            sum += row.weighted;
            weight_sum += row.weight;
            rows.push(row.plain);
            gradient.extend(row.gradient);
        }
        let scale = if weight_sum > 0.0 { 1.0 / weight_sum } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a gradient is wanted in f32")]
        let gradient = gradient.into_iter().map(|value: f64| (value * scale) as f32).collect();
        Evaluated { mean: sum * scale, rows, gradient }
    }

    fn row(&self, logits: &[f32], labels: &[u32]) -> RowLoss {
        match self.objective {
            Objective::Binary => self.sigmoids(
                logits,
                |_| labels.first() == Some(&1),
                |_| self.weight(labels.first().map_or(0, |label| *label as usize)),
            ),
            Objective::MultiLabel => self.sigmoids(
                logits,
                |output| labels.iter().any(|label| *label as usize == output),
                |output| self.weight(output),
            ),
            Objective::MultiClass => self.softmax(logits, labels.first().map_or(0, |label| *label as usize)),
        }
    }

    fn weight(&self, label: usize) -> f64 {
        self.label_weights.get(label).copied().unwrap_or(1.0)
    }

    fn softmax(&self, logits: &[f32], target: usize) -> RowLoss {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shifted: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) - f64::from(max)).collect();
        let log_sum = shifted.iter().map(|value| value.exp()).sum::<f64>().ln();
        let count = logits.len() as f64;
        let (kept, spread) = (1.0 - self.label_smoothing, self.label_smoothing / count);
        let weights_sum: f64 = (0..logits.len()).map(|label| self.weight(label)).sum();
        let mut row = RowLoss { weight: self.weight(target), ..RowLoss::default() };
        for (label, shifted) in shifted.iter().enumerate() {
            let log_probability = shifted - log_sum;
            let hit = f64::from(u8::from(label == target));
            row.plain -= log_probability * (kept * hit + spread);
            row.weighted -= log_probability * (kept * hit * row.weight + spread * self.weight(label));
            let pull = kept * row.weight * hit + spread * self.weight(label);
            row.gradient.push(log_probability.exp() * (kept * row.weight + spread * weights_sum) - pull);
        }
        row
    }

    fn sigmoids(
        &self,
        logits: &[f32],
        holds: impl Fn(usize) -> bool,
        weight: impl Fn(usize) -> f64,
    ) -> RowLoss {
        let mut row = RowLoss::default();
        let share = 1.0 / logits.len() as f64;
        for (output, logit) in logits.iter().enumerate() {
            let logit = f64::from(*logit);
            let hit = f64::from(u8::from(holds(output)));
            let target = hit * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0;
            let loss = logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p();
            let weight = weight(output) * share;
            row.plain += loss * share;
            row.weighted += loss * weight;
            row.weight += weight;
            row.gradient.push(weight * (1.0 / (1.0 + (-logit).exp()) - target));
        }
        row
    }
}

#[derive(Default)]
struct RowLoss {
    plain: f64,
    weighted: f64,
    weight: f64,
    gradient: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(objective: Objective, label_smoothing: f64, label_weights: &[f64]) -> Loss {
        Loss { objective, label_smoothing, label_weights: label_weights.to_vec() }
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    /// `F.cross_entropy([[1, 2, 3], [0, 0, 5]], [0, 2], weight=[1, 2, 3], label_smoothing=0.1)` of `PyTorch` 2.15.
    #[test]
    fn cross_entropy_is_pytorchs() {
        let logits = [1.0, 2.0, 3.0, 0.0, 0.0, 5.0];
        let targets: [&[u32]; 2] = [&[0], &[2]];
        let plain = loss(Objective::MultiClass, 0.0, &[]).evaluate(&logits, 3, targets);
        assert!(close(plain.mean, 1.210_495_933), "{}", plain.mean);
        let all = loss(Objective::MultiClass, 0.1, &[1.0, 2.0, 3.0]).evaluate(&logits, 3, targets);
        assert!(close(all.mean, 0.730_129_752), "{}", all.mean);
    }

    /// `F.binary_cross_entropy_with_logits([0.5, -2, 3], [1, 1, 0])` of `PyTorch` 2.15.
    #[test]
    fn binary_cross_entropy_is_pytorchs() {
        let targets: [&[u32]; 3] = [&[1], &[1], &[0]];
        let found = loss(Objective::Binary, 0.0, &[]).evaluate(&[0.5, -2.0, 3.0], 1, targets);
        assert!(close(found.mean, 1.883_197_449), "{}", found.mean);
        let together: [&[u32]; 1] = [&[0, 1]];
        let found = loss(Objective::MultiLabel, 0.0, &[]).evaluate(&[0.5, -2.0, 3.0], 3, together);
        assert!(close(found.mean, 1.883_197_449), "{}", found.mean);
    }

    #[test]
    fn no_logit_overflows() {
        for objective in [Objective::Binary, Objective::MultiLabel, Objective::MultiClass] {
            let outputs = objective.outputs(2);
            let logits: Vec<f32> = [3.0e38, -3.0e38].into_iter().take(outputs).collect();
            let found = loss(objective, 0.1, &[]).evaluate(&logits, outputs, [&[1_u32][..]]);
            assert!(found.mean.is_finite() && found.gradient.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_mean() {
        let logits = [0.3, -1.2, 2.0, 0.1, 0.7, -0.4];
        let targets: [&[u32]; 2] = [&[1], &[0]];
        for (objective, outputs) in [
            (Objective::MultiClass, 3),
            (Objective::MultiLabel, 3),
            (Objective::MultiClass, 2),
            (Objective::Binary, 1),
        ] {
            let loss = loss(objective, 0.1, &[0.5, 2.0, 1.0]);
            let logits = &logits[..outputs * 2];
            let found = loss.evaluate(logits, outputs, targets);
            for index in 0..logits.len() {
                let mean_at = |shift: f32| {
                    let mut moved = logits.to_vec();
                    moved[index] += shift;
                    loss.evaluate(&moved, outputs, targets).mean
                };
                let slope = (mean_at(1e-3) - mean_at(-1e-3)) / 2e-3;
                let gradient = f64::from(found.gradient[index]);
                assert!((slope - gradient).abs() < 1e-4, "{objective:?} {index}: {slope} {gradient}");
            }
        }
    }
}
