//! The closed list of architectures, and what tensors each one needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{conv, lstm};

/// A network's architecture and all its sizes; `kind` in `model.toml` and recipes names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Architecture {
    /// Embedding → dropout → LSTM → pooling → Linear.
    LstmClassifier(lstm::Config),
    /// Convolution blocks → flatten or global average → dropout → Linear.
    ConvClassifier(conv::Config),
}

/// Why sizes make no network: which one, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("architecture.{field}: {problem}")]
pub struct BadArchitecture {
    /// The key, as in `model.toml`.
    pub field: String,
    /// What was found and what was expected.
    pub problem: String,
}

impl Architecture {
    /// Checks every size against its limit and the sizes against each other.
    ///
    /// # Errors
    /// The first size that is out of bounds or does not fit the others.
    pub fn validate(&self) -> Result<(), BadArchitecture> {
        todo!()
    }

    /// Outputs of the last layer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        todo!()
    }

    /// The names and shapes of exactly the tensors this network has, PyTorch's names.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        todo!()
    }
}
