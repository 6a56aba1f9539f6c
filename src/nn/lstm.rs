//! The text classifier: Embedding → dropout → LSTM → pooling over the valid tokens → dropout → Linear.

use serde::{Deserialize, Serialize};

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
