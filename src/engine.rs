//! Inference engines: what advances rows in steps. Today candle runs every architecture on every device.

mod candle;
mod device;
mod lstm;

pub use candle::CandleEngine;
pub use device::{DeviceChoice, DeviceError, quiet_pools};
pub use lstm::{LstmEngine, LstmLayout, LstmPlan, LstmPlanError};
