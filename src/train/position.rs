//! How far training is, and what it has seen on the way.

use serde::{Deserialize, Serialize};

/// How far training is. Floats are written so that they read back bit for bit (TOML's shortest form).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Epochs finished.
    pub(crate) epoch: u64,
    /// Batches of the epoch under way that are done.
    pub(crate) batch: u64,
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// Sum of the losses of the rows seen in the epoch under way.
    pub(crate) loss_sum: f64,
    /// Rows of it answered rightly.
    pub(crate) right: u64,
    /// Rows of it seen.
    pub(crate) rows: u64,
    /// Epochs since the best.
    pub(crate) since_best: u64,
    /// Seconds of training so far, over all resumptions; not part of the result.
    pub(crate) seconds: f64,
    /// The best epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) best: Option<Best>,
    /// The epochs finished.
    #[serde(default)]
    pub(crate) history: Vec<EpochFigures>,
}

/// The best epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Its number, from 1.
    pub(crate) epoch: u64,
    /// Its figure by the recipe's metric; larger is better.
    pub(crate) figure: f64,
}

/// What one epoch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochFigures {
    /// Its number, from 1.
    pub epoch: u64,
    /// Learning rate at its end.
    pub learning_rate: f64,
    /// Mean loss over its training rows, as they were seen (with dropout and variation).
    pub train_loss: f64,
    /// Share of its training rows answered rightly, as they were seen.
    pub train_accuracy: f64,
    /// Mean loss over the validation rows.
    pub valid_loss: f64,
    /// Share of the validation rows answered rightly.
    pub valid_accuracy: f64,
    /// Macro-F1 over the validation rows.
    pub valid_macro_f1: f64,
}

impl Position {
    /// Ends the epoch under way. Returns whether it is the best so far by `figure` (larger is better).
    pub(crate) fn end_epoch(&mut self, figures: EpochFigures, figure: f64) -> bool {
        self.history.push(figures);
        self.epoch += 1;
        (self.batch, self.rows, self.right, self.loss_sum) = (0, 0, 0, 0.0);
        let is_best = self.best.is_none_or(|best| figure > best.figure);
        if is_best {
            self.best = Some(Best { epoch: self.epoch, figure });
            self.since_best = 0;
        } else {
            self.since_best += 1;
        }
        is_best
    }

    /// Whether training has come to its end.
    pub(crate) fn is_finished(&self, epochs: u64, patience: Option<u64>) -> bool {
        self.epoch >= epochs || patience.is_some_and(|patience| self.since_best >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_ends_after_its_epochs_or_its_patience() {
        let mut position = Position::default();
        let mut finished = Vec::new();
        for figure in [0.5, 0.7, 0.7, 0.6] {
            position.end_epoch(EpochFigures::default(), figure);
            finished.push((position.is_finished(9, Some(2)), position.is_finished(3, None)));
        }
        assert_eq!(finished, [(false, false), (false, false), (false, true), (true, true)]);
        assert_eq!(position.best, Some(Best { epoch: 2, figure: 0.7 }));
    }
}
