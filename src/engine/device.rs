//! Which device a model runs on.

use candle_core::Device;
use serde::{Deserialize, Serialize};

/// What the operator asked for: `auto`, `cpu` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device where this binary and machine have one, the CPU otherwise.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

/// Why a device cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DeviceError(pub String);

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// CUDA was asked for and this binary was built without it, or the driver refuses.
    pub fn open(self) -> Result<Device, DeviceError> {
        todo!()
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(_text: String) -> Result<Self, DeviceError> {
        todo!()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        match choice {
            DeviceChoice::Auto => "auto".into(),
            DeviceChoice::Cpu => "cpu".into(),
            DeviceChoice::Cuda(number) => format!("cuda:{number}"),
        }
    }
}

/// Sets candle's and rayon's own thread pools to one thread, before first use: workers are the parallelism.
pub fn quiet_pools() {
    todo!()
}
