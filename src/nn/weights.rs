//! Named tensors, checked against an architecture, and their initialisation.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::RngCore;

use super::Architecture;

/// Named f32 tensors, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Weights(pub BTreeMap<String, Tensor>);

/// How given tensors differ from the ones an architecture needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// One is not there.
    #[error("tensor {name} is missing (expected shape {expected:?})")]
    Missing {
        /// Its name.
        name: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// One has no place.
    #[error("tensor {name} (shape {found:?}) has no place in this architecture")]
    Extra {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// One has the wrong shape.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// One has a value that is not finite.
    #[error("tensor {name} holds {value} at index {index}")]
    NotFinite {
        /// Its name.
        name: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value: NaN, inf or -inf.
        value: String,
    },
}

impl Weights {
    /// Fresh weights, drawn as PyTorch initialises each layer, the same for the same generator state on any machine.
    ///
    /// # Errors
    /// Candle's, when the device refuses.
    pub fn initialise(
        _architecture: &Architecture,
        _generator: &mut dyn RngCore,
        _device: &Device,
    ) -> candle_core::Result<Self> {
        todo!()
    }

    /// Checks that these are exactly the tensors of `architecture`, all finite. Reports every mismatch.
    #[must_use]
    pub fn mismatches(&self, _architecture: &Architecture) -> Vec<Mismatch> {
        todo!()
    }
}
