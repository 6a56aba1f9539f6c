//! A network ready to run: an architecture with its weights.

use candle_core::Tensor;
use rand::RngCore;

use super::{Architecture, Batch, Mismatch, Weights};

/// Whether dropout drops and batch norm learns.
pub enum Mode<'a> {
    /// Inference: deterministic.
    Evaluate,
    /// Training: dropout masks are drawn from the generator; batch norm uses the batch and updates its statistics.
    Train(&'a mut dyn RngCore),
}

/// A network ready to run. Clones share tensors.
#[derive(Clone, Debug)]
pub struct Network {
    architecture: Architecture,
}

impl Network {
    /// A network of exactly these weights, on the device they are on.
    ///
    /// # Errors
    /// A tensor is missing, extra or of the wrong shape.
    pub fn new(_architecture: &Architecture, _weights: &Weights) -> Result<Self, Mismatch> {
        todo!()
    }

    /// Its architecture.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Logits, B × P × outputs: P is 1, or T when an LSTM is not pooled (positions past a row's length are 0).
    ///
    /// # Errors
    /// Candle's, on a shape that does not fit or a device that fails.
    pub fn forward(&self, _batch: &Batch, _mode: &mut Mode<'_>) -> candle_core::Result<Tensor> {
        todo!()
    }

    /// The running statistics of batch norm as they are now, by tensor name; empty without batch norm.
    #[must_use]
    pub fn statistics(&self) -> std::collections::BTreeMap<String, Tensor> {
        todo!()
    }
}
