//! Inference engines: what advances rows in steps. Today candle runs every architecture on every device.

mod candle;
mod device;

pub use candle::CandleEngine;
pub use device::{DeviceChoice, DeviceError, quiet_pools};
