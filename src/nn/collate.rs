//! Rows become one tensor.

use candle_core::{Device, Tensor};

use crate::value::Features;

/// Several rows as a network takes them.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Token ids, padded with 0 at the end to the longest row.
    Tokens {
        /// B × T, u32.
        ids: Tensor,
        /// Valid tokens of each row, B of them.
        lengths: Vec<usize>,
    },
    /// Pictures, B × C × H × W, f32.
    Pixels(Tensor),
}

impl Batch {
    /// Collates prepared rows for a network of this architecture.
    ///
    /// # Errors
    /// A row is of the wrong kind or size, or the device refuses.
    pub fn collate(
        _rows: &[Features],
        _architecture: &super::Architecture,
        _device: &Device,
    ) -> candle_core::Result<Self> {
        todo!()
    }
}
