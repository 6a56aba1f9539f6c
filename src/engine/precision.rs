//! In which numbers a network computes on a CPU.

use std::fmt;

use serde::{Deserialize, Serialize};

/// In which numbers a network computes on a CPU: `precision` in `model.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Precision {
    /// `f32`: 32-bit floats.
    #[default]
    F32,
    /// `int16`: an LSTM's weights and hidden states in 16-bit fixed point, a scale a row of weights.
    Int16,
}

impl Precision {
    /// Whether it is f32, as where nothing is said.
    #[must_use]
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

impl From<Precision> for &'static str {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => "f32",
            Precision::Int16 => "int16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str((*self).into())
    }
}

impl TryFrom<String> for Precision {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "f32" => Ok(Self::F32),
            "int16" => Ok(Self::Int16),
            "bf16" | "bfloat16" | "f16" => Err(format!(
                "{name} is not supported: the 16-bit precision is \"int16\", which is faster on CPUs and keeps more digits"
            )),
            _ => Err(format!("{name} is no precision, expected \"f32\" or \"int16\"")),
        }
    }
}
