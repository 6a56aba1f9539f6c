//! A network ready to run: an architecture with its weights.

use std::collections::BTreeMap;

use candle_core::{Tensor, bail};
use rand::RngCore;

use super::conv::ConvNetwork;
use super::lstm::LstmNetwork;
use super::{Architecture, Batch, Mismatch, Weights};

/// Whether dropout drops and batch norm learns.
pub enum Mode<'a> {
    /// Inference: deterministic.
    Evaluate,
    /// Training: dropout masks are drawn from the generator; batch norm uses the batch and updates its statistics.
    Train(&'a mut dyn RngCore),
}

/// A network ready to run. Clones share tensors.
#[derive(Clone, Debug)]
pub struct Network {
    architecture: Architecture,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Lstm(LstmNetwork),
    Conv(ConvNetwork),
}

impl Network {
    /// A network of exactly these weights, on the device they are on. Gradients reach those that are variables.
    ///
    /// # Errors
    /// A tensor is missing, extra or of the wrong shape.
    pub fn new(architecture: &Architecture, weights: &Weights) -> Result<Self, Mismatch> {
        if let Some(mismatch) = weights.differences(architecture).into_iter().next() {
            return Err(mismatch);
        }
        let body = match architecture {
            Architecture::LstmClassifier(config) => Body::Lstm(LstmNetwork::new(config, weights)?),
            Architecture::ConvClassifier(config) => Body::Conv(ConvNetwork::new(config, weights)?),
        };
        Ok(Self { architecture: architecture.clone(), body })
    }

    /// Its architecture.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Logits, B × P × outputs: P is 1, or T when an LSTM is not pooled (positions past a row's length are 0).
    ///
    /// # Errors
    /// Candle's, on a shape that does not fit or a device that fails.
    pub fn forward(&self, batch: &Batch, mode: &mut Mode<'_>) -> candle_core::Result<Tensor> {
        match (&self.body, batch) {
            (Body::Lstm(network), Batch::Tokens { ids, lengths }) => network.forward(ids, lengths, mode),
            (Body::Conv(network), Batch::Pixels(pixels)) => network.forward(pixels, mode)?.unsqueeze(1),
            (Body::Lstm(_), Batch::Pixels(_)) => bail!("pictures were given to a text network"),
            (Body::Conv(_), Batch::Tokens { .. }) => bail!("texts were given to an image network"),
        }
    }

    /// The running statistics of batch norm as they are now, by tensor name; empty without batch norm.
    #[must_use]
    pub fn statistics(&self) -> BTreeMap<String, Tensor> {
        match &self.body {
            Body::Lstm(_) => BTreeMap::new(),
            Body::Conv(network) => network.statistics(),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nn::conv::{self, Activation, Block, Head, Pool, PoolKind};
    use crate::nn::lstm::{self, Pooling};

    fn text_network(pooling: Pooling) -> Architecture {
        Architecture::LstmClassifier(lstm::Config {
            vocabulary: 7,
            embedding_dim: 3,
            hidden_dim: 4,
            layers: 2,
            bidirectional: true,
            pooling,
            dropout: 0.0,
            outputs: 2,
        })
    }

    fn texts() -> Batch {
        let ids = [[1_u32, 2, 3, 4], [5, 0, 0, 0], [6, 1, 2, 0]];
        Batch::Tokens { ids: Tensor::new(&ids, &Device::Cpu).unwrap(), lengths: vec![4, 1, 3] }
    }

    fn block(stride: usize, activation: Activation, pool: Pool) -> Block {
        Block { channels: 3, kernel: 3, stride, padding: 1, batch_norm: true, activation, pool: Some(pool) }
    }

    fn image_network(head: Head) -> Architecture {
        // Averages only: a difference quotient means nothing where a maximum passes from one value to another.
        let overlapping = Pool { kind: PoolKind::Average, size: 3, stride: Some(2) };
        let average = Pool { kind: PoolKind::Average, size: 2, stride: None };
        Architecture::ConvClassifier(conv::Config {
            channels: 1,
            height: 11,
            width: 10,
            blocks: vec![block(1, Activation::Silu, overlapping), block(2, Activation::Gelu, average)],
            head,
            dropout: 0.0,
            outputs: 2,
        })
    }

    fn pictures() -> Batch {
        let mut generator = ChaCha8Rng::seed_from_u64(2);
        let values: Vec<f32> =
            (0..220).map(|_| (generator.next_u32() >> 16) as f32 / 32_768.0 - 1.0).collect();
        Batch::Pixels(Tensor::from_vec(values, (2, 1, 11, 10), &Device::Cpu).unwrap())
    }

    fn variables(architecture: &Architecture) -> BTreeMap<String, Var> {
        let mut generator = ChaCha8Rng::seed_from_u64(11);
        let weights = Weights::initialise(architecture, &mut generator, &Device::Cpu).unwrap();
        weights.0.iter().map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap())).collect()
    }

    /// A loss that weighs every logit differently, in training without dropout.
    fn loss(architecture: &Architecture, variables: &BTreeMap<String, Var>, batch: &Batch) -> Tensor {
        let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()));
        let network = Network::new(architecture, &Weights(tensors.collect())).unwrap();
        let mut generator = ChaCha8Rng::seed_from_u64(0);
        let logits = network.forward(batch, &mut Mode::Train(&mut generator)).unwrap();
        let count = u32::try_from(logits.elem_count()).unwrap();
        let factors = Tensor::arange(1_u32, count + 1, &Device::Cpu).unwrap().reshape(logits.dims()).unwrap();
        (logits.tanh().unwrap() * factors.to_dtype(candle_core::DType::F32).unwrap())
            .unwrap()
            .sum_all()
            .unwrap()
    }

    fn scalar(tensor: &Tensor) -> f32 {
        tensor.to_scalar::<f32>().unwrap()
    }

    /// Compares each variable's gradient, along a direction of its own, with a difference quotient.
    fn assert_gradients(architecture: &Architecture, batch: &Batch) {
        let variables = variables(architecture);
        let gradients = loss(architecture, &variables, batch).backward().unwrap();
        for (name, var) in variables.iter().filter(|(name, _)| !name.contains("running")) {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
            let at = var.as_tensor().copy().unwrap();
            let mut generator = ChaCha8Rng::seed_from_u64(name.len() as u64);
            let signs = (0..at.elem_count()).map(|_| if generator.next_u32() & 1 == 0 { 1.0 } else { -1.0 });
            let direction = Tensor::from_vec(signs.collect::<Vec<f32>>(), at.dims(), &Device::Cpu).unwrap();
            let moved = |by: f64| {
                var.set(&(&at + (&direction * by).unwrap()).unwrap()).unwrap();
                scalar(&loss(architecture, &variables, batch))
            };
            let step = 2e-3_f32;
            let quotient = (moved(f64::from(step)) - moved(f64::from(-step))) / (2.0 * step);
            var.set(&at).unwrap();
            let along = scalar(&(gradient * &direction).unwrap().sum_all().unwrap());
            let difference = (along - quotient).abs() / quotient.abs().max(1.0);
            assert!(difference < 2e-2, "{name}: {along} by gradient, {quotient} by difference");
        }
    }

    #[test]
    fn gradients_of_an_lstm_reach_every_weight_and_are_right() {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::None] {
            assert_gradients(&text_network(pooling), &texts());
        }
    }

    #[test]
    fn gradients_of_a_conv_net_reach_every_weight_and_are_right() {
        for head in [Head::Flatten, Head::GlobalAverage] {
            assert_gradients(&image_network(head), &pictures());
        }
    }

    #[test]
    fn training_moves_the_running_statistics_and_evaluation_does_not() {
        let architecture = image_network(Head::Flatten);
        let mut generator = ChaCha8Rng::seed_from_u64(0);
        let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
        let network = Network::new(&architecture, &weights).unwrap();
        let means = || network.statistics()["bn1.running_mean"].to_vec1::<f32>().unwrap();
        network.forward(&pictures(), &mut Mode::Evaluate).unwrap();
        assert_eq!(means(), [0.0; 3]);
        network.forward(&pictures(), &mut Mode::Train(&mut generator)).unwrap();
        assert!(means().iter().all(|mean| *mean != 0.0));
        assert_eq!(network.statistics().len(), 4);
    }

    #[test]
    fn padding_beyond_the_longest_row_changes_nothing() {
        for pooling in [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::None] {
            let architecture = text_network(pooling);
            let mut generator = ChaCha8Rng::seed_from_u64(1);
            let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
            let network = Network::new(&architecture, &weights).unwrap();
            let Batch::Tokens { ids, lengths } = texts() else { panic!("texts") };
            let wider = Batch::Tokens { ids: ids.pad_with_zeros(1, 0, 3).unwrap(), lengths };
            let narrow = network.forward(&texts(), &mut Mode::Evaluate).unwrap();
            let wide = network.forward(&wider, &mut Mode::Evaluate).unwrap();
            let positions = if pooling == Pooling::None { (4, 7) } else { (1, 1) };
            assert_eq!((narrow.dim(1).unwrap(), wide.dim(1).unwrap()), positions);
            let same = wide.narrow(1, 0, positions.0).unwrap();
            let difference = (narrow - same).unwrap().abs().unwrap().max_all().unwrap();
            assert!(scalar(&difference) == 0.0);
        }
    }

    #[test]
    fn the_wrong_kind_of_batch_is_an_error() {
        let architecture = text_network(Pooling::Last);
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
        let network = Network::new(&architecture, &weights).unwrap();
        assert!(network.forward(&pictures(), &mut Mode::Evaluate).is_err());
    }
}
