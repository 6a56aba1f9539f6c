//! Golden samples: recorded at publication, reproduced before a version may answer.

use candle_core::Device;

use super::{Prepared, Preparer};
use crate::batch::Engine as _;
use crate::engine::CandleEngine;
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
    verify(&preparer, samples, |prepared| alone(&mut engine, prepared.features))
}

/// The same through any way to run a row: [`super::Pipeline`] gives its queue.
pub(super) fn verify(
    preparer: &Preparer,
    samples: &[GoldenSample],
    mut run: impl FnMut(Prepared) -> Result<Logits, String>,
) -> Result<(), String> {
    for (place, sample) in samples.iter().enumerate() {
        prepared(preparer, &sample.input)
            .and_then(&mut run)
            .and_then(|logits| compare(logits.values(), &sample.logits))
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

#[cfg(test)]
mod tests {
    use super::*;

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
