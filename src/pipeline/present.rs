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
    /// Labels by descending score, ties in the manifest's order. Of an unpooled LSTM: the mean of its positions' scores.
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

    /// Scores of every label in the manifest's order, averaged over positions. `None` when a logit is not finite.
    #[must_use]
    pub fn scores(&self, _logits: &Logits) -> Option<Vec<f32>> {
        todo!("{:?}", self.objective)
    }

    /// The `top_k` best labels (all when `None`). `None` when a logit is not finite. `unpooled`: fill `positions`.
    #[must_use]
    pub fn present(&self, _logits: &Logits, _top_k: Option<usize>, _unpooled: bool) -> Option<Outcome> {
        todo!()
    }
}
