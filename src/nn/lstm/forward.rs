//! An LSTM classifier's forward pass over packed rows: padding is never computed, so it cannot change an answer.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::packing::Packing;
use super::recurrence::{Direction, recur};
use super::{Config, Pooling};
use crate::nn::collate::indices;
use crate::nn::dropout::dropout;
use crate::nn::gradient::linear;
use crate::nn::{Mismatch, Mode, Weights};

/// An LSTM classifier with its weights.
#[derive(Clone, Debug)]
pub(in crate::nn) struct LstmNetwork {
    config: Config,
    embedding: Tensor,
    /// A layer's directions, forward first.
    layers: Vec<Vec<Reader>>,
    weight: Tensor,
    bias: Tensor,
}

/// One direction of one layer.
#[derive(Clone, Debug)]
struct Reader {
    direction: Direction,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
}

impl Reader {
    fn new(direction: Direction, suffix: &str, weights: &Weights) -> std::result::Result<Self, Mismatch> {
        let tensor = |name: &str| weights.tensor(&format!("lstm.{name}_{suffix}"));
        Ok(Self {
            direction,
            weight_ih: tensor("weight_ih")?,
            weight_hh: tensor("weight_hh")?,
            bias_ih: tensor("bias_ih")?,
            bias_hh: tensor("bias_hh")?,
        })
    }

    /// Hidden states, tokens × H, of tokens × inputs: all input products at once, then step by step.
    fn read(&self, x: &Tensor, packing: &Arc<Packing>) -> Result<Tensor> {
        let inputs = linear(x, &self.weight_ih, &(&self.bias_ih + &self.bias_hh)?)?;
        recur(&inputs, &self.weight_hh, packing, self.direction)
    }
}

impl LstmNetwork {
    pub(in crate::nn) fn new(config: &Config, weights: &Weights) -> std::result::Result<Self, Mismatch> {
        let directions = [Direction::Forward, Direction::Backward];
        let layer = |layer: usize| {
            let readers = config.suffixes(layer).zip(directions);
            readers.map(|(suffix, direction)| Reader::new(direction, &suffix, weights)).collect()
        };
        Ok(Self {
            config: config.clone(),
            embedding: weights.tensor("embedding.weight")?,
            layers: (0..config.layers).map(layer).collect::<std::result::Result<_, _>>()?,
            weight: weights.tensor("fc.weight")?,
            bias: weights.tensor("fc.bias")?,
        })
    }

    /// Logits, B × P × outputs, of ids, B × T.
    pub(in crate::nn) fn forward(
        &self,
        ids: &Tensor,
        lengths: &[usize],
        mode: &mut Mode<'_>,
    ) -> Result<Tensor> {
        let (rows, longest) = ids.dims2()?;
        if lengths.len() != rows {
            candle_core::bail!("{rows} rows have {} lengths", lengths.len());
        }
        let packing = Arc::new(Packing::new(lengths, longest)?);
        let tokens = indices(&packing.each_token(|row, t| row * longest + t), ids.device())?;
        let ids = ids.flatten_all()?.index_select(&tokens, 0)?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        let mut directions = Vec::new();
        for layer in &self.layers {
            x = dropout(&x, self.config.dropout, mode)?;
            directions =
                layer.iter().map(|reader| reader.read(&x, &packing)).collect::<Result<Vec<Tensor>>>()?;
            x = Tensor::cat(&directions, 1)?;
        }
        match self.config.pooling {
            Pooling::Last => self.classify(&last(&directions, &packing)?, mode)?.unsqueeze(1),
            Pooling::Mean => self.classify(&mean(&x, &packing)?, mode)?.unsqueeze(1),
            Pooling::Max => self.classify(&max(&x, &packing)?, mode)?.unsqueeze(1),
            Pooling::None => {
                let logits = self.classify(&x, mode)?;
                let nothing = packing.tokens();
                let positions = indices(&packing.padded(|_| nothing), x.device())?;
                let padded = logits.pad_with_zeros(0, 0, 1)?.index_select(&positions, 0)?;
                // A batch may be padded beyond its longest row.
                let padded = padded.reshape((rows, packing.steps(), self.config.outputs))?;
                padded.pad_with_zeros(1, 0, longest - packing.steps())
            }
        }
    }

    fn classify(&self, pooled: &Tensor, mode: &mut Mode<'_>) -> Result<Tensor> {
        linear(&dropout(pooled, self.config.dropout, mode)?, &self.weight, &self.bias)
    }
}

/// Each direction's state where it ended: at the last token, and backwards at the first.
fn last(directions: &[Tensor], packing: &Packing) -> Result<Tensor> {
    let ends = [packing.each_row(|length| length - 1), packing.each_row(|_| 0)];
    let ended = directions.iter().zip(ends).map(|(x, ends)| x.index_select(&indices(&ends, x.device())?, 0));
    Tensor::cat(&ended.collect::<Result<Vec<Tensor>>>()?, 1)
}

fn mean(x: &Tensor, packing: &Packing) -> Result<Tensor> {
    let rows = packing.rows();
    let of_row = indices(&packing.each_token(|row, _| row), x.device())?;
    let sums = Tensor::zeros((rows, x.dim(1)?), x.dtype(), x.device())?.index_add(&of_row, x, 0)?;
    let shares: Vec<f32> = packing.lengths().iter().map(|&length| 1.0 / length as f32).collect();
    sums.broadcast_mul(&Tensor::from_vec(shares, (rows, 1), x.device())?)
}

/// The gradient goes to the first of equal tokens, as in PyTorch.
fn max(x: &Tensor, packing: &Packing) -> Result<Tensor> {
    // Past its end a row repeats its last token, which changes no maximum.
    let positions = indices(&packing.padded(|last| last), x.device())?;
    let padded = x.index_select(&positions, 0)?.reshape((packing.rows(), packing.steps(), x.dim(1)?))?;
    let first = padded.detach().argmax_keepdim(1)?;
    padded.gather(&first, 1)?.squeeze(1)
}
