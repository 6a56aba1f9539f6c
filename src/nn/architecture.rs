//! The closed list of architectures, and what tensors each one needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::initialise::Parameter;
use super::{conv, lstm};
use crate::limits;
use crate::value::Features;

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

impl BadArchitecture {
    /// Checks that `found` is within `least..=most`.
    pub(super) fn within(field: &str, found: usize, least: usize, most: usize) -> Result<(), Self> {
        if (least..=most).contains(&found) {
            return Ok(());
        }
        Err(Self::new(field, format!("is {found}, expected {least} to {most}")))
    }

    /// Checks that a dropout is a probability below 1.
    pub(super) fn dropout(found: f32) -> Result<(), Self> {
        if (0.0..1.0).contains(&found) {
            return Ok(());
        }
        Err(Self::new("dropout", format!("is {found}, expected 0 or more and below 1")))
    }

    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl Architecture {
    /// Checks every size against its limit and the sizes against each other.
    ///
    /// # Errors
    /// The first size that is out of bounds or does not fit the others.
    pub fn validate(&self) -> Result<(), BadArchitecture> {
        match self {
            Self::LstmClassifier(config) => config.validate()?,
            Self::ConvClassifier(config) => config.validate()?,
        }
        let values = |shape: &Vec<usize>| shape.iter().map(|&side| side as u64).product::<u64>();
        let bytes = 4 * self.tensors().values().map(values).sum::<u64>();
        if bytes > limits::WEIGHTS_BYTES_MAX {
            let most = limits::WEIGHTS_BYTES_MAX;
            let problem =
                format!("needs {bytes} bytes of weights, at most {most} are taken: make its sizes smaller");
            return Err(BadArchitecture::new("kind", problem));
        }
        Ok(())
    }

    /// Outputs of the last layer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        match self {
            Self::LstmClassifier(config) => config.outputs,
            Self::ConvClassifier(config) => config.outputs,
        }
    }

    /// The names and shapes of exactly the tensors this network has, PyTorch's names.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        self.parameters().into_iter().map(|parameter| (parameter.name, parameter.shape)).collect()
    }

    /// The tensors, with how each one starts.
    pub(super) fn parameters(&self) -> Vec<Parameter> {
        match self {
            Self::LstmClassifier(config) => config.parameters(),
            Self::ConvClassifier(config) => config.parameters(),
        }
    }

    /// Whether a row is of the kind and size that this network takes.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn accepts(&self, row: &Features) -> Result<(), String> {
        match (self, row) {
            (Self::LstmClassifier(config), Features::Tokens(ids)) => {
                let most = limits::TEXT_TOKENS_MAX;
                if ids.is_empty() || ids.len() > most {
                    return Err(format!("the text has {} tokens, expected 1 to {most}", ids.len()));
                }
                match ids.iter().find(|&&id| id as usize >= config.vocabulary) {
                    Some(id) => {
                        Err(format!("token id {id} is not below the vocabulary's {}", config.vocabulary))
                    }
                    None => Ok(()),
                }
            }
            (Self::ConvClassifier(config), Features::Pixels(values)) => {
                let expected = config.channels * config.height * config.width;
                if values.len() == expected {
                    return Ok(());
                }
                let (c, h, w) = (config.channels, config.height, config.width);
                Err(format!("the picture has {} values, expected {expected} ({c} × {h} × {w})", values.len()))
            }
            (Self::LstmClassifier(_), Features::Pixels(_)) => {
                Err("a picture was given to a text network".into())
            }
            (Self::ConvClassifier(_), Features::Tokens(_)) => {
                Err("a text was given to an image network".into())
            }
        }
    }
}
