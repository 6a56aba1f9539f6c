//! Inference engines: what advances rows in steps. Both networks have one on our kernels; candle runs every
//! architecture on every device.

mod candle;
mod conv;
mod device;
mod lstm;
mod plan;

pub use candle::CandleEngine;
pub use conv::{ConvEngine, ConvPlan, ConvPlanError};
pub use device::{DeviceChoice, DeviceError, quiet_pools};
pub use lstm::{LstmEngine, LstmLayout, LstmPlan, LstmPlanError};
pub use plan::{Plan, PlanError, PlannedEngine};
