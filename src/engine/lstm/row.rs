//! A text on its way through the layers: where it is, and what its layers have put out.

use std::sync::Arc;

use super::LstmPlan;
use crate::nn::lstm::Pooling;

/// A held row.
#[derive(Debug)]
pub(super) struct Held {
    tokens: Arc<[u32]>,
    /// Of two directions, the layer it is in; of one, 0: all layers advance together.
    layer: usize,
    /// Tokens that this layer has read, in each direction.
    position: usize,
    /// Of two directions and several layers: what a layer has put out, token by token, both directions side by side.
    /// An even layer's is the first.
    sequences: [Vec<f32>; 2],
    /// Without pooling, the logits so far.
    pub(super) logits: Vec<f32>,
}

impl Held {
    pub(super) fn new(plan: &LstmPlan, tokens: Arc<[u32]>) -> Self {
        let sequences = Self::sequences(plan);
        let sequence =
            |index| vec![0.0; if index < sequences { tokens.len() * 2 * plan.hidden() } else { 0 }];
        let logits = match plan.pooling() {
            Pooling::None => plan.head().bias().repeat(tokens.len()),
            Pooling::Last | Pooling::Mean | Pooling::Max => Vec::new(),
        };
        Self { layer: 0, position: 0, sequences: [sequence(0), sequence(1)], logits, tokens }
    }

    /// Sequences that a row of this network keeps: what the layer below put out, and what its own does.
    pub(super) fn sequences(plan: &LstmPlan) -> usize {
        if plan.directions() == 2 { (plan.layers() - 1).min(2) } else { 0 }
    }

    /// Whether this layer is the row's to advance in now.
    pub(super) fn is_in(&self, plan: &LstmPlan, layer: usize) -> bool {
        plan.directions() == 1 || self.layer == layer
    }

    /// Tokens of the text.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Multiply-adds that are left to do, those of the inputs not counted.
    pub(super) fn products(&self, plan: &LstmPlan) -> usize {
        let steps = if plan.directions() == 1 {
            plan.layers() * (self.tokens.len() - self.position)
        } else {
            2 * ((plan.layers() - self.layer) * self.tokens.len() - self.position)
        };
        steps * plan.cell(0, 0).products()
    }

    /// Whether this step reads the first token of its direction.
    pub(super) fn is_first(&self) -> bool {
        self.position == 0
    }

    /// Whether this step reads the last token of its direction.
    pub(super) fn is_last(&self) -> bool {
        self.position + 1 == self.tokens.len()
    }

    /// Which token this step reads, from the front.
    pub(super) fn index(&self, direction: usize) -> usize {
        if direction == 0 { self.position } else { self.tokens.len() - 1 - self.position }
    }

    /// The id of that token.
    pub(super) fn token(&self, direction: usize) -> usize {
        self.tokens[self.index(direction)] as usize
    }

    /// What a layer put out for the token that this step reads.
    pub(super) fn put_out(&self, plan: &LstmPlan, layer: usize, direction: usize) -> &[f32] {
        let width = 2 * plan.hidden();
        &self.sequences[layer % 2][self.index(direction) * width..][..width]
    }

    /// Keeps what a layer puts out for the token that this step reads.
    pub(super) fn put(&mut self, layer: usize, direction: usize, hidden: &[f32]) {
        let first = (2 * self.index(direction) + direction) * hidden.len();
        self.sequences[layer % 2][first..][..hidden.len()].copy_from_slice(hidden);
    }

    /// Moves on by a token; true when that was the last one.
    pub(super) fn next_token(&mut self) -> bool {
        self.position += 1;
        self.position == self.tokens.len()
    }

    /// Moves on to the next layer, if there is one to be read after this one.
    pub(super) fn next_layer(&mut self, plan: &LstmPlan) -> bool {
        self.layer += 1;
        self.position = 0;
        plan.directions() == 2 && self.layer < plan.layers()
    }
}
