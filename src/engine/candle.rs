//! The candle engine: finishes every held row in one step.

use candle_core::Device;

use crate::batch::{Engine, RowError};
use crate::nn::Network;
use crate::value::{Features, Logits};

/// Runs a network through candle. Clones of the network share its weights; rows are this engine's own.
#[derive(Debug)]
pub struct CandleEngine {
    network: Network,
    device: Device,
    capacity: usize,
}

impl CandleEngine {
    /// An engine for `capacity` rows; the network's weights are on `device`.
    #[must_use]
    pub fn new(network: Network, device: Device, capacity: usize) -> Self {
        Self { network, device, capacity }
    }
}

impl Engine for CandleEngine {
    type Row = Features;
    type Answer = Logits;

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn admit(&mut self, _slot: usize, _row: Features) -> Result<(), RowError> {
        todo!("{:?} {:?}", self.network, self.device)
    }

    fn step(&mut self, _finished: &mut Vec<(usize, Result<Logits, RowError>)>) {
        todo!()
    }

    fn evict(&mut self, _slot: usize) {
        todo!()
    }

    fn reset(&mut self) {
        todo!()
    }
}
