//! In which numbers a network computes on a CPU.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{BF16_SCORE_DIFFERENCE_MAX, INT16_SCORE_DIFFERENCE_MAX};

/// In which numbers a network computes on a CPU: `precision` in `model.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Precision {
    /// `f32`: 32-bit floats.
    #[default]
    F32,
    /// `bf16`: an LSTM's weights in bfloat16, and its hidden states where the machine multiplies them in tiles (AMX).
    /// Elsewhere it takes as long as f32.
    Bf16,
    /// `int16`: an LSTM's weights and hidden states in 16-bit fixed point, a scale a row of weights. Where the network is
    /// computed in tiles, f32 is faster, and computed instead.
    Int16,
}

impl Precision {
    /// How far a score may be from the one of f32 for a network that the precision suits; `None` where answers are those of
    /// f32.
    #[must_use]
    pub fn score_difference_max(self) -> Option<f32> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(BF16_SCORE_DIFFERENCE_MAX),
            Self::Int16 => Some(INT16_SCORE_DIFFERENCE_MAX),
        }
    }

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
            Precision::Bf16 => "bf16",
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
            "bf16" => Ok(Self::Bf16),
            "int16" => Ok(Self::Int16),
            _ => Err(format!("{name} is no precision, expected \"f32\", \"bf16\" or \"int16\"")),
        }
    }
}
