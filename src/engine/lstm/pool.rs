//! Pooling on the fly: hidden states of the last layer become one vector as they come, and at the end logits.

use super::LstmPlan;
use super::row::Held;
use crate::kernels::aligned::Aligned;
use crate::nn::lstm::Pooling;

/// A vector for every slot and direction.
#[derive(Debug)]
pub(super) struct Pool {
    values: Aligned,
    width: usize,
    directions: usize,
}

/// What one direction of the last layer put out for one row.
#[derive(Debug)]
pub(super) struct PutOut<'a> {
    pub(super) slot: usize,
    pub(super) direction: usize,
    pub(super) held: &'a mut Held,
    pub(super) hidden: &'a [f32],
}

impl Pool {
    pub(super) fn new(plan: &LstmPlan, capacity: usize) -> Self {
        let (width, directions) = (plan.head().width(), plan.directions());
        Self { values: Aligned::zeros(capacity * directions * width), width, directions }
    }

    /// Forgets what a slot held.
    pub(super) fn clear(&mut self, slot: usize) {
        self.values[slot * self.directions * self.width..][..self.directions * self.width].fill(0.0);
    }

    /// Takes in what one direction of the last layer has just put out for the row in a slot.
    pub(super) fn add(&mut self, plan: &LstmPlan, put_out: PutOut<'_>) {
        let PutOut { slot, direction, held, hidden } = put_out;
        let pooled = &mut self.values[(slot * self.directions + direction) * self.width..][..self.width];
        match plan.pooling() {
            Pooling::Last if held.is_last() => pooled.copy_from_slice(hidden),
            Pooling::Last => {}
            Pooling::Mean => {
                for (sum, value) in pooled.iter_mut().zip(hidden) {
                    *sum += value;
                }
            }
            Pooling::Max if held.is_first() => pooled.copy_from_slice(hidden),
            Pooling::Max => {
                for (most, value) in pooled.iter_mut().zip(hidden) {
                    // A NaN stays, so that it is seen in the answer.
                    *most = if *value > *most || value.is_nan() { *value } else { *most };
                }
            }
            Pooling::None => {
                let outputs = plan.head().bias().len();
                let position = held.index(direction) * outputs;
                plan.head().add(direction, hidden, &mut held.logits[position..][..outputs]);
            }
        }
    }

    /// The logits of a row whose last token is read.
    pub(super) fn answer(&mut self, plan: &LstmPlan, slot: usize, held: Held) -> Vec<f32> {
        if plan.pooling() == Pooling::None {
            return held.logits;
        }
        let mut logits = plan.head().bias().to_vec();
        for direction in 0..self.directions {
            let pooled = &mut self.values[(slot * self.directions + direction) * self.width..][..self.width];
            if plan.pooling() == Pooling::Mean {
                let share = 1.0 / held.len() as f32;
                for sum in &mut *pooled {
                    *sum *= share;
                }
            }
            plan.head().add(direction, pooled, &mut logits);
        }
        logits
    }
}
