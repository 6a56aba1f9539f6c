//! Presentation: logits become scores with labels, best first.

use std::sync::Arc;

use crate::value::{Logits, Objective, Prediction};

/// Turns logits into predictions of one model.
#[derive(Clone, Debug)]
pub struct Presenter {
    objective: Objective,
    labels: Arc<[Arc<str>]>,
}

/// What one input is.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The score of every label, in the manifest's order. Of an unpooled LSTM: the mean of its positions' scores.
    pub scores: Vec<f32>,
    /// The best labels by descending score, ties in the manifest's order.
    pub predictions: Vec<Prediction>,
    /// Of an unpooled LSTM, the predictions of each token in order; empty otherwise.
    pub positions: Vec<Vec<Prediction>>,
}

impl Presenter {
    /// A presenter for these labels.
    #[must_use]
    pub fn new(objective: Objective, labels: &[String]) -> Self {
        Self { objective, labels: labels.iter().map(|label| label.as_str().into()).collect() }
    }

    /// The labels, in the manifest's order.
    #[must_use]
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// How logits become scores.
    #[must_use]
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Scores of every label in the manifest's order, averaged over positions. `None` when a logit is not finite.
    ///
    /// A score, and the mean of many, is within 1 ulp of the exact one: all of it is computed in f64 and rounded once.
    #[must_use]
    pub fn scores(&self, logits: &Logits) -> Option<Vec<f32>> {
        mean(&self.positions(logits)?).map(|scores| rounded(&scores))
    }

    /// The logit of every label, in the manifest's order: what softmax or sigmoid makes its score of. Of two labels with
    /// one logit, the first has its negative. `None` unless there is one position, with as many as labels need.
    #[must_use]
    pub fn label_logits(&self, logits: &Logits) -> Option<Vec<f32>> {
        let mut positions = logits.positions();
        let (Some(only), None) = (positions.next(), positions.next()) else { return None };
        match (self.objective, only) {
            (Objective::Binary, &[logit]) => Some(vec![-logit, logit]),
            (Objective::MultiClass | Objective::MultiLabel, _) if only.len() == self.labels.len() => {
                Some(only.to_vec())
            }
            _ => None,
        }
    }

    /// The `top_k` best labels (all when `None`). `None` when a logit is not finite. `unpooled`: fill `positions`.
    #[must_use]
    pub fn present(&self, logits: &Logits, top_k: Option<usize>, unpooled: bool) -> Option<Outcome> {
        let positions = self.positions(logits)?;
        let scores = rounded(&mean(&positions)?);
        let predictions = self.best(&scores, top_k);
        let positions = if unpooled {
            positions.iter().map(|scores| self.best(&rounded(scores), top_k)).collect()
        } else {
            Vec::new()
        };
        Some(Outcome { scores, predictions, positions })
    }

    /// Scores of each position; `None` when a logit is not finite or there are not as many as labels need.
    fn positions(&self, logits: &Logits) -> Option<Vec<Vec<f64>>> {
        let finite = logits.is_finite().then_some(logits)?;
        finite.positions().map(|position| self.position(position)).collect()
    }

    /// Scores of one position, a label each.
    fn position(&self, logits: &[f32]) -> Option<Vec<f64>> {
        if logits.len() != self.objective.outputs(self.labels.len()) {
            return None;
        }
        match (self.objective, logits) {
            (Objective::Binary, &[logit]) => Some(vec![sigmoid(-logit), sigmoid(logit)]),
            (Objective::Binary, _) => None,
            (Objective::MultiClass, _) => Some(softmax(logits)),
            (Objective::MultiLabel, _) => Some(logits.iter().copied().map(sigmoid).collect()),
        }
    }

    fn best(&self, scores: &[f32], top_k: Option<usize>) -> Vec<Prediction> {
        let mut ranked: Vec<(&Arc<str>, f32)> = self.labels.iter().zip(scores.iter().copied()).collect();
        // Stable, so ties stay in the manifest's order.
        ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
        let kept = ranked.into_iter().take(top_k.unwrap_or(usize::MAX));
        kept.map(|(label, score)| Prediction { label: Arc::clone(label), score }).collect()
    }
}

/// The labels that scores give: the best one, or of a multi-label model all above a half.
pub(crate) fn given(objective: Objective, scores: &[f32]) -> Vec<u32> {
    let numbered = (0_u32..).zip(scores);
    if objective == Objective::MultiLabel {
        return numbered.filter(|(_, score)| **score > 0.5).map(|(label, _)| label).collect();
    }
    // Of equal scores the first label, as presentation orders them.
    let best = numbered.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(label, _)| label).into_iter().collect()
}

/// 1 / (1 + e^-x), by the form whose exponential cannot overflow.
fn sigmoid(logit: f32) -> f64 {
    let logit = f64::from(logit);
    let small = (-logit.abs()).exp();
    if logit >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

/// e^(x - max) / sum of them: the largest exponential is 1. In f32 the difference alone, rounded, would cost a score
/// of e^-80 some 40 ulp.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |logit: &f32| (f64::from(*logit) - f64::from(largest)).exp();
    let powers: Vec<f64> = logits.iter().map(power).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The mean of each label's scores; `None` without a position.
fn mean(positions: &[Vec<f64>]) -> Option<Vec<f64>> {
    let (first, others) = positions.split_first()?;
    let mut sums = first.clone();
    for scores in others {
        for (sum, score) in sums.iter_mut().zip(scores) {
            *sum += score;
        }
    }
    let count = positions.len() as f64;
    Some(sums.into_iter().map(|sum| sum / count).collect())
}

/// To the nearest f32.
#[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
fn rounded(scores: &[f64]) -> Vec<f32> {
    scores.iter().map(|score| *score as f32).collect()
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn presenter(objective: Objective, labels: &[&str]) -> Presenter {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        Presenter::new(objective, &labels)
    }

    fn logits(outputs: usize, values: &[f32]) -> Logits {
        Logits::new(outputs, values.to_vec()).unwrap()
    }

    fn told(predictions: &[Prediction]) -> Vec<(&str, f32)> {
        predictions.iter().map(|prediction| (&*prediction.label, prediction.score)).collect()
    }

    #[test]
    fn scores_give_the_best_label_or_all_above_a_half() {
        assert_eq!(given(Objective::MultiClass, &[0.2, 0.4, 0.4]), [1]);
        assert_eq!(given(Objective::Binary, &[0.5, 0.5]), [0]);
        assert_eq!(given(Objective::MultiLabel, &[0.6, 0.5, 0.9]), [0, 2]);
        assert!(given(Objective::MultiLabel, &[0.1, 0.5]).is_empty());
    }

    #[test]
    fn each_objective_scores_in_its_way() {
        let binary = presenter(Objective::Binary, &["no", "yes"]);
        assert_eq!(binary.scores(&logits(1, &[0.0])).unwrap(), [0.5, 0.5]);
        let scores = binary.scores(&logits(1, &[2.0])).unwrap();
        assert!((scores[1] - 0.880_797).abs() < 1e-6 && (scores[0] + scores[1] - 1.0).abs() < 1e-6);
        let classes = presenter(Objective::MultiClass, &["a", "b", "c"]);
        let scores = classes.scores(&logits(3, &[1.0, 2.0, 3.0])).unwrap();
        for (score, expected) in scores.iter().zip([0.090_031, 0.244_728, 0.665_241]) {
            assert!((score - expected).abs() < 1e-6, "{scores:?}");
        }
        let tags = presenter(Objective::MultiLabel, &["a", "b"]);
        assert_eq!(tags.scores(&logits(2, &[0.0, 100.0])).unwrap(), [0.5, 1.0]);
    }

    #[test]
    fn each_label_has_the_logit_that_its_score_is_made_of() {
        let classes = presenter(Objective::MultiClass, &["a", "b"]);
        assert_eq!(classes.label_logits(&logits(2, &[1.5, -2.0])).unwrap(), [1.5, -2.0]);
        let binary = presenter(Objective::Binary, &["no", "yes"]);
        let found = binary.label_logits(&logits(1, &[2.0])).unwrap();
        let scores = binary.scores(&logits(1, &[2.0])).unwrap();
        for (logit, score) in found.iter().zip(scores) {
            assert_eq!(rounded(&[sigmoid(*logit)]), [score]);
        }
        assert_eq!(binary.label_logits(&logits(1, &[2.0, 3.0])), None, "of two positions");
        assert_eq!(classes.label_logits(&logits(3, &[0.0; 3])), None);
    }

    #[test]
    fn extreme_logits_neither_overflow_nor_vanish() {
        let classes = presenter(Objective::MultiClass, &["a", "b"]);
        assert_eq!(classes.scores(&logits(2, &[f32::MAX, -f32::MAX])).unwrap(), [1.0, 0.0]);
        assert_eq!(classes.scores(&logits(2, &[-1e30, -1e30])).unwrap(), [0.5, 0.5]);
        let binary = presenter(Objective::Binary, &["no", "yes"]);
        let scores = binary.scores(&logits(1, &[-60.0])).unwrap();
        assert!(scores[1] > 0.0 && scores[1] < 1e-25, "{scores:?}");
        assert_eq!(binary.scores(&logits(1, &[f32::MIN])).unwrap(), [1.0, 0.0]);
    }

    #[test]
    fn the_best_come_first_and_ties_keep_the_manifests_order() {
        let classes = presenter(Objective::MultiClass, &["a", "b", "c", "d"]);
        let outcome = classes.present(&logits(4, &[1.0, 2.0, 1.0, 2.0]), None, false).unwrap();
        let order: Vec<&str> = told(&outcome.predictions).into_iter().map(|(label, _)| label).collect();
        assert_eq!(order, ["b", "d", "a", "c"]);
        for (top_k, expected) in [(1, 1), (4, 4), (9, 4)] {
            let outcome = classes.present(&logits(4, &[0.0; 4]), Some(top_k), false).unwrap();
            assert_eq!(outcome.predictions.len(), expected);
        }
    }

    #[test]
    fn an_unpooled_answer_is_the_mean_of_its_positions() {
        let binary = presenter(Objective::Binary, &["no", "yes"]);
        let values = logits(1, &[0.0, 100.0]);
        let outcome = binary.present(&values, Some(1), true).unwrap();
        assert_eq!(told(&outcome.predictions), [("yes", 0.75)]);
        assert_eq!(told(&outcome.positions[0]), [("no", 0.5)]);
        assert_eq!(told(&outcome.positions[1]), [("yes", 1.0)]);
        assert!(binary.present(&values, None, false).unwrap().positions.is_empty());
    }

    #[test]
    fn what_is_not_finite_or_of_the_wrong_size_has_no_score() {
        for objective in [Objective::MultiClass, Objective::MultiLabel] {
            let classes = presenter(objective, &["a", "b"]);
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                assert_eq!(classes.scores(&logits(2, &[0.0, bad])), None);
                assert_eq!(classes.present(&logits(2, &[0.0, 1.0, bad, 0.0]), None, true), None);
            }
            assert_eq!(classes.scores(&logits(3, &[0.0; 3])), None);
        }
    }

    /// Distance in units in the last place of the exact score.
    fn ulps(found: f32, exact: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, reason = "the f32 nearest to it tells the size of an ulp")]
        let near = (exact as f32).max(f32::from_bits(1));
        let ulp = f64::from(near.next_up()) - f64::from(near);
        (f64::from(found) - exact).abs() / ulp
    }

    /// By a formula of its own: the reciprocal of a sum of exponentials, none of which cancels another.
    fn exact(logits: &[f32], label: usize) -> f64 {
        let own = f64::from(logits[label]);
        logits.iter().map(|logit| (f64::from(*logit) - own).exp()).sum::<f64>().recip()
    }

    #[test]
    fn scores_are_within_an_ulp_on_fresh_inputs() {
        let seed: u64 = rand::random();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut worst: f64 = 0.0;
        for round in 0..400_u16 {
            let spread = f32::from(round % 100 + 1);
            let values: Vec<f32> =
                (0..=round % 40).map(|_| generator.random_range(-spread..spread)).collect();
            let labels: Vec<String> = values.iter().map(ToString::to_string).collect();
            let classes = Presenter::new(Objective::MultiClass, &labels);
            let tags = Presenter::new(Objective::MultiLabel, &labels);
            let binary = presenter(Objective::Binary, &["no", "yes"]);
            let many = logits(values.len(), &values);
            let (classes, tags) = (classes.scores(&many).unwrap(), tags.scores(&many).unwrap());
            for (label, value) in values.iter().enumerate() {
                worst = worst.max(ulps(classes[label], exact(&values, label)));
                let yes = exact(&[*value, 0.0], 0);
                worst = worst.max(ulps(tags[label], yes));
                let scores = binary.scores(&logits(1, &[*value])).unwrap();
                worst = worst.max(ulps(scores[1], yes)).max(ulps(scores[0], exact(&[0.0, *value], 0)));
            }
            let positions = binary.scores(&logits(1, &values)).unwrap();
            let exact_mean =
                values.iter().map(|value| exact(&[*value, 0.0], 0)).sum::<f64>() / f64::from(1 + round % 40);
            worst = worst.max(ulps(positions[1], exact_mean));
        }
        assert!(worst <= 1.0, "{worst} ulp with seed {seed}");
    }
}
