//! Golden samples: recorded at publication, reproduced before a version may answer.

use super::PrepareError;
use crate::model::{GoldenInput, GoldenSample, InputPreparation};
use crate::nn::Network;
use crate::text::Tokenizer;

/// Runs the inputs through preparation and network, one by one, and notes the logits.
///
/// # Errors
/// An input cannot be prepared, or the network fails.
pub fn record_golden(
    _preparation: &InputPreparation,
    _tokenizer: Option<&Tokenizer>,
    _network: &Network,
    _inputs: Vec<GoldenInput>,
) -> Result<Vec<GoldenSample>, String> {
    todo!("{:?}", PrepareError::EmptyText)
}

/// Checks that the network reproduces the samples within [`crate::model::GOLDEN_TOLERANCE`].
///
/// # Errors
/// The first sample that differs, with logit found and expected.
pub fn verify_golden(
    _preparation: &InputPreparation,
    _tokenizer: Option<&Tokenizer>,
    _network: &Network,
    _samples: &[GoldenSample],
) -> Result<(), String> {
    todo!()
}
