//! Golden samples: recorded at publication, reproduced before a version may answer.

use candle_core::Device;

use super::{Prepared, Preparer, Presenter, given};
use crate::batch::Engine as _;
use crate::engine::{CandleEngine, Precision};
use crate::model::{GOLDEN_TOLERANCE, GoldenInput, GoldenSample, InputPreparation};
use crate::nn::Network;
use crate::text::Tokenizer;
use crate::value::{Features, Input, Logits};

/// Runs the inputs through preparation and network, one by one, and notes the logits. The network is on the CPU.
///
/// # Errors
/// An input cannot be prepared, the network fails, or its answer is not finite.
pub fn record_golden(
    preparation: &InputPreparation,
    tokenizer: Option<&Tokenizer>,
    network: &Network,
    inputs: Vec<GoldenInput>,
) -> Result<Vec<GoldenSample>, String> {
    let preparer = Preparer::new(preparation.clone(), tokenizer.cloned());
    let mut engine = CandleEngine::new(network.clone(), Device::Cpu, 1);
    let mut samples = Vec::with_capacity(inputs.len());
    for (place, input) in inputs.into_iter().enumerate() {
        let logits = prepared(&preparer, &input)
            .and_then(|prepared| alone(&mut engine, prepared.features))
            .map_err(|problem| format!("golden sample {place}: {problem}"))?;
        if !logits.is_finite() {
            return Err(format!("golden sample {place}: the network's answer is not finite"));
        }
        samples.push(GoldenSample { input, logits: logits.values().to_vec() });
    }
    Ok(samples)
}

/// Checks that the network, which is on the CPU, reproduces the samples within
/// [`GOLDEN_TOLERANCE`].
///
/// # Errors
/// The first sample that differs, with logit found and expected.
pub fn verify_golden(
    preparation: &InputPreparation,
    tokenizer: Option<&Tokenizer>,
    network: &Network,
    samples: &[GoldenSample],
) -> Result<(), String> {
    let preparer = Preparer::new(preparation.clone(), tokenizer.cloned());
    let mut engine = CandleEngine::new(network.clone(), Device::Cpu, 1);
    verify(&preparer, samples, &Likeness::Logits, |prepared| alone(&mut engine, prepared.features))
}

/// How like the recorded answers, which are of f32, answers must be.
#[derive(Clone, Debug)]
pub(super) enum Likeness {
    /// The same logits within [`GOLDEN_TOLERANCE`].
    Logits,
    /// The same labels, and scores within a bound: 16 bits round more than that, and a network that they do not suit shows
    /// in its answers.
    Scores { presenter: Presenter, precision: Precision, difference_max: f32 },
}

impl Likeness {
    /// What is asked of a precision.
    pub(super) fn of(precision: Precision, presenter: &Presenter) -> Self {
        match precision.score_difference_max() {
            None => Self::Logits,
            Some(difference_max) => Self::Scores { presenter: presenter.clone(), precision, difference_max },
        }
    }

    fn compare(&self, found: &Logits, expected: &[f32]) -> Result<(), String> {
        match self {
            Self::Logits => compare(found.values(), expected),
            Self::Scores { presenter, precision, difference_max } => {
                let asked = (*precision, *difference_max);
                compare_scores(presenter, asked, found, expected).map_err(|problem| {
                    format!(
                        "{problem}: 16 bits do not suit this model, set precision = \"f32\" in model.toml"
                    )
                })
            }
        }
    }
}

/// The same through any way to run a row: [`super::Pipeline`] gives its queue.
pub(super) fn verify(
    preparer: &Preparer,
    samples: &[GoldenSample],
    likeness: &Likeness,
    mut run: impl FnMut(Prepared) -> Result<Logits, String>,
) -> Result<(), String> {
    for (place, sample) in samples.iter().enumerate() {
        prepared(preparer, &sample.input)
            .and_then(&mut run)
            .and_then(|logits| likeness.compare(&logits, &sample.logits))
            .map_err(|problem| format!("golden sample {place}: {problem}"))?;
    }
    Ok(())
}

fn prepared(preparer: &Preparer, input: &GoldenInput) -> Result<Prepared, String> {
    preparer.prepare(&Input::from(input)).map_err(|error| error.to_string())
}

fn alone(engine: &mut CandleEngine, features: Features) -> Result<Logits, String> {
    engine.admit(0, features).map_err(|error| error.to_string())?;
    let mut finished = Vec::new();
    engine.step(&mut finished);
    match finished.pop() {
        Some((_, answer)) => answer.map_err(|error| error.to_string()),
        None => Err("the network gave no answer".into()),
    }
}

fn compare(found: &[f32], expected: &[f32]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{} logits, expected {}", found.len(), expected.len()));
    }
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let tolerance = GOLDEN_TOLERANCE * expected.abs().max(1.0);
        let near = (found - expected).abs() <= tolerance;
        // NaN is near to nothing.
        if !near {
            return Err(format!("logit {place} is {found}, expected {expected} within {tolerance}"));
        }
    }
    Ok(())
}

/// Position by position: the labels given, and every label's score.
fn compare_scores(
    presenter: &Presenter,
    (precision, difference_max): (Precision, f32),
    found: &Logits,
    expected: &[f32],
) -> Result<(), String> {
    if found.values().len() != expected.len() {
        return Err(format!("{} logits, expected {}", found.values().len(), expected.len()));
    }
    let outputs = expected.len() / found.positions().count().max(1);
    let scores = |position: &[f32]| {
        let logits = Logits::new(outputs, position.to_vec());
        logits.and_then(|logits| presenter.scores(&logits)).ok_or("the network's answer is not finite")
    };
    for (found, expected) in found.positions().zip(expected.chunks_exact(outputs.max(1))) {
        let (found, expected) = (scores(found)?, scores(expected)?);
        for ((label, found), expected) in presenter.labels().iter().zip(&found).zip(&expected) {
            let far = (found - expected).abs() > difference_max;
            if far {
                return Err(format!(
                    "the score of {label:?} is {found} in precision {precision}, expected {expected}, that of f32, within {difference_max}"
                ));
            }
        }
        let given = |scores: &[f32]| -> Vec<String> {
            let numbers = given(presenter.objective(), scores);
            let labels = numbers.iter().filter_map(|number| presenter.labels().get(*number as usize));
            labels.map(ToString::to_string).collect()
        };
        let (found, expected) = (given(&found), given(&expected));
        if found != expected {
            return Err(format!(
                "labels are {found:?} in precision {precision}, expected {expected:?}, those of f32"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Objective;

    #[test]
    fn answers_of_16_bits_have_the_labels_of_f32_and_nearly_its_scores() {
        let labels = ["bad".to_owned(), "good".to_owned()];
        let compare = |objective, outputs, found: &[f32], expected: &[f32]| {
            let likeness = Likeness::of(Precision::Int16, &Presenter::new(objective, &labels));
            likeness.compare(&Logits::new(outputs, found.to_vec()).unwrap(), expected)
        };
        compare(Objective::Binary, 1, &[0.51], &[0.5]).unwrap();
        compare(Objective::MultiLabel, 2, &[4.01, -2.0], &[4.0, -2.01]).unwrap();
        let cases: [(_, _, &[f32], &[f32], _); 6] = [
            (Objective::Binary, 1, &[0.55], &[0.5], "the score of \"bad\" is 0.3658"),
            (
                Objective::Binary,
                1,
                &[0.001],
                &[-0.001],
                "labels are [\"good\"] in precision int16, expected [\"bad\"]",
            ),
            (Objective::MultiClass, 2, &[1.0, 1.001], &[1.001, 1.0], "labels are [\"good\"]"),
            (Objective::MultiLabel, 2, &[1.0, 0.001], &[1.0, -0.001], "labels are [\"bad\", \"good\"]"),
            // The second of two positions.
            (Objective::Binary, 1, &[9.0, 0.001], &[9.0, -0.001], "labels are [\"good\"]"),
            (Objective::Binary, 1, &[f32::NAN], &[0.0], "not finite"),
        ];
        for (objective, outputs, found, expected, said) in cases {
            let error = compare(objective, outputs, found, expected).unwrap_err();
            assert!(error.contains(said) && error.contains("set precision = \"f32\""), "{error}");
        }
        assert!(
            compare(Objective::Binary, 1, &[0.0], &[0.0, 0.0]).unwrap_err().contains("1 logits, expected 2")
        );
    }

    #[test]
    fn near_is_relative_above_one_and_nan_is_never_near() {
        compare(&[1.0, 1000.0], &[1.000_09, 1000.09]).unwrap();
        assert_eq!(compare(&[0.1], &[0.2]).unwrap_err(), "logit 0 is 0.1, expected 0.2 within 0.0001");
        compare(&[1000.0], &[1000.2]).unwrap_err();
        compare(&[f32::NAN], &[0.0]).unwrap_err();
        compare(&[f32::INFINITY], &[0.0]).unwrap_err();
        assert_eq!(compare(&[0.0], &[0.0, 0.0]).unwrap_err(), "1 logits, expected 2");
    }
}
