//! Evaluation: how well a network answers rows whose labels are known.

mod model;
mod runner;

use std::time::{Duration, Instant};

use serde::Serialize;

use super::loss::Loss;
use crate::pipeline::{Presenter, given};
use crate::value::{Features, Objective};

pub use model::{EvaluateError, Evaluation, evaluate};
pub(crate) use runner::{Runner, valid_positions};

/// Rows that a network answers at once.
const BATCH_ROWS: usize = 64;

/// How well the rows were answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Rows answered.
    pub rows: usize,
    /// Mean loss, neither weighted nor smoothed.
    pub loss: f64,
    /// Share of rows answered rightly; of a multi-label model, with exactly the right labels.
    pub accuracy: f64,
    /// Mean of the labels' F1.
    pub macro_f1: f64,
    /// The labels, in the order of the confusion matrix.
    pub labels: Vec<String>,
    /// Precision, recall and F1 of each label.
    pub per_class: Vec<ClassFigures>,
    /// Which labels were taken for which.
    pub confusion: Confusion,
}

/// How well one label was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// The label.
    pub label: String,
    /// Share of the rows given this label that have it; 0 when none was given it.
    pub precision: f64,
    /// Share of the rows with this label that were given it; 0 when none has it.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Rows with this label.
    pub support: u64,
}

/// Which labels were taken for which.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Confusion {
    /// Rows by true label (outer) and label given (inner).
    Matrix(Vec<Vec<u64>>),
    /// Of a multi-label model, a label: `[[neither, given only], [true only, both]]`.
    PerLabel(Vec<[[u64; 2]; 2]>),
}

/// A network's answer to one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered {
    /// Loss of the row.
    pub(crate) loss: f64,
    /// Numbers of the labels given.
    pub(crate) given: Vec<u32>,
    /// Score of each label.
    pub(crate) scores: Vec<f32>,
    /// Whether exactly the right labels were given.
    pub(crate) is_right: bool,
}

/// A network with what its answers mean.
pub(crate) struct Judge<'a> {
    /// The network.
    pub(crate) runner: Runner<'a>,
    /// Its labels.
    pub(crate) labels: &'a [String],
    /// How its outputs become scores.
    pub(crate) objective: Objective,
}

impl Judge<'_> {
    /// Answers all rows, in their order.
    pub(crate) fn answer(&self, rows: &[(&Features, &[u32])]) -> Result<Vec<Answered>, String> {
        Ok(self.answer_unless(rows, || false)?.unwrap_or_default())
    }

    /// Answers the first rows, as many as there is time for, and one batch at least.
    pub(crate) fn answer_for(
        &self,
        time: Duration,
        rows: &[(&Features, &[u32])],
    ) -> Result<Vec<Answered>, String> {
        let began = Instant::now();
        let mut answers = Vec::new();
        for some in rows.chunks(BATCH_ROWS) {
            if !answers.is_empty() && began.elapsed() >= time {
                break;
            }
            answers.extend(self.answer(some)?);
        }
        Ok(answers)
    }

    /// Answers all rows, in their order; none, when asked to end before the last batch.
    pub(crate) fn answer_unless(
        &self,
        rows: &[(&Features, &[u32])],
        ends: impl Fn() -> bool,
    ) -> Result<Option<Vec<Answered>>, String> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|index| rows.get(*index).map(|(features, _)| features.work()));
        let mut answers: Vec<Option<Answered>> = vec![None; rows.len()];
        for indices in order.chunks(BATCH_ROWS) {
            if ends() {
                return Ok(None);
            }
            let batch: Vec<_> = indices.iter().filter_map(|index| rows.get(*index).copied()).collect();
            for (index, answer) in indices.iter().zip(self.answer_batch(&batch)?) {
                if let Some(place) = answers.get_mut(*index) {
                    *place = Some(answer);
                }
            }
        }
        Ok(Some(answers.into_iter().flatten().collect()))
    }

    fn answer_batch(&self, rows: &[(&Features, &[u32])]) -> Result<Vec<Answered>, String> {
        let features: Vec<Features> = rows.iter().map(|(features, _)| (*features).clone()).collect();
        let presenter = Presenter::new(self.objective, self.labels);
        let loss = Loss { objective: self.objective, label_smoothing: 0.0, label_weights: Vec::new() };
        let outputs = self.objective.outputs(self.labels.len());
        let mut answers = Vec::with_capacity(rows.len());
        for ((_, labels), logits) in rows.iter().zip(self.runner.answer(&features)?) {
            let positions = logits.positions().count();
            let evaluated = loss.evaluate(logits.values(), outputs, std::iter::repeat_n(*labels, positions));
            let scores = presenter.scores(&logits).ok_or("the network's answer is not finite")?;
            let given = given(self.objective, &scores);
            let mut right = labels.to_vec();
            right.sort_unstable();
            answers.push(Answered { loss: evaluated.mean, is_right: given == right, given, scores });
        }
        Ok(answers)
    }

    /// The figures of answered rows.
    pub(crate) fn figures(&self, answers: &[Answered], rows: &[(&Features, &[u32])]) -> Figures {
        let labels = self.labels.len();
        let mut counts = vec![[[0_u64; 2]; 2]; labels];
        let mut matrix = vec![vec![0_u64; labels]; labels];
        for (answer, (_, truth)) in answers.iter().zip(rows) {
            for (label, counts) in (0_u32..).zip(&mut counts) {
                let is_true = usize::from(truth.contains(&label));
                let is_given = usize::from(answer.given.contains(&label));
                counts[is_true][is_given] += 1;
            }
            if let (Some(truth), Some(given)) = (truth.first(), answer.given.first()) {
                let cell = matrix.get_mut(*truth as usize).and_then(|row| row.get_mut(*given as usize));
                if let Some(cell) = cell {
                    *cell += 1;
                }
            }
        }
        let per_class: Vec<ClassFigures> =
            self.labels.iter().zip(&counts).map(|(label, counts)| ClassFigures::new(label, counts)).collect();
        let mean = |sum: f64, count: usize| sum / count.max(1) as f64;
        let right = answers.iter().filter(|answer| answer.is_right).count();
        Figures {
            rows: answers.len(),
            loss: mean(answers.iter().map(|answer| answer.loss).sum(), answers.len()),
            accuracy: mean(right as f64, answers.len()),
            macro_f1: mean(per_class.iter().map(|class| class.f1).sum(), labels),
            labels: self.labels.to_vec(),
            per_class,
            confusion: match self.objective {
                Objective::MultiLabel => Confusion::PerLabel(counts),
                Objective::Binary | Objective::MultiClass => Confusion::Matrix(matrix),
            },
        }
    }
}

impl ClassFigures {
    fn new(label: &str, counts: &[[u64; 2]; 2]) -> Self {
        let [[_, given_only], [true_only, both]] = *counts;
        let share = |of: u64| if of == 0 { 0.0 } else { both as f64 / of as f64 };
        let f1_parts = 2 * both + given_only + true_only;
        Self {
            label: label.to_owned(),
            precision: share(both + given_only),
            recall: share(both + true_only),
            f1: if f1_parts == 0 { 0.0 } else { 2.0 * both as f64 / f1_parts as f64 },
            support: both + true_only,
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nn::{Architecture, Network, Weights, lstm};

    fn network(outputs: usize, pooling: lstm::Pooling) -> Network {
        let architecture = Architecture::LstmClassifier(lstm::Config {
            vocabulary: 9,
            embedding_dim: 3,
            hidden_dim: 3,
            layers: 1,
            bidirectional: false,
            pooling,
            dropout: 0.5,
            outputs,
        });
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
        Network::new(&architecture, &weights).unwrap()
    }

    fn figures(objective: Objective, labels: &[&str], answered: &[(&[u32], &[u32])]) -> Figures {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let network = network(objective.outputs(labels.len()), lstm::Pooling::Last);
        let judge = Judge { runner: Runner::network(&network, &Device::Cpu), labels: &labels, objective };
        let features = Features::Tokens([1].into());
        let rows: Vec<(&Features, &[u32])> = answered.iter().map(|(truth, _)| (&features, *truth)).collect();
        let answers: Vec<Answered> = answered
            .iter()
            .map(|(truth, given)| Answered {
                loss: 0.5,
                given: given.to_vec(),
                scores: Vec::new(),
                is_right: truth == given,
            })
            .collect();
        judge.figures(&answers, &rows)
    }

    #[test]
    fn figures_are_counted_by_label() {
        let answered: [(&[u32], &[u32]); 4] = [(&[0], &[0]), (&[0], &[1]), (&[1], &[1]), (&[1], &[1])];
        let found = figures(Objective::MultiClass, &["a", "b", "c"], &answered);
        assert_eq!(found.confusion, Confusion::Matrix(vec![vec![1, 1, 0], vec![0, 2, 0], vec![0, 0, 0]]));
        let class = |index: usize| {
            let class = &found.per_class[index];
            [class.precision, class.recall, class.f1].map(|figure| (figure * 1000.0).round())
        };
        assert_eq!(
            [class(0), class(1), class(2)],
            [[1000.0, 500.0, 667.0], [667.0, 1000.0, 800.0], [0.0; 3]]
        );
        assert_eq!((found.rows, found.accuracy, found.loss), (4, 0.75, 0.5));
        assert!((found.macro_f1 - (2.0 / 3.0 + 0.8) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_multi_label_row_is_right_with_exactly_its_labels() {
        let answered: [(&[u32], &[u32]); 3] = [(&[0, 1], &[0, 1]), (&[0], &[0, 1]), (&[], &[])];
        let found = figures(Objective::MultiLabel, &["a", "b"], &answered);
        assert_eq!(found.confusion, Confusion::PerLabel(vec![[[1, 0], [0, 2]], [[1, 1], [0, 1]]]));
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn who_is_in_a_hurry_waits_for_one_batch_at_most() {
        let network = network(2, lstm::Pooling::Max);
        let labels = ["a".to_owned(), "b".to_owned()];
        let judge = Judge {
            runner: Runner::network(&network, &Device::Cpu),
            labels: &labels,
            objective: Objective::MultiClass,
        };
        let features: Vec<Features> = (0..BATCH_ROWS + 6).map(|_| Features::Tokens([1].into())).collect();
        let rows: Vec<(&Features, &[u32])> =
            features.iter().map(|features| (features, &[1_u32][..])).collect();
        let looks = std::cell::Cell::new(0);
        let second_look = || looks.replace(looks.get() + 1) == 1;
        assert_eq!(judge.answer_unless(&rows, second_look).unwrap(), None);
        assert_eq!(looks.get(), 2);
        let all = judge.answer(&rows).unwrap();
        assert_eq!(judge.answer_for(Duration::ZERO, &rows).unwrap(), all[..BATCH_ROWS]);
        assert_eq!(judge.answer_for(Duration::MAX, &rows).unwrap(), all);
    }

    #[test]
    fn answers_keep_the_order_of_the_rows_whatever_their_lengths() {
        let labels = ["a".to_owned(), "b".to_owned()];
        for pooling in [lstm::Pooling::Max, lstm::Pooling::None] {
            let network = network(2, pooling);
            let judge = Judge {
                runner: Runner::network(&network, &Device::Cpu),
                labels: &labels,
                objective: Objective::MultiClass,
            };
            let features: Vec<Features> =
                (0..70).map(|row| Features::Tokens((0..=(row * 5 % 7)).collect())).collect();
            let rows: Vec<(&Features, &[u32])> =
                features.iter().map(|features| (features, &[1_u32][..])).collect();
            let together = judge.answer(&rows).unwrap();
            for (row, answer) in rows.iter().zip(&together) {
                let alone = judge.answer(&[*row]).unwrap();
                assert!((alone[0].loss - answer.loss).abs() < 1e-6, "{pooling:?}");
                assert!((alone[0].scores[1] - answer.scores[1]).abs() < 1e-6, "{pooling:?}");
            }
        }
    }
}
