//! Small models with random weights, published through the public API: different seeds give different answers.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::engine::Precision;
use sconce::image::{Fit, Preparation};
use sconce::model::{Draft, GoldenInput, InputPreparation, Manifest, TextInput, publish};
use sconce::name::Version;
use sconce::nn::{Architecture, Network, Weights, conv, lstm};
use sconce::pipeline::record_golden;
use sconce::text::{Recipe, Tokenizer};
use sconce::value::{Objective, Task};

use super::pictures;

const TEXTS: [&str; 4] =
    ["a good film", "a bad film", "not good , not bad , so so", "the best thing in years !"];

/// Publishes the next version of a text model with the labels `negative` and `positive`, which reads 32 tokens.
pub fn tiny_text(models: &Path, name: &str, seed: u64) -> Version {
    publish(&models.join(name), &text_draft(seed)).unwrap()
}

/// Publishes the next version of an image model with the labels `circle`, `cross` and `square`, which sees 8 × 8 RGB.
pub fn tiny_image(models: &Path, name: &str, seed: u64) -> Version {
    publish(&models.join(name), &image_draft(seed)).unwrap()
}

/// What [`tiny_text`] publishes.
pub fn text_draft(seed: u64) -> Draft {
    let recipe = Recipe { frequency_min: 1, ..Recipe::default() };
    let tokenizer = recipe.train(&mut TEXTS.into_iter()).unwrap();
    let architecture = Architecture::LstmClassifier(lstm::Config {
        vocabulary: tokenizer.vocabulary(),
        embedding_dim: 6,
        hidden_dim: 5,
        layers: 1,
        bidirectional: false,
        pooling: lstm::Pooling::Last,
        dropout: 0.0,
        outputs: 2,
    });
    let manifest = Manifest {
        task: Task::TextClassification,
        labels: ["negative", "positive"].map(String::from).into(),
        input: InputPreparation::Text(TextInput { tokens_max: 32 }),
        ..manifest(architecture)
    };
    let golden = TEXTS.map(|text| GoldenInput::Text(text.into()));
    draft(manifest, Some(tokenizer), golden.into(), seed)
}

/// What [`tiny_image`] publishes.
pub fn image_draft(seed: u64) -> Draft {
    let block = conv::Block {
        channels: 4,
        kernel: 3,
        stride: 1,
        padding: 1,
        batch_norm: true,
        activation: conv::Activation::Relu,
        pool: Some(conv::Pool { kind: conv::PoolKind::Max, size: 2, stride: None }),
    };
    let architecture = Architecture::ConvClassifier(conv::Config {
        channels: 3,
        height: 8,
        width: 8,
        blocks: vec![block],
        head: conv::Head::Flatten,
        dropout: 0.0,
        outputs: 3,
    });
    let golden = [1, 2].map(|seed| GoldenInput::Picture(pictures::png(seed, 20, 16)));
    draft(manifest(architecture), None, golden.into(), seed)
}

/// A manifest of an image model; a text model says what differs.
fn manifest(architecture: Architecture) -> Manifest {
    let plain = |value| vec![value; 3];
    Manifest {
        format: 1,
        task: Task::ImageClassification,
        description: "random weights, for tests".into(),
        licence: String::new(),
        objective: Objective::MultiClass,
        precision: Precision::F32,
        labels: ["circle", "cross", "square"].map(String::from).into(),
        architecture,
        input: InputPreparation::Picture(Preparation {
            channels: 3,
            height: 8,
            width: 8,
            fit: Fit::Stretch,
            mean: plain(0.5),
            std: plain(0.5),
        }),
        files: BTreeMap::new(),
        training: toml::Table::new(),
    }
}

fn draft(manifest: Manifest, tokenizer: Option<Tokenizer>, golden: Vec<GoldenInput>, seed: u64) -> Draft {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let weights = Weights::initialise(&manifest.architecture, &mut generator, &Device::Cpu).unwrap();
    let network = Network::new(&manifest.architecture, &weights).unwrap();
    let golden = record_golden(&manifest.input, tokenizer.as_ref(), &network, golden).unwrap();
    Draft { manifest, weights, tokenizer, golden, extras: BTreeMap::new() }
}
