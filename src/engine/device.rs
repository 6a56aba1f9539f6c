//! Which device a model runs on, and on which threads.

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
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if !cfg!(feature = "cuda") => Ok(Device::Cpu),
            // A machine without a device or driver is the ordinary reason here, and the CPU does.
            Self::Auto => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(DeviceError(
                "this binary was built without CUDA; build with --features cuda, or choose device = \"cpu\""
                    .into(),
            )),
            Self::Cuda(number) => Device::new_cuda(number).map_err(|error| {
                let hint = "check the number with nvidia-smi, or choose device = \"cpu\"";
                DeviceError(format!("CUDA device {number} cannot be opened ({error}); {hint}"))
            }),
        }
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = DeviceError;

    fn try_from(text: String) -> Result<Self, DeviceError> {
        let wrong = || DeviceError(format!("device is {text:?}, expected \"auto\", \"cpu\" or \"cuda:0\""));
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            other => {
                let number = other.strip_prefix("cuda:").ok_or_else(wrong)?;
                if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(wrong());
                }
                number.parse().map(Self::Cuda).map_err(|_| wrong())
            }
        }
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

/// Keeps candle from starting threads of its own in this process: rayon's shared pool gets one thread. Call it at the
/// start of a process that serves; one that trains wants the threads.
///
/// This alone would send every worker's matrix products to that one thread, because candle asks the environment, at
/// each product, how many threads to use, and a program cannot set its own environment safely. So each engine also
/// makes the thread that it runs on a pool of its own, which rayon's loops then stay in.
pub fn quiet_pools() {
    // Fails only where the pool is in use already; nothing more can be done then, and engines are quiet all the same.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
}

/// Makes the calling thread a rayon pool of one: parallel loops started on it run on it.
pub(super) fn quiet_this_thread() {
    thread_local! {
        /// `None` on a thread that is part of a pool already.
        static OWN: Option<rayon::ThreadPool> =
            rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok();
    }
    OWN.with(|_| ());
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn choices_are_read_and_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:12"] {
            let choice = DeviceChoice::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(choice), text);
        }
        for wrong in ["", "gpu", "cuda", "cuda:", "cuda:-1", "cuda:+1", "CPU", "cuda:99999999999999999999"] {
            let error = DeviceChoice::try_from(wrong.to_owned()).unwrap_err();
            assert!(error.0.contains("expected \"auto\", \"cpu\" or \"cuda:0\""), "{error}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_without_the_feature_says_what_to_do() {
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
        let error = DeviceChoice::Cuda(0).open().unwrap_err().to_string();
        assert!(error.contains("--features cuda") && error.contains("device = \"cpu\""), "{error}");
    }

    #[test]
    fn parallel_loops_stay_on_a_quiet_thread() {
        std::thread::spawn(|| {
            quiet_this_thread();
            let own = std::thread::current().id();
            let on: Vec<_> = (0..64).into_par_iter().map(|_| std::thread::current().id()).collect();
            assert!(on.iter().all(|thread| *thread == own));
        })
        .join()
        .unwrap();
    }
}
