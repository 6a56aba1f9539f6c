//! Multiply-adds of one row, from a network's sizes: the measure that rows/s are a share of.

use crate::nn::{Architecture, conv, lstm};
use crate::value::Features;

/// Multiply-adds of one row; each is two floating-point operations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Of the network as it is defined. An LSTM's layer: tokens × directions × 4 · hidden × (inputs + hidden); a
    /// convolution: positions × kernel² × channels in × channels out; the linear layer: inputs × outputs.
    pub defined: f64,
    /// What is left of them when the first layer's input product lies in a folded table. (Winograd's savings are not
    /// taken off: a convolution's share of the peak may exceed 1.)
    pub computed: f64,
}

impl Work {
    /// The work of a row of this network; `folded`: the first LSTM layer reads a table.
    #[must_use]
    pub fn of(architecture: &Architecture, row: &Features, folded: Folded) -> Self {
        match architecture {
            Architecture::LstmClassifier(config) => lstm_work(config, row.work() as f64, folded),
            Architecture::ConvClassifier(config) => {
                let products = conv_work(config);
                Self { defined: products, computed: products }
            }
        }
    }

    /// The mean of these rows.
    #[must_use]
    pub fn mean(architecture: &Architecture, rows: &[Features], folded: Folded) -> Self {
        let works = rows.iter().map(|row| Self::of(architecture, row, folded));
        let sum = works.fold(Self::default(), |sum, work| Self {
            defined: sum.defined + work.defined,
            computed: sum.computed + work.computed,
        });
        let count = rows.len().max(1) as f64;
        Self { defined: sum.defined / count, computed: sum.computed / count }
    }
}

/// Where an LSTM's first layer has its input product from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// A table.
    Yes,
    /// It computes it.
    No,
}

fn lstm_work(config: &lstm::Config, tokens: f64, folded: Folded) -> Work {
    let directions = if config.bidirectional { 2.0 } else { 1.0 };
    let hidden = config.hidden_dim as f64;
    let layer = |inputs: f64| tokens * directions * 4.0 * hidden * (inputs + hidden);
    let embedding = config.embedding_dim as f64;
    let upper = (config.layers - 1) as f64 * layer(directions * hidden);
    let positions = if config.pooling == lstm::Pooling::None { tokens } else { 1.0 };
    let head = positions * directions * hidden * config.outputs as f64;
    let first = layer(if folded == Folded::Yes { 0.0 } else { embedding });
    Work { defined: layer(embedding) + upper + head, computed: first + upper + head }
}

fn conv_work(config: &conv::Config) -> f64 {
    let (mut channels, mut height, mut width) = (config.channels, config.height, config.width);
    let mut products = 0.0;
    for block in &config.blocks {
        let convolved =
            |side: usize| (side + 2 * block.padding).saturating_sub(block.kernel) / block.stride + 1;
        (height, width) = (convolved(height), convolved(width));
        let window = (block.kernel * block.kernel * channels * block.channels) as f64;
        products += (height * width) as f64 * window;
        channels = block.channels;
        if let Some(pool) = block.pool {
            let pooled = |side: usize| side.saturating_sub(pool.size) / pool.stride.unwrap_or(pool.size) + 1;
            (height, width) = (pooled(height), pooled(width));
        }
    }
    let features = match config.head {
        conv::Head::Flatten => channels * height * width,
        conv::Head::GlobalAverage => channels,
    };
    products + (features * config.outputs) as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "whole numbers below 2^53 are exact")]
mod tests {
    use super::*;

    #[test]
    fn an_lstm_multiplies_for_every_token() {
        let config = lstm::Config {
            vocabulary: 20_000,
            embedding_dim: 128,
            hidden_dim: 256,
            layers: 1,
            bidirectional: false,
            pooling: lstm::Pooling::Last,
            dropout: 0.0,
            outputs: 1,
        };
        let of = |config: &lstm::Config, folded| {
            let architecture = Architecture::LstmClassifier(config.clone());
            Work::of(&architecture, &Features::Tokens(vec![0; 64].into()), folded)
        };
        let work = of(&config, Folded::Yes);
        assert_eq!(work.defined, 64.0 * 4.0 * 256.0 * (128.0 + 256.0) + 256.0);
        assert_eq!(work.computed, 64.0 * 4.0 * 256.0 * 256.0 + 256.0);
        assert_eq!(of(&config, Folded::No).computed, work.defined);
        let deep = lstm::Config { layers: 2, bidirectional: true, pooling: lstm::Pooling::None, ..config };
        let tokens = 64.0 * 2.0 * 4.0 * 256.0;
        let expected = tokens * (128.0 + 256.0) + tokens * (512.0 + 256.0) + 64.0 * 512.0;
        assert_eq!(of(&deep, Folded::Yes).defined, expected);
    }

    #[test]
    fn a_convolution_multiplies_for_every_position() {
        let architecture = Architecture::ConvClassifier(conv::Config::article(10));
        let row = Features::Pixels(vec![0.0; 588].into());
        let expected = 196.0 * 9.0 * (3.0 * 64.0 + 64.0 * 128.0) + 6_272.0 * 10.0;
        assert_eq!(
            Work::mean(&architecture, &[row.clone(), row], Folded::No),
            Work { defined: expected, computed: expected }
        );
    }
}
