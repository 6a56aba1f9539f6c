//! The image classifier: blocks of convolution, then flatten or global average pooling → dropout → Linear.

mod convolution;
mod forward;
mod norm;
mod pooling;
mod sizes;
mod windows;

use serde::{Deserialize, Serialize};

pub(super) use forward::ConvNetwork;

/// Sizes of a convolutional classifier. Tensors: `conv{n}.weight`, `conv{n}.bias`, with batch norm `bn{n}.weight`,
/// `bn{n}.bias`, `bn{n}.running_mean`, `bn{n}.running_var` (n from 1, a block each), `fc.weight`, `fc.bias`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Colour channels: 3 (RGB) or 1 (grey).
    pub channels: usize,
    /// Height of the picture, pixels.
    pub height: usize,
    /// Width of the picture, pixels.
    pub width: usize,
    /// The convolution blocks, in order.
    pub blocks: Vec<Block>,
    /// What comes between the last block and the linear layer.
    #[serde(default)]
    pub head: Head,
    /// Dropout before the linear layer; in training only.
    #[serde(default)]
    pub dropout: f32,
    /// Outputs of the last layer.
    pub outputs: usize,
}

/// Convolution → batch norm? → activation → pooling?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Output channels.
    pub channels: usize,
    /// Side of the square kernel.
    #[serde(default = "three")]
    pub kernel: usize,
    /// Step of the kernel.
    #[serde(default = "one")]
    pub stride: usize,
    /// Zero padding on every side.
    #[serde(default)]
    pub padding: usize,
    /// Whether batch norm follows the convolution (which then has a bias still, as PyTorch's default).
    #[serde(default)]
    pub batch_norm: bool,
    /// What follows.
    #[serde(default)]
    pub activation: Activation,
    /// Pooling, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

fn three() -> usize {
    3
}

fn one() -> usize {
    1
}

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0)
    #[default]
    Relu,
    /// x·Φ(x), exact
    Gelu,
    /// x·σ(x)
    Silu,
    /// x
    None,
}

/// Pooling over a square window without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Maximum or average.
    pub kind: PoolKind,
    /// Side of the window.
    pub size: usize,
    /// Step of the window; the size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
}

/// Maximum or average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean.
    Average,
}

/// What comes between the last block and the linear layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// All positions of all channels, channel by channel.
    #[default]
    Flatten,
    /// The mean of each channel.
    GlobalAverage,
}

impl Config {
    /// The article's network: convolution 3→64, rectified, convolution 64→128, rectified, maximum of 2 × 2 → Linear(128·7·7) on 3×14×14.
    #[must_use]
    pub fn article(outputs: usize) -> Self {
        let block = |channels, pool| Block {
            channels,
            kernel: 3,
            stride: 1,
            padding: 1,
            batch_norm: false,
            activation: Activation::Relu,
            pool,
        };
        let halving = Pool { kind: PoolKind::Max, size: 2, stride: None };
        Self {
            channels: 3,
            height: 14,
            width: 14,
            blocks: vec![block(64, None), block(128, Some(halving))],
            head: Head::Flatten,
            dropout: 0.0,
            outputs,
        }
    }
}
