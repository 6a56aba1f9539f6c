//! Networks run in PyTorch, imported: the same logits, and the same gradients in training.
//!
//! The fixtures and the script that made them are in `tests/fixtures/parity`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sconce::model::import::{infer, read_tensors};
use sconce::nn::{Architecture, Batch, Mode, Network, Weights};
use sconce::value::Features;
use serde::Deserialize;

const LOGIT_TOLERANCE: f32 = 1e-5;
/// Relative to the largest gradient of a tensor (or to 1): sums over a batch in another order.
const GRADIENT_TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Case {
    name: String,
    weights: String,
    settings: BTreeMap<String, String>,
    logits: Listed,
    tokens: Option<Vec<Vec<u32>>>,
    pixels: Option<Listed>,
    gradients: Option<BTreeMap<String, Listed>>,
    statistics: Option<BTreeMap<String, Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Case {
    fn rows(&self) -> Vec<Features> {
        match (&self.tokens, &self.pixels) {
            (Some(rows), None) => rows.iter().map(|row| Features::Tokens(row.as_slice().into())).collect(),
            (None, Some(pixels)) => {
                let values = pixels.values.len() / pixels.shape[0];
                pixels.values.chunks(values).map(|row| Features::Pixels(row.into())).collect()
            }
            _ => panic!("{} has either texts or pictures", self.name),
        }
    }

    fn import(&self) -> (Architecture, Weights) {
        let tensors = read_tensors(&folder().join(&self.weights)).unwrap();
        infer(tensors, &self.settings).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Half-precision networks are run in half precision by PyTorch's weights, not its sums, so all are held alike.
    fn assert_logits(&self, logits: &Tensor) {
        assert_eq!(logits.dims(), self.logits.shape, "{}", self.name);
        let difference = difference(logits, &self.logits);
        println!("parity {}: max |difference| = {difference:.1e}", self.name);
        assert!(difference <= LOGIT_TOLERANCE, "{}: {difference}", self.name);
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity")
}

fn cases() -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(folder().join("cases.json")).unwrap()).unwrap()
}

fn difference(found: &Tensor, expected: &Listed) -> f32 {
    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), expected.values.len());
    let differences = found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs());
    // NaN is the largest difference of all.
    differences.fold(0.0, |most, next| if next <= most { most } else { next })
}

#[test]
fn imported_networks_give_pytorchs_logits() {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.gradients.is_none()).collect();
    assert!(cases.len() >= 29);
    for case in cases {
        let (architecture, weights) = case.import();
        let network = Network::new(&architecture, &weights).unwrap();
        let batch = Batch::collate(&case.rows(), &architecture, &Device::Cpu).unwrap();
        case.assert_logits(&network.forward(&batch, &mut Mode::Evaluate).unwrap());
    }
}

#[test]
fn training_has_pytorchs_gradients_and_running_statistics() {
    let mut seen = 0;
    for case in cases() {
        let Some(expected) = &case.gradients else { continue };
        let (architecture, weights) = case.import();
        let variables: BTreeMap<String, Var> = weights
            .0
            .iter()
            .map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap()))
            .collect();
        let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let network = Network::new(&architecture, &Weights(tensors)).unwrap();
        let batch = Batch::collate(&case.rows(), &architecture, &Device::Cpu).unwrap();
        let mut generator = ChaCha8Rng::seed_from_u64(0);
        let logits = network.forward(&batch, &mut Mode::Train(&mut generator)).unwrap();
        case.assert_logits(&logits);

        let count = u32::try_from(logits.elem_count()).unwrap();
        let factors = Tensor::arange(1, count + 1, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let factors = factors.reshape(logits.dims()).unwrap();
        let loss = (logits.tanh().unwrap() * factors).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let mut most = 0_f32;
        for (name, expected) in expected {
            let found = gradients.get(&variables[name]).unwrap_or_else(|| panic!("{name} has no gradient"));
            assert_eq!(found.dims(), expected.shape, "{name}");
            let scale = expected.values.iter().fold(1_f32, |scale, value| scale.max(value.abs()));
            let difference = difference(found, expected) / scale;
            assert!(difference <= GRADIENT_TOLERANCE, "{} {name}: {difference}", case.name);
            most = most.max(difference);
        }
        println!("parity {}, gradients: max relative |difference| = {most:.1e}", case.name);
        let statistics = network.statistics();
        let expected = case.statistics.as_ref().unwrap();
        assert_eq!(statistics.len(), expected.len());
        for (name, expected) in expected {
            assert!(difference(&statistics[name], expected) <= 1e-6, "{} {name}", case.name);
        }
        seen += 1;
    }
    assert!(seen >= 6);
}

#[test]
fn an_imported_article_network_is_the_preset() {
    let case = cases().into_iter().find(|case| case.name == "article-conv").unwrap();
    let (architecture, _) = case.import();
    assert_eq!(architecture, Architecture::ConvClassifier(sconce::nn::conv::Config::article(10)));
}
