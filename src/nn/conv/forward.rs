//! A convolutional classifier's forward pass, channels-last inside.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::convolution::convolve;
use super::norm::BatchNorm;
use super::pooling::pool;
use super::{Activation, Block, Config, Head};
use crate::nn::dropout::dropout;
use crate::nn::gradient::linear;
use crate::nn::{Mismatch, Mode, Weights};

/// A convolutional classifier with its weights.
#[derive(Clone, Debug)]
pub(in crate::nn) struct ConvNetwork {
    blocks: Vec<Layer>,
    head: Head,
    dropout: f32,
    weight: Tensor,
    bias: Tensor,
}

#[derive(Clone, Debug)]
struct Layer {
    block: Block,
    weight: Tensor,
    bias: Tensor,
    norm: Option<BatchNorm>,
}

impl Layer {
    fn new(n: usize, block: &Block, weights: &Weights) -> std::result::Result<Self, Mismatch> {
        Ok(Self {
            block: block.clone(),
            weight: weights.tensor(&format!("conv{n}.weight"))?,
            bias: weights.tensor(&format!("conv{n}.bias"))?,
            norm: if block.batch_norm { Some(BatchNorm::new(n, weights)?) } else { None },
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode<'_>) -> Result<Tensor> {
        let mut x = convolve(x, &self.weight, &self.bias, &self.block)?;
        if let Some(norm) = &self.norm {
            x = norm.forward(&x, mode)?;
        }
        let x = match self.block.activation {
            Activation::Relu => x.relu()?,
            Activation::Gelu => x.gelu_erf()?,
            Activation::Silu => x.silu()?,
            Activation::None => x,
        };
        match self.block.pool {
            Some(window) => pool(&x, window),
            None => Ok(x),
        }
    }
}

impl ConvNetwork {
    pub(in crate::nn) fn new(config: &Config, weights: &Weights) -> std::result::Result<Self, Mismatch> {
        let layers = (1..).zip(&config.blocks).map(|(n, block)| Layer::new(n, block, weights));
        Ok(Self {
            blocks: layers.collect::<std::result::Result<_, _>>()?,
            head: config.head,
            dropout: config.dropout,
            weight: weights.tensor("fc.weight")?,
            bias: weights.tensor("fc.bias")?,
        })
    }

    /// Logits, B × outputs, of B × C × H × W.
    pub(in crate::nn) fn forward(&self, pixels: &Tensor, mode: &mut Mode<'_>) -> Result<Tensor> {
        let mut x = pixels.permute((0, 2, 3, 1))?.contiguous()?;
        for layer in &self.blocks {
            x = layer.forward(&x, mode)?;
        }
        let features = match self.head {
            Head::Flatten => x.permute((0, 3, 1, 2))?.contiguous()?.flatten_from(1)?,
            Head::GlobalAverage => x.flatten(1, 2)?.mean(1)?,
        };
        linear(&dropout(&features, self.dropout, mode)?, &self.weight, &self.bias)
    }

    /// Every block's running statistics, by tensor name.
    pub(in crate::nn) fn statistics(&self) -> BTreeMap<String, Tensor> {
        self.blocks.iter().filter_map(|layer| layer.norm.as_ref()).flat_map(BatchNorm::statistics).collect()
    }
}
