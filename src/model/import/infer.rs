//! From tensors' names and shapes to an architecture of ours, and to the weights under our names.

mod conv;
mod lstm;
mod names;
mod settings;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::{ImportError, RawTensor};
use crate::nn::{Architecture, Weights};
use names::Tensors;
use settings::Settings;

pub use settings::SETTINGS;

/// Our names and the tensors for them.
type Renamed = BTreeMap<String, RawTensor>;

pub(super) fn infer(
    tensors: BTreeMap<String, RawTensor>,
    settings: &BTreeMap<String, String>,
) -> Result<(Architecture, Weights), ImportError> {
    let settings = Settings::parse(settings)?;
    let mut tensors = Tensors::new(tensors);
    // A counter that PyTorch's batch norm keeps; nothing is computed from it.
    tensors.forget(|name, _| name.ends_with("num_batches_tracked"));
    let (architecture, renamed) = if tensors.any(|name, _| name.ends_with("weight_ih_l0")) {
        settings.only_for("an LSTM", settings::LSTM_KEYS)?;
        let (config, renamed) = lstm::infer(&mut tensors, &settings)?;
        (Architecture::LstmClassifier(config), renamed)
    } else if tensors.any(|_, shape| shape.len() == 4) {
        settings.only_for("a convolutional network", settings::CONV_KEYS)?;
        let (config, renamed) = conv::infer(&mut tensors, &settings)?;
        (Architecture::ConvClassifier(config), renamed)
    } else {
        return Err(ImportError(format!(
            "the tensors are of no architecture we have: neither an LSTM (a name ending in weight_ih_l0) nor \
             convolutions (weights of four dimensions); found {}",
            tensors.list()
        )));
    };
    if !tensors.is_empty() {
        return Err(ImportError(format!(
            "these tensors have no place in the network that the others tell: {}; expected one chain of layers \
             with one linear layer at its end",
            tensors.list()
        )));
    }
    finish(architecture, renamed)
}

/// Checks sizes and values, and makes candle's tensors.
fn finish(architecture: Architecture, renamed: Renamed) -> Result<(Architecture, Weights), ImportError> {
    architecture.validate().map_err(|error| ImportError(error.to_string()))?;
    let mut weights = BTreeMap::new();
    for (name, RawTensor { shape, values }) in renamed {
        let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu);
        let tensor = tensor.map_err(|error| ImportError(format!("tensor {name}: {error}")))?;
        weights.insert(name, tensor);
    }
    let weights = Weights(weights);
    let mismatches = weights.mismatches(&architecture);
    if mismatches.is_empty() {
        return Ok((architecture, weights));
    }
    let lines: Vec<String> = mismatches.iter().take(10).map(ToString::to_string).collect();
    Err(ImportError(format!("the tensors do not make the network they seem to be: {}", lines.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::names::constant;
    use super::*;
    use crate::nn::conv::{Head, PoolKind};
    use crate::nn::lstm::Pooling;

    fn tensors(shapes: &[(&str, &[usize])]) -> BTreeMap<String, RawTensor> {
        shapes.iter().map(|(name, shape)| ((*name).to_owned(), constant(shape, 0.5))).collect()
    }

    fn inferred(shapes: &[(&str, &[usize])], set: &[(&str, &str)]) -> Result<Architecture, String> {
        let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        infer(tensors(shapes), &set).map(|(architecture, _)| architecture).map_err(|error| error.to_string())
    }

    const LSTM: [(&str, &[usize]); 7] = [
        ("encoder.rnn.bias_hh_l0", &[16]),
        ("encoder.rnn.bias_ih_l0", &[16]),
        ("encoder.rnn.weight_hh_l0", &[16, 4]),
        ("encoder.rnn.weight_ih_l0", &[16, 4]),
        ("out.bias", &[4]),
        ("out.weight", &[4, 4]),
        ("word_embeddings.weight", &[4, 4]),
    ];

    /// Two blocks and a linear layer of this many inputs.
    fn conv(inputs: usize) -> Vec<(&'static str, Vec<usize>)> {
        vec![
            ("conv1.weight", vec![4, 1, 3, 3]),
            ("conv2.weight", vec![6, 4, 3, 3]),
            ("fc.bias", vec![2]),
            ("fc.weight", vec![2, inputs]),
        ]
    }

    fn inferred_conv(inputs: usize, set: &[(&str, &str)]) -> Result<crate::nn::conv::Config, String> {
        let shapes = conv(inputs);
        let shapes: Vec<(&str, &[usize])> =
            shapes.iter().map(|(name, shape)| (*name, shape.as_slice())).collect();
        inferred(&shapes, set).map(|architecture| match architecture {
            Architecture::ConvClassifier(config) => config,
            Architecture::LstmClassifier(_) => panic!("a convolutional network"),
        })
    }

    #[test]
    fn an_lstm_is_told_apart_by_names_where_every_size_is_alike() {
        let Ok(Architecture::LstmClassifier(config)) = inferred(&LSTM, &[("pooling", "mean")]) else {
            panic!("an LSTM")
        };
        assert_eq!(
            (config.vocabulary, config.embedding_dim, config.hidden_dim, config.outputs),
            (4, 4, 4, 4)
        );
        assert_eq!((config.layers, config.bidirectional, config.pooling), (1, false, Pooling::Mean));
    }

    #[test]
    fn what_is_no_lstm_classifier_is_refused_with_the_reason() {
        let with = |name: &'static str, shape: &'static [usize]| {
            let mut shapes: BTreeMap<&str, &[usize]> = LSTM.into_iter().collect();
            shapes.insert(name, shape);
            inferred(&shapes.into_iter().collect::<Vec<_>>(), &[]).unwrap_err()
        };
        assert!(with("encoder.rnn.weight_ih_l0", &[12, 4]).contains("an LSTM has four times the width"));
        assert!(
            with("fc2.weight", &[4, 9]).contains("no place in the network"),
            "{}",
            with("fc2.weight", &[4, 9])
        );
        assert!(with("decoder.weight_ih_l0", &[16, 4]).contains("more than one LSTM"));
        assert!(with("encoder.rnn.weight_hr_l0", &[2, 4]).contains("proj_size"));
        assert!(with("encoder.rnn.weight_ih_l2", &[16, 4]).contains("no place in the network"));
        assert!(inferred(&[("fc.weight", &[2, 2])], &[]).unwrap_err().contains("no architecture we have"));
        assert!(inferred(&LSTM, &[("height", "3")]).unwrap_err().contains("an LSTM, which has no setting"));
    }

    #[test]
    fn pooling_is_found_from_the_picture_size() {
        for (inputs, pools) in [(6 * 4, [true, true]), (6 * 16, [false, true]), (6 * 64, [false, false])] {
            let config = inferred_conv(inputs, &[("height", "8")]).unwrap();
            let found: Vec<bool> = config.blocks.iter().map(|block| block.pool.is_some()).collect();
            assert_eq!(found, pools);
            assert_eq!((config.width, config.head, config.channels), (8, Head::Flatten, 1));
        }
        let error = inferred_conv(6 * 9, &[("height", "8")]).unwrap_err();
        assert!(error.contains("has 54 inputs") && error.contains("would give 24"), "{error}");
        let told =
            [("height", "8"), ("width", "16"), ("blocks.2.pool", "average2/2"), ("blocks.1.stride", "2")];
        let config = inferred_conv(6 * 8, &told).unwrap();
        assert_eq!(config.blocks[1].pool.unwrap().kind, PoolKind::Average);
    }

    #[test]
    fn what_tensors_cannot_tell_is_asked_for() {
        let error = inferred_conv(6 * 49, &[]).unwrap_err();
        assert!(
            error.contains("height=") && error.contains("28, 29, 30, 31 with pooling after 2 blocks"),
            "{error}"
        );
        assert!(error.contains("1 channels → 4 (3 × 3) → 6 (3 × 3) → 294 inputs → 2 outputs"), "{error}");
        let error = inferred_conv(6, &[("height", "8")]).unwrap_err();
        assert!(error.contains("with a global average") && error.contains("pool=none"), "{error}");
        let config = inferred_conv(6, &[("height", "8"), ("pool", "none")]).unwrap();
        assert_eq!(config.head, Head::GlobalAverage);
        assert!(
            inferred_conv(24, &[("height", "8"), ("blocks.3.pool", "max2")]).unwrap_err().contains("block 3")
        );
        assert!(inferred_conv(24, &[("preset", "article")]).unwrap_err().contains("preset article is"));
        assert!(inferred_conv(24, &[("pooling", "last")]).unwrap_err().contains("no setting \"pooling\""));
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let mut tensors = tensors(&LSTM);
        tensors.get_mut("out.bias").unwrap().values[2] = f32::INFINITY;
        let error = infer(tensors, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("fc.bias holds inf at index 2"), "{error}");
    }
}
