//! The networks, in candle: trained by it, and the oracle of every faster engine.

mod architecture;
mod collate;
mod dropout;
mod gradient;
mod initialise;
mod network;
mod weights;

pub mod conv;
pub mod lstm;

pub use architecture::{Architecture, BadArchitecture};
pub use collate::Batch;
pub use network::{Mode, Network};
pub use weights::{Mismatch, Weights};
