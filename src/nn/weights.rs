//! Named tensors, checked against an architecture, and their initialisation.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::RngCore;

use super::Architecture;

/// Named f32 tensors, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct Weights(pub BTreeMap<String, Tensor>);

/// How given tensors differ from the ones an architecture needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// One is not there.
    #[error("tensor {name} is missing (expected shape {expected:?})")]
    Missing {
        /// Its name.
        name: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// One has no place.
    #[error("tensor {name} (shape {found:?}) has no place in this architecture")]
    Extra {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// One has the wrong shape.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// One has a value that is not finite.
    #[error("tensor {name} holds {value} at index {index}")]
    NotFinite {
        /// Its name.
        name: String,
        /// Flat index of the first such value.
        index: usize,
        /// The value: NaN, inf or -inf.
        value: String,
    },
}

impl Weights {
    /// Fresh weights, drawn as PyTorch initialises each layer, the same for the same generator state on any machine.
    ///
    /// # Errors
    /// Candle's, when the device refuses.
    pub fn initialise(
        architecture: &Architecture,
        generator: &mut dyn RngCore,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let mut parameters = architecture.parameters();
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        let mut weights = BTreeMap::new();
        for parameter in parameters {
            let values = parameter.draw(generator);
            let tensor = Tensor::from_vec(values, parameter.shape.as_slice(), device)?;
            weights.insert(parameter.name, tensor);
        }
        Ok(Self(weights))
    }

    /// Checks that these are exactly the tensors of `architecture`, all finite. Reports every mismatch.
    #[must_use]
    pub fn mismatches(&self, architecture: &Architecture) -> Vec<Mismatch> {
        let mut found = self.differences(architecture);
        found.extend(self.0.iter().filter_map(|(name, tensor)| not_finite(name, tensor)));
        found
    }

    /// Missing, extra and misshapen tensors, without a look at the values.
    pub(super) fn differences(&self, architecture: &Architecture) -> Vec<Mismatch> {
        let expected = architecture.tensors();
        let mut found = Vec::new();
        for (name, expected) in &expected {
            match self.0.get(name) {
                None => found.push(Mismatch::Missing { name: name.clone(), expected: expected.clone() }),
                Some(tensor) if tensor.dims() != expected.as_slice() => found.push(Mismatch::Shape {
                    name: name.clone(),
                    found: tensor.dims().to_vec(),
                    expected: expected.clone(),
                }),
                Some(_) => {}
            }
        }
        let extra = self.0.iter().filter(|(name, _)| !expected.contains_key(*name));
        found.extend(
            extra.map(|(name, tensor)| Mismatch::Extra { name: name.clone(), found: tensor.dims().to_vec() }),
        );
        found
    }

    /// The tensor of this name.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor, Mismatch> {
        let missing = || Mismatch::Missing { name: name.to_owned(), expected: Vec::new() };
        self.0.get(name).cloned().ok_or_else(missing)
    }
}

fn not_finite(name: &str, tensor: &Tensor) -> Option<Mismatch> {
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let (index, value) = match values {
        Ok(values) => {
            let index = values.iter().position(|value| !value.is_finite())?;
            (index, values.get(index)?.to_string())
        }
        Err(error) => (0, format!("no f32 values ({error})")),
    };
    Some(Mismatch::NotFinite { name: name.to_owned(), index, value })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::nn::conv;

    fn fresh(seed: u64) -> (Architecture, Weights) {
        let architecture = Architecture::ConvClassifier(conv::Config::article(3));
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let weights = Weights::initialise(&architecture, &mut generator, &Device::Cpu).unwrap();
        (architecture, weights)
    }

    fn bits(weights: &Weights) -> Vec<u32> {
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        weights.0.values().flat_map(values).map(f32::to_bits).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_weights_and_another_others() {
        let (architecture, weights) = fresh(1);
        assert_eq!(weights.mismatches(&architecture), []);
        assert_eq!(bits(&weights), bits(&fresh(1).1));
        assert_ne!(bits(&weights), bits(&fresh(2).1));
    }

    #[test]
    fn every_mismatch_is_reported() {
        let (architecture, mut weights) = fresh(1);
        weights.0.remove("fc.bias");
        weights.0.insert("conv9.bias".into(), Tensor::new(&[1_f32], &Device::Cpu).unwrap());
        weights.0.insert("conv1.bias".into(), Tensor::new(&[1_f32], &Device::Cpu).unwrap());
        let mut poisoned = vec![0_f32; 128];
        poisoned[77] = f32::NAN;
        weights.0.insert("conv2.bias".into(), Tensor::new(poisoned, &Device::Cpu).unwrap());
        let lines: Vec<String> = weights.mismatches(&architecture).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "tensor conv1.bias has shape [1], expected [64]",
                "tensor fc.bias is missing (expected shape [3])",
                "tensor conv9.bias (shape [1]) has no place in this architecture",
                "tensor conv2.bias holds NaN at index 77",
            ]
        );
    }
}
