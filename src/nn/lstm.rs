//! The text classifier: Embedding → dropout → LSTM → pooling over the valid tokens → dropout → Linear.

mod forward;
mod packing;
mod recurrence;

use serde::{Deserialize, Serialize};

pub(super) use forward::LstmNetwork;

use super::BadArchitecture;
use super::initialise::{Parameter, Start};
use crate::limits;

/// Sizes of an LSTM classifier. Tensors: `embedding.weight`, `lstm.weight_ih_l0`, `lstm.weight_hh_l0`,
/// `lstm.bias_ih_l0`, `lstm.bias_hh_l0` (further layers `_l1`…, the backward direction `_reverse`), `fc.weight`,
/// `fc.bias`; gates in PyTorch's order i, f, g, o.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Rows of the embedding table.
    pub vocabulary: usize,
    /// Width of an embedding.
    pub embedding_dim: usize,
    /// Width of a hidden state, of one direction.
    pub hidden_dim: usize,
    /// Stacked layers, 1 to 4.
    #[serde(default = "one")]
    pub layers: usize,
    /// Whether a second LSTM reads each layer's input backwards.
    #[serde(default)]
    pub bidirectional: bool,
    /// How the hidden states of the valid tokens become one vector.
    #[serde(default)]
    pub pooling: Pooling,
    /// Dropout after the embedding, between layers and before the last layer; in training only.
    #[serde(default)]
    pub dropout: f32,
    /// Outputs of the last layer.
    pub outputs: usize,
}

fn one() -> usize {
    1
}

/// How the hidden states of the valid tokens become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The last valid token's state (of the backward direction: the first token's).
    #[default]
    Last,
    /// The mean over valid tokens.
    Mean,
    /// The maximum over valid tokens.
    Max,
    /// No pooling: an output per token.
    None,
}

impl Config {
    pub(super) fn validate(&self) -> Result<(), BadArchitecture> {
        BadArchitecture::within("vocabulary", self.vocabulary, 1, limits::VOCABULARY_MAX)?;
        BadArchitecture::within("embedding_dim", self.embedding_dim, 1, limits::WIDTH_MAX)?;
        BadArchitecture::within("hidden_dim", self.hidden_dim, 1, limits::WIDTH_MAX)?;
        BadArchitecture::within("layers", self.layers, 1, limits::LSTM_LAYERS_MAX)?;
        BadArchitecture::within("outputs", self.outputs, 1, limits::LABELS_MAX)?;
        BadArchitecture::dropout(self.dropout)
    }

    /// Directions that each layer reads in.
    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// The suffix of a layer's tensors in each of its directions.
    fn suffixes(&self, layer: usize) -> impl Iterator<Item = String> {
        let endings = ["", "_reverse"];
        endings.into_iter().take(self.directions()).map(move |ending| format!("l{layer}{ending}"))
    }

    pub(super) fn parameters(&self) -> Vec<Parameter> {
        let (hidden, gates) = (self.hidden_dim, 4 * self.hidden_dim);
        let pooled = hidden * self.directions();
        let even = Start::EvenBelowRoot;
        let mut parameters = vec![
            Parameter::new("embedding.weight", &[self.vocabulary, self.embedding_dim], Start::Normal),
            Parameter::new("fc.weight", &[self.outputs, pooled], even(pooled)),
            Parameter::new("fc.bias", &[self.outputs], even(pooled)),
        ];
        for layer in 0..self.layers {
            let inputs = if layer == 0 { self.embedding_dim } else { pooled };
            for suffix in self.suffixes(layer) {
                let mut add = |name: &str, shape: &[usize]| {
                    parameters.push(Parameter::new(format!("lstm.{name}_{suffix}"), shape, even(hidden)));
                };
                add("weight_ih", &[gates, inputs]);
                add("weight_hh", &[gates, hidden]);
                add("bias_ih", &[gates]);
                add("bias_hh", &[gates]);
            }
        }
        parameters
    }
}
