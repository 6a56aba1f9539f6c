//! Inference engines: what advances rows in steps. Both networks have one on our kernels; candle runs every
//! architecture on every device.

mod candle;
mod capacity;
mod conv;
mod cost;
mod device;
mod lstm;
mod plan;
mod precision;

pub use candle::CandleEngine;
pub use capacity::Capacity;
pub use conv::{ConvEngine, ConvPlan, ConvPlanError};
pub use cost::Cost;
pub use device::{DeviceChoice, DeviceError, quiet_pools};
pub use lstm::{LstmEngine, LstmLayout, LstmPlan, LstmPlanError};
pub use plan::{EngineChoice, Plan, PlanError, PlannedEngine};
pub use precision::Precision;
