//! `golden.json`: inputs with the logits that the version must reproduce before it may answer anyone.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::value::Input;

/// Largest absolute difference of a logit from its golden value, times `max(1, |golden|)`: kernels differ in the
/// order of their sums, and a wrong weight shows far above it.
pub const GOLDEN_TOLERANCE: f32 = 1e-4;

/// One input and what the network said of it when it was published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenSample {
    /// The input.
    pub input: GoldenInput,
    /// Its logits, position by position.
    pub logits: Vec<f32>,
}

/// An input as JSON: `{"text": "…"}` or `{"picture": "base64"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GoldenInput {
    /// A text.
    Text(String),
    /// An encoded picture, base64 in the file.
    #[serde(with = "base64_bytes")]
    Picture(Bytes),
}

impl From<&GoldenInput> for Input {
    fn from(input: &GoldenInput) -> Self {
        match input {
            GoldenInput::Text(text) => Self::Text(text.clone()),
            GoldenInput::Picture(bytes) => Self::Picture(bytes.clone()),
        }
    }
}

mod base64_bytes {
    //! Bytes as a base64 string.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(de::Error::custom)
    }
}
